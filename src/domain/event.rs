//! What can happen: the six facts of the loop, and the lifecycle facts beside them.
//!
//! Stored bytes are a contract. bincode numbers variants and writes fields in order, so: variants are only ever
//! appended, and a changed field is a new version with an upcaster (see [`super::upcast`]). A golden log of each
//! version lies under `tests/golden/`.

mod answers;
mod forked;
mod measures;
mod retention;

pub use answers::{LabelsDoubted, Relabel, Relabelled, Voted};
pub use forked::{Decided, Forked};
pub use measures::{BaselineMeasured, ClassKpi, ClassesMeasured, DriftChecked};
pub use retention::{
    ArtifactKind, ArtifactsRemoved, RemovedArtifact, RewrittenRecord, SampleErased,
};

use super::canonical;
use super::digest::Digest;
use super::ids::{CycleNumber, Name, SampleId};
use super::kpi::{Basis, Interval, Verdict};
use super::label::Label;
use super::labelled_set::LabelledSet;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

/// The version in which events are written now.
pub const EVENT_VERSION: u16 = 1;

/// A fact. Once acknowledged it is never changed, but for labels that are erased: see [`SampleErased`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// A run begins.
    RunStarted(RunStarted),
    /// A turn of the loop begins.
    CycleStarted(CycleStarted),
    /// The data selector chose what to annotate.
    BatchSelected(BatchSelected),
    /// Labels arrived; may come several times in a cycle.
    Annotated(Annotated),
    /// The production model was measured.
    KpiChecked(KpiChecked),
    /// Training ended with these checkpoints.
    Trained(Trained),
    /// The model selector decided what goes to production.
    ModelSelected(ModelSelected),
    /// The turn is complete.
    CycleEnded(CycleEnded),
    /// A step failed for good; the run stands until it is resumed.
    CycleFailed(CycleFailed),
    /// Somebody ended the cycle before it was complete.
    CycleCancelled(CycleCancelled),
    /// The run is over.
    RunEnded(RunEnded),
    /// The model in production and its challenger were held against each other.
    ModelsCompared(ModelsCompared),
    /// Somebody put an earlier model back into production.
    RolledBack(RolledBack),
    /// Somebody pinned the production model, or set it free.
    Pinned(Pinned),
    /// Annotators answered; a label may rest on several answers.
    Voted(Voted),
    /// Known labels were asked again, or are seen otherwise by further answers.
    Relabelled(Relabelled),
    /// Known labels were held against models that had not seen them.
    LabelsDoubted(LabelsDoubted),
    /// A model was trained on the randomly drawn labels alone.
    BaselineMeasured(BaselineMeasured),
    /// The samples that came lately were held against those before.
    DriftChecked(DriftChecked),
    /// The KPI, class by class.
    ClassesMeasured(ClassesMeasured),
    /// The run goes on from where another one stood.
    Forked(Forked),
    /// Artifacts are no longer kept.
    ArtifactsRemoved(ArtifactsRemoved),
    /// What a sample's labels are was erased from the log.
    SampleErased(SampleErased),
}

