//! Runs as they were: a log, folded up to a point.

use super::{ControlError, find_run};
use crate::audit::replay::{Point, Replay};
use crate::engine::{Engine, EngineError};
use crate::store::fold_to_damage;

/// The run that `run` names, without a name the newest, as it was at `to`, without a point as it is.
pub(super) async fn replayed(
    engine: &Engine,
    run: Option<&str>,
    to: Option<&str>,
) -> Result<Replay, ControlError> {
    let run = find_run(engine, run).await?;
    let to: Option<Point> = to.map(str::parse).transpose().map_err(ControlError::BadPoint)?;
    let folded = (Replay::new(run), None);
    let (((replay, end), illegal), read) = fold_to_damage(
        engine.event_log(),
        run,
        (folded, None),
        move |((replay, end), illegal), recorded| {
            let (cycle, revision) = (recorded.cycle.cycle, recorded.revision);
            *end = Some(Point { cycle, revision: Some(revision) });
            if to.is_some_and(|to| !to.reaches(cycle, revision)) {
                return false;
            }
            *illegal = replay.take(cycle, revision, &recorded.event).err();
            illegal.is_none()
        },
    )
    .await;
    if let Some(source) = illegal {
        return Err(EngineError::IllegalLog { run, source }.into());
    }
    match (to, end) {
        // Damage behind the point is none of its business.
        (Some(to), Some(end)) if is_reached(to, end) => return Ok(replay),
        _ => read.map_err(EngineError::from)?,
    }
    match to.zip(end) {
        Some((to, end)) => Err(ControlError::BeyondEnd { run, end, to }),
        None => Ok(replay),
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
