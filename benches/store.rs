//! What durability costs: appending against a raw file with fdatasync, replay, the queue, and opening.
//!
//! Each ratio compares with a yardstick measured in the same run, in alternating rounds, because disks have moods. Events
//! are those of the loop, one cycle after the other: `CycleStarted`, `BatchSelected` with 10 picks, `Annotated` with 10
//! labels, two `KpiChecked`, `Trained` with 3 checkpoints, `ModelSelected` with 4 candidates, `CycleEnded`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a bench prints what it measured with the real clock, and stops where something fails"
)]

use gleaner::domain::digest::Digest;
use gleaner::domain::event::*;
use gleaner::domain::ids::*;
use gleaner::domain::job::{JobKind, JobStatus, NewJob};
use gleaner::domain::kpi::{Basis, Interval, Verdict};
use gleaner::domain::label::Label;
use gleaner::domain::time::Timestamp;
use gleaner::selftest::copy_folder;
use gleaner::store::codec::{CodecError, Payload, decode_record, encode_record};
use gleaner::store::sled::{SledOptions, SledStore};
use gleaner::store::{
    Append, Commit, EventLog, JobQueue, LeaseRequest, NewEvent, Outcome, Recorded, Settle, Store,
};
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

const ROUNDS: usize = 5;

// As in the program; the yardsticks have it, too.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    // Beside the build and not in the system's temporary folder, which may be memory.
    let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(base).unwrap();
    let runtime = Runtime::new().unwrap();
    let bytes = (0..8).map(|index| raw_record(index).len()).sum::<usize>() / 8;
    println!("a record has {bytes} bytes on average");
    // `cargo bench --bench store -- replay` measures only that.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|name| name != "--bench").collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    for (name, producers, each) in
        [("append-1", 1, 1000), ("append-16", 16, 400), ("append-256", 256, 100)]
    {
        if wants(name) {
            append(base, &runtime, producers, each);
        }
    }
    for (name, bench) in [
        ("decode", decode as fn(&Path, &Runtime)),
        ("replay", replay),
        ("queue", queue),
        ("opening", opening),
    ] {
        if wants(name) {
            bench(base, &runtime);
        }
    }
}

/// Durable appends by so many producers, each waiting for its answer before the next.
fn append(base: &Path, runtime: &Runtime, producers: usize, each: usize) {
    let (mut raw, mut ours, mut groups) = (Vec::new(), Vec::new(), Vec::new());
    let mut sled_alone = Vec::new();
    let (folder, store) = open(base);
    let sled_folder = tempfile::tempdir_in(base).unwrap();
    let sled = SledAlone::open(sled_folder.path());
    let raw_folder = tempfile::tempdir_in(base).unwrap();
    let file = File::create(raw_folder.path().join("raw")).unwrap();
    file.sync_all().unwrap();
    File::open(raw_folder.path()).unwrap().sync_all().unwrap();
    let count = (producers * each) as f64;
    for round in 0..ROUNDS {
        let started = Instant::now();
        if producers == 1 {
            raw_alone(&file, each);
        } else {
            raw_group(runtime, &file, producers, each);
        }
        raw.push(count / started.elapsed().as_secs_f64());

        if producers == 1 {
            let started = Instant::now();
            sled.append(round * each..(round + 1) * each);
            sled_alone.push(count / started.elapsed().as_secs_f64());
        }

        let before = store.barriers();
        let started = Instant::now();
        runtime.block_on(append_round(&store, round, producers, each));
        ours.push(count / started.elapsed().as_secs_f64());
        groups.push(count / (store.barriers() - before) as f64);
    }
    let (raw, ours) = (median(raw), median(ours));
    println!(
        "append, {producers:3} producers: {ours:8.0} events/s, raw {raw:8.0}/s: {:.2}x ({:.1} events a barrier)",
        ours / raw,
        median(groups)
    );
    if producers == 1 {
        let sled = median(sled_alone);
        println!("    sled without any of ours:   {sled:8.0} events/s: {:.2}x of raw", sled / raw);
    }
    drop((store, folder));
}

/// What sled itself costs: the same three calls for each record on one thread, nothing around them.
struct SledAlone {
    db: sled::Db,
    file: File,
}

