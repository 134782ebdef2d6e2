//! The second terminal: what can be asked of an engine, in this process or through a socket of the process that has the
//! state directory.
//!
//! [`handle`] answers a [`Request`], whoever asks. [`serve`] listens on `control.sock` in the state directory, one JSON
//! line each way (`control/wire.rs`); [`ask`] is the other end. Only the owner of the state directory may connect. [`backup`]
//! copies all of it.

pub mod backup;
mod records;
mod replay;
mod report;
mod retention;
mod selection;
mod wire;

use crate::audit::replay::{Point, difference};
use crate::domain::digest::Digest;
use crate::domain::ids::{CycleId, CycleNumber, JobId, Revision, RunId};
use crate::engine::reinfer::ReinferError;
use crate::engine::status::RunState;
use crate::engine::{Engine, EngineError};
use crate::store::{Recorded, StoreError};
pub use records::{decoded, records_from};
use records::{encoded, page};
use replay::{parts, replayed};
use report::reported;
use retention::collected;
use selection::{explained, explained_batch, reinferred, reselected, what_else};
use std::path::{Path, PathBuf};
use std::time::Duration;
pub use wire::{BackedUp, Cursor, LogRecord, Request, Response};

/// Records that one answer holds at the most.
const PAGE: usize = 200;

/// How long a request for newer records waits for one.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The engine refused or failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// No run is meant.
    #[error("no run is recorded here yet: start one with `gleaner run WORKFLOW`")]
    NoRuns,
    /// Every run is over.
    #[error("no run is left to go on: the newest, {run}, has ended")]
    NoneUnfinished {
        /// The newest run.
        run: RunId,
    },
    /// No run is called that.
    #[error(
        "there is no run {text:?}: give the beginning or the end of one of the ids that `gleaner status` lists"
    )]
    UnknownRun {
        /// What was given.
        text: String,
    },
    /// Several are.
    #[error("{text:?} may mean {}: give more of the id", list(found))]
    AmbiguousRun {
        /// What was given.
        text: String,
        /// What it may mean.
        found: Vec<RunId>,
    },
    /// Not a job's id.
    #[error("{text:?} is no job id: `gleaner jobs` lists them")]
    BadJob {
        /// What was given.
        text: String,
    },
    /// What came over the socket is no record.
    #[error("a record does not read: {0}")]
    BadRecord(String),
    /// A batch that cannot be picked again.
    #[error("{0}")]
    Selection(String),
    /// A batch that cannot be picked with its model run again.
    #[error(transparent)]
    Reinfer(#[from] ReinferError),
    /// What was asked for is no longer kept.
    #[error(
        "{what} was removed by policy on {date}: the log keeps its digest, {artifact}, by which a copy can be told"
    )]
    Removed {
        /// What is meant, for people.
        what: String,
        /// Its digest.
        artifact: Digest,
        /// The day on which that was recorded, in UTC.
        date: String,
    },
    /// A sample of which a log says nothing.
    #[error("the log of run {run} says nothing of sample {sample:?}: it was never a candidate")]
    UnknownSample {
        /// Which sample.
        sample: String,
        /// Which run.
        run: RunId,
    },
    /// No place in a log.
    #[error("{0}")]
    BadPoint(String),
    /// A place after the end of a log.
    #[error("there is nothing at {to}: up to there the log of run {run} ends at {end}")]
    BeyondEnd {
        /// Which run.
        run: RunId,
        /// Where its log ends.
        end: Point,
        /// What was asked for.
        to: Point,
    },
    /// Something is where a copy is to be put.
    #[error("{} is there already and not empty: name a folder that is not there yet", path.display())]
    Occupied {
        /// Where.
        path: PathBuf,
    },
    /// What is to be copied does not hold together.
    #[error(
        "{} is not whole, so no copy of it was kept: {what}; `gleaner verify` tells all that is wrong, `gleaner repair` keeps what is intact",
        path.display()
    )]
    NotWhole {
        /// The original.
        path: PathBuf,
        /// What is wrong first.
        what: String,
    },
    /// A copy cannot be written.
    #[error("could not write a copy to {}", path.display())]
    Copy {
        /// Where.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Several are called that.
    #[error("{text:?} may mean several models: give more of the digest")]
    AmbiguousModel {
        /// What was given.
        text: String,
    },
    /// Not a model.
    #[error(
        "{text:?} is no model that was in production in this run: `gleaner models list` shows them"
    )]
    BadModel {
        /// What was given.
        text: String,
    },
    /// No such cycle.
    #[error("run {run} has no cycle {cycle}: it has {last}")]
    UnknownCycle {
        /// Which run.
        run: RunId,
        /// The cycle asked for.
        cycle: u32,
        /// The newest one.
        last: u32,
    },
}

