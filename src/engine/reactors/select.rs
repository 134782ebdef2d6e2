//! Picking a batch: show the data selector what is known about the candidates, let it choose, keep what it consumed.

use super::doubts::doubts;
#[cfg(feature = "sql")]
use super::queried::Queried;
use super::shown::Shown;
use crate::artifacts::NewArtifact;
use crate::data_selector::{
    self, EvidenceWriter, SampleIds, SelectRequest, Selection, Strategy, View,
};
use crate::domain::command::Command;
use crate::domain::decide::{batch_size, is_cold_start};
use crate::domain::definition::{ColdStart, Mode};
use crate::domain::event::{Arm, BatchSelected};
use crate::domain::strategy::StrategySpec;
use crate::engine::candidates::Candidates;
use crate::engine::reactor::{Reactor, Step, StepError};
use std::io::Write;
use std::sync::Arc;

pub(super) struct Select;

impl Reactor for Select {
    fn perform(&self, step: &Step) -> Result<Command, StepError> {
        let candidates = Candidates::new(&step.pool, &step.run.labels);
        let selector = &step.definition.selector;
        let batch = batch_size(&step.run, &step.definition);
        let mut doubted = None;
        let selected = if is_cold_start(&step.run, &step.definition) {
            match &selector.cold_start {
                ColdStart::Strategy(strategy, _) => {
                    let mut selected = by_strategy(step, &candidates, strategy, batch, 0)?;
                    selected.picks.iter_mut().for_each(|pick| pick.arm = Arm::ColdStart);
                    selected
                }
                ColdStart::PerClass(per_class) => {
                    let labels: Vec<Option<u32>> =
                        candidates.rows().iter().map(|row| step.pool.label(row)).collect();
                    let view = view(step, &candidates);
                    let drawn = data_selector::cold_start_per_class(&view, &labels, *per_class);
                    drawn_at_random(drawn.map_err(StepError::permanent)?, &candidates)
                }
                ColdStart::Random(samples) => {
                    let view = view(step, &candidates);
                    let drawn = data_selector::cold_start_random(&view, (*samples).min(batch));
                    drawn_at_random(drawn.map_err(StepError::permanent)?, &candidates)
                }
            }
        } else {
            let audit = match step.definition.run.mode {
                Mode::Development => 0,
                Mode::Production => data_selector::audit_size(batch, selector.audit_fraction),
            };
            let doubts = doubts(step, audit)?;
            doubted = doubts.doubted;
            // What is asked again buys no label, but takes its part of the batch.
            let fresh = batch.min(selector.batch.saturating_sub(doubts.picks.len())).max(audit);
            let mut selected = by_strategy(step, &candidates, &selector.strategy, fresh, audit)?;
            selected.picks.extend(doubts.picks);
            selected
        };
        if let Some(short) = selected.parameters.get("short") {
            step.remark(short.clone());
        }
        Ok(Command::RecordBatch { doubted, batch: selected })
    }
}

fn view<'a>(step: &Step, candidates: &'a Candidates<'a>) -> View<'a> {
    let mut view = View::new(candidates, step.definition.run.seed, step.cycle().cycle);
    view.classes = step.pool.classes().len();
    view
}

fn drawn_at_random(selection: Selection, candidates: &Candidates<'_>) -> BatchSelected {
    BatchSelected {
        strategy: selection.strategy,
        strategy_version: selection.version,
        parameters: selection.parameters,
        model: None,
        provider: None,
        picks: selection.picks,
        cutoff: selection.cutoff,
        candidates: candidates.len() as u64,
        scores: None,
    }
}

/// The strategy of this name: the host's own, or a built-in one.
fn strategy(step: &Step, spec: &StrategySpec) -> Result<Arc<dyn Strategy>, StepError> {
    let own = spec.text("name").filter(|_| spec.name == "custom");
    match own.and_then(|name| step.strategies.get(name)) {
        Some(strategy) => Ok(Arc::clone(strategy)),
        None => Ok(data_selector::build(spec).map_err(StepError::permanent)?.into()),
    }
}

fn by_strategy(
    step: &Step,
    candidates: &Candidates<'_>,
    spec: &StrategySpec,
    batch: usize,
    audit: usize,
) -> Result<BatchSelected, StepError> {
    let out = step.artifacts.create()?;
    let (mut selected, evidence) = pick(step, candidates, spec, batch, audit, out)?;
    selected.scores = evidence.map(NewArtifact::finish).transpose()?;
    Ok(selected)
}

/// Has a strategy pick, and writes what it consumed to `out`, which is given back if that was anything: what a strategy that
/// looks at nothing consumed is the pool and the seed.
pub(in crate::engine) fn pick<W: Write>(
    step: &Step,
    candidates: &Candidates<'_>,
    spec: &StrategySpec,
    batch: usize,
    audit: usize,
    out: W,
) -> Result<(BatchSelected, Option<W>), StepError> {
    let keep = step.definition.selector.keep;
    let strategy = strategy(step, spec)?;
    let needs = strategy.needs();
    let shown = Shown::gather(step, &needs, candidates)?;
    let name = spec.to_string();
    #[cfg(feature = "sql")]
    let queried;
    #[cfg(feature = "sql")]
    let database;
    let mut view = shown.show(view(step, candidates), keep);
    #[cfg(feature = "sql")]
    if needs.queries {
        queried = Queried::new(step, candidates, shown.probabilities()?.as_ref());
        database =
            queried.open(&step.definition.selector, &step.folder).map_err(StepError::permanent)?;
        view.queries = Some(&database);
    }
    view.memory = Some(&step.memory);
    let request = SelectRequest { strategy: &*strategy, name: &name, view: &view, batch, audit };
    let mut evidence = EvidenceWriter::new(out);
    let selection = evidence.select(&request, spec, keep).map_err(StepError::permanent)?;
    drop(view);
    let consumed =
        needs.looks().then(|| evidence.finish().map_err(StepError::permanent)).transpose()?;
    let Shown { model, provider, mut remarks, .. } = shown;
    remarks.extend(selection.parameters);
    let selected = BatchSelected {
        strategy: selection.strategy,
        strategy_version: selection.version,
        parameters: remarks,
        model,
        provider,
        picks: selection.picks,
        cutoff: selection.cutoff,
        candidates: candidates.len() as u64,
        scores: None,
    };
    Ok((selected, consumed))
}
