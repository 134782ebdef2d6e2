//! What the engine promises about steps, told with steps on paper: no model is trained and none is run, time is virtual.

use crate::samples::settling;
use crate::support::{finish, workflow};
use gleaner::artifacts::Artifacts;
use gleaner::domain::command::{Command, Measurement};
use gleaner::domain::definition::Definition;
use gleaner::domain::digest::Digest;
use gleaner::domain::event::{
    Candidate, Checkpoint, EndReason, Event, ModelSelected, Trained, labelled_set_digest,
};
use gleaner::domain::ids::{CycleId, CycleNumber, Revision, RunId, WorkerId};
use gleaner::domain::job::JobKind;
use gleaner::domain::kpi::Interval;
use gleaner::domain::state::Phase;
use gleaner::domain::time::Timestamp;
use gleaner::engine::clock::{Clock, VirtualClock};
use gleaner::engine::reactor::{Reactor, Step, StepError};
use gleaner::engine::status::{RunState, RunStatus};
use gleaner::engine::{Engine, EngineBuilder, EngineError};
use gleaner::store::memory::MemoryStore;
use gleaner::store::{JobQueue, LeaseRequest, Outcome, Store, StoreError};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak, mpsc};
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// A training on paper: its only checkpoint is named after the cycle.
fn trained(step: &Step) -> Command {
    let labels = step.run.labels.iter().map(|(sample, known)| (sample, known.label));
    Command::RecordTraining(Trained {
        train_set: labelled_set_digest(labels),
        train_samples: step.run.labelled(),
        validation_set: Digest::ZERO,
        validation_samples: 1,
        checkpoints: vec![Checkpoint {
            model: Digest::of(&step.cycle().cycle.0.to_be_bytes()),
            step: 1,
            metrics: [("validation.accuracy".into(), 0.5)].into(),
        }],
    })
}

/// Promotes whatever was trained.
struct PaperChoice;

impl Reactor for PaperChoice {
    fn perform(&self, step: &Step) -> Result<Command, StepError> {
        let Phase::SelectingModel { checkpoints } = &step.run.phase else {
            return Err(StepError::permanent("no checkpoints"));
        };
        let winner = checkpoints[0].model;
        Ok(Command::SelectModel {
            compared: None,
            selected: ModelSelected {
                criterion: "validation.accuracy".into(),
                candidates: vec![Candidate { model: winner, value: 0.5 }],
                incumbent: step.run.production,
                winner,
                promoted: true,
                reason: "the newest is taken".to_owned(),
            },
            acceptance: Measurement {
                at: step.clock.now(),
                metric: "accuracy".into(),
                estimator: "test".into(),
                model: winner,
                n: 10,
                value: 0.5,
                interval: Interval { low: 0.2, high: 0.8 },
                by_class: vec![],
            },
            baseline: None,
        })
    }
}

/// A reactor from a closure.
struct Paper<F>(F);

impl<F: Fn(&Step) -> Result<Command, StepError> + Send + Sync> Reactor for Paper<F> {
    fn perform(&self, step: &Step) -> Result<Command, StepError> {
        self.0(step)
    }
}

/// Everything a story needs.
pub(crate) struct World {
    store: Arc<MemoryStore>,
    pub(crate) artifacts: Artifacts,
    folder: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(folder.path().join("artifacts")).unwrap();
        Self { store: Arc::new(MemoryStore::default()), artifacts, folder }
    }

    pub(crate) fn engine(&self) -> EngineBuilder {
        Engine::builder(Arc::clone(&self.store) as Arc<dyn Store>, self.artifacts.clone())
            .clock(VirtualClock::starting_at(0))
            .reactor(JobKind::Train, Paper(|step: &Step| Ok(trained(step))))
            .reactor(JobKind::SelectModel, PaperChoice)
    }

    fn workflows() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/workflows"))
    }

    async fn start(&self, engine: &Engine) -> RunId {
        engine.start(definition(), Self::workflows()).await.unwrap()
    }

    async fn events(&self, engine: &Engine, run: RunId) -> Vec<Event> {
        let mut events = Vec::new();
        for cycle in 1..=engine.last_cycle(run).await.unwrap().0 {
            let cycle = CycleId { run, cycle: CycleNumber(cycle) };
            let page = engine.log(cycle, Revision(0), 1000).await.unwrap();
            events.extend(page.into_iter().map(|recorded| recorded.event));
        }
        events
    }
}

