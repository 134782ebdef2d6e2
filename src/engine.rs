//! The engine: takes jobs, has reactors do them, and writes what follows. Owned by its host: no global state, no hidden
//! runtime.
//!
//! ```text
//! job leased -> reactor performs it -> command -> decide(run, command) -> ONE durable commit { events, job done, next job }
//! ```
//!
//! | file | what it owns |
//! |---|---|
//! | `builder` | what a host may choose |
//! | `engine.rs` | starting, resuming, pausing, cancelling, asking |
//! | [`dispatch`](self) | the worker loop, leases and their renewal, stopping |
//! | [`reactor`] | what a step is given and what it answers |
//! | [`reactors`] | the six built-in steps, one file each |
//! | `candidates`, `spool` | what may be picked; what a model said of it |
//! | `fork` | a run that goes on from where another one stood |
//! | `feasible` | whether a workflow can run as it stands, before anything is recorded |
//! | `live_run` | a run in memory, folded from its log |
//! | [`status`], [`notice`] | what is seen from outside |
//! | [`forecast`], [`savings`], [`label_report`] | what a run's history says of its future, of random selection, of its labels |
//! | `reinfer` | a past batch, with its model run again |
//! | `retention` | artifacts that are no longer kept |
//! | `published`, `unfinished` | the production model's file; trainings that were cut off |
//! | [`clock`] | the door for time and ids |

mod builder;
mod candidates;
pub mod clock;
mod dispatch;
mod error;
mod feasible;
pub mod forecast;
mod fork;
pub mod label_report;
mod live_run;
pub mod notice;
mod published;
pub mod reactor;
pub mod reactors;
pub mod reinfer;
mod retention;
pub mod savings;
mod spool;
pub mod status;
mod unfinished;

use crate::artifacts::Artifacts;
use crate::blocking::blocking;
use crate::data_selector::{Memory, Strategy};
use crate::domain::command::Command;
use crate::domain::decide::decide;
use crate::domain::definition::Definition;
use crate::domain::digest::Digest;
use crate::domain::event::{CycleCancelled, Pinned, RunStarted};
use crate::domain::ids::{CycleId, CycleNumber, JobId, Name, Revision, RunId, SampleId};
use crate::domain::job::{Job, JobKind, JobStatus, NewJob};
use crate::domain::state::{Phase, Run};
use crate::domain::time::Timestamp;
use crate::inference::InstallPolicy;
use crate::pool::{Pool, PoolError, Shown};
use crate::store::{Commit, EventLog, LeaseRequest, NewEvent, Recorded, Settle, Store};
pub use builder::EngineBuilder;
use clock::Clock;
pub use error::EngineError;
use label_report::LabelReport;
use live_run::LiveRun;
use notice::Notice;
use reactor::{Reactor, StepError};
use status::{JobSummary, ModelSummary, RunState, RunStatus};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, broadcast};

/// How often a commit that somebody else forestalled is decided anew. Only another writer of the same run can cause one, and
/// each success of his is progress.
const CONFLICTS_MAX: usize = 5;

/// Runs workflows. Cheap to clone; all clones are the same engine.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    artifacts: Artifacts,
    clock: Arc<dyn Clock>,
    reactors: BTreeMap<JobKind, Arc<dyn Reactor>>,
    limits: BTreeMap<JobKind, usize>,
    workers: usize,
    name: Name,
    grace: Duration,
    install: InstallPolicy,
    strategies: Arc<BTreeMap<String, Arc<dyn Strategy>>>,
    runs: tokio::sync::Mutex<BTreeMap<RunId, Arc<tokio::sync::Mutex<LiveRun>>>>,
    pools: Mutex<BTreeMap<RunId, Arc<Pool>>>,
    memories: Mutex<BTreeMap<RunId, Arc<Memory>>>,
    /// The steps under way, so that cancelling a run can interrupt them.
    steps: Mutex<BTreeMap<JobId, (RunId, Arc<AtomicBool>)>>,
    wake: Notify,
    notices: broadcast::Sender<Notice>,
    /// See [`Engine::housekeeping`]. Taken before any run is locked.
    housekeeping: tokio::sync::Mutex<()>,
}

impl Engine {
    /// An engine on this store. Artifacts must be the ones the store was opened with.
    pub fn builder(store: Arc<dyn Store>, artifacts: Artifacts) -> EngineBuilder {
        EngineBuilder::new(store, artifacts)
    }

