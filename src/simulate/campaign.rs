//! Campaigns, several at a time: each an engine of its own on a store in memory.

use super::{Curve, Plan, Point, SimulateError};
use crate::artifacts::Artifacts;
use crate::domain::definition::Definition;
use crate::engine::status::RunState;
use crate::engine::{Engine, EngineError};
use crate::inference::InstallPolicy;
use crate::store::memory::MemoryStore;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tempfile::TempDir;
use tokio::sync::watch;

/// How a comparison is made.
#[derive(Debug, Clone)]
pub struct How {
    /// Campaigns at a time; at least one.
    pub threads: usize,
    /// Whether a missing inference runtime may be installed.
    pub install: InstallPolicy,
    /// Becomes true when the work is to stop.
    pub stop: watch::Receiver<bool>,
}

/// Runs every campaign of the plan; `tell` hears after each how many are done. Blocks.
///
/// # Errors
/// [`SimulateError::Interrupted`] if it was stopped; otherwise what the first failing campaign failed with.
pub fn run(
    plan: &Plan,
    how: &How,
    tell: &(dyn Fn(u64) + Sync),
) -> Result<Vec<Curve>, SimulateError> {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let answers = Mutex::new(Vec::new());
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some((strategy, seed, definition)) = plan.campaigns.get(index) else { return };
            let answer = if *how.stop.borrow() {
                Err(SimulateError::Interrupted)
            } else {
                let name = plan.strategies.get(*strategy).map_or("", String::as_str);
                campaign(name, *seed, definition, &plan.folder, how).map(|points| Curve {
                    strategy: *strategy,
                    seed: *seed,
                    points,
                })
            };
            if answer.is_err() {
                next.store(plan.campaigns.len(), Ordering::Relaxed); // nothing more is begun
            }
            answers.lock().unwrap_or_else(PoisonError::into_inner).push((index, answer));
            tell(done.fetch_add(1, Ordering::Relaxed) as u64 + 1);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..how.threads.clamp(1, plan.campaigns.len().max(1)) {
            scope.spawn(work);
        }
        work();
    });
    let mut answers = answers.into_inner().unwrap_or_else(PoisonError::into_inner);
    answers.sort_by_key(|(index, _)| *index);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

fn campaign(
    strategy: &str,
    seed: u64,
    definition: &Definition,
    folder: &Path,
    how: &How,
) -> Result<Vec<Point>, SimulateError> {
    let scratch = scratch().map_err(SimulateError::Start)?;
    let artifacts = Artifacts::open(scratch.path())?;
    let engine = Engine::builder(Arc::new(MemoryStore::new()), artifacts)
        .install(how.install)
        .workers(1) // one run has one job at a time
        .build();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(SimulateError::Start)?;
    let mut stop = how.stop.clone();
    let status = runtime.block_on(async {
        let run = engine.start(definition.clone(), folder).await?;
        engine
            .run(async {
                tokio::select! {
                    settled = engine.settled(run) => drop(settled), // the status is asked for below
                    _ = stop.wait_for(|stop| *stop) => {}
                }
            })
            .await?;
        engine.status(run).await
    });
    let status = status.map_err(|source: EngineError| SimulateError::Engine {
        strategy: strategy.to_owned(),
        seed,
        source: Box::new(source),
    })?;
    match status.state {
        RunState::Ended => Ok(status
            .cycles
            .iter()
            .filter_map(|line| {
                let checked = line.acceptance.as_ref()?;
                Some(Point { labels: line.labelled, value: checked.value })
            })
            .collect()),
        RunState::Failed => Err(SimulateError::Failed {
            strategy: strategy.to_owned(),
            seed,
            cause: status.failed.map_or_else(String::new, |failed| failed.cause),
        }),
        RunState::Active | RunState::Paused => Err(SimulateError::Interrupted),
    }
}

/// A folder for models and scores that nobody keeps: in memory where the system has such a place, so that syncing them costs
/// nothing.
fn scratch() -> std::io::Result<TempDir> {
    let name = || {
        let mut builder = tempfile::Builder::new();
        builder.prefix("gleaner-simulate-");
        builder
    };
    if cfg!(target_os = "linux")
        && let Ok(folder) = name().tempdir_in("/dev/shm")
    {
        return Ok(folder);
    }
    name().tempdir()
}
