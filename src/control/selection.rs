//! Questions about batches and samples, answered from the log and the evidence that it names.

use super::retention::check_kept;
use super::{ControlError, find_run, records};
use crate::audit::explanation::{BatchExplainer, BatchExplanation, Explainer, Explanation};
use crate::audit::inferred::{Inferred, compare};
use crate::audit::selection::{Pace, Reselected, WhatIf, reselect, what_if};
use crate::data_selector::Evidence;
use crate::domain::definition::ProviderChoice;
use crate::domain::digest::Digest;
use crate::domain::event::{BatchSelected, Event};
use crate::domain::ids::{CycleId, CycleNumber, Revision, RunId, SampleId};
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

/// Picks the batch of a cycle once more, with its model run again.
pub(super) async fn reinferred(
    engine: &Engine,
    run: Option<&str>,
    cycle: u32,
    provider: Option<ProviderChoice>,
) -> Result<Inferred, ControlError> {
    let (run, cycle) = find_cycle(engine, run, cycle).await?;
    if let Some(batch) = selected(engine, run, cycle).await? {
        for (artifact, what) in [
            (batch.scores, format!("what the batch of cycle {cycle} was picked from")),
            (batch.model, format!("the model of the batch of cycle {cycle}")),
        ] {
            if let Some(artifact) = artifact {
                check_kept(engine, run, &artifact, &what).await?;
            }
        }
    }
    let found = engine.reinfer(run, cycle, provider).await?;
    Ok(compare(cycle, (&found.then, &found.evidence), (&found.now, &found.evidence_now)))
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
    let id = find_run(engine, run).await?;
    let (cycle, batch, evidence) = batch(engine, run, cycle).await?;
    let (definition, status) = (engine.definition(id).await?, engine.status(id).await?);
    #[expect(clippy::cast_precision_loss, reason = "a mean, to fifteen digits")]
    let seconds = (status.answers > 0).then(|| status.spent_seconds / status.answers as f64);
    let pace = Pace { answers: definition.answers, seconds };
    let classes = classes(engine, id).await?;
    what_if(cycle, (&batch, &evidence), &strategy, size, &classes, pace)
        .map_err(|error| wrong(&error))
}

/// What a run did with a sample.
pub(super) async fn explained(
    engine: &Engine,
    run: Option<&str>,
    sample: &str,
) -> Result<Explanation, ControlError> {
    let run = find_run(engine, run).await?;
    let mut explainer = Explainer::new(SampleId::from(sample));
    let mut files = |digest: &Digest| engine.artifacts().get(digest).ok();
    for cycle in (1..=engine.last_cycle(run).await?.0).map(CycleNumber) {
        for recorded in records(engine, run, cycle).await? {
            explainer.take(cycle, &recorded.event, &mut files);
            if let Event::BatchSelected(BatchSelected { scores: Some(scores), .. }) =
                &recorded.event
                && let Err(ControlError::Removed { date, .. }) =
                    check_kept(engine, run, scores, "").await
            {
                explainer.lost(date);
            }
        }
    }
    explainer.finish().ok_or_else(|| ControlError::UnknownSample { sample: sample.to_owned(), run })
}

/// Why each pick of a cycle is one.
pub(super) async fn explained_batch(
    engine: &Engine,
    run: Option<&str>,
    cycle: u32,
) -> Result<BatchExplanation, ControlError> {
    let (run, cycle) = find_cycle(engine, run, cycle).await?;
    let mut explainer = BatchExplainer::new(cycle);
    let mut files = |digest: &Digest| engine.artifacts().get(digest).ok();
    for earlier in (1..=cycle.0).map(CycleNumber) {
        for recorded in records(engine, run, earlier).await? {
            explainer.take(earlier, &recorded.event, &mut files);
        }
    }
    explainer.finish().ok_or_else(|| {
        ControlError::Selection(format!("cycle {cycle} of run {run} has no batch yet"))
    })
}

/// The batch of a cycle, and what it was picked from.
async fn batch(
    engine: &Engine,
    run: Option<&str>,
    cycle: u32,
) -> Result<(CycleNumber, BatchSelected, Evidence), ControlError> {
    let (run, cycle) = find_cycle(engine, run, cycle).await?;
    let lacks = |what: &str| ControlError::Selection(format!("cycle {cycle} of run {run} {what}"));
    let selected = selected(engine, run, cycle).await?;
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

/// The batch of a cycle, if it has one yet.
async fn selected(
    engine: &Engine,
    run: RunId,
    cycle: CycleNumber,
) -> Result<Option<BatchSelected>, ControlError> {
    Ok(records(engine, run, cycle).await?.into_iter().find_map(|recorded| {
        if let Event::BatchSelected(batch) = recorded.event { Some(batch) } else { None }
    }))
}

/// A cycle that a run has.
async fn find_cycle(
    engine: &Engine,
    run: Option<&str>,
    cycle: u32,
) -> Result<(RunId, CycleNumber), ControlError> {
    let run = find_run(engine, run).await?;
    let last = engine.last_cycle(run).await?.0;
    if cycle == 0 || cycle > last {
        return Err(ControlError::UnknownCycle { run, cycle, last });
    }
    Ok((run, CycleNumber(cycle)))
}

/// The names of a run's classes.
async fn classes(engine: &Engine, run: RunId) -> Result<Vec<String>, ControlError> {
    let first = engine.log(CycleId { run, cycle: CycleNumber(1) }, Revision(0), 1).await?;
    Ok(match first.into_iter().next().map(|recorded| recorded.event) {
        Some(Event::RunStarted(started)) => started.classes,
        Some(_) | None => Vec::new(),
    })
}