    /// Works on jobs until `shutdown` resolves, then stops: leases nothing more, interrupts the steps under way, gives
    /// their jobs back, and returns. Dropping the future instead is as safe as a crash.
    ///
    /// # Errors
    /// [`EngineError::Store`] when the store failed: what was acknowledged is safe, open it again to go on. Other errors mean
    /// that a log does not fit its rules. A failing step is no error; it ends up in the log.
    pub async fn run(&self, shutdown: impl Future<Output = ()>) -> Result<(), EngineError> {
        dispatch::run(Arc::clone(&self.inner), shutdown).await
    }

    /// Notices from now on.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<Notice> {
        self.inner.notices.subscribe()
    }

    /// Starts a run of `definition`, whose relative paths begin at `folder`. When this returns, the run is recorded and
    /// survives a crash; [`Engine::run`] works on it.
    ///
    /// # Errors
    /// [`EngineError::Pool`], [`EngineError::Inference`] or [`EngineError::Contradiction`] if the workflow cannot run as
    /// it stands; nothing is recorded then.
    pub async fn start(&self, definition: Definition, folder: &Path) -> Result<RunId, EngineError> {
        let inner = Arc::clone(&self.inner);
        let folder = folder.to_path_buf();
        let (definition, folder, pool) = blocking(move || {
            let pool = Pool::load(&definition.pool, &folder)?;
            feasible::check(&definition, &folder, &pool, &inner.strategies, inner.install)?;
            inner.artifacts.put(&definition.canonical_bytes())?;
            Ok::<_, EngineError>((definition, folder, pool))
        })
        .await?;
        let run = RunId(self.inner.clock.mint());
        let started = RunStarted {
            name: definition.run.name.clone(),
            workflow: definition.digest(),
            folder: folder.display().to_string(),
            classes: pool.classes().to_vec(),
            gate: definition.kpi.gate,
            seed: definition.run.seed,
        };
        let mut live = LiveRun::new(run, definition, &folder);
        // Held until the run is listed: a worker that gets its first job at once would list another view of it.
        let mut runs = self.inner.runs.lock().await;
        self.inner.execute(&mut live, Command::StartRun(started), Cause::default()).await?;
        self.inner.tell_skipped(run, &pool);
        lock(&self.inner.pools).insert(run, Arc::new(pool));
        runs.insert(run, Arc::new(tokio::sync::Mutex::new(live)));
        drop(runs);
        Ok(run)
    }

    /// Lets a run go on: ends its pause, gives its failed steps new tries, and enqueues its next step if nothing is queued.
    /// A run that already goes on is left as it is.
    ///
    /// # Errors
    /// [`EngineError::Ended`] if it is over, [`EngineError::UnknownRun`] if there is no such run.
    pub async fn resume(&self, run: RunId) -> Result<(), EngineError> {
        let inner = &self.inner;
        let live = inner.live(run).await?;
        let live = live.lock().await;
        if let Phase::Ended(reason) = live.run.phase {
            return Err(EngineError::Ended { run, reason });
        }
        if inner.store.paused().await?.contains(&run) {
            inner.store.set_paused(run, false).await?;
        }
        let mut queued = false;
        for job in inner.jobs_of(run).await? {
            if job.status == JobStatus::Dead {
                inner.store.retry(job.id, inner.clock.steady()).await?;
            }
            queued = true;
        }
        if let Some((cycle, kind)) = live.run.next_step().filter(|_| !queued) {
            let now = inner.clock.steady();
            let job = inner.new_job(CycleId { run, cycle }, kind, now);
            let commit = Commit { enqueue: vec![job], now, ..Commit::default() };
            inner.store.commit(commit).await?;
        }
        inner.wake.notify_waiters();
        Ok(())
    }

    /// Holds a run's jobs back; the step under way goes on to its end. Durable.
    ///
    /// # Errors
    /// As [`Engine::resume`].
    pub async fn pause(&self, run: RunId) -> Result<(), EngineError> {
        let live = self.inner.live(run).await?;
        let live = live.lock().await;
        if let Phase::Ended(reason) = live.run.phase {
            return Err(EngineError::Ended { run, reason });
        }
        Ok(self.inner.store.set_paused(run, true).await?)
    }

    /// Ends a run for good. Its jobs are removed; a step under way is interrupted and its result refused.
    ///
    /// # Errors
    /// As [`Engine::resume`].
    pub async fn cancel(&self, run: RunId, reason: &str) -> Result<(), EngineError> {
        let live = self.inner.live(run).await?;
        let mut live = live.lock().await;
        if let Phase::Ended(reason) = live.run.phase {
            return Err(EngineError::Ended { run, reason });
        }
        let command = Command::Cancel(CycleCancelled { reason: reason.to_owned() });
        self.inner.execute(&mut live, command, Cause::default()).await?;
        self.inner.interrupt(|owner| owner == run);
        Ok(())
    }

    /// Puts a model that was in production before back there; `models/RUN/current.onnx` follows. Also when the run is over.
    /// A model selection under way is done again.
    ///
    /// # Errors
    /// [`EngineError::Refused`] if the model was never in production, or is now.
    pub async fn roll_back(
        &self,
        run: RunId,
        model: Digest,
        reason: &str,
    ) -> Result<(), EngineError> {
        self.change(run, Command::RollBack { model, reason: reason.to_owned() }).await
    }

    /// Pins the production model, so that no training replaces it, or sets it free. Also when the run is over.
    ///
    /// # Errors
    /// [`EngineError::Refused`] if there is no model, or it is so already.
    pub async fn pin(&self, run: RunId, pinned: bool, reason: &str) -> Result<(), EngineError> {
        self.change(run, Command::Pin(Pinned { pinned, reason: reason.to_owned() })).await
    }

    async fn change(&self, run: RunId, command: Command) -> Result<(), EngineError> {
        let live = self.inner.live(run).await?;
        let mut live = live.lock().await;
        self.inner.execute(&mut live, command, Cause::default()).await?;
        Ok(())
    }

    /// Every model that was promoted in a run, in the order of promotion.
    ///
    /// # Errors
    /// As [`Engine::status`].
    pub async fn models(&self, run: RunId) -> Result<Vec<ModelSummary>, EngineError> {
        let live = self.inner.live(run).await?;
        let live = live.lock().await;
        Ok(live.models(&self.inner.artifacts))
    }

    /// How good the labels of a run are.
    ///
    /// # Errors
    /// [`EngineError::UnknownRun`] if there is no such run; [`EngineError::Store`] if its log cannot be read.
    pub async fn labels(&self, run: RunId) -> Result<LabelReport, EngineError> {
        let live = self.inner.live(run).await?;
        let run = live.lock().await.run.clone();
        let artifacts = self.inner.artifacts.clone();
        blocking(move || {
            let doubted = run.history.iter().rev().find_map(|line| line.doubted.as_ref());
            let evidence = doubted.map(|doubted| doubted.evidence);
            let removed = evidence.and_then(|evidence| run.removed.get(&evidence).copied());
            let gone = |evidence: &Digest| removed.is_some() && !artifacts.path(evidence).exists();
            let evidence = evidence.filter(|evidence| !gone(evidence));
            let evidence = evidence.map(|evidence| artifacts.get(&evidence)).transpose()?;
            let report = LabelReport::of(&run, evidence.as_deref())?;
            let removed = removed.filter(|_| evidence.is_none()).map(Timestamp::date);
            Ok(LabelReport { removed, ..report })
        })
        .await
    }

    /// The file that always is the production model of a run, once there is one; see [`Engine::roll_back`].
    #[must_use]
    pub fn current_model(&self, run: RunId) -> PathBuf {
        self.inner.artifacts.current_model(run)
    }

    /// Gives a dead job new tries.
    ///
    /// # Errors
    /// [`StoreError::NoSuchJob`](crate::store::StoreError::NoSuchJob) if no dead job has this id.
    pub async fn retry_job(&self, job: JobId) -> Result<(), EngineError> {
        self.inner.store.retry(job, self.inner.clock.steady()).await?;
        self.inner.wake.notify_waiters();
        Ok(())
    }

    /// Removes a job. Its run stands still until [`Engine::resume`] enqueues the step anew.
    ///
    /// # Errors
    /// [`StoreError::NoSuchJob`](crate::store::StoreError::NoSuchJob) if no unfinished job has this id.
    pub async fn remove_job(&self, job: JobId) -> Result<(), EngineError> {
        self.inner.store.remove(job).await?;
        if let Some((_, interrupted)) = lock(&self.inner.steps).get(&job) {
            interrupted.store(true, std::sync::atomic::Ordering::Relaxed);
        }
        Ok(())
    }

    /// Every run, in the order of their start.
    ///
    /// # Errors
    /// [`EngineError::Store`] if the store cannot be read.
    pub async fn runs(&self) -> Result<Vec<RunId>, EngineError> {
        Ok(self.inner.store.runs().await?.into_iter().map(|(run, _)| run).collect())
    }

    /// Whether there is such a run.
    ///
    /// # Errors
    /// [`EngineError::Store`] if the store cannot be read.
    pub async fn holds(&self, run: RunId) -> Result<bool, EngineError> {
        let first = CycleId { run, cycle: CycleNumber(1) };
        Ok(self.inner.store.head(first).await?.is_some())
    }

    /// The state of a run, folded from its logs.
    ///
    /// # Errors
    /// [`EngineError::UnknownRun`] if there is no such run; [`EngineError::Store`] if its log cannot be read.
    pub async fn status(&self, run: RunId) -> Result<RunStatus, EngineError> {
        let live = self.inner.live(run).await?;
        let paused = self.inner.store.paused().await?.contains(&run);
        let jobs = self.inner.store.jobs().await?;
        let live = live.lock().await;
        Ok(live.status(paused, &jobs))
    }

    /// The workflow of a run.
    ///
    /// # Errors
    /// As [`Engine::status`].
    pub async fn definition(&self, run: RunId) -> Result<Arc<Definition>, EngineError> {
        let live = self.inner.live(run).await?;
        let live = live.lock().await;
        Ok(Arc::clone(&live.definition))
    }

    /// What samples of a run look like to people, in the order given; `None` for one that its pool does not hold.
    ///
    /// The pool of a run at work is there already, that of another is loaded for it.
    ///
    /// # Errors
    /// [`EngineError::Pool`] if the pool cannot be read, or holds no longer what the run worked with.
    pub async fn shown(
        &self,
        run: RunId,
        samples: Vec<SampleId>,
    ) -> Result<Vec<Option<Shown>>, EngineError> {
        let live = self.inner.live(run).await?;
        let live = live.lock().await.clone();
        let kept = lock(&self.inner.pools).get(&run).map(Arc::clone);
        let artifacts = self.inner.artifacts.clone();
        blocking(move || {
            let pool = match kept {
                Some(pool) => pool,
                None => Arc::new(Pool::load(&live.definition.pool, &live.folder)?),
            };
            if let Some(known) = live.run.pool.filter(|known| *known != pool.version()) {
                pool.members(&artifacts.get(&known)?)?;
            }
            let shown = |sample| pool.index_of(sample).map(|row| pool.shown(row)).transpose();
            Ok(samples.iter().map(shown).collect::<Result<_, PoolError>>()?)
        })
        .await
    }

    /// What happened in every run.
    #[must_use]
    pub fn event_log(&self) -> &dyn EventLog {
        &*self.inner.store
    }

    /// Where models, scores and workflows are.
    #[must_use]
    pub fn artifacts(&self) -> &Artifacts {
        &self.inner.artifacts
    }

    /// Up to `limit` records of a cycle's log from revision `from`.
    ///
    /// # Errors
    /// [`EngineError::Store`] if the log cannot be read or does not verify.
    pub async fn log(
        &self,
        cycle: CycleId,
        from: Revision,
        limit: usize,
    ) -> Result<Vec<Recorded>, EngineError> {
        Ok(self.inner.store.read(cycle, from, limit).await?)
    }

    /// Waits until it is alone with what is kept: while it holds this, nobody else in this process removes artifacts, copies
    /// them, or begins a run that names those of another. Steps go on: what they store or ask for stays by itself, see
    /// [`Artifacts::remove`].
    pub(crate) async fn housekeeping(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.inner.housekeeping.lock().await
    }

    /// Copies everything to the empty folder `to`, as [`Store::back_up`] does, while runs go on. Nothing is removed meanwhile.
    ///
    /// # Errors
    /// [`EngineError::Store`] if it cannot be copied.
    pub async fn back_up(&self, to: &Path) -> Result<(), EngineError> {
        let _alone = self.housekeeping().await;
        Ok(self.inner.store.back_up(to).await?)
    }

    /// The newest cycle with a log of a run.
    ///
    /// # Errors
    /// [`EngineError::UnknownRun`] if there is no such run.
    pub async fn last_cycle(&self, run: RunId) -> Result<CycleNumber, EngineError> {
        self.inner.last_cycle(run).await
    }

    /// Every unfinished job.
    ///
    /// # Errors
    /// [`EngineError::Store`] if the store cannot be read.
    pub async fn jobs(&self) -> Result<Vec<JobSummary>, EngineError> {
        Ok(self.inner.store.jobs().await?.iter().map(JobSummary::from).collect())
    }

    /// Waits until the run cannot go on by itself: it ended, failed or is paused. Needs [`Engine::run`] at work.
    ///
    /// # Errors
    /// As [`Engine::status`].
    pub async fn settled(&self, run: RunId) -> Result<RunStatus, EngineError> {
        let mut notices = self.watch();
        loop {
            let status = self.status(run).await?;
            if status.state != RunState::Active {
                return Ok(status);
            }
            // Only commits change a state; having missed some is a reason to look, too.
            while let Ok(notice) = notices.recv().await {
                if matches!(notice, Notice::Committed(recorded) if recorded.cycle.run == run) {
                    break;
                }
            }
        }
    }
}

