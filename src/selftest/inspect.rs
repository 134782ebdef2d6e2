//! Opens a state directory and reads every byte that matters: each event, each artifact that an event names, each job.

use super::{Say, SelftestError, workload};
use crate::domain::event::Event;
use crate::domain::ids::{CycleNumber, RunId};
use crate::faults::Faults;
use crate::store::{EventLog, JobQueue};
use std::path::Path;

/// Read this many events at a time.
const PAGE: usize = 1000;

/// Says every event and every job of a state directory.
///
/// # Errors
/// [`SelftestError`] says what is damaged.
pub async fn inspect(state: &Path, say: Say) -> Result<(), SelftestError> {
    let store = workload::open(state, &Faults::none())?;
    let mut campaigns: Vec<RunId> = Vec::new();
    for (run, _) in store.runs().await? {
        let mut from = CycleNumber(1);
        loop {
            let page = store.read_cycles(run, from, PAGE).await?;
            let Some(last) = page.last() else { break };
            from = last.cycle.cycle.next();
            for recorded in &page {
                for digest in recorded.event.artifacts() {
                    store
                        .artifacts()
                        .get(&digest)
                        .map_err(|error| SelftestError::Harness(error.to_string()))?;
                }
                if matches!(recorded.event, Event::RunStarted(_)) {
                    campaigns.push(run);
                }
                say(&workload::event_line(recorded));
            }
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
