//! Why label quality could not be worked out: the input is wrong, and this says where and what to do about it.

use super::votes::CLASSES_MAX;
use crate::domain::ids::SampleId;

/// Input that label quality refuses. Every variant is the caller's to mend; none goes away by trying again.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QualityError {
    /// There is nothing to confuse, or more than anybody can tell apart.
    #[error("label quality needs 2 to {CLASSES_MAX} classes, but there are {classes}")]
    Classes {
        /// How many were given.
        classes: usize,
    },
    /// A vote for a class that is not there.
    #[error(
        "{annotator} says that {sample} is of class {class}, but classes go from 0 to {max}: correct the vote, or give \
         all classes"
    )]
    VoteOutside {
        /// The sample voted on.
        sample: SampleId,
        /// Who voted.
        annotator: String,
        /// The class voted for.
        class: u32,
        /// The highest class.
        max: u32,
    },
    /// Two votes of one annotator on one sample, alike or not.
    #[error(
        "{annotator} labelled {sample} twice, as class {first} and as class {second}: keep one of the votes, for example \
         the later"
    )]
    VotedTwice {
        /// The sample voted on.
        sample: SampleId,
        /// Who voted.
        annotator: String,
        /// The lower of both classes.
        first: u32,
        /// The other.
        second: u32,
    },
    /// A label of a class that no column of the probabilities stands for.
    #[error(
        "{sample} is labelled with class {class}, but the probabilities are of the classes 0 to {max}: correct the label, \
         or predict with a model of all classes"
    )]
    LabelOutside {
        /// The sample.
        sample: SampleId,
        /// Its label.
        class: u32,
        /// The highest class.
        max: u32,
    },
    /// Two labels of one sample, alike or not.
    #[error("{sample} has two labels: give one, for example the consensus of its annotators")]
    LabelledTwice {
        /// The sample.
        sample: SampleId,
    },
    /// Labels and probabilities that cannot belong together.
    #[error(
        "there are {labels} labels but {rows} rows of probabilities: give one row for each label, in the same order"
    )]
    RowsDiffer {
        /// How many labels.
        labels: usize,
        /// How many rows.
        rows: usize,
    },
    /// NaN, an infinity, or a number outside [0, 1].
    #[error(
        "the probability of class {class} for {sample} is {value}, which is not in [0, 1]: give the model's probabilities, \
         not its logits"
    )]
    NotAProbability {
        /// The sample.
        sample: SampleId,
        /// The column.
        class: usize,
        /// What stands there.
        value: f32,
    },
    /// A row that is not a distribution over the classes.
    #[error(
        "the probabilities for {sample} sum to {sum}, not to 1 within {tolerance}: give a distribution over the classes"
    )]
    NotADistribution {
        /// The sample.
        sample: SampleId,
        /// What its row sums to.
        sum: f64,
        /// How far from 1 it may be.
        tolerance: f64,
    },
    /// A setting outside its range.
    #[error("{name} is {value}, but must be {range}")]
    Setting {
        /// Which.
        name: &'static str,
        /// What it is.
        value: f64,
        /// What it may be.
        range: &'static str,
    },
    /// Tables that would not fit in memory.
    #[error(
        "{rows} {of} and {classes} classes make a table of more than {limit} numbers: leave out {of}, or merge classes"
    )]
    TooLarge {
        /// What there are too many of: `annotators` or `samples`.
        of: &'static str,
        /// How many.
        rows: usize,
        /// How many classes.
        classes: usize,
        /// The most numbers in one table.
        limit: usize,
    },
    /// A doubt that is no probability.
    #[error("the doubt about {sample} is {value}, which is not in [0, 1]")]
    Doubt {
        /// The sample.
        sample: SampleId,
        /// What was given.
        value: f64,
    },
}
