//! Crash everywhere, on purpose: a run that is stopped just before or just after any of its commits ends, once resumed, as
//! if nothing had happened.

use crate::support::{finish, sled, small, workflows};
use gleaner::domain::digest::Digest;
use gleaner::domain::ids::{CycleId, CycleNumber, Epoch, FencingToken, JobId, Revision, RunId};
use gleaner::domain::job::Job;
use gleaner::domain::time::Timestamp;
use gleaner::engine::status::RunState;
use gleaner::engine::{Engine, EngineError};
use gleaner::faults::{Fault, Faults};
use gleaner::inference::InstallPolicy;
use gleaner::store::sled::{SledOptions, SledStore};
use gleaner::store::{
    Answer, Commit, Committed, EventLog, Head, JobQueue, LeaseRequest, Recorded, Store, StoreError,
    Visit,
};
use std::error::Error as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// On which side of a commit the process dies.
#[derive(Debug, Clone, Copy)]
enum Side {
    Before,
    After,
}

/// A store whose process dies at one of its durable steps: from then on nothing is answered any more.
struct DyingStore {
    inner: Arc<dyn Store>,
    steps: AtomicU64,
    dies_at: Option<(u64, Side)>,
}

impl DyingStore {
    fn new(inner: Arc<dyn Store>, dies_at: Option<(u64, Side)>) -> Self {
        Self { inner, steps: AtomicU64::new(0), dies_at }
    }

    /// Counts a durable step, and dies where it should.
    async fn step<T>(&self, answer: Answer<'_, T>) -> Result<T, StoreError> {
        let number = self.steps.fetch_add(1, Ordering::SeqCst) + 1;
        match self.dies_at {
            Some((at, Side::Before)) if number >= at => Err(dead()),
            Some((at, Side::After)) if number == at => {
                answer.await?;
                Err(dead())
            }
            Some((at, Side::After)) if number > at => Err(dead()),
            Some(_) | None => answer.await,
        }
    }
}

fn dead() -> StoreError {
    StoreError::Poisoned { cause: "the process died here".to_owned() }
}

impl EventLog for DyingStore {
    fn read(&self, cycle: CycleId, from: Revision, limit: usize) -> Answer<'_, Vec<Recorded>> {
        self.inner.read(cycle, from, limit)
    }

    fn walk(&self, run: RunId, from: CycleNumber, visit: Visit) -> Answer<'_, ()> {
        self.inner.walk(run, from, visit)
    }

    fn head(&self, cycle: CycleId) -> Answer<'_, Option<Head>> {
        self.inner.head(cycle)
    }

    fn runs(&self) -> Answer<'_, Vec<(RunId, CycleNumber)>> {
        self.inner.runs()
    }
}

impl JobQueue for DyingStore {
    fn lease(&self, request: LeaseRequest) -> Answer<'_, Option<Job>> {
        Box::pin(self.step(self.inner.lease(request)))
    }

    fn renew(&self, job: JobId, token: FencingToken, deadline: Timestamp) -> Answer<'_, ()> {
        self.inner.renew(job, token, deadline)
    }

    fn jobs(&self) -> Answer<'_, Vec<Job>> {
        self.inner.jobs()
    }

    fn next_due(&self) -> Answer<'_, Option<Timestamp>> {
        self.inner.next_due()
    }

    fn retry(&self, job: JobId, now: Timestamp) -> Answer<'_, Job> {
        self.inner.retry(job, now)
    }

    fn remove(&self, job: JobId) -> Answer<'_, Job> {
        self.inner.remove(job)
    }

    fn set_paused(&self, run: RunId, paused: bool) -> Answer<'_, ()> {
        self.inner.set_paused(run, paused)
    }

    fn paused(&self) -> Answer<'_, Vec<RunId>> {
        self.inner.paused()
    }
}

impl Store for DyingStore {
    fn payloads(&self, run: RunId) -> Answer<'_, Vec<Digest>> {
        self.inner.payloads(run)
    }

    fn commit(&self, commit: Commit) -> Answer<'_, Committed> {
        Box::pin(self.step(self.inner.commit(commit)))
    }

    fn epoch(&self) -> Epoch {
        self.inner.epoch()
    }

    fn barriers(&self) -> u64 {
        self.inner.barriers()
    }
}

