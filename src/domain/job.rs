//! Units of work: what kinds there are, how they are leased, and when they are tried again.

use super::chance::Chance;
use super::definition::RetrySpec;
use super::ids::{CycleId, CycleNumber, Epoch, FencingToken, JobId, WorkerId};
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// What a job does. Variants are only ever appended: their order is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Load what the last cycle left, and open the next.
    Start,
    /// Score the candidates and pick a batch.
    Select,
    /// Get the batch labelled.
    Annotate,
    /// Measure the production model on new labels.
    Gate,
    /// Train, and save checkpoints.
    Train,
    /// Choose the production model, and measure it.
    SelectModel,
}

impl JobKind {
    /// Every kind, in the order of a cycle.
    pub const ALL: [Self; 6] =
        [Self::Start, Self::Select, Self::Annotate, Self::Gate, Self::Train, Self::SelectModel];

    /// The name of the step, as events and people use it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Select => "select",
            Self::Annotate => "annotate",
            Self::Gate => "gate",
            Self::Train => "train",
            Self::SelectModel => "select_model",
        }
    }
}

impl fmt::Display for JobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A job to enqueue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// Its id.
    pub id: JobId,
    /// What it does.
    pub kind: JobKind,
    /// The cycle it works for.
    pub cycle: CycleId,
    /// Higher is leased first; equal ones in the order they were enqueued.
    pub priority: i32,
    /// Not leased before this instant.
    pub not_before: Timestamp,
    /// While an unfinished job has the same key, enqueueing another does nothing.
    pub dedupe: Option<String>,
}

/// A job as the queue keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// What it does.
    pub kind: JobKind,
    /// The cycle it works for.
    pub cycle: CycleId,
    /// Higher is leased first.
    pub priority: i32,
    /// Not leased before this instant.
    pub not_before: Timestamp,
    /// See [`NewJob::dedupe`].
    pub dedupe: Option<String>,
    /// When it was enqueued.
    pub enqueued: Timestamp,
    /// Leases that ended in a failure of the step, the present one not counted.
    pub failures: u32,
    /// Leases that ended without an answer: the process died or stopped renewing. Counted apart from failures, because a
    /// crash says little about the step; still bounded, because a step may be what crashes the process.
    pub crashes: u32,
    /// Why the last try failed.
    pub last_error: Option<String>,
    /// Where it stands.
    pub status: JobStatus,
}

/// Where a job stands. A finished job is no longer kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobStatus {
    /// Waits for a worker, or for its time.
    Ready,
    /// A worker has it.
    Leased(Lease),
    /// Failed for good; kept until it is retried or cancelled.
    Dead,
}

/// The right to finish a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Who holds it.
    pub worker: WorkerId,
    /// Only the newest token of a job may finish it.
    pub token: FencingToken,
    /// The opening of the store in which it was given.
    pub epoch: Epoch,
    /// When it is void unless renewed.
    pub deadline: Timestamp,
}

/// What a failure leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterFailure {
    /// Try again at this instant.
    RetryAt(Timestamp),
    /// No more tries.
    GiveUp,
}

/// A step that takes its process down this often is given up.
pub const CRASHES_MAX: u32 = 100;

/// The retry rule: the wait starts at `backoff`, doubles with each failure, never exceeds `backoff_max`, and is then
/// multiplied by a factor in [0.5, 1) that derives from the job's id ("equal jitter"), so that jobs which failed
/// together do not return together.
///
/// `failures` counts the failure that just happened. A failure that cannot go away by itself is not retried.
#[must_use]
pub fn after_failure(
    rule: &RetrySpec,
    job: JobId,
    failures: u32,
    retryable: bool,
    now: Timestamp,
) -> AfterFailure {
    if !retryable || failures >= rule.attempts {
        return AfterFailure::GiveUp;
    }
    let doublings = failures.saturating_sub(1).min(31);
    let wait = rule.backoff.saturating_mul(1 << doublings).min(rule.backoff_max);
    let chance = Chance { seed: 0, cycle: CycleNumber(failures), purpose: "retry jitter" };
    let factor = 0.5 + chance.unit(&job.to_string()) / 2.0;
    AfterFailure::RetryAt(now.plus(Duration::from_secs_f64(wait.as_secs_f64() * factor)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn rule() -> RetrySpec {
        RetrySpec {
            attempts: 5,
            backoff: Duration::from_secs(1),
            backoff_max: Duration::from_secs(5),
            lease: Duration::from_secs(30),
        }
    }

    #[test]
    fn the_wait_doubles_up_to_its_limit_and_then_the_step_is_given_up() {
        let job = JobId(Uuid::from_u128(1));
        for (failures, longest) in [(1, 1.0), (2, 2.0), (3, 4.0), (4, 5.0)] {
            let AfterFailure::RetryAt(at) =
                after_failure(&rule(), job, failures, true, Timestamp(0))
            else {
                panic!("failure {failures} of 5 is retried");
            };
            let wait = at.since(Timestamp(0)).as_secs_f64();
            assert!((longest / 2.0..longest).contains(&wait), "{failures}: {wait}");
        }
        assert_eq!(after_failure(&rule(), job, 5, true, Timestamp(0)), AfterFailure::GiveUp);
    }

    #[test]
    fn what_cannot_go_away_is_not_retried() {
        let job = JobId(Uuid::from_u128(1));
        assert_eq!(after_failure(&rule(), job, 1, false, Timestamp(0)), AfterFailure::GiveUp);
    }
}
