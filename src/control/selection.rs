//! Questions about batches and samples, answered from the log and the evidence that it names.

use super::retention::check_kept;
use super::{ControlError, find_run, records};
use crate::audit::selection::{Explanation, Happened, Reselected, WhatIf, reselect, what_if};
use crate::data_selector::Evidence;
use crate::domain::event::{BatchSelected, Event};
use crate::domain::ids::{CycleNumber, SampleId};
use crate::domain::strategy::StrategySpec;
use crate::engine::Engine;

/// Picks the batch of a cycle again.
pub(super) async fn reselected(
    engine: &Engine,
    run: Option<&str>,
    cycle: u32,
) -> Result<Reselected, ControlError> {
    let (cycle, batch, evidence) = batch(engine, run, cycle).await?;
    reselect(cycle, &batch, &evidence).map_err(|error| ControlError::Selection(error.to_string()))
}

/// Picks from what a cycle's batch was picked from, by another strategy.
pub(super) async fn what_else(
    engine: &Engine,
    run: Option<&str>,
    cycle: u32,
    strategy: &str,
    size: Option<usize>,
) -> Result<WhatIf, ControlError> {
    let wrong = |error: &dyn std::fmt::Display| ControlError::Selection(error.to_string());
    let strategy: StrategySpec = strategy.parse().map_err(|error| wrong(&error))?;
    let (cycle, batch, evidence) = batch(engine, run, cycle).await?;
    what_if(cycle, &batch, &evidence, &strategy, size).map_err(|error| wrong(&error))
}

/// What a run did with a sample.
pub(super) async fn explained(
    engine: &Engine,
    run: Option<&str>,
    sample: &str,
) -> Result<Explanation, ControlError> {
    let run = find_run(engine, run).await?;
    let mut explanation = Explanation::new(SampleId::from(sample));
    let artifacts = engine.artifacts().clone();
    let mut scores = |batch: &BatchSelected| {
        let evidence = Evidence::read(&artifacts.get(&batch.scores?).ok()?).ok()?;
        Some((evidence.ids, evidence.scores?))
    };
    for cycle in (1..=engine.last_cycle(run).await?.0).map(CycleNumber) {
        for recorded in records(engine, run, cycle).await? {
            explanation.take(cycle, &recorded.event, &mut scores);
            if let Event::BatchSelected(BatchSelected { scores: Some(scores), picks, .. }) =
                &recorded.event
                && picks.iter().all(|pick| pick.sample != explanation.sample)
                && let Err(ControlError::Removed { date, .. }) =
                    check_kept(engine, run, scores, "").await
            {
                explanation.history.push(Happened::Unknown { cycle, date });
            }
        }
    }
    if explanation.history.is_empty() {
        return Err(ControlError::UnknownSample { sample: sample.to_owned(), run });
    }
    Ok(explanation)
}

/// The batch of a cycle, and what it was picked from.
async fn batch(
    engine: &Engine,
    run: Option<&str>,
    cycle: u32,
) -> Result<(CycleNumber, BatchSelected, Evidence), ControlError> {
    let run = find_run(engine, run).await?;
    let last = engine.last_cycle(run).await?.0;
    if cycle == 0 || cycle > last {
        return Err(ControlError::UnknownCycle { run, cycle, last });
    }
    let cycle = CycleNumber(cycle);
    let lacks = |what: &str| ControlError::Selection(format!("cycle {cycle} of run {run} {what}"));
    let selected = records(engine, run, cycle).await?.into_iter().find_map(|recorded| {
        if let Event::BatchSelected(batch) = recorded.event { Some(batch) } else { None }
    });
    let selected = selected.ok_or_else(|| lacks("has no batch yet"))?;
    let digest = selected.scores.ok_or_else(|| {
        lacks(&format!(
            "kept nothing of what {} looked at: its batch follows from the seed and the pool alone, or selector.keep is \"nothing\"",
            selected.strategy
        ))
    })?;
    check_kept(engine, run, &digest, &format!("what the batch of cycle {cycle} was picked from"))
        .await?;
    let bytes = engine.artifacts().get(&digest).map_err(crate::engine::EngineError::from)?;
    let evidence = Evidence::read(&bytes).map_err(|error| lacks(&error.to_string()))?;
    Ok((cycle, selected, evidence))
}
