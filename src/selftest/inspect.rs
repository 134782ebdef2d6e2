//! Opens a state directory and reads every byte that matters: each event, each artifact that an event names, each job.

use super::{Say, SelftestError, workload};
use crate::domain::event::Event;
use crate::domain::ids::RunId;
use crate::faults::Faults;
use crate::store::{EventLog, JobQueue, read_run};
use std::path::Path;

/// Says every event and every job of a state directory.
///
/// # Errors
/// [`SelftestError`] says what is damaged.
pub async fn inspect(state: &Path, say: Say) -> Result<(), SelftestError> {
    let store = workload::open(state, &Faults::none())?;
    let mut campaigns: Vec<RunId> = Vec::new();
    for (run, _) in store.runs().await? {
        for recorded in read_run(&store, run).await? {
            for digest in recorded.event.artifacts() {
                store
                    .artifacts()
                    .get(&digest)
                    .map_err(|error| SelftestError::Harness(error.to_string()))?;
            }
            if matches!(recorded.event, Event::RunStarted(_)) {
                campaigns.push(run);
            }
            say(&workload::event_line(&recorded));
        }
    }
    for job in store.jobs().await? {
        say(&format!("job {}", job.id));
    }
    // Folding a log shows whether each event was allowed after the one before it.
    let engine = workload::engine(store);
    for run in campaigns {
        engine.status(run).await?;
    }
    Ok(())
}
