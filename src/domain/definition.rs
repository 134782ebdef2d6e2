//! What a workflow asks for, after every check: plain data, the same for the TOML file, the builder and the audit.
//!
//! The crate's `workflow` module reads the file; this is what it hands on. The digest of the canonical JSON of a
//! [`Definition`] is the *workflow digest* that each record carries.

mod annotator;
mod pool;
mod selector;
mod trainer;

pub use annotator::{AnnotatorSpec, AnswersSpec, Consensus};
pub use pool::{Broken, Duplicates, ImageChannels, ImageLayout, PoolSource, PoolSpec};
pub use selector::{
    ColdStart, Committee, EmbeddingSource, Keep, ProviderChoice, SelectorModel, SelectorSpec,
};
pub use trainer::{
    Augment, ClassWeights, GraphSpec, LossSpec, Normalise, OptimizerSpec, ScheduleSpec,
    TrainCommand, TrainerSpec,
};

use super::digest::Digest;
use super::metric::Metric;
use super::task::Task;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A checked workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// `[run]`
    pub run: RunSpec,
    /// `[pool]`
    pub pool: PoolSpec,
    /// `[selector]`
    pub selector: SelectorSpec,
    /// `[annotator]`: who labels.
    pub annotator: AnnotatorSpec,
    /// `[trainer]`
    pub trainer: TrainerSpec,
    /// `[model_selector]`
    pub model_selector: ModelSelectorSpec,
    /// `[kpi]`
    pub kpi: KpiSpec,
    /// `[stop]`
    pub stop: StopSpec,
    /// `[retry]`
    pub retry: RetrySpec,
    // What follows came later: a workflow that says nothing of it keeps its canonical bytes, and so its digest.
    /// `[annotator]`: how many answers a label takes, and what one costs.
    #[serde(default, skip_serializing_if = "is_default")]
    pub answers: AnswersSpec,
}

impl Definition {
    /// Whether what annotators say is kept answer by answer: one label may rest on several, and may change.
    #[must_use]
    pub fn votes(&self) -> bool {
        let AnswersSpec { votes, noise, .. } = self.answers;
        votes > 1
            || noise > 0.0
            || !self.pool.answers.is_empty()
            || self.selector.relabel_fraction > 0.0
    }

    /// The canonical bytes: compact JSON, fields in the order of this file.
    #[must_use]
    pub fn canonical_bytes(&self) -> Vec<u8> {
        // Plain structs, strings and finite numbers: serialising them has no way to fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The workflow digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.canonical_bytes())
    }
}

/// `[run]`: what this is and how it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSpec {
    /// For people.
    pub name: String,
    /// What is learnt.
    pub task: Task,
    /// Who plays the annotator, and whether a gate guards training.
    pub mode: Mode,
    /// Where all chance comes from.
    pub seed: u64,
}

/// How much the run is allowed to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// A fully labelled data set plays the annotator; no audit arm; a test split measures.
    Development,
    /// Labels cost; each batch carries an audit arm.
    Production,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// `[model_selector]`: which checkpoint goes to production.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelSelectorSpec {
    /// The metric that decides, measured on the validation split, for example `validation.accuracy`.
    pub criterion: String,
    /// Whether more is better.
    pub direction: Direction,
    /// A challenger must beat the incumbent by more than this.
    pub min_gain: f64,
    /// Of checkpoints that are equal by the criterion, the better one by this goes to production.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tie_break: Option<String>,
    /// A challenger must beat the incumbent by more than luck.
    #[serde(default, skip_serializing_if = "is_default")]
    pub significant: bool,
    /// How sure that must be, and how wide the intervals of comparisons are, in (0, 1).
    #[serde(default = "usual_confidence", skip_serializing_if = "is_usual_confidence")]
    pub confidence: f64,
    /// A larger file does not go to production, in bytes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_bytes: Option<u64>,
    /// A model that takes longer for one sample, on this machine and by itself, does not go to production, in milliseconds.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_latency_ms: Option<f64>,
    /// A model whose recall of some class is lower does not go to production, in [0, 1].
    #[serde(default, skip_serializing_if = "is_default")]
    pub class_floor: Option<f64>,
}

