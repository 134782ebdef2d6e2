//! What somebody wants to happen. Most commands are a reactor's answer to a job.

use super::digest::Digest;
use super::event::{
    Annotation, BatchSelected, CycleCancelled, CycleFailed, ModelSelected, RunStarted, Trained,
};
use super::kpi::Interval;

/// A wish; [`super::decide::decide`] grants or refuses it.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Begin a run.
    StartRun(RunStarted),
    /// Begin the next cycle.
    StartCycle {
        /// The pool version that was found.
        pool: Digest,
        /// The selector model: the production model, or the workflow's own file.
        selector_model: Option<Digest>,
        /// The hash of the last record of the cycle before; zero for the first cycle.
        previous_head: Digest,
    },
    /// The data selector chose.
    RecordBatch(BatchSelected),
    /// Labels arrived.
    RecordLabels(Vec<Annotation>),
    /// The production model was measured on new labels.
    CheckGate(Measurement),
    /// Training ended.
    RecordTraining(Trained),
    /// The model selector decided, and what is in production now was measured.
    SelectModel {
        /// The decision.
        selected: ModelSelected,
        /// The measurement.
        acceptance: Measurement,
    },
    /// A step failed for good.
    Fail(CycleFailed),
    /// End the run now.
    Cancel(CycleCancelled),
}

/// A KPI, measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// What was measured.
    pub metric: String,
    /// On which samples.
    pub estimator: String,
    /// The model.
    pub model: Digest,
    /// How many samples.
    pub n: u64,
    /// The value.
    pub value: f64,
    /// Its interval.
    pub interval: Interval,
}
