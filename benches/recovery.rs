//! How soon work goes on after SIGKILL: a child process has a store with 100,000 events of one run and dies in the middle of a
//! step; the clock runs from opening the store until the next event of that run is committed.
//!
//! `cargo bench --bench recovery`; `-- 20000` uses another number of events. Goal: within 1 s at 100,000.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a bench prints, and ends where it fails"
)]
#![allow(clippy::disallowed_methods, reason = "a bench measures real time")]

use gleaner::domain::command::Command as Wish;
use gleaner::domain::definition::Definition;
use gleaner::domain::digest::Digest;
use gleaner::domain::event::{
    Annotated, Annotation, Arm, BatchSelected, Candidate, Checkpoint, CycleEnded, CycleStarted,
    Event, KpiChecked, KpiStage, ModelSelected, Pick, RunStarted, Trained,
};
use gleaner::domain::ids::{CycleId, CycleNumber, EventId, JobId, Revision, RunId};
use gleaner::domain::job::{JobKind, NewJob};
use gleaner::domain::kpi::{Basis, Interval, Verdict};
use gleaner::domain::label::Label;
use gleaner::domain::state::Run;
use gleaner::domain::time::Timestamp;
use gleaner::engine::Engine;
use gleaner::engine::clock::{Clock, SystemClock};
use gleaner::engine::notice::Notice;
use gleaner::engine::reactor::{Reactor, Step, StepError};
use gleaner::pool::Pool;
use gleaner::store::sled::{SledOptions, SledStore};
use gleaner::store::{Append, Commit, NewEvent, Store};
use gleaner::workflow;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const CHILD: &str = "GLEANER_BENCH_CHILD";

fn workflows() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("workflows")
}

fn definition() -> Definition {
    workflow::load(&workflows().join("digits-production.toml"), &[]).unwrap()
}

