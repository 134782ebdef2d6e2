//! Runs as they were: a log, folded up to a point.

use super::{ControlError, find_run, records};
use crate::audit::replay::{Point, Replay};
use crate::domain::ids::CycleNumber;
use crate::engine::{Engine, EngineError};

/// The run that `run` names, without a name the newest, as it was at `to`, without a point as it is.
pub(super) async fn replayed(
    engine: &Engine,
    run: Option<&str>,
    to: Option<&str>,
) -> Result<Replay, ControlError> {
    let run = find_run(engine, run).await?;
    let to: Option<Point> = to.map(str::parse).transpose().map_err(ControlError::BadPoint)?;
    let mut replay = Replay::new(run);
    let last = to.map_or(u32::MAX, |to| to.cycle.0).min(engine.last_cycle(run).await?.0);
    let mut end = None;
    for cycle in (1..=last).map(CycleNumber) {
        for recorded in records(engine, run, cycle).await? {
            if to.is_some_and(|to| !to.reaches(cycle, recorded.revision)) {
                return Ok(replay);
            }
            replay
                .take(cycle, recorded.revision, &recorded.event)
                .map_err(|source| EngineError::IllegalLog { run, source })?;
            end = Some(Point { cycle, revision: Some(recorded.revision) });
        }
    }
    match (to, end) {
        (Some(to), Some(end)) if !is_reached(to, end) => {
            Err(ControlError::BeyondEnd { run, end, to })
        }
        (_, _) => Ok(replay),
    }
}

/// Whether a log that ends there has the point.
fn is_reached(to: Point, end: Point) -> bool {
    match to.revision {
        Some(revision) => (end.cycle, end.revision) >= (to.cycle, Some(revision)),
        None => end.cycle >= to.cycle,
    }
}

/// `RUN@CYCLE:REVISION` in its two parts; both may be missing.
pub(super) fn parts(text: &str) -> (Option<&str>, Option<&str>) {
    let (run, point) = text.split_once('@').map_or((text, None), |(run, point)| (run, Some(point)));
    (Some(run).filter(|run| !run.is_empty()), point)
}
