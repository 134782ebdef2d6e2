//! What does one kind of job: [`Reactor`], and the [`Step`] it is given.

use super::clock::Clock;
use super::notice::Notice;
use crate::artifacts::{ArtifactError, Artifacts};
use crate::data_selector::{Memory, Strategy};
use crate::domain::command::Command;
use crate::domain::definition::Definition;
use crate::domain::digest::Digest;
use crate::domain::ids::CycleId;
use crate::domain::job::{Job, JobKind};
use crate::domain::state::Run;
use crate::inference::InstallPolicy;
use crate::pool::Pool;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::broadcast;

/// Does one kind of job.
///
/// A reactor may run more than once for the same job, after a crash for instance, and its answer counts at most once: it
/// reads, computes and writes artifacts, and leaves every change of the run to the command it answers with.
pub trait Reactor: Send + Sync {
    /// Performs the step. Runs on a blocking thread, so it may compute and wait for the disk as long as it needs: the
    /// engine renews the lease meanwhile. Long work should ask [`Step::is_interrupted`] now and then.
    ///
    /// # Errors
    /// [`StepError`] says whether another try may help.
    fn perform(&self, step: &Step) -> Result<Command, StepError>;
}

/// Everything a reactor may look at.
pub struct Step {
    /// The job.
    pub job: Job,
    /// The run before the step.
    pub run: Run,
    /// The hash of the last record of the run.
    pub head: Digest,
    /// The workflow.
    pub definition: Arc<Definition>,
    /// Where its paths begin.
    pub folder: Arc<Path>,
    /// The samples.
    pub pool: Arc<Pool>,
    /// Large bytes.
    pub artifacts: Artifacts,
    /// A folder for what need not be worked out twice; may be empty at any time.
    pub cache: Arc<Path>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Whether a runtime library may be installed.
    pub install: InstallPolicy,
    /// What strategies remember from earlier cycles of the run; may be empty at any time.
    pub memory: Arc<Memory>,
    /// Strategies of the host's own.
    pub strategies: Arc<BTreeMap<String, Arc<dyn Strategy>>>,
    pub(super) interrupted: Arc<AtomicBool>,
    pub(super) notices: broadcast::Sender<Notice>,
}

impl Step {
    /// Which cycle the step is for.
    #[must_use]
    pub const fn cycle(&self) -> CycleId {
        self.job.cycle
    }

    /// Which step it is.
    #[must_use]
    pub const fn kind(&self) -> JobKind {
        self.job.kind
    }

    /// Whether the work should stop now: the engine is stopping, or the result would be refused. Answer with
    /// [`StepError::Interrupted`] then.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Tells watchers how far the step is.
    pub fn progress(&self, done: u64, total: u64) {
        let (cycle, kind) = (self.cycle(), self.kind());
        self.tell(Notice::Progress { cycle, kind, done, total });
    }

    /// Tells watchers a line.
    pub fn remark(&self, text: impl Into<String>) {
        self.tell(Notice::Remark { run: self.cycle().run, text: text.into() });
    }

    fn tell(&self, notice: Notice) {
        let _ = self.notices.send(notice); // nobody watching is fine
    }
}

/// Why a step did not get done.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// May succeed another time: a full disk, a service that is away.
    #[error("{0}")]
    Retryable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Will fail again until somebody changes something: a broken model, a pool that is gone.
    #[error("{0}")]
    Permanent(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Stopped on request; neither a failure nor a crash.
    #[error("interrupted")]
    Interrupted,
}

impl StepError {
    /// A failure that another try does not mend.
    pub fn permanent(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Permanent(error.into())
    }

    /// The error with its causes, in one line.
    pub(super) fn chain(&self) -> String {
        let mut text = self.to_string();
        let outer: &dyn std::error::Error = match self {
            Self::Retryable(error) | Self::Permanent(error) => error.as_ref(),
            Self::Interrupted => return text,
        };
        let mut source = outer.source();
        while let Some(error) = source {
            text.push_str(": ");
            text.push_str(&error.to_string());
            source = error.source();
        }
        text
    }
}

impl From<ArtifactError> for StepError {
    fn from(error: ArtifactError) -> Self {
        Self::Retryable(Box::new(error))
    }
}
