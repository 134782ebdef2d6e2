//! Opening a cycle: load what the last one left, and make sure that the world is still the one the run began in.

use super::shown::model_file;
use crate::domain::command::Command;
use crate::domain::definition::SelectorModel;
use crate::engine::reactor::{Reactor, Step, StepError};

pub(super) struct Start;

impl Reactor for Start {
    fn perform(&self, step: &Step) -> Result<Command, StepError> {
        let pool = step.pool.version();
        if let Some(known) = step.run.pool.filter(|known| *known != pool) {
            // Another pool would be split anew, and test samples could become training samples.
            let path = &step.definition.pool.path;
            return Err(StepError::permanent(format!(
                "the pool {path} has changed: its version was {} and is {} now; put the old file back and resume, or start a new run",
                known.short(),
                pool.short()
            )));
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
