//! One door to every metric: answers and labels in, a value with its interval out.
//!
//! What each metric is made of stands in [`super::statistic`], which names there are in [`crate::domain::metric`].

use super::bootstrap::{RESAMPLES, accelerated, chance, distribution, percentiles};
use super::by_class::{ClassMeasured, Classes};
use super::interval::{mean_of_shares, wilson_share};
use super::statistic::Case;
use crate::domain::kpi::Interval;
use crate::domain::matrix::Matrix;
use crate::domain::metric::Metric;
use crate::domain::task::Task;

/// How an interval is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// How sure it is, two-sided, in (0, 1).
    pub confidence: f64,
    /// Where resamples come from: the same seed gives the same interval.
    pub seed: u64,
}

/// A metric, measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The value.
    pub value: f64,
    /// Where the value of the whole population lies. It holds `value`. A metric without a largest value that cannot be
    /// bounded by these samples (one sample, or all equal) ends at `f64::MAX`.
    pub interval: Interval,
    /// How many samples, at least 1.
    pub n: u64,
    /// The metric by class, in the order of the classes; `None` for a class on which it cannot be measured, because no
    /// sample has it (precision: because none is given it). Empty for what is not made of classes.
    pub per_class: Vec<Option<ClassMeasured>>,
}

/// Why nothing was measured.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MetricError {
    /// A metric of another task.
    #[error("{metric} does not measure {}; what does is {}", task, Metric::names_for(*task).collect::<Vec<_>>().join(", "))]
    Task {
        /// The metric.
        metric: Metric,
        /// The task.
        task: Task,
    },
    /// Too few classes.
    #[error("{} needs at least {} classes, and there are {found}", task, task.least_classes())]
    Classes {
        /// How many there are.
        found: usize,
        /// The task.
        task: Task,
    },
    /// A label too few or too many.
    #[error("there are {answers} answers for {labels} labels; each sample needs one of both")]
    Rows {
        /// How many answers.
        answers: usize,
        /// How many labels.
        labels: usize,
    },
    /// Nothing to measure.
    #[error("{metric} cannot be measured without samples; label at least one")]
    Empty {
        /// The metric.
        metric: Metric,
    },
    /// Answers of another width.
    #[error("the answer for a sample is {found} numbers, and the task makes it {expected}")]
    AnswerWidth {
        /// How many there are.
        found: usize,
        /// How many there must be.
        expected: usize,
    },
    /// Labels of another width.
    #[error("the label of a sample is {found} numbers, and the task makes it {expected}")]
    LabelWidth {
        /// How many there are.
        found: usize,
        /// How many there must be.
        expected: usize,
    },
    /// An answer that is no number.
    #[error(
        "the answer for sample {row} holds {value} in place {column}; the model is broken, do not use it"
    )]
    NotFinite {
        /// The sample, counted from 0.
        row: usize,
        /// Where in the answer, counted from 0.
        column: usize,
        /// What it is.
        value: f32,
    },
    /// Logits, most likely.
    #[error(
        "the answer for sample {row} holds {value} in place {column}, which is no probability; take the softmax or the \
         sigmoid of logits first"
    )]
    NoProbability {
        /// The sample, counted from 0.
        row: usize,
        /// Where in the answer, counted from 0.
        column: usize,
        /// What it is.
        value: f32,
    },
    /// A label that the task does not have.
    #[error(
        "the label of sample {row} holds {value} in place {column}; {}",
        match task {
            Task::Classification | Task::Segmentation => format!("it must be the index of one of {classes} classes, from 0"),
            Task::MultiLabel => "it must be 0 or 1".to_owned(),
            Task::Regression => "it must be a finite number".to_owned(),
        }
    )]
    Label {
        /// The sample, counted from 0.
        row: usize,
        /// Where in the label, counted from 0.
        column: usize,
        /// What it is.
        value: f32,
        /// The task.
        task: Task,
        /// How many classes there are.
        classes: usize,
    },
    /// A confidence that is none.
    #[error("the confidence is {found}; it must be above 0 and below 1")]
    Confidence {
        /// What it is.
        found: f64,
    },
    /// Samples on which the metric has no value.
    #[error(
        "{metric} cannot be measured on these {n} samples: {}",
        if matches!(metric, Metric::Precision(_)) {
            "the model gives none of them the class with so high a probability; lower the threshold or label more"
        } else {
            "none of them has the class; label more"
        }
    )]
    Undefined {
        /// The metric.
        metric: Metric,
        /// How many samples there are.
        n: usize,
    },
}

/// The value that [`measure`] gives, without the work of an interval.
///
/// # Errors
///
/// As [`measure`].
pub fn value(
    metric: Metric,
    task: Task,
    classes: usize,
    answers: &Matrix,
    labels: &Matrix,
) -> Result<f64, MetricError> {
    let case = Case::new(metric, task, classes, answers, labels)?;
    let undefined = MetricError::Undefined { metric, n: case.len() };
    case.value(&case.sums().totals()).ok_or(undefined)
}