impl SledAlone {
    fn open(folder: &Path) -> Self {
        let db = sled::open(folder).unwrap();
        let file = File::options().append(true).open(folder.join("db")).unwrap();
        Self { db, file }
    }

    fn append(&self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            let mut batch = sled::Batch::default();
            batch.insert(&number.to_be_bytes(), raw_record(number));
            self.db.apply_batch(batch).unwrap();
            self.db.flush().unwrap();
            // As the store does it: longer by a whole segment of zeros, so that most syncs find nothing new to note.
            let length = (&self.file).seek(SeekFrom::End(0)).unwrap();
            let missing = length.next_multiple_of(512 * 1024) - length;
            if missing > 0 {
                (&self.file).write_all(&vec![0; usize::try_from(missing).unwrap()]).unwrap();
            }
            self.file.sync_data().unwrap();
        }
    }
}

async fn append_round(store: &Arc<SledStore>, round: usize, producers: usize, each: usize) {
    if producers == 1 {
        for index in 0..each {
            store.commit(appending(cycle(round, 1), index, vec![new_event(index)])).await.unwrap();
        }
        return;
    }
    let tasks: Vec<_> = (0..producers)
        .map(|producer| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let cycle = cycle(round * producers + producer, 1);
                for index in 0..each {
                    store.commit(appending(cycle, index, vec![new_event(index)])).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// One producer without any store: write and fdatasync, record by record.
fn raw_alone(mut file: &File, each: usize) {
    for index in 0..each {
        file.write_all(&raw_record(index)).unwrap();
        file.sync_data().unwrap();
    }
}

/// Group commit without any store: the same producers and the same mailbox, one write and one fdatasync a group.
fn raw_group(runtime: &Runtime, file: &File, producers: usize, each: usize) {
    let (sender, mut mailbox) = mpsc::channel::<(Vec<u8>, oneshot::Sender<()>)>(1024);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let (mut file, mut buffer, mut waiting) = (file, Vec::new(), Vec::new());
            while let Some(first) = mailbox.blocking_recv() {
                let mut next = Some(first);
                while let Some((bytes, answer)) = next {
                    buffer.extend_from_slice(&bytes);
                    waiting.push(answer);
                    next = mailbox.try_recv().ok();
                }
                file.write_all(&buffer).unwrap();
                file.sync_data().unwrap();
                buffer.clear();
                waiting.drain(..).for_each(|answer| answer.send(()).unwrap());
            }
        });
        runtime.block_on(async {
            let tasks: Vec<_> = (0..producers)
                .map(|_| {
                    let sender = sender.clone();
                    tokio::spawn(async move {
                        for index in 0..each {
                            let (answer, answered) = oneshot::channel();
                            sender.send((raw_record(index), answer)).await.unwrap();
                            answered.await.unwrap();
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            drop(sender);
        });
    });
}

/// Reads, verifies and decodes 200,000 events, and folds them into a count of labels.
fn replay(base: &Path, runtime: &Runtime) {
    let (folder, store) = open(base);
    let (cycles, events) = (200, 1000);
    for number in 0..cycles {
        let new = (0..events).map(new_event).collect();
        runtime.block_on(store.commit(appending(cycle(number, 1), 0, new))).unwrap();
    }
    drop(store);
    let store = reopen(&folder);
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let mut labels = 0;
        for number in 0..cycles {
            let read = store.read(cycle(number, 1), Revision(0), usize::MAX);
            for record in runtime.block_on(read).unwrap() {
                if let Event::Annotated(annotated) = &record.event {
                    labels += annotated.labels.len();
                }
            }
        }
        assert_eq!(labels, cycles * events / 8 * 10);
        rates.push((cycles * events) as f64 / started.elapsed().as_secs_f64());
    }
    let rate = median(rates);
    println!("replay: {rate:8.0} events/s, target 500000/s: {:.2}x", rate / 500_000.0);
}

/// Decoding and verifying alone, on one thread: the part of replay that is not sled's.
fn decode(_base: &Path, _runtime: &Runtime) {
    let records: Vec<Vec<u8>> = (0..8).map(raw_record).collect();
    let started = Instant::now();
    let rounds = 50_000;
    for _ in 0..rounds {
        for record in &records {
            let read = decode_record(record, |_| Err(CodecError::Checksum)).unwrap();
            assert_eq!(std::hint::black_box(read).version, 1);
        }
    }
    let rate = f64::from(rounds * 8) / started.elapsed().as_secs_f64();
    println!("decode and verify, one thread: {rate:8.0} events/s");
}

/// Enqueueing in batches, then leasing and finishing one by one and by many workers.
fn queue(base: &Path, runtime: &Runtime) {
    let (_folder, store) = open(base);
    let count = 50_000;
    let started = Instant::now();
    for batch in 0..count / 1000 {
        let enqueue = (0..1000).map(|index| new_job(batch * 1000 + index)).collect();
        runtime.block_on(store.commit(Commit { enqueue, ..Commit::default() })).unwrap();
    }
    let rate = f64::from(count) / started.elapsed().as_secs_f64();
    println!("enqueue, 1000 a commit: {rate:8.0} jobs/s");
    for (workers, each) in [(1, 500), (64, 100)] {
        let before = store.barriers();
        let started = Instant::now();
        runtime.block_on(async {
            let tasks: Vec<_> = (0..workers)
                .map(|_| {
                    let store = Arc::clone(&store);
                    tokio::spawn(async move {
                        for _ in 0..each {
                            let job = store.lease(request()).await.unwrap().unwrap();
                            let JobStatus::Leased(lease) = job.status else { return };
                            let settle = Settle {
                                job: job.id,
                                token: lease.token,
                                outcome: Outcome::Finished,
                            };
                            let commit = Commit { settle: Some(settle), ..Commit::default() };
                            store.commit(commit).await.unwrap();
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        let jobs = f64::from(workers * each);
        let rate = jobs / started.elapsed().as_secs_f64();
        let barriers = (store.barriers() - before) as f64 / jobs;
        println!(
            "lease and finish, {workers:2} workers: {rate:8.0} jobs/s, {barriers:.2} barriers a job"
        );
    }
}

/// From a killed process to the first lease, with 100,000 events and then with 200,000 jobs beside them.
fn opening(base: &Path, runtime: &Runtime) {
    let (folder, store) = open(base);
    for number in 0..1000 {
        let new = (0..100).map(new_event).collect();
        runtime.block_on(store.commit(appending(cycle(number, 1), 0, new))).unwrap();
    }
    for (jobs, from) in [(1000, 0), (200_000, 1000)] {
        for batch in (from..jobs).step_by(1000) {
            let enqueue = (batch..batch + 1000).map(new_job).collect();
            runtime.block_on(store.commit(Commit { enqueue, ..Commit::default() })).unwrap();
        }
        let mut seconds = Vec::new();
        for _ in 0..3 {
            // A copy of a store that is open is what a killed process leaves behind: nothing was closed.
            let copy = tempfile::tempdir_in(base).unwrap();
            copy_folder(folder.path(), copy.path()).unwrap();
            let started = Instant::now();
            let store = reopen(&copy);
            assert!(runtime.block_on(store.lease(request())).unwrap().is_some());
            seconds.push(started.elapsed().as_secs_f64());
        }
        let seconds = median(seconds);
        println!(
            "open after a kill, 100000 events, {jobs:6} jobs, until the first lease: {seconds:.2} s, target 1 s"
        );
    }
}

fn open(base: &Path) -> (TempDir, Arc<SledStore>) {
    let folder = tempfile::tempdir_in(base).unwrap();
    let store = reopen(&folder);
    (folder, store)
}

fn reopen(folder: &TempDir) -> Arc<SledStore> {
    Arc::new(SledStore::open(folder.path(), SledOptions::default()).unwrap())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn cycle(run: usize, number: u32) -> CycleId {
    CycleId { run: RunId(Uuid::from_u128(run as u128)), cycle: CycleNumber(number) }
}

fn appending(cycle: CycleId, expected: usize, events: Vec<NewEvent>) -> Commit {
    let append = Append { cycle, expected: Revision(expected as u64), events };
    Commit { appends: vec![append], ..Commit::default() }
}

fn request() -> LeaseRequest {
    LeaseRequest {
        worker: "worker".into(),
        limits: [(JobKind::Train, 1000)].into(),
        now: Timestamp(1),
        lease: Duration::from_secs(60),
    }
}

fn new_job(number: i32) -> NewJob {
    NewJob {
        id: JobId(Uuid::from_u128(u128::from(number.unsigned_abs()))),
        kind: JobKind::Train,
        cycle: cycle(0, 1),
        priority: 0,
        not_before: Timestamp(0),
        dedupe: Some(format!("train {number}")),
    }
}

/// The bytes that the store keeps of an event.
fn raw_record(index: usize) -> Vec<u8> {
    let new = new_event(index);
    let mut record = Recorded {
        id: new.id,
        cycle: cycle(1, 1),
        revision: Revision(0),
        position: Position(0),
        recorded: new.recorded,
        causation: new.causation,
        actor: new.actor,
        version: 1,
        workflow: new.workflow,
        previous: Digest::ZERO,
        hash: Digest::ZERO,
        original: None,
        event: new.event,
    };
    let payload = Payload::of(&record.event).unwrap();
    encode_record(&mut record, &payload, false).unwrap()
}

fn new_event(index: usize) -> NewEvent {
    let digest = Digest::from_bytes([7; 32]);
    let event = match index % 8 {
        0 => Event::CycleStarted(CycleStarted {
            workflow: digest,
            pool: digest,
            labelled_set: digest,
            labelled: 20,
            selector_model: Some(digest),
            seed: 7,
            previous_head: digest,
        }),
        1 => Event::BatchSelected(BatchSelected {
            strategy: "margin".into(),
            strategy_version: 1,
            parameters: Default::default(),
            model: Some(digest),
            provider: Some("CPUExecutionProvider (onnxruntime 1.24.4)".into()),
            picks: (0..10)
                .map(|rank| Pick {
                    sample: format!("digits-{rank:04}").into(),
                    arm: Arm::Strategy,
                    score: Some(0.5),
                    rank,
                    probability: None,
                })
                .collect(),
            cutoff: Some(0.5),
            candidates: 900,
            scores: Some(digest),
        }),
        2 => Event::Annotated(Annotated {
            labels: (0..10)
                .map(|label| Annotation {
                    sample: format!("digits-{label:04}").into(),
                    label: Label::Class(label),
                    annotator: "oracle".into(),
                    at: Timestamp(1_750_000_000_000_000),
                    spent: Duration::from_secs(2),
                })
                .collect(),
        }),
        4 => Event::Trained(Trained {
            train_set: digest,
            train_samples: 100,
            validation_set: digest,
            validation_samples: 300,
            checkpoints: (0..3)
                .map(|step| Checkpoint {
                    model: digest,
                    step,
                    metrics: [
                        ("validation.accuracy".into(), 0.9),
                        ("validation.loss".into(), 0.3),
                        ("export.max_difference".into(), 1e-6),
                    ]
                    .into(),
                })
                .collect(),
        }),
        5 => Event::ModelSelected(ModelSelected {
            criterion: "validation.accuracy".into(),
            candidates: vec![Candidate { model: digest, value: 0.9 }; 4],
            incumbent: Some(digest),
            winner: digest,
            promoted: true,
            reason: "0.91 is better than 0.90".into(),
        }),
        7 => Event::CycleEnded(CycleEnded { labelled: 30, production: Some(digest) }),
        stage => Event::KpiChecked(KpiChecked {
            stage: if stage == 3 { KpiStage::Gate } else { KpiStage::Acceptance },
            metric: "accuracy".into(),
            estimator: "test".into(),
            model: digest,
            n: 540,
            value: 0.93,
            interval: Interval { low: 0.9, high: 0.95 },
            target: 0.95,
            basis: Basis::Interval,
            verdict: Verdict::Inconclusive,
        }),
    };
    NewEvent {
        id: EventId(Uuid::from_u128(index as u128)),
        recorded: Timestamp(1_750_000_000_000_000),
        causation: Some(JobId(Uuid::from_u128(1))),
        actor: "worker 1 on host".into(),
        workflow: digest,
        event,
    }
}
