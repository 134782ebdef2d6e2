//! Why nothing was picked. Each message names what, which sample or value, and the way out.

use crate::domain::ids::SampleId;
use crate::domain::rows::RowsError;

/// Why nothing was picked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectorError {
    /// Nothing to choose from.
    #[error("there are no candidates: every sample of the pool has a label")]
    NoCandidates,
    /// Nothing to choose.
    #[error("the batch size is 0; it must be at least 1")]
    EmptyBatch,
    /// One sample twice.
    #[error("the sample {sample} is twice among the candidates")]
    DuplicateCandidate {
        /// Which.
        sample: SampleId,
    },
    /// Candidates that are not in the order of their ids.
    #[error("the sample {sample} is out of order among the candidates, which must ascend by id")]
    Order {
        /// Which.
        sample: SampleId,
    },
    /// More audit picks than picks.
    #[error("the audit arm of {audit} samples is larger than the batch of {batch}")]
    AuditTooLarge {
        /// The audit arm.
        audit: usize,
        /// The batch.
        batch: usize,
    },
    /// A strategy that is not built that way.
    #[error("the strategy {strategy}: {problem}")]
    Strategy {
        /// As it was written.
        strategy: String,
        /// What is wrong.
        problem: String,
    },
    /// The strategy needs what the model does not give.
    #[error(
        "the strategy needs output `{output}`, but {}",
        match there_are.as_slice() { [] => "no model has run".to_owned(), names => format!("there are only {}", names.join(", ")) }
    )]
    NoOutput {
        /// The output's name.
        output: String,
        /// What there is instead.
        there_are: Vec<String>,
    },
    /// The strategy needs a committee.
    #[error(
        "the strategy needs at least two members of a committee, and there are {members}; name several models in \
         `selector.committee`, or one with dropout and `selector.passes`"
    )]
    NoMembers {
        /// How many there are.
        members: usize,
    },
    /// The strategy needs what nobody gave.
    #[error("the strategy needs {what}; {way_out}")]
    Missing {
        /// What.
        what: &'static str,
        /// How to give it.
        way_out: &'static str,
    },
    /// The rows belong to other candidates.
    #[error(
        "{candidates} candidates, but {output} has {rows} rows of {columns}; one row for each candidate and at least one \
         column are expected"
    )]
    Shape {
        /// Which output.
        output: String,
        /// How many candidates.
        candidates: usize,
        /// How many rows.
        rows: usize,
        /// How many columns.
        columns: usize,
    },
    /// Outputs of different widths.
    #[error(
        "the candidates' {output} has {candidates} columns and that of the labelled samples {labelled}; are they of one model?"
    )]
    Widths {
        /// Which output.
        output: String,
        /// How many columns that of the candidates has.
        candidates: usize,
        /// How many that of the labelled samples has.
        labelled: usize,
    },
    /// A value that is no probability.
    #[error(
        "the model gives sample {sample} the probability {value} for class number {class}; a number in [0, 1] is \
         expected. Check the model's training and its input"
    )]
    NotAProbability {
        /// Which sample.
        sample: SampleId,
        /// The column.
        class: usize,
        /// The value.
        value: f32,
    },
    /// A row that is no distribution.
    #[error(
        "the model's probabilities for sample {sample} sum to {sum}, not to 1 (within 0.001); are they logits?"
    )]
    NotADistribution {
        /// Which sample.
        sample: SampleId,
        /// The sum.
        sum: f64,
    },
    /// A value that cannot be compared.
    #[error(
        "{output} of sample {sample} holds {value}; a finite number is expected. Check the model and its input"
    )]
    NotFinite {
        /// Which output.
        output: String,
        /// Which sample.
        sample: SampleId,
        /// The value.
        value: f32,
    },
    /// A score that cannot be compared.
    #[error("the strategy gives sample {sample} the score {score}; a finite number is expected")]
    Score {
        /// Which sample.
        sample: SampleId,
        /// The score.
        score: f64,
    },
    /// A vector without a direction.
    #[error(
        "{output} of sample {sample} is all zero, and has no direction for a cosine distance; use metric=euclidean, or leave the sample out"
    )]
    ZeroVector {
        /// Which output.
        output: String,
        /// Which sample.
        sample: SampleId,
    },
    /// The strategy picked what it may not.
    #[error("the strategy picked {what}")]
    BadPick {
        /// What.
        what: String,
    },
    /// A query that does not answer samples.
    #[error("the query {query:?}: {problem}")]
    Query {
        /// Its text.
        query: String,
        /// What is wrong.
        problem: String,
    },
    /// Tables that cannot be queried.
    #[error("the database for queries: {problem}")]
    Database {
        /// What is wrong.
        problem: String,
    },
    /// A program that does not pick.
    #[error("the program {command:?}: {problem}")]
    Command {
        /// As it was written.
        command: String,
        /// What is wrong.
        problem: String,
    },
    /// Rows that cannot be read.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// Scores that could not be kept.
    #[error("the scores could not be kept: {reason}")]
    Keep {
        /// Why not.
        reason: String,
    },
    /// Labels of other candidates.
    #[error("{candidates} candidates, but {labels} labels")]
    Labels {
        /// How many candidates.
        candidates: usize,
        /// How many labels.
        labels: usize,
    },
    /// A per-class start without labels.
    #[error(
        "a start with {per_class} samples of each class needs candidates whose labels are known, and there are none; \
         use `selector.seed_batch` instead of `selector.seed_per_class`"
    )]
    NoKnownLabels {
        /// How many of each class were wanted.
        per_class: usize,
    },
}
