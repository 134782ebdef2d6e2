//! What somebody wants to happen. Most commands are a reactor's answer to a job.

use super::digest::Digest;
use super::event::{
    Annotation, ArtifactsRemoved, BaselineMeasured, BatchSelected, ClassKpi, CycleCancelled,
    CycleFailed, DriftChecked, Event, Forked, LabelsDoubted, ModelSelected, ModelsCompared, Pinned,
    Relabel, RunStarted, SampleErased, Trained,
};
use super::ids::Name;
use super::kpi::Interval;
use super::time::Timestamp;

/// A wish; [`super::decide::decide`] grants or refuses it.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "commands are few and short-lived")]
pub enum Command {
    /// Begin a run.
    StartRun(RunStarted),
    /// Begin a run where another one stood.
    Fork {
        /// How the run begins.
        started: RunStarted,
        /// Where it goes on from.
        forked: Forked,
        /// What happened up to there: the other run's events that are inherited, in order.
        past: Vec<Event>,
        /// What of the artifacts that these name is no longer kept, as the other run's log tells.
        removed: Vec<ArtifactsRemoved>,
        /// The instant; a deadline may have passed.
        at: Timestamp,
    },
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
    RecordBatch {
        /// How known labels look to models that had not seen them, where some may be asked again.
        doubted: Option<LabelsDoubted>,
        /// The choice.
        batch: BatchSelected,
    },
    /// Labels arrived, an answer each.
    RecordLabels(Vec<Annotation>),
    /// Answers arrived, several a label.
    RecordVotes {
        /// The answers.
        votes: Vec<Annotation>,
        /// What they come to for samples without a label.
        agreed: Vec<Annotation>,
        /// What they come to for samples with one.
        relabelled: Vec<Relabel>,
    },
    /// The production model was measured on new labels.
    CheckGate {
        /// The measurement.
        measured: Measurement,
        /// How lately arrived samples look to the model, where somebody asks.
        drift: Option<DriftChecked>,
    },
    /// Training ended.
    RecordTraining(Trained),
    /// The model selector decided, and what is in production now was measured.
    SelectModel {
        /// How the production model and the best challenger compare, where there are both.
        compared: Option<ModelsCompared>,
        /// The decision.
        selected: ModelSelected,
        /// The measurement.
        acceptance: Measurement,
        /// What randomly drawn labels alone would have given.
        baseline: Option<BaselineMeasured>,
    },
    /// A step failed for good.
    Fail(CycleFailed),
    /// End the run now.
    Cancel(CycleCancelled),
    /// Put an earlier model back into production; also when the run is over.
    RollBack {
        /// One that was in production before.
        model: Digest,
        /// Why, for people.
        reason: String,
    },
    /// Pin the production model, or set it free; also when the run is over.
    Pin(Pinned),
    /// No longer keep these artifacts of a run that is over.
    RemoveArtifacts(ArtifactsRemoved),
    /// Forget what a sample is, in a run that is over.
    EraseSample {
        /// What tells of the sample beside the log, where there is anything.
        removed: Option<ArtifactsRemoved>,
        /// What the log forgets.
        erased: SampleErased,
    },
}

/// A KPI, measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// What was measured.
    pub metric: Name,
    /// On which samples.
    pub estimator: Name,
    /// The model.
    pub model: Digest,
    /// How many samples.
    pub n: u64,
    /// When; what it decides may depend on the time.
    pub at: Timestamp,
    /// The value.
    pub value: f64,
    /// Its interval.
    pub interval: Interval,
    /// The value class by class, where there are classes.
    pub by_class: Vec<ClassKpi>,
}
