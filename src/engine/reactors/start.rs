//! Opening a cycle: load what the last one left, and note which pool and which model it works with.

use super::shown::model_file;
use crate::domain::command::Command;
use crate::domain::definition::SelectorModel;
use crate::engine::reactor::{Reactor, Step, StepError};

pub(super) struct Start;

impl Reactor for Start {
    fn perform(&self, step: &Step) -> Result<Command, StepError> {
        // That it is the pool the run began with, or has only gained samples, was made sure of when it was loaded. The next
        // version is held against this manifest, which is named by the version and written once.
        let pool = step.pool.version();
        if !step.artifacts.contains(&pool) {
            let manifest = step.pool.manifest().map_err(StepError::permanent)?;
            step.artifacts.put(&manifest)?;
        }
        let selector_model = match &step.definition.selector.model {
            SelectorModel::Production => step.run.production,
            SelectorModel::Pool => None,
            SelectorModel::File(file) => Some(model_file(step, file)?),
        };
        Ok(Command::StartCycle { pool, selector_model, previous_head: previous_head(step) })
    }
}

/// Zero for the first cycle: what stands before it in its own log is the start of the run.
fn previous_head(step: &Step) -> crate::domain::digest::Digest {
    if step.run.cycle.0 == 0 { crate::domain::digest::Digest::ZERO } else { step.head }
}
