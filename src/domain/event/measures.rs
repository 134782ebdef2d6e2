//! What is measured beside the KPI.

use crate::domain::digest::Digest;
use crate::domain::ids::Name;
use crate::domain::kpi::Interval;
use serde::{Deserialize, Serialize};

/// Two models of one training each, measured on the same samples: of the randomly drawn labels alone, and of all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaselineMeasured {
    /// How many labels were drawn at random.
    pub random_labels: u64,
    /// How many there are in all.
    pub all_labels: u64,
    /// What was measured, for example `accuracy`.
    pub metric: Name,
    /// On how many samples of the validation split.
    pub n: u64,
    /// The value of the best model that learnt from the random ones alone.
    pub random: f64,
    /// The value of the best model that the training on all of them gave.
    pub all: f64,
}

/// The samples that came since the last training, held against those before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriftChecked {
    /// The model whose answers were compared.
    pub model: Digest,
    /// How many of the samples before were looked at.
    pub before: u64,
    /// How many of those that came since.
    pub arrived: u64,
    /// The largest distance between both distributions of an answer (Kolmogorov and Smirnov), in [0, 1].
    pub statistic: f64,
    /// The probability of such a distance where nothing has changed.
    pub p: f64,
    /// The level below which that is a drift: `kpi.drift`.
    pub level: f64,
}

impl DriftChecked {
    /// Whether the new samples are of another kind.
    #[must_use]
    pub fn is_drift(&self) -> bool {
        self.p < self.level
    }
}

/// The KPI, class by class; the [`KpiChecked`](super::KpiChecked) that it belongs to is the next one in the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassesMeasured {
    /// What was measured.
    pub metric: Name,
    /// The model.
    pub model: Digest,
    /// The classes on which it can be measured, in order.
    pub classes: Vec<ClassKpi>,
}

/// A KPI of one class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ClassKpi {
    /// The class, an index into the run's class list.
    pub class: u32,
    /// On how many samples.
    pub n: u64,
    /// The value.
    pub value: f64,
    /// Its interval.
    pub interval: Interval,
}
