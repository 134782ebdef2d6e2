//! What the child does until it dies: it appends, leases, finishes and runs cycles, and says each fact once it is acknowledged.
//!
//! A line is printed after the acknowledgement and never before, so whatever the parent has read must be found again. The
//! campaign is a real run of the real engine on a pool made here; only training and model choice are replaced by steps that
//! take no time and need no runtime library.

use super::SelftestError;
use crate::artifacts::Artifacts;
use crate::domain::command::{Command, Measurement};
use crate::domain::definition::Definition;
use crate::domain::digest::Digest;
use crate::domain::event::{
    Candidate, Checkpoint, CycleCancelled, Event, ModelSelected, Trained, labelled_set_digest,
};
use crate::domain::ids::{
    CycleId, CycleNumber, EventId, FencingToken, JobId, Revision, RunId, SampleId, WorkerId,
};
use crate::domain::job::{Job, JobKind, JobStatus, NewJob};
use crate::domain::kpi::Interval;
use crate::domain::label::Label;
use crate::domain::state::Phase;
use crate::domain::time::Timestamp;
use crate::engine::clock::{Clock, SystemClock};
use crate::engine::notice::Notice;
use crate::engine::reactor::{Reactor, Step, StepError};
use crate::engine::status::RunState;
use crate::engine::{Engine, EngineError};
use crate::faults::Faults;
use crate::store::sled::{SledOptions, SledStore};
use crate::store::{
    Append, Commit, EventLog, JobQueue, LeaseRequest, NewEvent, Outcome, Recorded, Settle, Store,
    StoreError,
};
use crate::workflow::{self, Overrides};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use uuid::Uuid;

/// Prints one line, whole, or ends the program where nobody reads any more.
pub type Say = Arc<dyn Fn(&str) + Send + Sync>;

/// A disk that is made to fail, and a child that lies, so that the harness can show what it sees.
#[derive(Debug, Clone, Default)]
pub struct Sabotage {
    /// Where the disk fails.
    pub faults: Faults,
    /// Facts are said before they are asked for.
    pub early: bool,
}

/// Where the lanes of the store work, under the folder of the test.
pub(super) const STORE: &str = "store";

/// Where campaigns run, under the folder of the test.
pub const CAMPAIGN: &str = "campaign";

/// How many tasks append at the same time.
const APPENDERS: u128 = 3;

/// How many tasks enqueue, lease and finish at the same time.
const WORKERS: u128 = 2;

/// After so many events a lane goes on with the next cycle.
const EVENTS_PER_CYCLE: u64 = 40;

/// So many jobs wait at most.
const JOBS_MAX: usize = 20;

const POOL_SAMPLES: u32 = 600;

const WORKFLOW: &str = r#"
[run]
name = "selftest"
mode = "development"
seed = 7
[pool]
source = "csv"
path = "pool.csv"
shape = [2]
validation = 0.1
test = 0.1
[selector]
strategy = "random"
batch = 90
seed_per_class = 45
[annotator]
kind = "oracle"
[trainer]
graph = "softmax"
[model_selector]
criterion = "validation.loss"
[kpi]
metric = "accuracy"
target = 0.99
[stop]
max_cycles = 3
[retry]
backoff = "1ms"
backoff_max = "2ms"
"#;

/// Runs every lane for ever.
///
/// # Errors
/// [`SelftestError`] when a store could not be opened or used.
pub async fn everything(folder: &Path, sabotage: &Sabotage, say: Say) -> Result<(), SelftestError> {
    let store = open(&folder.join(STORE), &sabotage.faults)?;
    let campaigns = open(&folder.join(CAMPAIGN), &sabotage.faults)?;
    say("opened");
    let store = Arc::new(store);
    for job in store.jobs().await?.iter().filter(|job| job.status == JobStatus::Dead) {
        store.retry(job.id, SystemClock.now()).await?;
    }
    let mut lanes = JoinSet::new();
    for number in 0..APPENDERS {
        let lane = Lane::find(&store, 0xA0 + number, sabotage.early, &say).await?;
        lanes.spawn(lane.append());
    }
    for number in 0..WORKERS {
        let lane = Lane::find(&store, 0xB0 + number, sabotage.early, &say).await?;
        lanes.spawn(lane.work());
    }
    let folder = folder.to_owned();
    let definition = definition(&[])?;
    lanes.spawn(async move { for_ever(&engine(campaigns), &definition, &folder, &say).await });
    while let Some(ended) = lanes.join_next().await {
        ended.map_err(|join| SelftestError::Harness(join.to_string()))??;
    }
    Ok(())
}