/// Two cycles that need no model to select.
fn definition() -> Definition {
    workflow(
        "digits.toml",
        &[
            ("selector.strategy", "random"),
            ("stop.max_cycles", "2"),
            ("stop.kpi", "false"),
            ("retry.attempts", "3"),
            ("retry.backoff", "10s"),
            ("retry.lease", "30s"),
        ],
    )
}

async fn smooth_digest() -> Digest {
    let world = World::new();
    let engine = world.engine().build();
    let run = world.start(&engine).await;
    finish(&engine, run).await.semantic_digest
}

/// Works on the run until it stands still.
async fn settle(engine: &Engine, run: RunId) -> RunStatus {
    finish(engine, run).await
}

/// The same beside what the story goes on to do.
fn settle_beside(engine: &Engine, run: RunId) -> JoinHandle<RunStatus> {
    let engine = engine.clone();
    tokio::spawn(async move { settle(&engine, run).await })
}

#[tokio::test(start_paused = true)]
async fn a_run_goes_through_its_cycles_and_ends() {
    let world = World::new();
    let engine = world.engine().build();
    let run = world.start(&engine).await;
    let status = settle(&engine, run).await;
    assert_eq!((status.state, status.ended), (RunState::Ended, Some(EndReason::MaxCycles)));
    let names: Vec<&str> = world.events(&engine, run).await.iter().map(Event::name).collect();
    let cycle = [
        "CycleStarted",
        "BatchSelected",
        "Annotated",
        "Trained",
        "ModelSelected",
        "KpiChecked",
        "CycleEnded",
    ];
    let expected = [&["RunStarted"], &cycle[..], &cycle[..], &["RunEnded"]].concat();
    assert_eq!(names, expected);
}

#[tokio::test(start_paused = true)]
async fn an_ended_run_leaves_no_pool_in_memory() {
    let world = World::new();
    let pool = Arc::new(Mutex::new(Weak::new()));
    let seen = Arc::clone(&pool);
    let training = Paper(move |step: &Step| {
        *seen.lock().unwrap() = Arc::downgrade(&step.pool);
        Ok(trained(step))
    });
    let engine = world.engine().reactor(JobKind::Train, training).build();
    let run = world.start(&engine).await;
    settle(&engine, run).await;
    assert!(pool.lock().unwrap().upgrade().is_none());
}

/// Two cycles on a copy of the digits, which `change` alters while the first is in training; the events.
async fn while_the_pool_changes(change: fn(&str) -> String) -> (RunStatus, Vec<Event>) {
    let world = World::new();
    let digits = std::fs::read_to_string(World::workflows().join("data/digits.csv")).unwrap();
    let path = world.folder.path().join("data/digits.csv");
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    std::fs::write(&path, &digits).unwrap();
    let training = Paper(move |step: &Step| {
        if step.cycle().cycle == CycleNumber(1) {
            std::fs::write(&path, change(&digits)).unwrap();
        }
        Ok(trained(step))
    });
    let engine = world.engine().reactor(JobKind::Train, training).build();
    let run = engine.start(definition(), world.folder.path()).await.unwrap();
    settle(&engine, run).await;
    (engine.status(run).await.unwrap(), world.events(&engine, run).await)
}

