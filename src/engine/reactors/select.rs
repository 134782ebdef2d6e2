//! Picking a batch: score what is unlabelled, keep the scores, let the data selector choose.

use super::scoring::score;
use crate::data_selector::{self, ColdStartRequest, Output, SampleIds, SelectRequest, View};
use crate::domain::command::Command;
use crate::domain::decide::{batch_size, is_cold_start};
use crate::domain::definition::{Mode, SelectorModel};
use crate::domain::digest::Digest;
use crate::domain::event::BatchSelected;
use crate::domain::ids::SampleId;
use crate::engine::reactor::{Reactor, Step, StepError};
use crate::engine::score_table;
use std::borrow::Cow;

pub(super) struct Select;

impl Reactor for Select {
    fn perform(&self, step: &Step) -> Result<Command, StepError> {
        // In the pool's order of ids, so that neither the file's order nor the engine's shows in the score table.
        let rows: Vec<usize> = step.pool.candidates(step.run.labels.keys()).iter().collect();
        let samples: Vec<SampleId> = rows.iter().map(|&row| step.pool.sample(row)).collect();
        let batch = if is_cold_start(&step.run, &step.definition) {
            cold_start(step, &samples, &rows)?
        } else {
            by_strategy(step, &samples, &rows)?
        };
        Ok(Command::RecordBatch(batch))
    }
}

fn cold_start(
    step: &Step,
    samples: &[SampleId],
    rows: &[usize],
) -> Result<BatchSelected, StepError> {
    let labels: Vec<Option<u32>> = rows.iter().map(|&row| step.pool.label(row)).collect();
    let selection = data_selector::cold_start(&ColdStartRequest {
        how: step.definition.selector.cold_start,
        candidates: samples,
        labels: &labels,
        seed: step.definition.run.seed,
        cycle: step.cycle().cycle,
    })
    .map_err(StepError::permanent)?;
    Ok(BatchSelected {
        strategy: selection.strategy,
        strategy_version: selection.version,
        parameters: selection.parameters,
        model: None,
        provider: None,
        picks: selection.picks,
        cutoff: None,
        candidates: samples.len() as u64,
        scores: None,
    })
}

fn by_strategy(
    step: &Step,
    samples: &[SampleId],
    rows: &[usize],
) -> Result<BatchSelected, StepError> {
    let selector = &step.definition.selector;
    let strategy = data_selector::build(&selector.strategy).map_err(StepError::permanent)?;
    let scored = match model(step)? {
        Some(model) if strategy.needs().a_model() => {
            let scored = score(step, model, rows)?;
            step.remark(format!("models run on {}", scored.why));
            let probabilities = scored.predictions.probabilities();
            Some((model, scored.provider, probabilities))
        }
        Some(_) | None => None,
    };
    let batch = batch_size(&step.run, &step.definition);
    let audit = match step.definition.run.mode {
        Mode::Development => 0,
        Mode::Production => data_selector::audit_size(batch, selector.audit_fraction),
    };
    let mut view = View::new(PoolOrder(samples), step.definition.run.seed, step.cycle().cycle);
    view.classes = step.pool.classes().len();
    if let Some((_, _, probabilities)) = &scored {
        view = view.with("probabilities", Output::flat(probabilities));
    }
    let name = selector.strategy.to_string();
    let mut kept = Vec::new();
    let mut keep = |scores: &[f64]| {
        kept.extend_from_slice(scores);
        Ok(())
    };
    let request = SelectRequest { strategy: &*strategy, name: &name, view: &view, batch, audit };
    let selection =
        data_selector::select(&request, Some(&mut keep)).map_err(StepError::permanent)?;
    drop(view);
    let scores = match &scored {
        Some((_, _, probabilities)) => {
            let table = score_table::encode(samples, probabilities, &kept);
            Some(step.artifacts.put(&table)?)
        }
        None => None,
    };
    let (model, provider) =
        scored.map_or((None, None), |(model, provider, _)| (Some(model), Some(provider)));
    Ok(BatchSelected {
        strategy: selection.strategy,
        strategy_version: selection.version,
        parameters: selection.parameters,
        model,
        provider,
        picks: selection.picks,
        cutoff: selection.cutoff,
        candidates: samples.len() as u64,
        scores,
    })
}

/// Candidates in the order of the pool, in which `x-9999` stands before `x-10000`.
struct PoolOrder<'a>(&'a [SampleId]);

impl SampleIds for PoolOrder<'_> {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, index: usize) -> Cow<'_, str> {
        SampleIds::get(self.0, index)
    }

    fn first_out_of_order(&self) -> Option<usize> {
        None
    }
}

/// The model that scores candidates in this cycle.
fn model(step: &Step) -> Result<Option<Digest>, StepError> {
    match &step.definition.selector.model {
        SelectorModel::Production => Ok(step.run.production),
        SelectorModel::File(_) => step.run.selector_model.map(Some).ok_or_else(|| {
            StepError::permanent("the cycle was started without the workflow's selector model")
        }),
    }
}
