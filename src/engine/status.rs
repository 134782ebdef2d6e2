//! What a run looks like from outside.

use crate::domain::digest::Digest;
use crate::domain::event::{CycleFailed, EndReason, KpiChecked};
use crate::domain::ids::{CycleNumber, RunId};
use crate::domain::job::{Job, JobKind, JobStatus};
use crate::domain::state::CycleSummary;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A run from outside, as `gleaner status --json` prints it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunStatus {
    /// Which run.
    pub run: RunId,
    /// The workflow's name.
    pub name: String,
    /// Whether it goes on, waits or is over.
    pub state: RunState,
    /// What it waits for, in words.
    pub phase: String,
    /// The newest cycle.
    pub cycle: CycleNumber,
    /// How many labels are known.
    pub labelled: u64,
    /// How many answers annotators have given: as many, where a label rests on one.
    #[serde(default)]
    pub answers: u64,
    /// The time that annotators have spent, in seconds.
    #[serde(default)]
    pub spent_seconds: f64,
    /// What the answers have cost, where the workflow gives a price.
    #[serde(default)]
    pub cost: Option<f64>,
    /// The production model.
    pub production: Option<Digest>,
    /// The workflow digest.
    pub workflow: Digest,
    /// The run's seed.
    pub seed: u64,
    /// Why it ended, if it did.
    pub ended: Option<EndReason>,
    /// Why it stands still, if it does.
    pub failed: Option<CycleFailed>,
    /// How many events its logs hold.
    pub events: u64,
    /// The hash of its last record.
    pub head: Digest,
    /// What the logs mean, without ids, times and durations: equal for equal histories.
    pub semantic_digest: Digest,
    /// Its unfinished jobs.
    pub jobs: Vec<JobSummary>,
    /// One line a cycle.
    pub cycles: Vec<CycleSummary>,
}

/// A model that was in production, as `gleaner models --json` prints it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelSummary {
    /// The model.
    pub model: Digest,
    /// The cycle that trained it.
    pub cycle: CycleNumber,
    /// How many labels it was trained on.
    pub labelled: u64,
    /// How it was measured then.
    pub acceptance: Option<KpiChecked>,
    /// Whether it is in production now.
    pub current: bool,
    /// Whether it is there to stay.
    pub pinned: bool,
    /// Its file, which must not be written to.
    pub file: PathBuf,
}

/// Whether a run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It has work to do.
    Active,
    /// Its jobs are held back until `resume`.
    Paused,
    /// A step failed for good; `resume` tries it again.
    Failed,
    /// It is over.
    Ended,
}

/// A job from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSummary {
    /// Which job.
    pub id: crate::domain::ids::JobId,
    /// Which run it works for.
    pub run: RunId,
    /// Which cycle it works for.
    pub cycle: CycleNumber,
    /// What it does.
    pub kind: JobKind,
    /// `ready`, `leased` or `dead`.
    pub status: String,
    /// Who holds it.
    pub worker: Option<String>,
    /// How often it failed.
    pub failures: u32,
    /// How often its process died under it.
    pub crashes: u32,
    /// Not before this instant, microseconds since 1970.
    pub not_before: crate::domain::time::Timestamp,
    /// Why the last try failed.
    pub last_error: Option<String>,
}

impl From<&Job> for JobSummary {
    fn from(job: &Job) -> Self {
        let (status, worker) = match &job.status {
            JobStatus::Ready => ("ready", None),
            JobStatus::Leased(lease) => ("leased", Some(lease.worker.to_string())),
            JobStatus::Dead => ("dead", None),
        };
        Self {
            id: job.id,
            run: job.cycle.run,
            cycle: job.cycle.cycle,
            kind: job.kind,
            status: status.to_owned(),
            worker,
            failures: job.failures,
            crashes: job.crashes,
            // The queue knows a due job as one that was always due.
            not_before: job.not_before.max(job.enqueued),
            last_error: job.last_error.clone(),
        }
    }
}
