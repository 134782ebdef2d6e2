//! A run's log as a whole: folded event by event, see [`EventLog::walk`].

use super::{EventLog, Recorded, StoreError};
use crate::domain::ids::{CycleNumber, RunId};
use std::sync::{Arc, Mutex, PoisonError};

/// Folds the events of a run into `state`, in order, until `take` answers false or the run's logs are over.
///
/// # Errors
/// Whatever `take` fails with, and those of [`EventLog::walk`].
pub async fn fold<S: Send + 'static, E: From<StoreError> + Send + 'static>(
    log: &dyn EventLog,
    run: RunId,
    state: S,
    mut take: impl FnMut(&mut S, Recorded) -> Result<bool, E> + Send + 'static,
) -> Result<S, E> {
    let ((state, failed), walked) =
        fold_to_damage(log, run, (state, None), move |(state, failed), recorded| {
            take(state, recorded).unwrap_or_else(|error| {
                *failed = Some(error);
                false
            })
        })
        .await;
    walked?;
    failed.map_or(Ok(state), Err)
}

/// As [`fold`], for what must be known of a damaged log too: answers what had been folded until then.
///
/// # Panics
/// If the log keeps what it was given to visit events with beyond its answer; none of this crate does.
pub async fn fold_to_damage<S: Send + 'static>(
    log: &dyn EventLog,
    run: RunId,
    state: S,
    mut take: impl FnMut(&mut S, Recorded) -> bool + Send + 'static,
) -> (S, Result<(), StoreError>) {
    let shared = Arc::new(Mutex::new(state));
    let taking = Arc::clone(&shared);
    let visit =
        move |recorded| take(&mut taking.lock().unwrap_or_else(PoisonError::into_inner), recorded);
    let walked = log.walk(run, CycleNumber(1), Box::new(visit)).await;
    #[expect(clippy::expect_used, reason = "whoever walked has ended and dropped its share")]
    let state = Arc::into_inner(shared).expect("the walk is over");
    (state.into_inner().unwrap_or_else(PoisonError::into_inner), walked)
}

/// Every event of a run, in order. Only for logs that are known to be short.
///
/// # Errors
/// As [`EventLog::walk`].
pub async fn read_run(log: &dyn EventLog, run: RunId) -> Result<Vec<Recorded>, StoreError> {
    fold(log, run, Vec::new(), |records, recorded| {
        records.push(recorded);
        Ok(true)
    })
    .await
}
