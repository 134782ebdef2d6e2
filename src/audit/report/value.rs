//! What a report says, as plain values: what `gleaner report --json` prints, and what goes over the control socket.

use crate::audit::verify::Verification;
use crate::domain::definition::Mode;
use crate::domain::digest::Digest;
use crate::domain::event::{
    Arm, ClassKpi, CycleFailed, EndReason, ModelSelected, ModelsCompared, Pick, Trained,
};
use crate::domain::ids::{CycleNumber, Name, RunId};
use crate::domain::label::Label;
use crate::domain::metric::Metric;
use crate::domain::state::CycleSummary;
use crate::domain::task::Task;
use crate::domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A run, from its first event to its newest.
///
/// Apart from ids, times, durations, hashes of records and `failures`, it is the same however often the run was killed on its
/// way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Which run.
    pub run: RunId,
    /// The workflow's name.
    pub name: String,
    /// What is learnt.
    pub task: Task,
    /// How much the run was allowed to know.
    pub mode: Mode,
    /// What had to be reached.
    pub metric: Metric,
    /// The value to reach.
    pub target: f64,
    /// The confidence of the intervals of the KPI, in (0, 1).
    pub confidence: f64,
    /// The workflow digest.
    pub workflow: Digest,
    /// The run's seed.
    pub seed: u64,
    /// The class list, in index order.
    pub classes: Vec<String>,
    /// Where it stands.
    pub stands: Stands,
    /// Why somebody ended it, if somebody did.
    pub cancelled: Option<String>,
    /// When its first event was recorded.
    pub begun: Option<Timestamp>,
    /// When its newest was.
    pub newest: Option<Timestamp>,
    /// How many events there are.
    pub events: u64,
    /// How many labels are known.
    pub labelled: u64,
    /// The production model.
    pub production: Option<Digest>,
    /// Whether it is there to stay.
    pub pinned: bool,
    /// One for each cycle, in order.
    pub cycles: Vec<CycleReport>,
    /// What people changed about production, in order.
    pub changes: Vec<Change>,
    /// How many labels random selection would have taken, where that was measured.
    pub random: Option<RandomEstimate>,
    /// How often each class was labelled; empty in tasks without classes of a whole sample.
    pub balance: Vec<Balance>,
    /// How the labels are spread, in regression.
    pub spread: Vec<Spread>,
    /// What the labels took.
    pub cost: Cost,
    /// The batches whose picks are shown, the newest first.
    pub batches: Vec<Batch>,
    /// How many picks there were in all.
    pub picks: u64,
    /// Why the samples of the picks cannot be shown, if they cannot.
    pub unseen: Option<String>,
    /// Steps that failed for good: what the environment did to the run.
    pub failures: Vec<Failure>,
    /// What the log means, without ids, times and durations.
    pub semantic_digest: Digest,
    /// Whether the record is whole.
    pub verification: Verification,
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stands {
    /// It goes on; what it waits for, in words.
    Active(String),
    /// It is held back until `gleaner resume`.
    Paused,
    /// A step failed for good.
    Failed(CycleFailed),
    /// It is over.
    Ended(EndReason),
}

/// One cycle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CycleReport {
    /// In one line, with gate, acceptance, baseline, drift and doubts.
    pub summary: CycleSummary,
    /// What it chose.
    pub batch: Option<BatchLine>,
    /// What training saved.
    pub trained: Option<Trained>,
    /// The production model and the best challenger.
    pub compared: Option<ModelsCompared>,
    /// Which model was chosen.
    pub selected: Option<ModelSelected>,
}

/// A batch, without its picks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchLine {
    /// The strategy.
    pub strategy: String,
    /// The version of its definition.
    pub strategy_version: u32,
    /// The model that scored.
    pub model: Option<Digest>,
    /// What ran it.
    pub provider: Option<String>,
    /// How many samples there were to choose from.
    pub candidates: u64,
    /// The lowest score that was still picked.
    pub cutoff: Option<f64>,
    /// How many picks each arm has.
    pub arms: BTreeMap<Arm, u64>,
}

/// What somebody changed about production.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// In the log of which cycle it stands.
    pub cycle: CycleNumber,
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: Changed,
    /// Why, for people.
    pub reason: String,
}

/// See [`Change`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Changed {
    /// An earlier model was put back.
    RolledBack {
        /// Which.
        model: Digest,
        /// In place of which.
        previous: Digest,
    },
    /// The production model was pinned.
    Pinned,
    /// It was set free.
    Unpinned,
}

/// How many labels random selection would have taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RandomEstimate {
    /// The value that was reached, on the validation split.
    pub quality: f64,
    /// With how many labels.
    pub bought: u64,
    /// How many it would have taken.
    pub labels: Option<f64>,
    /// The lower end of its 90 % interval.
    pub low: Option<f64>,
    /// The upper end; `None` where it is open.
    pub high: Option<f64>,
    /// Why nothing can be said, where that is so.
    pub why_not: Option<String>,
}

/// How often a class was labelled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Balance {
    /// The class, an index into the class list.
    pub class: u32,
    /// By picks of the strategy and first batches.
    pub chosen: u64,
    /// By the audit arm: what the pool looks like.
    pub audit: u64,
    /// The newest measurement of the class.
    pub kpi: Option<ClassKpi>,
}

/// How the labels of an arm are spread.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Which arm bought them.
    pub arm: Arm,
    /// How many.
    pub labels: u64,
    /// The least.
    pub least: f64,
    /// The middle one.
    pub median: f64,
    /// The most.
    pub most: f64,
}

/// What the labels took.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Cost {
    /// How many answers annotators gave.
    pub answers: u64,
    /// By whom.
    pub annotators: BTreeMap<Name, u64>,
    /// The time they spent, in seconds.
    pub spent_seconds: f64,
    /// The money, where the workflow gives a price.
    pub money: Option<f64>,
}

/// The picks of a cycle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// The cycle.
    pub cycle: CycleNumber,
    /// The picks, the first ranks of each arm; as many as the report shows.
    pub picks: Vec<PickReport>,
    /// How many there were.
    pub count: u64,
}

/// One pick, and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PickReport {
    /// What was picked, for which arm, with which score, rank and probability.
    pub pick: Pick,
    /// How far above the last pick of the strategy its score lies.
    pub above_cutoff: Option<f64>,
    /// Its label now.
    pub label: Option<Label>,
    /// The label before, where it changed.
    pub before: Option<Label>,
    /// By whom.
    pub annotator: Option<Name>,
    /// The answers that it rests on, where there are several.
    pub answers: Vec<(Name, Label)>,
    /// What the sample looks like; `None` where it cannot be shown.
    pub look: Option<Look>,
}

/// What a sample looks like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Look {
    /// A small picture.
    Picture {
        /// A PNG file in base64.
        png: String,
        /// Its height in pixels.
        height: usize,
        /// Its width.
        width: usize,
    },
    /// The beginning of a text.
    Text(String),
    /// A row of numbers.
    Numbers {
        /// The first of them.
        first: Vec<f32>,
        /// How many there are.
        count: usize,
    },
}

/// A step that failed for good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// In which cycle.
    pub cycle: CycleNumber,
    /// When.
    pub at: Timestamp,
    /// What and why.
    pub failed: CycleFailed,
}