/// Measures `metric` on samples of a task with `classes` classes.
///
/// `answers` has a row for each sample, in the shape of [`Task::answer_shape`]: probabilities in [0, 1] (softmax for
/// classification and, over the classes of each pixel, for segmentation; sigmoid for multi-label), plain values for
/// regression. `labels` has a row for each sample, [`Task::label_width`] numbers wide.
///
/// What is given a class: the class of the highest probability, the first of equals; in multi-label each class from 0.5
/// on; for precision and recall each class from the threshold on. Means over classes leave out a class that cannot be
/// measured. Classes that never occur, or samples of one class only, are no error: [`Measured::per_class`] names them,
/// and the interval allows for anything there.
///
/// F1 is `2 hits / (labels + given)`, intersection over union `hits / (labels + given - hits)`, both over all samples
/// together. The calibration error is `sum over 15 equal bins of |confidence - right| / n` of the winning class (in
/// multi-label: of every class): M. P. Naeini, G. F. Cooper and M. Hauskrecht (2015), "Obtaining well calibrated
/// probabilities using Bayesian binning", AAAI; it is too high for few samples, because bins are never even by chance.
///
/// The interval is Wilson's where samples are plainly right or wrong (accuracy and micro F1 of classification, accuracy
/// of multi-label). Else it is a bootstrap of 1,000 resamples of whole samples: between percentiles; for losses and errors
/// between accelerated ones (Efron's BCa); for the calibration error mirrored at the value (Efron and Tibshirani's basic
/// interval), because resampling adds to it what chance added before. A bootstrap knows nothing of mistakes that were not
/// seen, so that all right would give an interval without width; hence means over classes also hold the interval that
/// their classes' Wilson intervals make together, and where all resamples agree Wilson's of the samples stands in (the
/// whole range, where a metric is no share). Fewer than about ten samples give bootstraps too narrow by some.
///
/// # Errors
///
/// All of [`MetricError`]: what does not fit is named with its place, and nothing is measured.
pub fn measure(
    metric: Metric,
    task: Task,
    classes: usize,
    answers: &Matrix,
    labels: &Matrix,
    settings: Settings,
) -> Result<Measured, MetricError> {
    let Settings { confidence, seed } = settings;
    if !(confidence > 0.0 && confidence < 1.0) {
        return Err(MetricError::Confidence { found: confidence });
    }
    let case = Case::new(metric, task, classes, answers, labels)?;
    let n = case.len();
    let sums = case.sums();
    let totals = sums.totals();
    let value = case.value(&totals).ok_or(MetricError::Undefined { metric, n })?;
    let mut classes = Classes::new(case, &sums, &totals);
    #[expect(clippy::cast_precision_loss, reason = "a count of samples")]
    let by_samples = wilson_share(value, n as f64, confidence);
    if case.is_share_of_samples() {
        let per_class = classes.measured(confidence);
        return Ok(Measured { value, interval: by_samples, n: n as u64, per_class });
    }

    let mut resampled = Vec::new();
    let values = distribution(n, RESAMPLES, chance(seed, "bootstrap"), |weights| {
        sums.weighted(weights, &mut resampled);
        classes.resample(&resampled);
        case.value(&resampled)
    });
    let without = || sums.all_but_one().filter_map(|sums| case.value(&sums)).collect();
    let found = from_resamples(metric, value, &values, without, n, confidence);
    let mut interval = match found {
        Some(found) => found,
        None if matches!(metric, Metric::Accuracy | Metric::MicroF1) => by_samples,
        // What the classes tell stands in below.
        None if case.is_mean_of_classes() => Interval { low: value, high: value },
        None => ANYTHING,
    };
    if case.is_mean_of_classes() {
        let parts = classes.parts(found.is_none(), confidence);
        interval = hull(interval, mean_of_shares(value, &parts));
    }
    let interval = fitted(metric, value, interval);
    Ok(Measured { value, interval, n: n as u64, per_class: classes.measured(confidence) })
}

/// The interval that a measure's `values` on resamples of `n` samples make, ascending; `without` is what it is without
/// each of the samples in turn. `None` where all resamples agree.
pub(super) fn from_resamples(
    metric: Metric,
    value: f64,
    values: &[f64],
    without: impl FnOnce() -> Vec<f64>,
    n: usize,
    confidence: f64,
) -> Option<Interval> {
    // A hair's breadth is rounding: sums of the same numbers in another order.
    let found = percentiles(values, n, confidence)
        .filter(|found| found.high - found.low > 1e-12 * found.high.abs())?;
    Some(match metric {
        Metric::CalibrationError => {
            Interval { low: 2.0 * value - found.high, high: 2.0 * value - found.low }
        }
        Metric::LogLoss | Metric::Rmse | Metric::Mae => {
            accelerated(values, value, &without(), confidence).unwrap_or(found)
        }
        Metric::Accuracy
        | Metric::BalancedAccuracy
        | Metric::MacroF1
        | Metric::MicroF1
        | Metric::Precision(_)
        | Metric::Recall(_)
        | Metric::MeanIou => found,
    })
}

/// What says nothing of a metric; [`fitted`] makes it the metric's range.
pub(super) const ANYTHING: Interval = Interval { low: 0.0, high: f64::MAX };

/// The interval, so that it holds the value, within what the metric can be.
pub(super) fn fitted(metric: Metric, value: f64, interval: Interval) -> Interval {
    let held = hull(interval, Interval { low: value, high: value });
    Interval { low: held.low.max(0.0), high: held.high.min(metric.most().unwrap_or(f64::MAX)) }
}

/// The smallest interval that holds both.
fn hull(a: Interval, b: Interval) -> Interval {
    Interval { low: a.low.min(b.low), high: a.high.max(b.high) }
}

#[cfg(test)]
mod tests;