#[tokio::test(start_paused = true)]
async fn a_pool_may_gain_samples_between_cycles_and_the_next_cycle_records_it() {
    let (status, events) = while_the_pool_changes(|digits| {
        let last = digits.trim_end().lines().last().unwrap();
        format!("{}\n{}\n", digits.trim_end(), last.replacen(",0", ",16", 1))
    })
    .await;
    assert_eq!(status.state, RunState::Ended, "{:?}", status.failed);
    let pools: Vec<Digest> = events
        .iter()
        .filter_map(
            |event| if let Event::CycleStarted(cycle) = event { Some(cycle.pool) } else { None },
        )
        .collect();
    assert_eq!(pools.len(), 2);
    assert_ne!(pools[0], pools[1]);
    let batches: Vec<(u64, usize)> = events
        .iter()
        .filter_map(|event| {
            let Event::BatchSelected(batch) = event else { return None };
            Some((batch.candidates, batch.picks.len()))
        })
        .collect();
    let [(first, picked), (second, _)] = batches[..] else { panic!("{batches:?}") };
    assert_eq!(second, first - picked as u64 + 1, "one more to choose from");
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_loses_or_changes_a_sample_stops_the_run_and_names_it() {
    let lost = while_the_pool_changes(|digits| {
        let kept: Vec<&str> = digits.trim_end().lines().collect();
        kept[..kept.len() - 1].join("\n")
    });
    let changed = while_the_pool_changes(|digits| digits.replacen(",0", ",1", 1));
    for ((status, _), what) in [
        (lost.await, "sample digits-1796 is missing"),
        (changed.await, "sample digits-0000 is another now"),
    ] {
        assert_eq!(status.state, RunState::Failed);
        let cause = status.failed.unwrap().cause;
        assert!(cause.contains(what), "{cause}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cycle_alone_costs_five_barriers() {
    let world = World::new();
    let engine = world.engine().workers(1).build();
    let run = world.start(&engine).await;
    settle(&engine, run).await;
    // The start of the run, the first lease, and five commits for each of the two cycles.
    assert_eq!(world.store.barriers(), 2 + 2 * 5);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_fails_is_tried_again_after_a_growing_wait() {
    let world = World::new();
    let tries = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&tries);
    let flaky = Paper(move |step: &Step| {
        let mut tries = seen.lock().unwrap();
        tries.push(step.clock.now());
        if tries.len() < 3 {
            return Err(StepError::Retryable("the disk is full".into()));
        }
        Ok(trained(step))
    });
    let engine = world.engine().reactor(JobKind::Train, flaky).build();
    let run = world.start(&engine).await;
    let status = settle(&engine, run).await;
    assert_eq!(status.state, RunState::Ended);
    assert_eq!(status.semantic_digest, smooth_digest().await, "a retry leaves no trace in the log");
    let tries = tries.lock().unwrap();
    let waits = [tries[1].since(tries[0]), tries[2].since(tries[1])];
    assert!(waits[0] >= Duration::from_secs(5) && waits[0] < Duration::from_secs(11), "{waits:?}");
    assert!(waits[1] >= Duration::from_secs(10) && waits[1] < Duration::from_secs(21), "{waits:?}");
}

/// A clock that somebody sets again and again: days forth, days back.
struct Jumping {
    inner: VirtualClock,
    looks: AtomicUsize,
}

impl Clock for Jumping {
    fn now(&self) -> Timestamp {
        const DAYS: [i64; 4] = [0, 3, -5, 1];
        let days = DAYS[self.looks.fetch_add(1, Ordering::SeqCst) % DAYS.len()];
        Timestamp(self.inner.now().0 + days * 86_400_000_000)
    }

    fn steady(&self) -> Timestamp {
        self.inner.now()
    }

    fn mint(&self) -> Uuid {
        self.inner.mint()
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_by_days_neither_ends_leases_nor_puts_off_retries() {
    let world = World::new();
    let clock = || Jumping { inner: VirtualClock::starting_at(0), looks: AtomicUsize::new(0) };
    let tries = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&tries);
    let flaky = Paper(move |step: &Step| match seen.fetch_add(1, Ordering::SeqCst) {
        0 => Err(StepError::Retryable("the disk is full".into())),
        _ => Ok(trained(step)),
    });
    let engine = world.engine().clock(clock()).reactor(JobKind::Train, flaky).build();
    let run = world.start(&engine).await;
    let started = tokio::time::Instant::now();
    let status = settle(&engine, run).await;
    assert_eq!(status.semantic_digest, smooth_digest().await);
    assert!(started.elapsed() < Duration::from_secs(60), "one wait of at most 10 s");
    assert_eq!(tries.load(Ordering::SeqCst), 3, "one failure, two cycles");
}

#[tokio::test(start_paused = true)]
async fn a_step_that_fails_for_good_fails_the_cycle_and_resume_goes_on() {
    let world = World::new();
    let broken = Arc::new(AtomicUsize::new(1));
    let cause = Arc::clone(&broken);
    let step = Paper(move |step: &Step| match cause.load(Ordering::SeqCst) {
        0 => Ok(trained(step)),
        _ => Err(StepError::Retryable("no GPU".into())),
    });
    let engine = world.engine().reactor(JobKind::Train, step).build();
    let run = world.start(&engine).await;

    let status = settle(&engine, run).await;
    let failed = status.failed.unwrap();
    assert_eq!(status.state, RunState::Failed);
    assert_eq!((failed.step.as_str(), failed.attempts), ("train", 3));
    assert_eq!(failed.cause, "no GPU");
    assert_eq!(status.jobs.len(), 1, "the dead letter");
    assert_eq!((status.jobs[0].status.as_str(), status.jobs[0].failures), ("dead", 3));

    broken.store(0, Ordering::SeqCst);
    engine.resume(run).await.unwrap();
    let status = settle(&engine, run).await;
    assert_eq!(status.state, RunState::Ended);
    assert_eq!(status.semantic_digest, smooth_digest().await);
    let failures = world
        .events(&engine, run)
        .await
        .iter()
        .filter(|event| event.name() == "CycleFailed")
        .count();
    assert_eq!(failures, 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_cannot_go_away_is_not_tried_again() {
    let world = World::new();
    let tries = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&tries);
    let step = Paper(move |_: &Step| {
        seen.fetch_add(1, Ordering::SeqCst);
        Err(StepError::permanent("the model file is truncated"))
    });
    let engine = world.engine().reactor(JobKind::Train, step).build();
    let run = world.start(&engine).await;
    let status = settle(&engine, run).await;
    assert_eq!(status.state, RunState::Failed);
    assert_eq!(tries.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_panics_has_failed_and_the_engine_lives() {
    let world = World::new();
    let tries = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&tries);
    let step = Paper(move |step: &Step| {
        assert!(seen.fetch_add(1, Ordering::SeqCst) > 0, "a bug in somebody's reactor");
        Ok(trained(step))
    });
    let engine = world.engine().reactor(JobKind::Train, step).build();
    let run = world.start(&engine).await;
    assert_eq!(settle(&engine, run).await.state, RunState::Ended);
    assert_eq!(
        tries.load(Ordering::SeqCst),
        3,
        "one panic, and one training in each of two cycles"
    );
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_the_rules_fails_the_cycle() {
    let world = World::new();
    let step = Paper(|step: &Step| {
        let mut command = trained(step);
        if let Command::RecordTraining(trained) = &mut command {
            trained.checkpoints.clear();
        }
        Ok(command)
    });
    let engine = world.engine().reactor(JobKind::Train, step).build();
    let run = world.start(&engine).await;
    let status = settle(&engine, run).await;
    assert_eq!(status.state, RunState::Failed);
    let cause = status.failed.unwrap().cause;
    assert!(cause.contains("no checkpoint"), "{cause}");
}

/// A training that says when it begins and waits until it is told to go on.
fn held_training() -> (impl Reactor, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (began, beginning) = mpsc::channel();
    let (go, gate) = mpsc::channel();
    let (began, gate) = (Mutex::new(began), Mutex::new(gate));
    let reactor = Paper(move |step: &Step| {
        let _ = began.lock().unwrap().send(()); // a story may have stopped listening
        let gate = gate.lock().unwrap();
        while gate.try_recv() == Err(mpsc::TryRecvError::Empty) {
            if step.is_interrupted() {
                return Err(StepError::Interrupted);
            }
            std::thread::yield_now();
        }
        Ok(trained(step))
    });
    (reactor, beginning, go)
}

/// Lets other tasks run until `condition` holds.
async fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_step_keeps_its_lease_under_a_live_process() {
    let world = World::new();
    let clock = VirtualClock::starting_at(1 << 40);
    let (training, began, go) = held_training();
    let engine = world.engine().reactor(JobKind::Train, training).build();
    let run = world.start(&engine).await;
    let work = settle_beside(&engine, run);
    until(|| began.try_recv().is_ok()).await;
    // Ten leases go by; a thief who comes now and then never finds the job free.
    for _ in 0..100 {
        tokio::time::advance(Duration::from_secs(3)).await;
        for _ in 0..20 {
            tokio::task::yield_now().await; // the renewal gets its turn
        }
        let request = LeaseRequest {
            worker: WorkerId::from("thief"),
            limits: JobKind::ALL.into_iter().map(|kind| (kind, 9)).collect(),
            now: clock.now(),
            lease: Duration::from_secs(1),
        };
        assert_eq!(world.store.lease(request).await.unwrap(), None);
    }
    drop(go);
    let status = work.await.unwrap();
    assert_eq!(status.state, RunState::Ended);
    assert_eq!(status.semantic_digest, smooth_digest().await);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_was_stopped_while_its_lease_ran_out_is_told_and_nothing_is_done_twice() {
    let world = World::new();
    let clock = VirtualClock::starting_at(1 << 40);
    let (training, began, go) = held_training();
    let engine = world.engine().reactor(JobKind::Train, training).build();
    let run = world.start(&engine).await;
    let work = settle_beside(&engine, run);
    until(|| began.try_recv().is_ok()).await;
    // Nothing of the engine runs between these lines: to the others it is a process that was stopped for an hour.
    let request = LeaseRequest {
        worker: WorkerId::from("another"),
        limits: JobKind::ALL.into_iter().map(|kind| (kind, 9)).collect(),
        now: clock.now().plus(Duration::from_hours(1)),
        lease: Duration::from_secs(30),
    };
    let taken = world.store.lease(request).await.unwrap().unwrap();
    assert_eq!((taken.kind, taken.crashes), (JobKind::Train, 1));
    // The engine goes on: its renewal tells it, and once the other one is silent for too long, it has the job again.
    while began.try_recv().is_err() {
        tokio::time::advance(Duration::from_secs(60)).await;
        tokio::task::yield_now().await;
    }
    let late = world.store.commit(settling(&taken, Outcome::Finished)).await.unwrap_err();
    assert!(matches!(late, StoreError::Fenced { .. }), "{late}");
    drop(go);
    let status = work.await.unwrap();
    assert_eq!(status.semantic_digest, smooth_digest().await);
    let names: Vec<&str> = world.events(&engine, run).await.iter().map(Event::name).collect();
    assert_eq!(names.iter().filter(|name| **name == "Trained").count(), 2, "one in each cycle");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_run_ends_at_once_and_the_step_under_way_is_refused() {
    let world = World::new();
    let (training, began, _go) = held_training();
    let engine = world.engine().reactor(JobKind::Train, training).build();
    let run = world.start(&engine).await;
    let work = settle_beside(&engine, run);
    until(|| began.try_recv().is_ok()).await;
    engine.cancel(run, "wrong pool").await.unwrap();
    let status = work.await.unwrap();
    assert_eq!((status.state, status.ended), (RunState::Ended, Some(EndReason::Cancelled)));
    assert_eq!(status.jobs, []);
    let events = world.events(&engine, run).await;
    assert!(
        matches!(&events[events.len() - 2], Event::CycleCancelled(cancelled) if cancelled.reason == "wrong pool")
    );
    assert!(matches!(engine.cancel(run, "again").await, Err(EngineError::Ended { .. })));
    assert!(matches!(engine.resume(run).await, Err(EngineError::Ended { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_step_that_answers_after_its_run_was_cancelled_is_not_heard() {
    let world = World::new();
    let (began, beginning) = mpsc::channel();
    let (go, gate) = mpsc::channel::<()>();
    let (began, gate) = (Mutex::new(began), Mutex::new(gate));
    let deaf = Paper(move |step: &Step| {
        began.lock().unwrap().send(()).unwrap();
        assert!(gate.lock().unwrap().recv().is_err(), "the story lets it go on");
        Ok(trained(step))
    });
    let engine = world.engine().reactor(JobKind::Train, deaf).build();
    let run = world.start(&engine).await;
    let work = settle_beside(&engine, run);
    until(|| beginning.try_recv().is_ok()).await;
    engine.cancel(run, "wrong pool").await.unwrap();
    drop(go);
    assert_eq!(work.await.unwrap().ended, Some(EndReason::Cancelled));
    let last = world.events(&engine, run).await.pop();
    assert_eq!(last.map(|event| event.name()), Some("RunEnded"));
}

#[tokio::test(start_paused = true)]
async fn a_paused_run_ends_its_step_and_waits_for_resume() {
    let world = World::new();
    let (training, began, go) = held_training();
    let engine = world.engine().reactor(JobKind::Train, training).build();
    let run = world.start(&engine).await;
    let work = settle_beside(&engine, run);
    until(|| began.try_recv().is_ok()).await;
    engine.pause(run).await.unwrap();
    drop(go);
    let status = work.await.unwrap();
    assert_eq!(status.state, RunState::Paused);
    engine.resume(run).await.unwrap();
    let status = settle(&engine, run).await;
    assert_eq!(status.state, RunState::Ended);
    assert_eq!(status.semantic_digest, smooth_digest().await);
}

#[tokio::test(start_paused = true)]
async fn a_stopping_engine_interrupts_its_step_and_gives_the_job_back_unharmed() {
    let world = World::new();
    let (training, began, go) = held_training();
    let engine = world.engine().reactor(JobKind::Train, training).build();
    let run = world.start(&engine).await;
    engine.run(async { until(|| began.try_recv().is_ok()).await }).await.unwrap();
    let status = engine.status(run).await.unwrap();
    assert_eq!(status.state, RunState::Active);
    assert_eq!(status.jobs.len(), 1);
    let job = &status.jobs[0];
    assert_eq!((job.status.as_str(), job.failures, job.crashes), ("ready", 0, 0));
    drop(go);
    assert_eq!(settle(&engine, run).await.semantic_digest, smooth_digest().await);
}

#[tokio::test(start_paused = true)]
async fn no_more_jobs_of_a_kind_run_at_once_than_its_limit() {
    let world = World::new();
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (inside, peak) = (Arc::clone(&now), Arc::clone(&most));
    let training = Paper(move |step: &Step| {
        peak.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::yield_now();
        inside.fetch_sub(1, Ordering::SeqCst);
        Ok(trained(step))
    });
    let engine = world
        .engine()
        .workers(8)
        .limit(JobKind::Train, 1)
        .reactor(JobKind::Train, training)
        .build();
    let mut runs = Vec::new();
    for _ in 0..8 {
        runs.push(world.start(&engine).await);
    }
    let all = async {
        for run in &runs {
            drop(engine.settled(*run).await);
        }
    };
    engine.run(all).await.unwrap();
    for run in &runs {
        assert_eq!(engine.status(*run).await.unwrap().state, RunState::Ended);
    }
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_removed_job_is_enqueued_anew_by_resume() {
    let world = World::new();
    let engine = world.engine().build();
    let run = world.start(&engine).await;
    let jobs = engine.jobs().await.unwrap();
    engine.remove_job(jobs[0].id).await.unwrap();
    assert_eq!(engine.jobs().await.unwrap(), []);
    engine.resume(run).await.unwrap();
    assert_eq!(settle(&engine, run).await.semantic_digest, smooth_digest().await);
}

#[tokio::test(start_paused = true)]
async fn a_workflow_that_cannot_run_is_refused_before_anything_is_recorded() {
    let world = World::new();
    let engine = world.engine().build();
    let mut definition = definition();
    definition.selector.batch = 5000;
    let error = engine.start(definition, World::workflows()).await.unwrap_err().to_string();
    assert!(error.contains("selector.batch is 5000"), "{error}");
    assert_eq!(engine.runs().await.unwrap(), []);
    assert!(world.folder.path().exists());
}