impl Event {
    /// The event's name, as it is written in `gleaner log`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::RunStarted(_) => "RunStarted",
            Self::CycleStarted(_) => "CycleStarted",
            Self::BatchSelected(_) => "BatchSelected",
            Self::Annotated(_) => "Annotated",
            Self::KpiChecked(_) => "KpiChecked",
            Self::Trained(_) => "Trained",
            Self::ModelSelected(_) => "ModelSelected",
            Self::CycleEnded(_) => "CycleEnded",
            Self::CycleFailed(_) => "CycleFailed",
            Self::CycleCancelled(_) => "CycleCancelled",
            Self::RunEnded(_) => "RunEnded",
            Self::ModelsCompared(_) => "ModelsCompared",
            Self::RolledBack(_) => "RolledBack",
            Self::Pinned(_) => "Pinned",
            Self::Voted(_) => "Voted",
            Self::Relabelled(_) => "Relabelled",
            Self::LabelsDoubted(_) => "LabelsDoubted",
            Self::BaselineMeasured(_) => "BaselineMeasured",
            Self::DriftChecked(_) => "DriftChecked",
            Self::ClassesMeasured(_) => "ClassesMeasured",
            Self::Forked(_) => "Forked",
            Self::ArtifactsRemoved(_) => "ArtifactsRemoved",
            Self::SampleErased(_) => "SampleErased",
        }
    }

    /// The artifacts that it needs: workflows, models, scores, masks. Not those of which it says that they are gone.
    #[must_use]
    pub fn artifacts(&self) -> Vec<Digest> {
        match self {
            Self::RunStarted(started) => vec![started.workflow],
            Self::BatchSelected(batch) => batch.model.into_iter().chain(batch.scores).collect(),
            Self::Trained(trained) => {
                trained.checkpoints.iter().map(|checkpoint| checkpoint.model).collect()
            }
            Self::Annotated(annotated) => {
                annotated.labels.iter().filter_map(|said| said.label.artifact()).collect()
            }
            Self::LabelsDoubted(doubted) => vec![doubted.evidence],
            Self::Forked(forked) => forked.past.iter().map(|decided| decided.workflow).collect(),
            Self::CycleStarted(_)
            | Self::KpiChecked(_)
            | Self::ModelSelected(_)
            | Self::CycleEnded(_)
            | Self::CycleFailed(_)
            | Self::CycleCancelled(_)
            | Self::RunEnded(_)
            | Self::ModelsCompared(_)
            | Self::RolledBack(_)
            | Self::Pinned(_)
            | Self::Voted(_)
            | Self::Relabelled(_)
            | Self::BaselineMeasured(_)
            | Self::DriftChecked(_)
            | Self::ClassesMeasured(_)
            | Self::ArtifactsRemoved(_)
            | Self::SampleErased(_) => Vec::new(),
        }
    }

    /// Whether a fork has the event of the run that it goes on from: all but what tells how that run began, failed or ended,
    /// which of its records were rewritten, and what is no longer kept. The last a fork tells itself, of what it names: in the
    /// other run's log it may stand after any later cycle.
    #[must_use]
    pub const fn is_inherited(&self) -> bool {
        match self {
            Self::RunStarted(_)
            | Self::Forked(_)
            | Self::CycleFailed(_)
            | Self::CycleCancelled(_)
            | Self::RunEnded(_)
            | Self::ArtifactsRemoved(_)
            | Self::SampleErased(_) => false,
            Self::CycleStarted(_)
            | Self::BatchSelected(_)
            | Self::Annotated(_)
            | Self::KpiChecked(_)
            | Self::Trained(_)
            | Self::ModelSelected(_)
            | Self::CycleEnded(_)
            | Self::ModelsCompared(_)
            | Self::RolledBack(_)
            | Self::Pinned(_)
            | Self::Voted(_)
            | Self::Relabelled(_)
            | Self::LabelsDoubted(_)
            | Self::BaselineMeasured(_)
            | Self::DriftChecked(_)
            | Self::ClassesMeasured(_) => true,
        }
    }

    /// What the event means, without ids, times, durations and places on this machine; `None` for `CycleFailed`,
    /// `ArtifactsRemoved` and `SampleErased`, which tell what was done to a run and not what the run found out, and for
    /// `Forked`, which tells where the events after it come from. Two runs of one workflow, however often they crashed or forked, agree on this.
    #[must_use]
    pub fn semantic(&self) -> Option<Cow<'_, Self>> {
        let event = match self {
            Self::RunStarted(started) => {
                Self::RunStarted(RunStarted { folder: String::new(), ..started.clone() })
            }
            Self::CycleStarted(started) => {
                Self::CycleStarted(CycleStarted { previous_head: Digest::ZERO, ..started.clone() })
            }
            Self::Annotated(annotated) => {
                Self::Annotated(Annotated { labels: timeless(&annotated.labels) })
            }
            Self::Voted(voted) => Self::Voted(Voted { votes: timeless(&voted.votes) }),
            Self::CycleFailed(_)
            | Self::Forked(_)
            | Self::ArtifactsRemoved(_)
            | Self::SampleErased(_) => return None,
            Self::BatchSelected(_)
            | Self::KpiChecked(_)
            | Self::Trained(_)
            | Self::ModelSelected(_)
            | Self::CycleEnded(_)
            | Self::CycleCancelled(_)
            | Self::RunEnded(_)
            | Self::ModelsCompared(_)
            | Self::RolledBack(_)
            | Self::Pinned(_)
            | Self::Relabelled(_)
            | Self::LabelsDoubted(_)
            | Self::BaselineMeasured(_)
            | Self::DriftChecked(_)
            | Self::ClassesMeasured(_) => return Some(Cow::Borrowed(self)),
        };
        Some(Cow::Owned(event))
    }
}

/// Answers, without the times at which they came.
fn timeless(answers: &[Annotation]) -> Vec<Annotation> {
    let mut answers = answers.to_vec();
    for answer in &mut answers {
        answer.at = Timestamp::default();
        answer.spent = Duration::ZERO;
    }
    answers
}

