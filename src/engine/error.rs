//! Why the engine could not do something.

use crate::annotation::error::QualityError;
use crate::artifacts::ArtifactError;
use crate::domain::decide::Refusal;
use crate::domain::event::EndReason;
use crate::domain::ids::{CycleNumber, RunId};
use crate::domain::state::IllegalEvent;
use crate::inference::InferenceError;
use crate::pool::PoolError;
use crate::store::StoreError;

/// Why the engine could not do something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An artifact cannot be written or read.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The pool cannot be used.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// A model or the runtime cannot be used.
    #[error(transparent)]
    Inference(#[from] InferenceError),
    /// The answers of annotators cannot be compared.
    #[error(transparent)]
    Answers(#[from] QualityError),
    /// The command does not fit.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The workflow and its pool do not fit together.
    #[error("{problem}")]
    Contradiction {
        /// What does not fit, and what to change.
        problem: String,
    },
    /// A run cannot be forked where it stands.
    #[error(
        "cycle {cycle} of run {run} has not ended, and a fork begins after a cycle that has: name an earlier one; it has {cycles} \
         in all"
    )]
    CycleNotOver {
        /// Which run.
        run: RunId,
        /// The cycle that was named.
        cycle: CycleNumber,
        /// Its newest cycle.
        cycles: CycleNumber,
    },
    /// There is no such run.
    #[error("there is no run {run}")]
    UnknownRun {
        /// What was asked for.
        run: String,
    },
    /// The run is over.
    #[error("run {run} has ended ({reason:?})")]
    Ended {
        /// Which run.
        run: RunId,
        /// Why it ended.
        reason: EndReason,
    },
    /// The log breaks the rules of the state machine.
    #[error("the log of run {run} does not fit")]
    IllegalLog {
        /// Which run.
        run: RunId,
        /// Where it breaks them.
        #[source]
        source: IllegalEvent,
    },
    /// The stored workflow is not one.
    #[error("the stored workflow of run {run} cannot be read")]
    UnreadableWorkflow {
        /// Which run.
        run: RunId,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Another writer was always faster.
    #[error("run {run} is being written by somebody else; try again")]
    Contended {
        /// Which run.
        run: RunId,
    },
}