fn list(runs: &[RunId]) -> String {
    runs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
}

/// The run that `text` names by the beginning or the end of its id; without a text the newest.
///
/// # Errors
/// [`ControlError`] says what is wrong with the name.
pub async fn find_run(engine: &Engine, text: Option<&str>) -> Result<RunId, ControlError> {
    // A whole id names one run, however many there are.
    if let Some(Ok(run)) = text.map(str::parse)
        && engine.holds(run).await?
    {
        return Ok(run);
    }
    let runs = engine.runs().await?;
    let Some(text) = text else {
        return runs.last().copied().ok_or(ControlError::NoRuns);
    };
    named(runs, text)
}

/// The one of `runs` that `text` names by the beginning or the end of its id.
///
/// # Errors
/// [`ControlError::UnknownRun`] or [`ControlError::AmbiguousRun`].
pub fn named(runs: Vec<RunId>, text: &str) -> Result<RunId, ControlError> {
    let wanted = text.to_lowercase();
    let named = |run: &RunId| {
        let id = run.to_string();
        id.starts_with(&wanted) || id.ends_with(&wanted)
    };
    let found: Vec<RunId> = runs.into_iter().filter(named).collect();
    match found.as_slice() {
        [] => Err(ControlError::UnknownRun { text: text.to_owned() }),
        [run] => Ok(*run),
        _ => Err(ControlError::AmbiguousRun { text: text.to_owned(), found }),
    }
}

/// As [`find_run`], but without a text the newest run that has not ended.
///
/// # Errors
/// As [`find_run`], and [`ControlError::NoneUnfinished`].
pub async fn find_unfinished(engine: &Engine, text: Option<&str>) -> Result<RunId, ControlError> {
    if text.is_some() {
        return find_run(engine, text).await;
    }
    let runs = engine.runs().await?;
    for run in runs.iter().rev() {
        if engine.status(*run).await?.state != RunState::Ended {
            return Ok(*run);
        }
    }
    Err(runs.last().map_or(ControlError::NoRuns, |run| ControlError::NoneUnfinished { run: *run }))
}