/// Writes one run of about `events` events and leaves the job of its next step in the queue.
async fn fill(dir: &Path, events: usize) {
    let store = SledStore::open(dir, SledOptions::default()).unwrap();
    let definition = definition();
    let pool = Pool::load(&definition.pool, &workflows()).unwrap();
    store.artifacts().put(&definition.canonical_bytes()).unwrap();
    let workflow = definition.digest();
    let id = RunId(SystemClock.mint());
    let mut run = Run::new(id);
    let model = Digest::of(b"model");
    let kpi = |stage, verdict, value: f64| KpiChecked {
        stage,
        metric: "accuracy".into(),
        estimator: "audit".into(),
        model,
        n: 16,
        value,
        interval: Interval { low: value - 0.1, high: value },
        target: 0.85,
        basis: Basis::Interval,
        verdict,
    };
    let mut number: u32 = 0;
    while (number as usize) * 5 < events {
        number += 1;
        let sample = gleaner::domain::ids::SampleId::from(format!("sample-{number}"));
        let labelled = u64::from(number);
        let mut list = Vec::new();
        if number == 1 {
            list.push(Event::RunStarted(RunStarted {
                name: definition.run.name.clone(),
                workflow,
                folder: workflows().display().to_string(),
                classes: pool.classes().to_vec(),
                gate: true,
                seed: definition.run.seed,
            }));
        }
        list.push(Event::CycleStarted(CycleStarted {
            workflow,
            pool: pool.version(),
            labelled_set: Digest::ZERO,
            labelled: labelled - 1,
            selector_model: run.production,
            seed: definition.run.seed,
            previous_head: Digest::ZERO,
        }));
        let pick = Pick {
            sample: sample.clone(),
            arm: Arm::Audit,
            score: None,
            rank: 1,
            probability: Some(0.1),
        };
        list.push(Event::BatchSelected(BatchSelected {
            strategy: "margin".into(),
            strategy_version: 1,
            parameters: [].into(),
            model: run.production,
            provider: None,
            picks: vec![pick],
            cutoff: Some(0.5),
            candidates: 1000,
            scores: None,
        }));
        list.push(Event::Annotated(Annotated {
            labels: vec![Annotation {
                sample,
                label: Label::Class(1),
                annotator: "oracle".into(),
                at: Timestamp(0),
                spent: Duration::ZERO,
            }],
        }));
        if number == 1 {
            list.push(Event::Trained(Trained {
                train_set: Digest::ZERO,
                train_samples: 1,
                validation_set: Digest::ZERO,
                validation_samples: 1,
                checkpoints: vec![Checkpoint { model, step: 1, metrics: [].into() }],
            }));
            list.push(Event::ModelSelected(ModelSelected {
                criterion: "validation.loss".into(),
                candidates: vec![Candidate { model, value: 0.5 }],
                incumbent: None,
                winner: model,
                promoted: true,
                reason: "the first".into(),
            }));
            list.push(Event::KpiChecked(kpi(KpiStage::Acceptance, Verdict::Missed, 0.5)));
        } else {
            list.push(Event::KpiChecked(kpi(KpiStage::Gate, Verdict::Met, 1.0)));
        }
        list.push(Event::CycleEnded(CycleEnded { labelled, production: Some(model) }));
        let cycle = CycleId { run: id, cycle: CycleNumber(number) };
        let events = list
            .into_iter()
            .map(|event| {
                run.apply(&event).unwrap();
                NewEvent {
                    id: EventId(SystemClock.mint()),
                    recorded: SystemClock.now(),
                    causation: None,
                    actor: "bench".into(),
                    workflow,
                    event,
                }
            })
            .collect();
        let appends = vec![Append { cycle, expected: Revision(0), events }];
        store
            .commit(Commit { appends, now: SystemClock.now(), ..Commit::default() })
            .await
            .unwrap();
    }
    let (cycle, kind) = run.next_step().unwrap();
    let job = NewJob {
        id: JobId(SystemClock.mint()),
        kind,
        cycle: CycleId { run: id, cycle },
        priority: 0,
        not_before: Timestamp(0),
        dedupe: None,
    };
    store
        .commit(Commit { enqueue: vec![job], now: SystemClock.now(), ..Commit::default() })
        .await
        .unwrap();
}

/// A step that says that it began, and never ends.
struct Hangs;

impl Reactor for Hangs {
    fn perform(&self, _: &Step) -> Result<Wish, StepError> {
        println!("began");
        loop {
            std::thread::park();
        }
    }
}

fn engine(dir: &Path) -> gleaner::engine::EngineBuilder {
    let store = SledStore::open(dir, SledOptions::default()).unwrap();
    let artifacts = store.artifacts().clone();
    Engine::builder(Arc::new(store) as Arc<dyn Store>, artifacts)
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let Some(dir) = std::env::var_os(CHILD) {
        let engine = engine(Path::new(&dir)).reactor(JobKind::Start, Hangs).build();
        runtime.block_on(engine.run(std::future::pending())).unwrap();
        return;
    }
    let events: usize = std::env::args().find_map(|text| text.parse().ok()).unwrap_or(100_000);
    let dir = tempfile::tempdir().unwrap();
    runtime.block_on(fill(dir.path(), events));
    let mut child = Command::new(std::env::current_exe().unwrap())
        .env(CHILD, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "began");
    child.kill().unwrap();
    child.wait().unwrap();

    let start = Instant::now();
    let engine = engine(dir.path()).workers(1).build();
    let opened = start.elapsed();
    let mut notices = engine.watch();
    let committed =
        async { while !matches!(notices.recv().await.unwrap(), Notice::Committed(_)) {} };
    runtime.block_on(engine.run(committed)).unwrap();
    println!(
        "{events} events: store open after {:.3} s, work went on after {:.3} s (goal: 1 s at 100,000)",
        opened.as_secs_f64(),
        start.elapsed().as_secs_f64()
    );
}
