//! `[selector]`: how batches are picked.

use super::is_default;
use crate::domain::strategy::StrategySpec;
use serde::{Deserialize, Serialize};

/// `[selector]`: how batches are picked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SelectorSpec {
    /// The strategy of the batch's strategy arm.
    pub strategy: StrategySpec,
    /// How many samples a batch has, both arms together.
    pub batch: usize,
    /// Labels of the first cycle, before there is a model.
    pub cold_start: ColdStart,
    /// The share of each batch that is uniformly random and measures the KPI; 0 in development mode.
    pub audit_fraction: f64,
    /// Which model scores the candidates.
    pub model: SelectorModel,
    /// Where inference runs.
    pub provider: ProviderChoice,
    /// The runtime library to use, and no other; `None`: the first that works.
    pub runtime: Option<String>,
    /// Samples per inference call; 0: found by a short warm-up.
    pub inference_batch: usize,
    /// What is kept of what a selection consumed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub keep: Keep,
    /// Who the members of a committee are.
    #[serde(default, skip_serializing_if = "is_default")]
    pub committee: Committee,
    /// Passes of the model with dropout, whose answers are members of the committee; 0: none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub passes: usize,
    /// What strategies are given as `embedding`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub embedding: EmbeddingSource,
    /// The number of the device among the visible ones, where inference runs on one.
    #[serde(default, skip_serializing_if = "is_default")]
    pub device: u32,
    /// A SQLite file that queries may read as the schema `user`, relative to the workflow file's folder.
    #[serde(default, skip_serializing_if = "is_default")]
    pub database: Option<String>,
    /// How long a query may run; 30 seconds where nothing is said.
    #[serde(default, skip_serializing_if = "is_default")]
    pub query_seconds: Option<u64>,
    /// The share of each batch that asks again for labels which are probably wrong, in [0, 1).
    #[serde(default, skip_serializing_if = "is_default")]
    pub relabel_fraction: f64,
}

/// What is kept of what a selection consumed, so that the batch can be picked again without the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// All that the strategy looked at, bit for bit.
    #[default]
    F32,
    /// The same in half the space: the strategy is given numbers that were rounded to 16 bits before.
    F16,
    /// The score of each candidate; for strategies that do not score each one by one, as `F32`.
    Scores,
    /// Nothing: the batch can be picked again only by running the model again.
    Nothing,
}

/// Who the members of a committee are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Committee {
    /// There is none.
    #[default]
    Nobody,
    /// The checkpoints of the last training (a snapshot ensemble: Huang et al., arXiv 1704.00109).
    Checkpoints,
    /// These ONNX files, relative to the workflow file's folder.
    Files(Vec<String>),
}

/// What strategies are given as `embedding`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmbeddingSource {
    /// The model's output `embedding`; before there is a model, the pool's features.
    #[default]
    Model,
    /// The pool's features.
    Features,
    /// The output `embedding`, or else the only one, of a frozen ONNX file, relative to the workflow file's folder. It runs
    /// once for each sample, however many cycles there are.
    File(String),
}

/// How the first batch is picked, before there is a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColdStart {
    /// So many of each class, drawn at random; needs a pool whose labels are known (development mode).
    PerClass(usize),
    /// So many samples, drawn uniformly.
    Random(usize),
    /// So many samples, by a strategy that needs no model.
    Strategy(StrategySpec, usize),
}

/// Which model scores the candidates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SelectorModel {
    /// The checkpoint promoted last.
    Production,
    /// An ONNX file, relative to the workflow file's folder, from the first cycle on.
    File(String),
    /// No model: the pool has predictions of its own (`pool.predictions`).
    Pool,
}

/// Where inference runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderChoice {
    /// The fastest that works; says which and why.
    Auto,
    /// CUDA or an error.
    Cuda,
    /// TensorRT or an error.
    Tensorrt,
    /// The processor.
    Cpu,
}