/// Answers a request.
///
/// # Errors
/// [`ControlError`] if the request names something that is not there, or the engine refuses.
pub async fn handle(engine: &Engine, request: Request) -> Result<Response, ControlError> {
    match request {
        Request::Runs => {
            let mut statuses = Vec::new();
            for run in engine.runs().await? {
                statuses.push(engine.status(run).await?);
            }
            Ok(Response::Runs(statuses))
        }
        Request::Status { run } => {
            let run = find_run(engine, run.as_deref()).await?;
            Ok(Response::Status(engine.status(run).await?))
        }
        Request::Log { run, cycle, from, wait } => {
            let run = find_run(engine, run.as_deref()).await?;
            log(engine, run, cycle, from, wait).await
        }
        Request::Records { run, from } => {
            let run = find_run(engine, Some(&run)).await?;
            let (records, next) = records_from(engine, run, from).await?;
            Ok(Response::Records { records: encoded(records)?, next })
        }
        Request::Jobs => Ok(Response::Jobs(engine.jobs().await?)),
        Request::RetryJob { job } => {
            let id = find_job(engine, &job).await?;
            engine.retry_job(id).await?;
            Ok(Response::Done(format!("job {id} will be tried again")))
        }
        Request::CancelJob { job } => {
            let id = find_job(engine, &job).await?;
            engine.remove_job(id).await?;
            Ok(Response::Done(format!(
                "job {id} is removed; its run stands still until `gleaner resume`"
            )))
        }
        Request::Cancel { run, reason } => {
            let run = find_unfinished(engine, run.as_deref()).await?;
            engine.cancel(run, &reason).await?;
            Ok(Response::Done(format!("run {run} is cancelled")))
        }
        Request::Pause { run } => {
            let run = find_unfinished(engine, run.as_deref()).await?;
            engine.pause(run).await?;
            Ok(Response::Done(format!(
                "run {run} is paused; the step under way ends first, `gleaner resume` goes on"
            )))
        }
        Request::Resume { run } => {
            let run = find_unfinished(engine, run.as_deref()).await?;
            engine.resume(run).await?;
            Ok(Response::Done(format!("run {run} goes on")))
        }
        Request::Models { run } => {
            let run = find_run(engine, run.as_deref()).await?;
            Ok(Response::Models(engine.models(run).await?))
        }
        Request::Replay { run, to } => {
            let replay = replayed(engine, run.as_deref(), to.as_deref()).await?;
            Ok(Response::Replayed(replay.snapshot()))
        }
        Request::Diff { a, b } => {
            let ((a, a_at), (b, b_at)) = (parts(&a), parts(&b));
            let (a, b) = (replayed(engine, a, a_at).await?, replayed(engine, b, b_at).await?);
            let prices_of_a = engine.definition(a.run().id).await?.answers;
            let prices_of_b = engine.definition(b.run().id).await?.answers;
            Ok(Response::Difference(difference((&a, &prices_of_a), (&b, &prices_of_b))))
        }
        Request::Explain { run, sample } => {
            Ok(Response::Explained(explained(engine, run.as_deref(), &sample).await?))
        }
        Request::ExplainBatch { run, cycle } => {
            Ok(Response::ExplainedBatch(explained_batch(engine, run.as_deref(), cycle).await?))
        }
        Request::Reselect { run, cycle } => {
            Ok(Response::Reselected(reselected(engine, run.as_deref(), cycle).await?))
        }
        Request::Reinfer { run, cycle, provider } => {
            Ok(Response::Inferred(reinferred(engine, run.as_deref(), cycle, provider).await?))
        }
        Request::WhatIf { run, cycle, strategy, batch } => {
            let run = run.as_deref();
            Ok(Response::WhatIf(what_else(engine, run, cycle, &strategy, batch).await?))
        }
        Request::BackUp { to } => Ok(Response::BackedUp(backup::back_up(engine, &to).await?)),
        Request::Report { run, picks } => {
            Ok(Response::Report(reported(engine, run.as_deref(), picks).await?))
        }
        Request::Collect { cycles, models, keep, confirmed } => {
            Ok(Response::Collected(collected(engine, cycles, models, &keep, confirmed).await?))
        }
        Request::Labels { run } => {
            let run = find_run(engine, run.as_deref()).await?;
            Ok(Response::Labels(engine.labels(run).await?))
        }
        Request::RollBack { run, model, reason } => {
            let run = find_run(engine, run.as_deref()).await?;
            let model = find_model(engine, run, &model).await?;
            engine.roll_back(run, model, &reason).await?;
            let file = engine.current_model(run);
            let short = model.short();
            Ok(Response::Done(format!("model {short} is in production again: {}", file.display())))
        }
        Request::Pin { run, pinned, reason } => {
            let run = find_run(engine, run.as_deref()).await?;
            engine.pin(run, pinned, &reason).await?;
            Ok(Response::Done(match pinned {
                true => {
                    format!("the production model of run {run} is pinned: no training replaces it")
                }
                false => format!("the production model of run {run} may be replaced again"),
            }))
        }
    }
}

/// The model that `text` names by the beginning of its digest.
async fn find_model(engine: &Engine, run: RunId, text: &str) -> Result<Digest, ControlError> {
    let wanted = text.to_lowercase();
    let models = engine.models(run).await?;
    let mut named = models.iter().map(|known| known.model);
    let is_meant = |model: &Digest| !wanted.is_empty() && model.to_string().starts_with(&wanted);
    let mut found = named.by_ref().filter(is_meant);
    match (found.next(), found.next()) {
        (Some(model), None) => Ok(model),
        (Some(_), Some(_)) => Err(ControlError::AmbiguousModel { text: text.to_owned() }),
        (None, _) => Err(ControlError::BadModel { text: text.to_owned() }),
    }
}

/// The job that `text` names by the beginning or the end of its id.
async fn find_job(engine: &Engine, text: &str) -> Result<JobId, ControlError> {
    let wanted = text.to_lowercase();
    let jobs = engine.jobs().await?;
    let mut named = jobs.iter().filter(|job| {
        let id = job.id.to_string();
        !wanted.is_empty() && (id.starts_with(&wanted) || id.ends_with(&wanted))
    });
    match (named.next(), named.next()) {
        (Some(job), None) => Ok(job.id),
        (Some(_) | None, _) => Err(ControlError::BadJob { text: text.to_owned() }),
    }
}