/// Runs one campaign to its end, or the one that was not ended; answers its semantic digest.
///
/// # Errors
/// [`SelftestError`] when the store or the engine failed.
pub async fn one_campaign(
    folder: &Path,
    sabotage: &Sabotage,
    say: Say,
) -> Result<Digest, SelftestError> {
    let store = open(&folder.join(CAMPAIGN), &sabotage.faults)?;
    say("opened");
    let digest = campaign(&engine(store), &definition(&[])?, folder, &say).await?;
    say(&format!("ended {digest}"));
    Ok(digest)
}

/// Runs one campaign after the other for ever, with `overrides` of their workflow and so much of the log in memory, in the
/// folder of [`write_pool`].
///
/// # Errors
/// [`SelftestError`] when the store or the engine failed.
pub async fn campaigns(
    folder: &Path,
    overrides: &Overrides,
    cache_bytes: u64,
    say: Say,
) -> Result<(), SelftestError> {
    let options = SledOptions { cache_bytes, ..SledOptions::default() };
    let store = SledStore::open(&folder.join(CAMPAIGN), options)?;
    say("opened");
    for_ever(&engine(store), &definition(overrides)?, folder, &say).await
}

async fn for_ever(
    engine: &Engine,
    definition: &Definition,
    folder: &Path,
    say: &Say,
) -> Result<(), SelftestError> {
    loop {
        let digest = campaign(engine, definition, folder, say).await?;
        say(&format!("ended {digest}"));
    }
}

pub(super) fn open(state: &Path, faults: &Faults) -> Result<SledStore, StoreError> {
    let options = SledOptions {
        cache_bytes: 16 * 1024 * 1024,
        faults: faults.clone(),
        ..SledOptions::default()
    };
    SledStore::open(state, options)
}

/// The workflow of every campaign.
fn definition(overrides: &Overrides) -> Result<Definition, SelftestError> {
    workflow::parse(WORKFLOW, "the self-test's workflow", overrides)
        .map_err(|error| SelftestError::Harness(error.to_string()))
}

/// Writes the samples of every campaign.
///
/// # Errors
/// What the system says.
pub fn write_pool(folder: &Path) -> std::io::Result<()> {
    let mut text = String::from("x,y,label\n");
    for number in 0..POOL_SAMPLES {
        let class = number % 2;
        text.push_str(&format!("{number},{class},{class}\n"));
    }
    std::fs::write(folder.join("pool.csv"), text)
}

pub(super) fn engine(store: SledStore) -> Engine {
    let artifacts = store.artifacts().clone();
    engine_on(Arc::new(store), artifacts)
}

fn engine_on(store: Arc<dyn Store>, artifacts: Artifacts) -> Engine {
    Engine::builder(store, artifacts)
        .workers(1) // so that the steps of a campaign come in the same order every time
        .reactor(JobKind::Train, Train)
        .reactor(JobKind::SelectModel, SelectModel)
        .build()
}

/// Starts a campaign, or goes on with the unended one, and finishes it.
async fn campaign(
    engine: &Engine,
    definition: &Definition,
    folder: &Path,
    say: &Say,
) -> Result<Digest, SelftestError> {
    let mut notices = engine.watch();
    let mut unended = None;
    if let Some(&run) = engine.runs().await?.last()
        && engine.status(run).await?.state != RunState::Ended
    {
        engine.resume(run).await?;
        unended = Some(run);
    }
    let run = match unended {
        Some(run) => run,
        None => engine.start(definition.clone(), folder).await?,
    };
    let tell = async {
        while let Ok(notice) = notices.recv().await {
            if let Notice::Committed(recorded) = notice {
                say(&event_line(&recorded));
            }
        }
    };
    let settled = async { drop(engine.settled(run).await) };
    let working = engine.run(settled);
    tokio::select! {
        ended = working => ended?,
        () = tell => {}
    }
    let status = engine.status(run).await?;
    if status.state == RunState::Ended {
        return Ok(status.semantic_digest);
    }
    Err(SelftestError::Harness(format!(
        "the campaign stands still: {:?} {:?}",
        status.state, status.failed
    )))
}

