//! Choosing what goes to production, and measuring it.

use super::gate::measure;
use super::labels::held_out;
use super::scoring::{quality, score};
use crate::domain::command::Command;
use crate::domain::digest::Digest;
use crate::domain::state::Phase;
use crate::engine::reactor::{Reactor, Step, StepError};
use crate::model_selector::choose;

pub(super) struct SelectModel;

impl Reactor for SelectModel {
    fn perform(&self, step: &Step) -> Result<Command, StepError> {
        let Phase::SelectingModel { checkpoints } = &step.run.phase else {
            return Err(StepError::permanent("there are no checkpoints to choose from"));
        };
        let spec = &step.definition.model_selector;
        let challengers = checkpoints
            .iter()
            .map(|checkpoint| {
                let value = checkpoint.metrics.get(&spec.criterion).copied();
                value.map(|value| (checkpoint.model, value)).ok_or_else(|| {
                    let known: Vec<&str> = checkpoint.metrics.keys().map(String::as_str).collect();
                    StepError::permanent(format!(
                        "checkpoints have no metric {:?}; they have {}",
                        spec.criterion,
                        known.join(", ")
                    ))
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let incumbent = match step.run.production {
            Some(model) => Some((model, criterion_of(step, model)?)),
            None => None,
        };
        let selected = choose(spec, incumbent, &challengers).map_err(StepError::permanent)?;
        let production = if selected.promoted { Some(selected.winner) } else { selected.incumbent };
        let model = production.unwrap_or(selected.winner);
        let split = step.pool.split();
        let (estimator, rows) = if split.test.is_empty() {
            ("validation", &split.validation)
        } else {
            ("test", &split.test)
        };
        let labels = held_out(step, rows)?;
        let acceptance = measure(step, model, estimator, &labels)?;
        Ok(Command::SelectModel { compared: None, selected, acceptance })
    }
}

/// The incumbent's value, measured now on the same samples as the challengers'.
fn criterion_of(step: &Step, model: Digest) -> Result<f64, StepError> {
    let rows = &step.pool.split().validation;
    let labels = held_out(step, rows)?.classes(step.definition.run.task);
    let (accuracy, loss) = quality(&score(step, model, rows)?, &labels);
    match step.definition.model_selector.criterion.as_str() {
        "validation.accuracy" => Ok(accuracy),
        "validation.loss" => Ok(loss),
        other => Err(StepError::permanent(format!(
            "the incumbent cannot be measured by {other:?}: use validation.accuracy or validation.loss"
        ))),
    }
}