/// What a command comes from.
#[derive(Default)]
struct Cause {
    settle: Option<Settle>,
    lease: Option<LeaseRequest>,
}

impl Inner {
    /// The run, loaded once.
    async fn live(&self, run: RunId) -> Result<Arc<tokio::sync::Mutex<LiveRun>>, EngineError> {
        let mut runs = self.runs.lock().await;
        if let Some(live) = runs.get(&run) {
            return Ok(Arc::clone(live));
        }
        let live = Arc::new(tokio::sync::Mutex::new(self.load(run).await?));
        runs.insert(run, Arc::clone(&live));
        Ok(live)
    }

    async fn load(&self, run: RunId) -> Result<LiveRun, EngineError> {
        let live = LiveRun::load(&*self.store, &self.artifacts, run).await?;
        self.publish(&live.run);
        Ok(live)
    }

    async fn last_cycle(&self, run: RunId) -> Result<CycleNumber, EngineError> {
        let runs = self.store.runs().await?;
        runs.into_iter()
            .find_map(|(id, last)| (id == run).then_some(last))
            .ok_or_else(|| EngineError::UnknownRun { run: run.to_string() })
    }

    async fn jobs_of(&self, run: RunId) -> Result<Vec<Job>, EngineError> {
        let mut jobs = self.store.jobs().await?;
        jobs.retain(|job| job.cycle.run == run);
        Ok(jobs)
    }