pub(super) fn event_line(recorded: &Recorded) -> String {
    let CycleId { run, cycle } = recorded.cycle;
    format!("event {run} {cycle} {} {}", recorded.revision, recorded.hash)
}

/// One task's own run in the store, and how far it is.
struct Lane {
    store: Arc<SledStore>,
    cycle: CycleId,
    next: Revision,
    written: u64,
    early: bool,
    say: Say,
}

impl Lane {
    async fn find(
        store: &Arc<SledStore>,
        run: u128,
        early: bool,
        say: &Say,
    ) -> Result<Self, StoreError> {
        let run = RunId(Uuid::from_u128(run));
        let last = store.runs().await?.into_iter().find(|(id, _)| *id == run);
        let cycle = CycleId { run, cycle: last.map_or(CycleNumber(1), |(_, cycle)| cycle) };
        let next = store.head(cycle).await?.map_or(Revision(0), |head| head.next);
        Ok(Self { store: Arc::clone(store), cycle, next, written: 0, early, say: Arc::clone(say) })
    }

    /// An event that nobody else writes, long enough now and then to be an artifact.
    fn event(&mut self, causation: Option<JobId>) -> Append {
        if self.next.0 >= EVENTS_PER_CYCLE {
            self.cycle.cycle = self.cycle.cycle.next();
            self.next = Revision(0);
        }
        let length = match self.written % 16 {
            7 => 6000,
            short => 20 + usize::try_from(short).unwrap_or_default() * 40,
        };
        self.written += 1;
        let event = NewEvent {
            id: EventId(SystemClock.mint()),
            recorded: SystemClock.now(),
            causation,
            actor: "selftest".into(),
            workflow: Digest::ZERO,
            event: Event::CycleCancelled(CycleCancelled {
                reason: format!("{} {}", self.next, "x".repeat(length)),
            }),
        };
        Append { cycle: self.cycle, expected: self.next, events: vec![event] }
    }

    async fn commit(&mut self, commit: Commit, said: &str) -> Result<Option<Job>, StoreError> {
        if self.early && !said.is_empty() {
            (self.say)(said);
        }
        let committed = self.store.commit(commit).await?;
        for recorded in &committed.events {
            self.next = recorded.revision.next();
            (self.say)(&event_line(recorded));
        }
        if !self.early && !said.is_empty() {
            (self.say)(said);
        }
        Ok(committed.leased)
    }

    async fn append(mut self) -> Result<(), SelftestError> {
        loop {
            let appends = vec![self.event(None)];
            self.commit(Commit { appends, ..Commit::default() }, "").await?;
        }
    }

    async fn work(mut self) -> Result<(), SelftestError> {
        loop {
            let now = SystemClock.now();
            if self.store.jobs().await?.len() < JOBS_MAX {
                let id = JobId(SystemClock.mint());
                let job = NewJob {
                    id,
                    kind: JobKind::Train,
                    cycle: self.cycle,
                    priority: i32::try_from(self.written % 3).unwrap_or_default(),
                    not_before: now,
                    dedupe: Some(id.to_string()),
                };
                let commit = Commit { enqueue: vec![job], now, ..Commit::default() };
                self.commit(commit, &format!("enqueued {id}")).await?;
            }
            let Some(job) = self.store.lease(wish(now)).await? else { continue };
            let JobStatus::Leased(lease) = &job.status else { continue };
            (self.say)(&format!("leased {} {}", job.id, lease.token));
            let settle = |outcome| Some(Settle { job: job.id, token: lease.token, outcome });
            let commit = match self.written % 8 {
                3 => {
                    self.written += 1;
                    let at = now.plus(Duration::from_millis(5));
                    let error = "asked to fail".to_owned();
                    let settle = settle(Outcome::Retry { at, error });
                    self.commit(Commit { settle, now, ..Commit::default() }, "").await?;
                    continue;
                }
                5 => {
                    self.written += 1;
                    let settle = settle(Outcome::Released);
                    self.commit(Commit { settle, now, ..Commit::default() }, "").await?;
                    continue;
                }
                _ => Commit {
                    appends: vec![self.event(Some(job.id))],
                    settle: settle(Outcome::Finished),
                    now,
                    ..Commit::default()
                },
            };
            self.commit(commit, &format!("finished {}", job.id)).await?;
        }
    }
}

