//! What a model can be measured by: the names, what they fit, which way is better. How they are measured stands in
//! [`crate::metrics`].
//!
//! | name | fits | what it is |
//! |---|---|---|
//! | `accuracy` | classification, multi_label, segmentation | the share that is right: of samples (in multi_label all classes at once), of pixels |
//! | `balanced_accuracy` | classification, segmentation | the mean of the classes' recalls |
//! | `macro_f1`, `micro_f1` | classification, multi_label, segmentation | the mean of the classes' F1; F1 of all classes' counts together |
//! | `precision@0.5`, `recall@0.5` | classification, multi_label, segmentation | of what is given a class with at least this probability, the share that has it; of what has it, the share that is given it |
//! | `log_loss` | classification, multi_label, segmentation | the mean surprise in nats |
//! | `calibration_error` | classification, multi_label, segmentation | how far confidence is from being right |
//! | `mean_iou` | segmentation | the mean of the classes' intersection over union |
//! | `rmse`, `mae` | regression | the root of the mean squared error; the mean absolute error |
//!
//! Precision and recall of two classes (`multi_label` aside) are those of class 1, the second; of more, the mean over
//! classes, each against the rest. Without a threshold they are at 0.5.

use super::definition::Direction;
use super::nearest::nearest;
use super::task::Task;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A measure of a model. As text and in serde it is its name: `accuracy`, `precision@0.5`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Metric {
    /// The share that is right.
    Accuracy,
    /// The mean of the classes' recalls.
    BalancedAccuracy,
    /// The mean of the classes' F1.
    MacroF1,
    /// F1 of all classes' counts together; with one class for each sample or pixel it equals the accuracy.
    MicroF1,
    /// Of what is given a class with at least this probability, in (0, 1], the share that has it.
    Precision(f64),
    /// Of what has a class, the share that is given it with at least this probability, in (0, 1].
    Recall(f64),
    /// The mean of `-ln p(label)`, in nats.
    LogLoss,
    /// The expected calibration error.
    CalibrationError,
    /// The mean of the classes' intersection over union.
    MeanIou,
    /// The root of the mean squared error, in units of the label.
    Rmse,
    /// The mean absolute error, in units of the label.
    Mae,
}

/// One of each, precision and recall at the threshold that their bare names mean.
const ALL: [Metric; 11] = [
    Metric::Accuracy,
    Metric::BalancedAccuracy,
    Metric::MacroF1,
    Metric::MicroF1,
    Metric::Precision(THRESHOLD),
    Metric::Recall(THRESHOLD),
    Metric::LogLoss,
    Metric::CalibrationError,
    Metric::MeanIou,
    Metric::Rmse,
    Metric::Mae,
];

/// What a bare `precision` is at.
const THRESHOLD: f64 = 0.5;

impl Metric {
    /// The names of all metrics, without thresholds.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ALL.iter().map(|metric| metric.name())
    }

    /// The names of those that fit a task, without thresholds.
    pub fn names_for(task: Task) -> impl Iterator<Item = &'static str> {
        ALL.iter().filter(move |metric| metric.fits(task)).map(|metric| metric.name())
    }

    /// The name without a threshold.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::BalancedAccuracy => "balanced_accuracy",
            Self::MacroF1 => "macro_f1",
            Self::MicroF1 => "micro_f1",
            Self::Precision(_) => "precision",
            Self::Recall(_) => "recall",
            Self::LogLoss => "log_loss",
            Self::CalibrationError => "calibration_error",
            Self::MeanIou => "mean_iou",
            Self::Rmse => "rmse",
            Self::Mae => "mae",
        }
    }

    /// The probability from which on a class counts as given, where the metric has one.
    #[must_use]
    pub const fn threshold(self) -> Option<f64> {
        match self {
            Self::Precision(threshold) | Self::Recall(threshold) => Some(threshold),
            Self::Accuracy
            | Self::BalancedAccuracy
            | Self::MacroF1
            | Self::MicroF1
            | Self::LogLoss
            | Self::CalibrationError
            | Self::MeanIou
            | Self::Rmse
            | Self::Mae => None,
        }
    }

    /// Whether more is better.
    #[must_use]
    pub const fn direction(self) -> Direction {
        match self {
            Self::Accuracy
            | Self::BalancedAccuracy
            | Self::MacroF1
            | Self::MicroF1
            | Self::Precision(_)
            | Self::Recall(_)
            | Self::MeanIou => Direction::Max,
            Self::LogLoss | Self::CalibrationError | Self::Rmse | Self::Mae => Direction::Min,
        }
    }

    /// Whether models of this task can be measured by it.
    #[must_use]
    pub const fn fits(self, task: Task) -> bool {
        match (self, task) {
            (Self::Rmse | Self::Mae, task) => matches!(task, Task::Regression),
            (_, Task::Regression) => false,
            (Self::MeanIou, task) => matches!(task, Task::Segmentation),
            (Self::BalancedAccuracy, task) => !matches!(task, Task::MultiLabel),
            (
                Self::Accuracy
                | Self::MacroF1
                | Self::MicroF1
                | Self::Precision(_)
                | Self::Recall(_)
                | Self::LogLoss
                | Self::CalibrationError,
                Task::Classification | Task::MultiLabel | Task::Segmentation,
            ) => true,
        }
    }

    /// The largest value there can be, where there is one: 1 for shares. The least is 0 for all.
    #[must_use]
    pub const fn most(self) -> Option<f64> {
        match self {
            Self::Accuracy
            | Self::BalancedAccuracy
            | Self::MacroF1
            | Self::MicroF1
            | Self::Precision(_)
            | Self::Recall(_)
            | Self::CalibrationError
            | Self::MeanIou => Some(1.0),
            Self::LogLoss | Self::Rmse | Self::Mae => None,
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        self.threshold().map_or(Ok(()), |threshold| write!(f, "@{threshold}"))
    }
}