impl Default for ModelSelectorSpec {
    /// The best accuracy, without limits: for `..ModelSelectorSpec::default()`.
    fn default() -> Self {
        Self {
            criterion: "validation.accuracy".to_owned(),
            direction: Direction::Max,
            min_gain: 0.0,
            tie_break: None,
            significant: false,
            confidence: usual_confidence(),
            max_bytes: None,
            max_latency_ms: None,
            class_floor: None,
        }
    }
}

const fn usual_confidence() -> f64 {
    0.95
}

fn is_usual_confidence(confidence: &f64) -> bool {
    confidence.total_cmp(&usual_confidence()).is_eq()
}

/// Whether more is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Higher is better.
    Max,
    /// Lower is better.
    Min,
}

impl Direction {
    /// How much better `a` is than `b`; below 0 where it is worse.
    #[must_use]
    pub fn gain(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Max => a - b,
            Self::Min => b - a,
        }
    }
}

/// `[kpi]`: what the production model must reach.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KpiSpec {
    /// What is measured.
    pub metric: Metric,
    /// What it must reach: at least, or at most where less is better; in the unit of the metric.
    pub target: f64,
    /// Whether new labels are checked before a training; off, every cycle trains.
    pub gate: bool,
    /// Which labels the gate reads.
    pub estimator: GateEstimator,
    /// The confidence of the interval, in (0, 1).
    pub confidence: f64,
    /// What follows a gate that cannot tell.
    #[serde(default, skip_serializing_if = "is_default")]
    pub inconclusive: Inconclusive,
    /// A gate that is met leads to a training all the same where the samples that came since the last training differ from
    /// those before at this level of significance, in (0, 1); `None`: nobody looks.
    #[serde(default, skip_serializing_if = "is_default")]
    pub drift: Option<f64>,
    /// Whether each training is accompanied by one on the randomly drawn labels alone, which tells how many labels random
    /// selection would have taken.
    #[serde(default, skip_serializing_if = "is_default")]
    pub savings: bool,
}

/// What follows a gate that cannot tell whether the target is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inconclusive {
    /// A training.
    #[default]
    Train,
    /// More labels first: the cycle ends, the model stays, and its audit labels go on accumulating.
    Label,
}

/// Which labels the gate reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateEstimator {
    /// The audit labels since the production model was trained: unbiased.
    Audit,
    /// The picks of a strategy that draws by chance, since the production model was trained, each weighted by the probability
    /// with which it was drawn, so that the estimate is unbiased (R_LURE: Farquhar et al., arXiv 2101.11665). Needs `power`,
    /// `softmax` or `softrank`.
    Lure,
    /// The whole of the newest batch. Biased: an actively chosen batch is harder than the pool (about -0.47 measured
    /// on digits with margin sampling), so this gate nearly always says `missed`.
    Batch,
}

/// `[stop]`: when the run ends. A pool without candidates always ends it, and so does `max_labels`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct StopSpec {
    /// When the KPI is met: by the gate, or in development mode by the test split.
    pub kpi: bool,
    /// After so many cycles.
    pub max_cycles: Option<u32>,
    /// Before the labels would exceed this number; the last batch is made smaller to fit.
    pub max_labels: Option<usize>,
    /// Whether one of the rules is enough, or all that are named must hold.
    #[serde(default, skip_serializing_if = "is_default")]
    pub when: StopWhen,
    /// When annotators have spent so many hours.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_hours: Option<f64>,
    /// At the end of the first cycle after this instant.
    #[serde(default, skip_serializing_if = "is_default")]
    pub deadline: Option<Timestamp>,
    /// When so many cycles have brought no better measurement.
    #[serde(default, skip_serializing_if = "is_default")]
    pub plateau: Option<u32>,
    /// A measurement is better if it gains more than this.
    #[serde(default, skip_serializing_if = "is_default")]
    pub plateau_gain: f64,
    /// When the predictions of one model and the next agree so well, as Cohen's kappa in the mean of three cycles.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stable: Option<f64>,
    /// When answers have cost so much.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_cost: Option<f64>,
}

/// How rules of `[stop]` combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopWhen {
    /// One is enough.
    #[default]
    Any,
    /// All that are named must hold.
    All,
}

/// `[retry]`: what happens when a step fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetrySpec {
    /// How often a step is tried before the cycle fails.
    pub attempts: u32,
    /// The wait before the second try; doubles each time.
    pub backoff: Duration,
    /// The longest wait.
    pub backoff_max: Duration,
    /// How long a step may go without a sign of life from its process.
    pub lease: Duration,
}