/// A run begins. First event of the first cycle's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunStarted {
    /// The workflow's name.
    pub name: String,
    /// The workflow digest; the artifact of that name holds the workflow's canonical JSON.
    pub workflow: Digest,
    /// The folder against which the workflow's paths are resolved.
    pub folder: String,
    /// The class list, in index order.
    pub classes: Vec<String>,
    /// Whether the KPI gate stands before each training.
    pub gate: bool,
    /// The run's seed.
    pub seed: u64,
}

/// A turn of the loop begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CycleStarted {
    /// The workflow digest.
    pub workflow: Digest,
    /// The digest of the pool's manifest.
    pub pool: Digest,
    /// The digest of the labels known when the cycle starts, see [`labelled_set_digest`].
    pub labelled_set: Digest,
    /// How many labels are known when the cycle starts.
    pub labelled: u64,
    /// The model that will score candidates; `None` before there is one.
    pub selector_model: Option<Digest>,
    /// The run's seed; all of the cycle's chance derives from it and the cycle's number.
    pub seed: u64,
    /// The hash of the last record of the cycle before; zero in the first cycle.
    pub previous_head: Digest,
}

/// The data selector chose what to annotate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchSelected {
    /// The strategy's name.
    pub strategy: String,
    /// The version of its definition; raised whenever the same inputs would give other picks.
    pub strategy_version: u32,
    /// Its parameters, as text.
    #[serde(deserialize_with = "canonical::map")]
    pub parameters: BTreeMap<String, String>,
    /// The model that scored the candidates.
    pub model: Option<Digest>,
    /// The execution provider that really ran it, for example `CPUExecutionProvider (onnxruntime 1.24.4)`.
    pub provider: Option<String>,
    /// What was chosen, strategy arm first, by rank.
    pub picks: Vec<Pick>,
    /// The lowest score that was still picked by the strategy arm.
    pub cutoff: Option<f64>,
    /// How many unlabelled samples there were to choose from.
    pub candidates: u64,
    /// The artifact with the score of every candidate.
    pub scores: Option<Digest>,
}

/// One chosen sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pick {
    /// Which sample.
    pub sample: SampleId,
    /// On whose behalf.
    pub arm: Arm,
    /// The strategy's score; higher is more worth labelling. `None` for arms that do not score.
    pub score: Option<f64>,
    /// Place within the arm, from 1.
    pub rank: u32,
    /// The probability with which the arm chose this sample, where the arm is random.
    pub probability: Option<f64>,
}

/// On whose behalf a sample was picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Arm {
    /// The strategy wants it labelled.
    Strategy,
    /// A uniformly random sample that measures the production model.
    Audit,
    /// Drawn before there was a model.
    ColdStart,
    /// Labelled already, and asked again because the label is probably wrong.
    Relabel,
}

/// Labels arrived.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Annotated {
    /// The labels, each for a pick of this cycle that had none.
    pub labels: Vec<Annotation>,
}

/// One label, by whom and at what cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Annotation {
    /// Which sample.
    pub sample: SampleId,
    /// What it is.
    pub label: Label,
    /// Who said so.
    pub annotator: Name,
    /// When.
    pub at: Timestamp,
    /// The time it took.
    #[serde(deserialize_with = "canonical::span")]
    pub spent: Duration,
}

/// The production model was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KpiChecked {
    /// Where in the cycle.
    pub stage: KpiStage,
    /// What was measured, for example `accuracy`.
    pub metric: Name,
    /// On which samples: `audit`, `batch`, `test` or `validation`.
    pub estimator: Name,
    /// The model that was measured.
    pub model: Digest,
    /// On how many samples.
    pub n: u64,
    /// The measurement.
    pub value: f64,
    /// Its confidence interval.
    pub interval: Interval,
    /// What had to be reached.
    pub target: f64,
    /// What the verdict looked at.
    pub basis: Basis,
    /// Whether it was.
    pub verdict: Verdict,
}

/// Where in a cycle a KPI is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KpiStage {
    /// Before training: is training needed at all?
    Gate,
    /// After the model was selected: what do we have now?
    Acceptance,
}

/// Training ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trained {
    /// The digest of the labels trained on.
    pub train_set: Digest,
    /// How many they are.
    pub train_samples: u64,
    /// The digest of the validation labels.
    pub validation_set: Digest,
    /// How many they are.
    pub validation_samples: u64,
    /// What was saved, in the order of training; never empty.
    pub checkpoints: Vec<Checkpoint>,
}