impl FromStr for Metric {
    type Err = MetricNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, threshold) = match text.split_once('@') {
            Some((name, threshold)) => (name, Some(threshold)),
            None => (text, None),
        };
        let Some(&metric) = ALL.iter().find(|metric| metric.name() == name) else {
            return Err(MetricNameError::Unknown { found: text.to_owned() });
        };
        let Some(written) = threshold else { return Ok(metric) };
        let wrong = || MetricNameError::Threshold { found: text.to_owned() };
        let threshold = written.parse().ok().filter(|&t: &f64| t > 0.0 && t <= 1.0);
        match metric {
            Self::Precision(_) => threshold.map(Self::Precision).ok_or_else(wrong),
            Self::Recall(_) => threshold.map(Self::Recall).ok_or_else(wrong),
            Self::Accuracy
            | Self::BalancedAccuracy
            | Self::MacroF1
            | Self::MicroF1
            | Self::LogLoss
            | Self::CalibrationError
            | Self::MeanIou
            | Self::Rmse
            | Self::Mae => {
                Err(MetricNameError::NoThreshold { found: text.to_owned(), name: metric.name() })
            }
        }
    }
}

impl TryFrom<String> for Metric {
    type Error = MetricNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Metric> for String {
    fn from(metric: Metric) -> Self {
        metric.to_string()
    }
}

/// A text that names no metric.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetricNameError {
    /// No such name.
    #[error("there is no metric `{found}`{}; there are {}", meant(found), Metric::names().collect::<Vec<_>>().join(", "))]
    Unknown {
        /// What was written.
        found: String,
    },
    /// A threshold that is no probability.
    #[error(
        "the threshold of `{found}` must be a number above 0 and at most 1, as in `precision@0.5`"
    )]
    Threshold {
        /// What was written.
        found: String,
    },
    /// A threshold where there is none.
    #[error("`{found}`: only precision and recall have a threshold; write `{name}`")]
    NoThreshold {
        /// What was written.
        found: String,
        /// The metric's name.
        name: &'static str,
    },
}

fn meant(found: &str) -> String {
    let name = found.split('@').next().unwrap_or(found);
    nearest(name, Metric::names())
        .map_or_else(String::new, |name| format!(", did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    #[test]
    fn a_metric_is_stored_under_its_name() {
        let json = |metric: Metric| serde_json::to_string(&metric).unwrap();
        assert_eq!(json(Metric::Accuracy), "\"accuracy\"");
        assert_eq!(json(Metric::Precision(0.5)), "\"precision@0.5\"");
        for name in Metric::names() {
            let metric: Metric = name.parse().unwrap();
            assert_eq!(metric.name(), name);
            assert_eq!(serde_json::from_str::<Metric>(&json(metric)).unwrap(), metric);
        }
        assert_eq!("recall".parse(), Ok(Metric::Recall(0.5)));
        assert_eq!("recall@0.90".parse(), Ok(Metric::Recall(0.9)));
    }

    #[test]
    fn a_name_that_is_none_gets_the_way_out() {
        let error = |text: &str| text.parse::<Metric>().unwrap_err().to_string();
        assert!(error("acuracy").contains("did you mean `accuracy`?"), "{}", error("acuracy"));
        assert!(error("zzz").ends_with("mean_iou, rmse, mae"), "{}", error("zzz"));
        for text in ["precision@0", "precision@1.5", "recall@", "recall@NaN", "recall@half"] {
            assert!(error(text).contains("above 0 and at most 1"), "{}", error(text));
        }
        assert!(error("macro_f1@0.5").contains("write `macro_f1`"), "{}", error("macro_f1@0.5"));
        assert!(serde_json::from_str::<Metric>("\"precision@2\"").is_err());
    }

    #[test]
    fn each_task_has_its_metrics() {
        let names = |task| Metric::names_for(task).collect::<Vec<_>>();
        assert_eq!(names(Task::Regression), ["rmse", "mae"]);
        assert!(names(Task::Segmentation).contains(&"mean_iou"));
        assert!(!names(Task::Classification).contains(&"mean_iou"));
        assert!(!names(Task::MultiLabel).contains(&"balanced_accuracy"));
        for metric in ALL {
            assert_eq!(metric.direction() == Direction::Max, {
                !["log_loss", "calibration_error", "rmse", "mae"].contains(&metric.name())
            });
        }
    }

    quickcheck! {
        fn a_threshold_comes_back_as_it_was_written(parts: u32) -> bool {
            let threshold = (f64::from(parts) + 1.0) / (f64::from(u32::MAX) + 1.0);
            let metric = Metric::Precision(threshold);
            metric.to_string().parse() == Ok(metric)
        }
    }
}