/// A training that takes no time: its models are a few bytes that depend on the cycle alone.
struct Train;

impl Reactor for Train {
    fn perform(&self, step: &Step) -> Result<Command, StepError> {
        let cycle = step.cycle().cycle;
        let files: Vec<Vec<u8>> = (0..2u8)
            .map(|number| format!("model {number} of cycle {cycle}").repeat(200).into_bytes())
            .collect();
        let models =
            step.artifacts.put_all(&files.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        let checkpoint = |(number, model): (u64, Digest)| {
            let metrics = BTreeMap::from([("validation.loss".into(), 1.0)]);
            Checkpoint { model, step: number, metrics }
        };
        let labels = &step.run.labels;
        let held_out = step.pool.split().validation.iter();
        let validation: Vec<SampleId> = held_out.map(|&row| step.pool.sample(row)).collect();
        Ok(Command::RecordTraining(Trained {
            train_set: labelled_set_digest(
                labels.iter().map(|(sample, known)| (sample, known.label)),
            ),
            train_samples: labels.len() as u64,
            validation_set: labelled_set_digest(validation.iter().map(|id| (id, Label::Class(0)))),
            validation_samples: step.pool.split().validation.len() as u64,
            checkpoints: (1..).zip(models).map(checkpoint).collect(),
        }))
    }
}

/// Promotes the first checkpoint.
struct SelectModel;

impl Reactor for SelectModel {
    fn perform(&self, step: &Step) -> Result<Command, StepError> {
        let Phase::SelectingModel { checkpoints } = &step.run.phase else {
            return Err(StepError::permanent("there are no checkpoints to choose from"));
        };
        let Some(first) = checkpoints.first() else {
            return Err(StepError::permanent("there are no checkpoints to choose from"));
        };
        let winner = first.model;
        // What was acknowledged must be readable when it is needed.
        step.artifacts.get(&winner)?;
        let incumbent = step.run.production;
        let candidates = incumbent
            .into_iter()
            .chain(checkpoints.iter().map(|checkpoint| checkpoint.model))
            .map(|model| Candidate { model, value: 1.0 })
            .collect();
        Ok(Command::SelectModel {
            compared: None,
            selected: ModelSelected {
                criterion: "validation.loss".into(),
                candidates,
                incumbent,
                winner,
                promoted: true,
                reason: "the first is as good as any".to_owned(),
            },
            acceptance: Measurement {
                at: step.clock.now(),
                metric: "accuracy".into(),
                estimator: "test".into(),
                model: winner,
                n: 60,
                value: 0.5,
                interval: Interval { low: 0.4, high: 0.6 },
                by_class: Vec::new(),
            },
            baseline: None,
        })
    }
}

impl From<EngineError> for SelftestError {
    fn from(error: EngineError) -> Self {
        Self::Engine(Box::new(error))
    }
}

/// A token that the store hands out now, if it has a job to lease; the job is given back.
pub(super) async fn next_token(store: &dyn Store) -> Result<Option<FencingToken>, StoreError> {
    let now = SystemClock.now();
    let Some(job) = store.lease(wish(now)).await? else { return Ok(None) };
    let JobStatus::Leased(lease) = &job.status else { return Ok(None) };
    let settle = Settle { job: job.id, token: lease.token, outcome: Outcome::Released };
    store.commit(Commit { settle: Some(settle), now, ..Commit::default() }).await?;
    Ok(Some(lease.token))
}

/// A wish for any job of the lanes.
fn wish(now: Timestamp) -> LeaseRequest {
    LeaseRequest {
        worker: WorkerId::from("selftest"),
        limits: BTreeMap::from([(JobKind::Train, 100)]),
        now,
        lease: Duration::from_secs(60),
    }
}
