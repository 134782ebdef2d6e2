//! Runs as they were: a log, folded up to a point.

use super::{ControlError, find_run};
use crate::audit::replay::{Point, Replay};
use crate::domain::ids::CycleNumber;
use crate::domain::state::IllegalEvent;
use crate::engine::{Engine, EngineError};
use crate::store::Recorded;

/// How many events are read at a time.
const PAGE: usize = 4_096;

/// The run that `run` names, without a name the newest, as it was at `to`, without a point as it is.
pub(super) async fn replayed(
    engine: &Engine,
    run: Option<&str>,
    to: Option<&str>,
) -> Result<Replay, ControlError> {
    let run = find_run(engine, run).await?;
    let to: Option<Point> = to.map(str::parse).transpose().map_err(ControlError::BadPoint)?;
    let mut replay = Replay::new(run);
    let mut end = None;
    // Up to a point, cycle by cycle: what is behind it may be damaged.
    let limit = if to.is_some() { 1 } else { PAGE };
    let mut page = engine.cycles(run, CycleNumber(1), limit).await?;
    while let Some(last) = page.last() {
        let cycle = last.cycle.cycle;
        end = Some(Point { cycle, revision: Some(last.revision) });
        // The next page is read while this one is folded.
        let next = engine.cycles(run, cycle.next(), limit);
        let (next, folded) = tokio::join!(next, async { fold(&mut replay, &page, to) });
        folded.map_err(|source| EngineError::IllegalLog { run, source })?;
        if to.is_some_and(|to| cycle >= to.cycle) {
            break;
        }
        page = next?;
    }
    match (to, end) {
        (Some(to), Some(end)) if !is_reached(to, end) => {
            Err(ControlError::BeyondEnd { run, end, to })
        }
        (_, _) => Ok(replay),
    }
}

/// Takes a page in, up to a point.
fn fold(replay: &mut Replay, page: &[Recorded], to: Option<Point>) -> Result<(), IllegalEvent> {
    let reached = |recorded: &&Recorded| {
        to.is_none_or(|to| to.reaches(recorded.cycle.cycle, recorded.revision))
    };
    page.iter().take_while(reached).try_for_each(|recorded| {
        replay.take(recorded.cycle.cycle, recorded.revision, &recorded.event)
    })
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
