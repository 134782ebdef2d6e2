//! The six built-in steps of a cycle, one file each. They fetch values, call a capability, and answer with a command; what
//! is computed lives in the capabilities, and what it leads to in [`crate::domain::decide`].

mod annotate;
mod backbone;
mod baseline;
mod doubts;
mod drift;
mod gate;
mod labels;
mod measured;
#[cfg(feature = "sql")]
mod queried;
mod scoring;
mod select;
mod select_model;
mod shown;
mod start;
mod train;
mod voting;

use super::reactor::Reactor;
use crate::domain::job::JobKind;
use std::collections::BTreeMap;
use std::sync::Arc;

#[cfg(feature = "sql")]
pub(super) use queried::check_queries;
pub(super) use scoring::{check_backbone, check_model};
pub(super) use select::pick;

/// The built-in reactor of each kind of job, for hosts that want to wrap one.
#[must_use]
pub fn built_in() -> BTreeMap<JobKind, Arc<dyn Reactor>> {
    JobKind::ALL
        .into_iter()
        .map(|kind| {
            let reactor: Arc<dyn Reactor> = match kind {
                JobKind::Start => Arc::new(start::Start),
                JobKind::Select => Arc::new(select::Select),
                JobKind::Annotate => Arc::new(annotate::Annotate),
                JobKind::Gate => Arc::new(gate::Gate),
                JobKind::Train => Arc::new(train::Train),
                JobKind::SelectModel => Arc::new(select_model::SelectModel),
            };
            (kind, reactor)
        })
        .collect()
}
