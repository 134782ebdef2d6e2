//! `[annotator]`: who labels, how many answers a label takes, and what one costs.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// `[annotator]`: who labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnnotatorSpec {
    /// The pool's own labels.
    Oracle,
}

/// `[annotator]`: how many answers a label takes, and what one costs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AnswersSpec {
    /// How many annotators are asked for each sample, at least 1.
    pub votes: usize,
    /// How several answers become one label.
    pub consensus: Consensus,
    /// How often an annotator that the oracle plays is wrong, in [0, 1).
    pub noise: f64,
    /// What an answer costs, in whatever currency the workflow means.
    pub price: f64,
    /// What an hour of annotation costs.
    pub price_per_hour: f64,
}

impl Default for AnswersSpec {
    /// One answer a label, which is right and costs nothing.
    fn default() -> Self {
        Self {
            votes: 1,
            consensus: Consensus::default(),
            noise: 0.0,
            price: 0.0,
            price_per_hour: 0.0,
        }
    }
}

impl AnswersSpec {
    /// What so many answers cost that took so long together.
    #[must_use]
    pub fn cost(&self, answers: u64, spent: Duration) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "money, to fifteen digits")]
        let answers = answers as f64;
        answers.mul_add(self.price, spent.as_secs_f64() / 3600.0 * self.price_per_hour)
    }

    /// Whether anything costs something.
    #[must_use]
    pub fn is_priced(&self) -> bool {
        self.price > 0.0 || self.price_per_hour > 0.0
    }
}

/// How several answers become one label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consensus {
    /// The class that most say.
    #[default]
    Majority,
    /// By how reliable each annotator proves to be (Dawid and Skene, 1979).
    DawidSkene,
}