    fn new_job(&self, cycle: CycleId, kind: JobKind, now: Timestamp) -> NewJob {
        NewJob {
            id: JobId(self.clock.mint()),
            kind,
            cycle,
            priority: 0,
            not_before: now,
            dedupe: Some(format!("{cycle}/{kind}")),
        }
    }

    /// Decides and commits in one go; returns the job that was leased along the way.
    async fn execute(
        &self,
        live: &mut LiveRun,
        command: Command,
        cause: Cause,
    ) -> Result<Option<Job>, EngineError> {
        for _ in 0..CONFLICTS_MAX {
            let run = live.run.id;
            let decision = decide(&live.run, &live.definition, command.clone())?;
            let (now, recorded) = (self.clock.steady(), self.clock.now());
            let causation = cause.settle.as_ref().map(|settle| settle.job);
            let workflow = live.definition.digest();
            let appends = live.appends(&decision, |event| NewEvent {
                id: crate::domain::ids::EventId(self.clock.mint()),
                recorded,
                causation,
                actor: self.name.clone(),
                workflow,
                event,
            });
            let enqueue: Vec<NewJob> = decision
                .next
                .map(|(cycle, kind)| self.new_job(CycleId { run, cycle }, kind, now))
                .into_iter()
                .collect();
            let enqueued: Vec<JobId> = enqueue.iter().map(|job| job.id).collect();
            let commit = Commit {
                appends,
                settle: cause.settle.clone(),
                enqueue,
                cancel_run: decision.cancels_jobs.then_some(run),
                now,
                lease: cause.lease.clone(),
            };
            match self.store.commit(commit).await {
                Ok(committed) => {
                    let before = live.run.production;
                    live.committed(decision.run, &committed.events);
                    if live.run.production != before {
                        self.publish(&live.run);
                    }
                    if matches!(live.run.phase, Phase::Ended(_)) {
                        // It is the largest thing in memory, and nobody works with it any more.
                        lock(&self.pools).remove(&run);
                        lock(&self.memories).remove(&run);
                    }
                    for recorded in committed.events {
                        self.tell(Notice::Committed(Arc::new(recorded)));
                    }
                    // Who is idle is woken for what this worker does not do next itself.
                    let leased = committed.leased.as_ref().map(|job| job.id);
                    if enqueued.iter().any(|job| Some(*job) != leased) {
                        self.wake.notify_waiters();
                    }
                    return Ok(committed.leased);
                }
                Err(error) if error.is_retryable() => *live = self.load(run).await?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(EngineError::Contended { run: live.run.id })
    }

    /// The pool of a run: loaded once and kept until the run ends, or until a cycle begins and finds other files.
    ///
    /// In a cycle the run sees the samples that were there when it began, and no others.
    async fn pool(&self, live: &LiveRun, kind: JobKind) -> Result<Arc<Pool>, StepError> {
        let (run, starting) = (live.run.id, kind == JobKind::Start);
        let kept = lock(&self.pools).get(&run).map(Arc::clone);
        let (definition, folder) = (Arc::clone(&live.definition), Arc::clone(&live.folder));
        let versions = live.run.pools.first().copied().zip(live.run.pool);
        let artifacts = self.artifacts.clone();
        let (pool, is_new) = blocking(move || {
            if let Some(kept) = kept
                && !(starting && (kept.is_stale(&folder) || !kept.is_complete()))
            {
                return Ok((kept, false));
            }
            let pool = load_pool(&definition, &folder, &artifacts, versions, starting)?;
            Ok::<_, StepError>((Arc::new(pool), true))
        })
        .await?;
        if is_new {
            self.tell_skipped(run, &pool);
            lock(&self.pools).insert(run, Arc::clone(&pool));
        }
        Ok(pool)
    }

    /// Has others find the production model. The log has it in any case, so a failure is told and no more.
    fn publish(&self, run: &Run) {
        let Some(model) = run.production.filter(|model| self.artifacts.contains(model)) else {
            return;
        };
        if let Err(error) = published::publish(&self.artifacts, run.id, &model) {
            let file = self.artifacts.current_model(run.id);
            tracing::warn!(run = %run.id, %error, file = %file.display(), "cannot switch the production model's file");
        }
    }

    /// What was left out of a pool is never left out silently.
    fn tell_skipped(&self, run: RunId, pool: &Pool) {
        let skipped = pool.skipped();
        if skipped.count == 0 {
            return;
        }
        for what in &skipped.listed {
            tracing::warn!(%run, "left out of the pool: {what}");
        }
        let count = skipped.count;
        let first = skipped.listed.first().map(String::as_str).unwrap_or_default();
        let text = format!("{count} samples were left out of the pool; the first: {first}");
        self.tell(Notice::Remark { run, text });
    }

    fn interrupt(&self, which: impl Fn(RunId) -> bool) {
        for (run, interrupted) in lock(&self.steps).values() {
            if which(*run) {
                interrupted.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        }
    }

    fn tell(&self, notice: Notice) {
        let _ = self.notices.send(notice); // nobody watching is fine
    }
}

/// The pool of a workflow. With the `versions` of a run's first and newest cycle it must hold all that both held, and where a
/// cycle is `starting` it may hold more.
fn load_pool(
    definition: &Definition,
    folder: &Path,
    artifacts: &Artifacts,
    versions: Option<(Digest, Digest)>,
    starting: bool,
) -> Result<Pool, StepError> {
    let pool = Pool::load(&definition.pool, folder).map_err(StepError::permanent)?;
    let grown = versions.filter(|(first, known)| *first != *known || *known != pool.version());
    let Some((first, known)) = grown else { return Ok(pool) };
    let no_manifest = |error| {
        StepError::permanent(format!(
            "the pool {} has changed: its version was {} and is {} now, and what it held cannot be looked up ({error}); put the \
             old file back and resume, or start a new run",
            definition.pool.path,
            known.short(),
            pool.version().short()
        ))
    };
    let first = artifacts.get(&first).map_err(no_manifest)?;
    let known = artifacts.get(&known).map_err(no_manifest)?;
    pool.grown(&first, &known, starting).map_err(StepError::permanent)
}

/// The content of a mutex whose users leave it consistent at every step.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A path of the workflow, resolved.
fn resolve(folder: &Path, path: &str) -> PathBuf {
    folder.join(path)
}
