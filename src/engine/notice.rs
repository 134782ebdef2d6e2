//! What an engine tells whoever watches it. Watching never slows the engine: a slow watcher misses notices, not facts.

use crate::domain::ids::{CycleId, RunId};
use crate::domain::job::JobKind;
use crate::store::Recorded;
use std::sync::Arc;

/// Something a person may want to see.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Notice {
    /// An event was committed.
    Committed(Arc<Recorded>),
    /// A step began.
    StepStarted {
        /// For which cycle.
        cycle: CycleId,
        /// Which step.
        kind: JobKind,
    },
    /// A step goes on.
    Progress {
        /// For which cycle.
        cycle: CycleId,
        /// Which step.
        kind: JobKind,
        /// Units done.
        done: u64,
        /// Units in all.
        total: u64,
    },
    /// A step failed and is tried again.
    StepRetried {
        /// For which cycle.
        cycle: CycleId,
        /// Which step.
        kind: JobKind,
        /// How often it failed.
        failures: u32,
        /// Why.
        error: String,
    },
    /// Something worth a line, for example which execution provider runs the model.
    Remark {
        /// For which run.
        run: RunId,
        /// The line.
        text: String,
    },
}