/// A model saved by training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The ONNX artifact.
    pub model: Digest,
    /// The optimizer steps taken when it was saved.
    pub step: u64,
    /// Metrics by name, for example `validation.accuracy`. `export.max_difference` is the largest difference between a
    /// logit of the trained weights and the same logit of the exported file.
    #[serde(deserialize_with = "canonical::map")]
    pub metrics: BTreeMap<Name, f64>,
}

/// The model selector decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelSelected {
    /// The metric that decided.
    pub criterion: Name,
    /// Each candidate's value, the incumbent's (measured now, on the same samples) among them.
    pub candidates: Vec<Candidate>,
    /// The production model so far.
    pub incumbent: Option<Digest>,
    /// The best candidate.
    pub winner: Digest,
    /// Whether the winner replaces the incumbent.
    pub promoted: bool,
    /// Why, for people.
    pub reason: String,
}

/// One model that could go to production.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The model.
    pub model: Digest,
    /// Its value of the criterion.
    pub value: f64,
}

/// The turn is complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CycleEnded {
    /// How many labels are known now.
    pub labelled: u64,
    /// The production model now.
    pub production: Option<Digest>,
}

/// A step failed for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CycleFailed {
    /// Which step: the job's kind.
    pub step: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Why the last try failed.
    pub cause: String,
}

/// Somebody ended the cycle, or the run before its next cycle began; the run ends with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CycleCancelled {
    /// Why, for people.
    pub reason: String,
}

/// The run is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEnded {
    /// Why.
    pub reason: EndReason,
    /// How many cycles it had.
    pub cycles: CycleNumber,
    /// How many labels it bought.
    pub labelled: u64,
    /// The production model at the end.
    pub production: Option<Digest>,
}

/// The model in production and the best challenger, on the same samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelsCompared {
    /// The production model.
    pub champion: Digest,
    /// The best of the new checkpoints.
    pub challenger: Digest,
    /// On how many samples.
    pub n: u64,
    /// The test, for example `mcnemar_exact`.
    pub test: Name,
    /// Samples that the challenger gets right and the champion wrong, or better at all.
    pub wins: u64,
    /// The other way round.
    pub losses: u64,
    /// How much better the challenger is, in the mean over samples: a share of right answers, or a fall of the error.
    pub difference: f64,
    /// The confidence interval of the difference.
    pub interval: Interval,
    /// The probability of so large a difference, either way, between models that are equally good.
    pub p: f64,
    /// Cohen's kappa between what both predict for samples that nobody has labelled; near 1, trainings change little any
    /// more. `None` where predictions are no classes.
    pub agreement: Option<f64>,
}

/// Somebody put an earlier model back into production.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledBack {
    /// The model in production from now on: one that was before.
    pub model: Digest,
    /// The model that was.
    pub previous: Digest,
    /// Why, for people.
    pub reason: String,
}

/// Somebody pinned the production model: no training replaces it until it is set free.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinned {
    /// Pinned, or set free.
    pub pinned: bool,
    /// Why, for people.
    pub reason: String,
}

/// Why a run is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The target is reached.
    KpiMet,
    /// `stop.max_cycles` cycles are complete.
    MaxCycles,
    /// `stop.max_labels` labels are known.
    MaxLabels,
    /// Nothing is left to label.
    PoolExhausted,
    /// Somebody cancelled it.
    Cancelled,
    /// Annotators have spent `stop.max_hours`.
    MaxHours,
    /// `stop.deadline` has passed.
    Deadline,
    /// `stop.plateau` cycles brought nothing.
    Plateau,
    /// Predictions hardly change any more.
    Stable,
    /// Answers have cost `stop.max_cost`.
    MaxCost,
}

impl EndReason {
    /// Why, in words.
    #[must_use]
    pub const fn why(self) -> &'static str {
        match self {
            Self::KpiMet => "the target is reached",
            Self::MaxCycles => "stop.max_cycles is reached",
            Self::MaxLabels => "stop.max_labels is reached",
            Self::PoolExhausted => "every sample of the pool is labelled",
            Self::Cancelled => "cancelled",
            Self::MaxHours => "stop.max_hours of annotation are spent",
            Self::Deadline => "stop.deadline has passed",
            Self::Plateau => "stop.plateau cycles brought nothing better",
            Self::Stable => "predictions hardly change any more (stop.stable)",
            Self::MaxCost => "answers have cost stop.max_cost",
        }
    }
}

/// The digest of a set of labels: SHA-256 over `length of id || id || label` in the order of ids, integers big-endian.
#[must_use]
pub fn labelled_set_digest<'a>(labels: impl IntoIterator<Item = (&'a SampleId, Label)>) -> Digest {
    let mut set = LabelledSet::default();
    set.extend(labels);
    set.digest()
}