/// Runs the small workflow until its end or its death; answers how many durable steps that took.
async fn live_and_die(dir: &Path, dies_at: Option<(u64, Side)>) -> u64 {
    let (store, artifacts) = sled(dir);
    let store = Arc::new(DyingStore::new(store, dies_at));
    // One worker, so that the count of steps is the same each time.
    let builder = Engine::builder(Arc::clone(&store) as Arc<dyn Store>, artifacts);
    let engine = builder.install(InstallPolicy::Allowed).workers(1).build();
    if let Ok(run) = engine.start(small(), &workflows()).await {
        let settled = async {
            drop(engine.settled(run).await);
        };
        let ended = engine.run(settled).await;
        // The last look for work may or may not come before the stop.
        let died = dies_at.is_some_and(|(at, _)| store.steps.load(Ordering::SeqCst) >= at);
        assert_eq!(ended.is_err(), died, "{ended:?}");
    }
    store.steps.load(Ordering::SeqCst)
}

/// Opens what the dead left behind, and finishes it; a run whose start was not acknowledged and is not there is started.
async fn recover(dir: &Path) -> Digest {
    let (store, artifacts) = sled(dir);
    let engine = Engine::builder(store, artifacts).install(InstallPolicy::Allowed).build();
    let run = match engine.runs().await.unwrap().as_slice() {
        [] => engine.start(small(), &workflows()).await.unwrap(),
        [run] => *run,
        runs => panic!("one run was started, {} are there", runs.len()),
    };
    if engine.status(run).await.unwrap().state != RunState::Ended {
        engine.resume(run).await.unwrap();
    }
    let status = finish(&engine, run).await;
    assert_eq!(status.state, RunState::Ended, "{status:?}");
    assert_eq!(status.jobs, [], "nothing is left to do");
    status.semantic_digest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_dies_at_any_commit_ends_as_if_it_had_not() {
    let smooth = tempfile::tempdir().unwrap();
    let steps = live_and_die(smooth.path(), None).await;
    let digest = recover(smooth.path()).await;
    assert!(steps >= 16, "a run of three cycles takes at least 1 + 3 * 5 commits, not {steps}");
    for step in 1..=steps {
        for side in [Side::Before, Side::After] {
            let dir = tempfile::tempdir().unwrap();
            live_and_die(dir.path(), Some((step, side))).await;
            assert_eq!(recover(dir.path()).await, digest, "died {side:?} step {step} of {steps}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_fails_ends_the_work_on_the_log_and_only_the_try_of_a_step() {
    let smooth = tempfile::tempdir().unwrap();
    live_and_die(smooth.path(), None).await;
    let digest = recover(smooth.path()).await;
    let syncs = [
        ("sync the event log", 5, true),
        ("sync the event log", 9, true),
        ("sync an artifact", 5, false),
        ("sync an artifact's folder", 5, false),
    ];
    for (sync, number, ends) in syncs {
        let dir = tempfile::tempdir().unwrap();
        let faults = Faults::at_named(sync, number, Fault::Failed);
        let options = SledOptions { faults: faults.clone(), ..SledOptions::default() };
        let store = Arc::new(SledStore::open(dir.path(), options).unwrap());
        let artifacts = store.artifacts().clone();
        let engine =
            Engine::builder(store, artifacts).install(InstallPolicy::Allowed).workers(1).build();
        let run = engine.start(small(), &workflows()).await.unwrap();
        let ended = engine.run(async { drop(engine.settled(run).await) }).await;
        assert!(faults.steps() >= number, "{sync} {number} never came");
        assert_eq!(ended.is_err(), ends, "{sync} {number}: {ended:?}");
        if let Err(error) = ended {
            let cause = error.source().unwrap().to_string();
            assert!(cause.contains("could not sync the event log"), "{error}: {cause}");
            assert!(matches!(
                engine.status(run).await.unwrap_err(),
                EngineError::Store(StoreError::Poisoned { .. })
            ));
        }
        drop(engine);
        assert_eq!(recover(dir.path()).await, digest, "{sync} {number}");
    }
}
