//! What is learnt of a sample, and how its label and a model's answer look as numbers.
//!
//! | task | label, as numbers | answer |
//! |---|---|---|
//! | classification | the index of its class | a logit for each class |
//! | multi-label | for each class 1 or 0 | a logit for each class, each for itself |
//! | regression | the value | the value |
//! | segmentation | for each pixel, row by row, the index of its class | for each class a logit for each pixel |

use serde::{Deserialize, Serialize};
use std::fmt;

/// What is learnt. Stored: variants are only ever appended.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// One of several classes for each sample.
    #[default]
    Classification,
    /// Any number of classes for each sample.
    MultiLabel,
    /// A number for each sample.
    Regression,
    /// A class for each pixel of each sample.
    Segmentation,
}

impl Task {
    /// Every task.
    pub const ALL: [Self; 4] =
        [Self::Classification, Self::MultiLabel, Self::Regression, Self::Segmentation];

    /// Its name, as workflows say it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Classification => "classification",
            Self::MultiLabel => "multi_label",
            Self::Regression => "regression",
            Self::Segmentation => "segmentation",
        }
    }

    /// The shape of a model's answer for one sample of shape `sample`, whose last two axes are height and width where
    /// there are pixels.
    #[must_use]
    pub fn answer_shape(self, classes: usize, sample: &[usize]) -> Vec<usize> {
        match self {
            Self::Classification | Self::MultiLabel => vec![classes],
            Self::Regression => vec![1],
            Self::Segmentation => std::iter::once(classes).chain(pixels(sample)).collect(),
        }
    }

    /// How many numbers the label of one sample of shape `sample` is.
    #[must_use]
    pub fn label_width(self, classes: usize, sample: &[usize]) -> usize {
        match self {
            Self::Classification | Self::Regression => 1,
            Self::MultiLabel => classes,
            Self::Segmentation => pixels(sample).fold(1, usize::saturating_mul),
        }
    }

    /// The fewest classes that the task makes sense with.
    #[must_use]
    pub const fn least_classes(self) -> usize {
        match self {
            Self::Classification | Self::Segmentation => 2,
            Self::MultiLabel => 1,
            Self::Regression => 0,
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Height and width: the last two axes.
fn pixels(sample: &[usize]) -> impl Iterator<Item = usize> + '_ {
    sample.iter().copied().skip(sample.len().saturating_sub(2))
}