/// The whole log of a cycle.
async fn records(
    engine: &Engine,
    run: RunId,
    cycle: CycleNumber,
) -> Result<Vec<Recorded>, ControlError> {
    let mut records: Vec<Recorded> = Vec::new();
    loop {
        let from = records.last().map_or(Revision(0), |last| last.revision.next());
        let mut page = engine.log(CycleId { run, cycle }, from, PAGE).await?;
        if page.is_empty() {
            return Ok(records);
        }
        records.append(&mut page);
    }
}

async fn log(
    engine: &Engine,
    run: RunId,
    only: Option<u32>,
    from: Cursor,
    wait: bool,
) -> Result<Response, ControlError> {
    let mut notices = engine.watch();
    let mut waited = !wait;
    loop {
        let over = engine.status(run).await?.state == RunState::Ended;
        let last = engine.last_cycle(run).await?.0;
        if let Some(cycle) = only.filter(|cycle| *cycle == 0 || *cycle > last) {
            return Err(ControlError::UnknownCycle { run, cycle, last });
        }
        let begin = only
            .filter(|cycle| *cycle != from.cycle)
            .map_or(from, |cycle| Cursor { cycle, revision: 0 });
        let (records, next) = page(engine, run, begin, only.unwrap_or(last)).await?;
        let records: Vec<LogRecord> = records.into_iter().map(LogRecord::from).collect();
        let complete = records.len() < PAGE && (over || only.is_some_and(|cycle| cycle < last));
        if waited || complete || !records.is_empty() {
            return Ok(Response::Log { records, next, over: complete });
        }
        waited = true;
        drop(tokio::time::timeout(PATIENCE, notices.recv()).await); // whatever came, look again
    }
}

/// Where the socket of a state directory is.
#[must_use]
pub fn socket(state: &Path) -> PathBuf {
    state.join("control.sock")
}

/// Answers requests on the socket of `state` until the future is dropped. Call it only while this process has the state
/// directory open: a socket that a dead process left behind is replaced.
///
/// # Errors
/// If the socket cannot be made, for example because its path is too long for one (about 100 bytes).
#[cfg(unix)]
pub async fn serve(engine: Engine, state: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let path = socket(state);
    drop(std::fs::remove_file(&path)); // there may be none
    let listener = tokio::net::UnixListener::bind(&path)?;
    let _gone = RemoveOnDrop(path.clone());
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    loop {
        let (stream, _) = listener.accept().await?;
        let engine = engine.clone();
        tokio::spawn(async move {
            if let Err(error) = answer(&engine, stream).await {
                tracing::debug!(%error, "a second terminal hung up");
            }
        });
    }
}

/// Answers nothing: sockets of this kind are a matter of Unix.
///
/// # Errors
/// Never.
#[cfg(not(unix))]
pub async fn serve(_: Engine, _: &Path) -> std::io::Result<()> {
    std::future::pending().await
}

#[cfg(unix)]
struct RemoveOnDrop(PathBuf);

#[cfg(unix)]
impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0)); // the next owner replaces it anyway
    }
}

#[cfg(unix)]
async fn answer(engine: &Engine, stream: tokio::net::UnixStream) -> std::io::Result<()> {
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read.take(wire::REQUEST_BYTES_MAX)).lines();
    if let Some(line) = lines.next_line().await? {
        let response = match wire::read(line.as_bytes()) {
            Ok(request) => handle(engine, request)
                .await
                .unwrap_or_else(|error| Response::Refused(chain(&error))),
            Err(error) => Response::Refused(format!("not a request: {error}")),
        };
        write.write_all(&wire::line(&response)?).await?;
    }
    Ok(())
}

#[cfg(unix)]
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Asks the process that has `state` open; `None` if nobody answers there. A link is nobody: it may lead to a stranger.
pub async fn ask(state: &Path, request: &Request) -> Option<Response> {
    #[cfg(unix)]
    {
        use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
        let path = socket(state);
        if std::fs::symlink_metadata(&path).ok()?.is_symlink() {
            return None;
        }
        let stream = tokio::net::UnixStream::connect(path).await.ok()?;
        let (read, mut write) = stream.into_split();
        write.write_all(&wire::line(request).ok()?).await.ok()?;
        let line = BufReader::new(read.take(wire::RESPONSE_BYTES_MAX))
            .lines()
            .next_line()
            .await
            .ok()??;
        wire::read(line.as_bytes()).ok()
    }
    #[cfg(not(unix))]
    {
        let _ = (state, request);
        None
    }
}

/// Whether the store is held by another process, which can then be asked.
#[must_use]
pub const fn is_held(error: &StoreError) -> bool {
    matches!(error, StoreError::Locked { .. })
}
