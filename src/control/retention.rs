//! What is no longer kept: planned from all logs and all files, and done if that is wanted.

use super::{ControlError, find_run, records};
use crate::audit::retention::{Holdings, Models, Plan, Policy};
use crate::domain::digest::Digest;
use crate::domain::ids::{CycleNumber, RunId};
use crate::engine::{Engine, EngineError};
use std::collections::BTreeSet;

/// Plans what goes; with `confirmed` it goes, each removal being on record before the file is gone. Backups and forks wait
/// meanwhile. Whoever is interrupted in
/// between leaves files that the next one takes away.
pub(super) async fn collected(
    engine: &Engine,
    cycles: u32,
    models: Models,
    keep: &[String],
    confirmed: bool,
) -> Result<Plan, ControlError> {
    let mut runs = BTreeSet::new();
    for text in keep {
        runs.insert(find_run(engine, Some(text)).await?);
    }
    let policy = Policy { cycles, models, runs };
    // Whoever copies artifacts, or is about to name another run's, comes before or after.
    let _alone = if confirmed { Some(engine.housekeeping().await) } else { None };
    let artifacts = engine.artifacts().clone();
    // Before the logs are read: what is there now and is named later is counted on.
    let files = artifacts.list().map_err(EngineError::from)?;
    let mut holdings = Vec::new();
    for run in engine.runs().await? {
        let mut held = Holdings::new(run, engine.payloads(run).await?);
        for cycle in (1..=engine.last_cycle(run).await?.0).map(CycleNumber) {
            records(engine, run, cycle).await?.iter().for_each(|recorded| held.take(recorded));
        }
        holdings.push(held);
    }
    let mut plan =
        Plan::new(&policy, &holdings, &files, &|artifact| artifacts.is_counted_on(artifact));
    if !confirmed {
        return Ok(plan);
    }
    for (run, removed) in plan.by_run() {
        engine.record_removal(run, removed, plan.policy.clone()).await?;
    }
    for gone in plan.files() {
        artifacts.remove(&gone.artifact).map_err(EngineError::from)?;
    }
    plan.done = true;
    Ok(plan)
}

/// Says why an artifact that is not there is not, where its run's log tells.
///
/// # Errors
/// [`ControlError::Removed`].
pub(super) async fn check_kept(
    engine: &Engine,
    run: RunId,
    artifact: &Digest,
    what: &str,
) -> Result<(), ControlError> {
    match engine.removed(run, artifact).await? {
        Some(at) if !engine.artifacts().path(artifact).exists() => {
            let (what, artifact, date) = (what.to_owned(), *artifact, at.date());
            Err(ControlError::Removed { what, artifact, date })
        }
        Some(_) | None => Ok(()),
    }
}
