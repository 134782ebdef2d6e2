//! Where a run forked from another, and who decided what it inherited.

use crate::domain::digest::Digest;
use crate::domain::ids::{CycleNumber, RunId};
use serde::{Deserialize, Serialize};

/// The run goes on from where another one stood. Second event of the first cycle's log; what happened in the cycles up to
/// there follows it as it stands in the other run's logs, without what only tells of how that run began, failed or ended
/// ([`Event::is_inherited`](super::Event::is_inherited)), and what of it was no longer kept by then stands after that. Written in one commit with all of it: a crash leaves a whole fork or
/// none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forked {
    /// The other run.
    pub run: RunId,
    /// The last cycle that is inherited, at least 1.
    pub cycle: CycleNumber,
    /// The hash of the last record that the other run's log of that cycle held then.
    pub head: Digest,
    /// Who decided the inherited cycles, oldest first; the last is up to `cycle`. More than one where the other run is a
    /// fork as well.
    pub past: Vec<Decided>,
}

/// A run that decided cycles which another inherited, and what it decided them by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// Which run.
    pub run: RunId,
    /// Its last one of the inherited cycles.
    pub until: CycleNumber,
    /// Its workflow.
    pub workflow: Digest,
    /// Its seed.
    pub seed: u64,
    /// Whether its KPI gate stood before each training.
    pub gate: bool,
}

impl Forked {
    /// Who decided a cycle; `None` where it is one of the fork's own.
    #[must_use]
    pub fn decided(&self, cycle: CycleNumber) -> Option<&Decided> {
        self.past.iter().find(|decided| cycle <= decided.until)
    }
}
