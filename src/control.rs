//! The second terminal: what can be asked of an engine, in this process or through a socket of the process that has the
//! state directory.
//!
//! [`handle`] answers a [`Request`], whoever asks. [`serve`] listens on `control.sock` in the state directory, one JSON
//! line each way; [`ask`] is the other end. Only the owner of the state directory may connect.

use crate::domain::event::Event;
use crate::domain::ids::{CycleId, CycleNumber, JobId, Revision, RunId};
use crate::engine::status::{JobSummary, RunState, RunStatus};
use crate::engine::{Engine, EngineError};
use crate::store::{Recorded, StoreError};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The longest request that is read; ids and a reason are far shorter.
const REQUEST_BYTES_MAX: u64 = 64 * 1024;

/// Records that one answer holds at the most.
const PAGE: usize = 200;

/// How long a request for newer records waits for one.
const PATIENCE: Duration = Duration::from_secs(1);

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// The state of every run.
    Runs,
    /// The state of one run.
    Status {
        /// Which; the newest if none is named.
        run: Option<String>,
    },
    /// Records of a run.
    Log {
        /// Which run; the newest if none is named.
        run: Option<String>,
        /// Of this cycle only.
        cycle: Option<u32>,
        /// From here on.
        from: Cursor,
        /// Whether to wait a moment if there are none.
        wait: bool,
    },
    /// Every unfinished job.
    Jobs,
    /// New tries for a dead job.
    RetryJob {
        /// Which.
        job: String,
    },
    /// Remove a job.
    CancelJob {
        /// Which.
        job: String,
    },
    /// End a run.
    Cancel {
        /// Which run; the newest unfinished one if none is named.
        run: Option<String>,
        /// Why, for the log.
        reason: String,
    },
    /// Hold a run's jobs back.
    Pause {
        /// Which run; the newest unfinished one if none is named.
        run: Option<String>,
    },
    /// Let a run go on.
    Resume {
        /// Which run; the newest unfinished one if none is named.
        run: Option<String>,
    },
}

/// A place in a run's logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The cycle, from 1.
    pub cycle: u32,
    /// The revision in its log.
    pub revision: u64,
}

impl Cursor {
    /// The beginning.
    pub const START: Self = Self { cycle: 1, revision: 0 };
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "answers are few and short-lived")]
pub enum Response {
    /// To [`Request::Runs`].
    Runs(Vec<RunStatus>),
    /// To [`Request::Status`].
    Status(RunStatus),
    /// To [`Request::Log`].
    Log {
        /// In order.
        records: Vec<LogRecord>,
        /// Where to go on.
        next: Cursor,
        /// Nothing will follow: the run is over, or the one cycle asked for is.
        over: bool,
    },
    /// To [`Request::Jobs`].
    Jobs(Vec<JobSummary>),
    /// To what changes something: what happened.
    Done(String),
    /// It was refused.
    Refused(String),
}

/// A record as `gleaner log --json` prints it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogRecord {
    /// Its place in the store, from 1.
    pub position: u64,
    /// Its id.
    pub id: String,
    /// Its run.
    pub run: String,
    /// Its cycle.
    pub cycle: u32,
    /// Its place in the cycle's log, from 0.
    pub revision: u64,
    /// When it happened, RFC 3339 in UTC.
    pub recorded: String,
    /// The job whose result it is.
    pub causation: Option<String>,
    /// Who caused it.
    pub actor: String,
    /// The version it was written in.
    pub version: u16,
    /// The workflow digest.
    pub workflow: String,
    /// The hash of the record before it.
    pub previous: String,
    /// Its hash.
    pub hash: String,
    /// What happened.
    pub name: String,
    /// What happened, in full.
    pub event: Event,
}

impl From<Recorded> for LogRecord {
    fn from(recorded: Recorded) -> Self {
        Self {
            position: recorded.position.0,
            id: recorded.id.to_string(),
            run: recorded.cycle.run.to_string(),
            cycle: recorded.cycle.cycle.0,
            revision: recorded.revision.0,
            recorded: rfc3339(recorded.recorded.0),
            causation: recorded.causation.map(|job| job.to_string()),
            actor: recorded.actor,
            version: recorded.version,
            workflow: recorded.workflow.to_string(),
            previous: recorded.previous.to_string(),
            hash: recorded.hash.to_string(),
            name: recorded.event.name().to_owned(),
            event: recorded.event,
        }
    }
}

fn rfc3339(micros: i64) -> String {
    chrono::DateTime::from_timestamp_micros(micros).map_or_else(
        || format!("{micros} us since 1970"),
        |time| time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
    )
}

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
    let runs = engine.runs().await?;
    let Some(text) = text else {
        return runs.last().copied().ok_or(ControlError::NoRuns);
    };
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
        let mut next = only
            .filter(|cycle| *cycle != from.cycle)
            .map_or(from, |cycle| Cursor { cycle, revision: 0 });
        let end = only.unwrap_or(last);
        let mut records = Vec::new();
        while next.cycle <= end && records.len() < PAGE {
            let cycle = CycleId { run, cycle: CycleNumber(next.cycle) };
            let page = engine.log(cycle, Revision(next.revision), PAGE - records.len()).await?;
            if page.is_empty() {
                if next.cycle == end {
                    break;
                }
                next = Cursor { cycle: next.cycle + 1, revision: 0 };
            }
            next.revision += page.len() as u64;
            records.extend(page.into_iter().map(LogRecord::from));
        }
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
    let mut lines = BufReader::new(read.take(REQUEST_BYTES_MAX)).lines();
    if let Some(line) = lines.next_line().await? {
        let response = match serde_json::from_str(&line) {
            Ok(request) => handle(engine, request)
                .await
                .unwrap_or_else(|error| Response::Refused(chain(&error))),
            Err(error) => Response::Refused(format!("not a request: {error}")),
        };
        let mut bytes = serde_json::to_vec(&response)?;
        bytes.push(b'\n');
        write.write_all(&bytes).await?;
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
        use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
        let path = socket(state);
        let is_link = std::fs::symlink_metadata(&path).ok()?.is_symlink();
        let stream = tokio::net::UnixStream::connect(path).await.ok().filter(|_| !is_link)?;
        let (read, mut write) = stream.into_split();
        let mut bytes = serde_json::to_vec(request).ok()?;
        bytes.push(b'\n');
        write.write_all(&bytes).await.ok()?;
        let line = BufReader::new(read).lines().next_line().await.ok()??;
        serde_json::from_str(&line).ok()
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
