//! What it costs to look back: verifying, replaying and opening a long log, and asking what another strategy had picked from
//! a large pool. Each beside a yardstick of the same run, with its limit.
//!
//! `cargo bench --bench audit` takes 100,000 events and a pool of 100,000; `-- 1000000` takes a million of each, for which the
//! limits are meant. `-- log`, `-- what-if`, `-- growth` measure one part. `growth` is one run of 1,000, 3,000 and 10,000 cycles.
//!
//! The log is that of runs of 111 cycles, about 1,000 events each, committed cycle by cycle by 64 runs at a time:
//! `CycleStarted`, `BatchSelected` with 10 picks, `Annotated` with 10 labels, a gate, `Trained` with 3 checkpoints,
//! `ModelsCompared`, `ModelSelected`, an acceptance, `CycleEnded`.
//!
//! | yardstick | what it is |
//! |---|---|
//! | scan | every chunk of the log through sled's own iterator, each byte added up, nothing decoded: one thread |
//! | hashing | one SHA-256 over the bytes of those chunks in memory, and one over each set of labels that the log names: one thread |
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a bench prints what it measured with the real clock, and stops where something fails"
)]

use gleaner::audit::selection::{Pace, what_if};
use gleaner::audit::verify::verify;
use gleaner::control::{Request, Response, handle};
use gleaner::data_selector::{Evidence, EvidenceWriter, Output, SelectRequest, View, build};
use gleaner::domain::definition::{Definition, Keep};
use gleaner::domain::digest::Digest;
use gleaner::domain::event::*;
use gleaner::domain::ids::*;
use gleaner::domain::kpi::{Basis, Interval, Verdict};
use gleaner::domain::label::Label;
use gleaner::domain::matrix::Matrix;
use gleaner::domain::state::Run;
use gleaner::domain::strategy::StrategySpec;
use gleaner::domain::time::Timestamp;
use gleaner::engine::Engine;
use gleaner::selftest::copy_folder;
use gleaner::store::sled::{SledOptions, SledStore};
use gleaner::store::{Append, Commit, EventLog, NewEvent, Store};
use gleaner::workflow;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use uuid::Uuid;

// As in the program.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CYCLES: u32 = 111;
const BATCH: usize = 10;
const CLASSES: usize = 10;
const MODELS: usize = 16;
/// Runs that are written at a time.
const TOGETHER: usize = 64;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let size = words.iter().find_map(|word| word.parse().ok()).unwrap_or(100_000);
    let parts: Vec<&String> = words.iter().filter(|word| word.parse::<usize>().is_err()).collect();
    let wants = |name: &str| parts.is_empty() || parts.iter().any(|part| *part == name);
    // Beside the build and not in the system's temporary folder, which may be memory.
    let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(base).unwrap();
    let runtime = Runtime::new().unwrap();
    if wants("log") {
        log(base, &runtime, size);
    }
    if wants("what-if") {
        other_strategy(base, &runtime, size);
    }
    if parts.iter().any(|part| *part == "growth") {
        for cycles in [1_000, 3_000, 10_000] {
            growth(base, &runtime, cycles);
        }
    }
}

fn verdict(met: bool) -> &'static str {
    if met { "ok" } else { "MISSED" }
}

fn best_of<T>(times: usize, mut work: impl FnMut() -> T) -> Duration {
    let once = |_| {
        let started = Instant::now();
        black_box(work());
        started.elapsed()
    };
    (0..times).map(once).min().unwrap()
}

/// Every chunk of the log, one after the other.
fn chunks(log: &Path, mut visit: impl FnMut(&[u8])) {
    let db = sled::Config::new().path(log).cache_capacity(128 * 1024 * 1024).open().unwrap();
    for entry in db.scan_prefix(b"c") {
        visit(&entry.unwrap().1);
    }
}

/// How long it takes to read the log, and to hash it and the sets of labels that it names.
fn yardsticks(state: &Path, runs: usize, cycles: u32) -> (Duration, Duration, usize) {
    let log = state.join("log");
    let mut bytes = Vec::new();
    chunks(&log, |chunk| bytes.extend_from_slice(chunk));
    // Opened outside the clock: opening has a measure of its own.
    let db = sled::Config::new().path(&log).cache_capacity(128 * 1024 * 1024).open().unwrap();
    let scan = best_of(3, || {
        let sum = |chunk: &[u8]| chunk.iter().fold(0_u64, |sum, byte| sum + u64::from(*byte));
        db.scan_prefix(b"c").fold(0, |all, entry| all + sum(&entry.unwrap().1))
    });
    drop(db);
    let label = Label::Class(0);
    let one = 8 + sample(0).as_str().len() + 4;
    assert_eq!(labelled_set_digest([(&sample(0), label)]), {
        let (length, id) = (((one - 12) as u64).to_be_bytes(), sample(0));
        Digest::of_parts([&length[..], id.as_str().as_bytes(), &[0; 4]])
    });
    let set = vec![0; one * BATCH * cycles as usize];
    let hash = best_of(3, || {
        black_box(Digest::of(&bytes));
        for _ in 0..runs {
            for labels in (BATCH..=BATCH * cycles as usize).step_by(BATCH) {
                black_box(Digest::of(&set[..labels * one]));
            }
        }
    });
    (scan, hash, bytes.len())
}

fn log(base: &Path, runtime: &Runtime, events: usize) {
    let runs = (events / (CYCLES as usize * 9 - 1)).max(1);
    let folder = tempfile::tempdir_in(base).unwrap();
    let started = Instant::now();
    let count = runtime.block_on(fill(folder.path(), runs, CYCLES, None));
    println!("{count} events of {runs} runs, written in {:.1} s", started.elapsed().as_secs_f64());
    let limits = if count < 900_000 { " (limits are meant for 1000000 events)" } else { "" };
    let (scan, hash, bytes) = yardsticks(folder.path(), runs, CYCLES);
    let rate = |time: Duration| count as f64 / time.as_secs_f64();
    println!("  a record has {} bytes; the limits are those of the issue{limits}", bytes / count);
    println!("  scan      {:>9.0} events/s  {:.3} s", rate(scan), scan.as_secs_f64());
    println!("  hashing   {:>9.0} events/s  {:.3} s", rate(hash), hash.as_secs_f64());

    let opening = best_of(3, || SledStore::open(folder.path(), SledOptions::default()).unwrap());
    let store = SledStore::open(folder.path(), SledOptions::default()).unwrap();
    let killed = tempfile::tempdir_in(base).unwrap();
    copy_folder(&folder.path().join("log"), &killed.path().join("log")).unwrap();
    for name in ["format", "acknowledged"] {
        std::fs::copy(folder.path().join(name), killed.path().join(name)).unwrap();
    }
    let after_a_kill = best_of(1, || SledStore::open(killed.path(), SledOptions::default()));
    drop(killed);
    println!(
        "  opening   {:>9.0} events/s  {:.3} s, after a kill {:.3} s, limit 2 s: {}",
        rate(opening),
        opening.as_secs_f64(),
        after_a_kill.as_secs_f64(),
        verdict(opening.max(after_a_kill) < Duration::from_secs(2))
    );

    let store = Arc::new(store);
    let engine = engine(&store);
    let ids = runtime.block_on(store.runs()).unwrap();
    let mut replayed = 0;
    let replay = best_of(2, || {
        replayed = 0;
        for (run, _) in &ids {
            let request = Request::Replay { run: Some(run.to_string()), to: None };
            let Response::Replayed(at) = runtime.block_on(handle(&engine, request)).unwrap() else {
                continue;
            };
            replayed += at.events as usize;
        }
    });
    assert_eq!(replayed, count);
    let ratio = scan.as_secs_f64() / replay.as_secs_f64();
    println!(
        "  replay    {:>9.0} events/s  {:.3} s, {ratio:.2}x of the scan, limit 0.3x: {}",
        rate(replay),
        replay.as_secs_f64(),
        verdict(ratio >= 0.3)
    );

    let mut events = 0;
    let verified = best_of(2, || {
        let found = verify(&*store, store.artifacts(), None).unwrap();
        // The file that is the production model is made by a run at work, and these were never.
        let wrong = found.runs.iter().flat_map(|run| &run.findings).find(|f| f.cycle.is_some());
        assert_eq!(wrong, None);
        events = found.events as usize;
    });
    assert_eq!(events, count);
    let ratio = hash.as_secs_f64() / verified.as_secs_f64();
    println!(
        "  verify    {:>9.0} events/s  {:.3} s, {ratio:.2}x of hashing, limit 0.7x: {}",
        rate(verified),
        verified.as_secs_f64(),
        verdict(ratio >= 0.7)
    );
    drop(engine);
    drop(store);
    let command = best_of(2, || gleaner(folder.path(), &["verify"]));
    println!(
        "  `gleaner verify`, with the copy that it makes: {:.3} s, limit 5 s: {}",
        command.as_secs_f64(),
        verdict(command <= Duration::from_secs(5))
    );
}

/// One long run.
fn growth(base: &Path, runtime: &Runtime, cycles: u32) {
    let folder = tempfile::tempdir_in(base).unwrap();
    let count = runtime.block_on(fill(folder.path(), 1, cycles, None));
    let (scan, hash, _) = yardsticks(folder.path(), 1, cycles);
    let store = SledStore::open(folder.path(), SledOptions::default()).unwrap();
    let verified = best_of(1, || {
        verify(&store, store.artifacts(), None).unwrap();
    });
    let engine = engine(&Arc::new(store));
    let request = Request::Replay { run: None, to: None };
    let replay = best_of(1, || runtime.block_on(handle(&engine, request.clone())).unwrap());
    println!(
        "one run of {cycles:>5} cycles, {count:>6} events: scan {:.3} s, replay {:.3} s; hashing {:.3} s, verify {:.3} s: {:.2}x",
        scan.as_secs_f64(),
        replay.as_secs_f64(),
        hash.as_secs_f64(),
        verified.as_secs_f64(),
        hash.as_secs_f64() / verified.as_secs_f64()
    );
}

/// What another strategy had picked from a large pool, of which the class probabilities were kept.
fn other_strategy(base: &Path, runtime: &Runtime, candidates: usize) {
    let folder = tempfile::tempdir_in(base).unwrap();
    let evidence = evidence(candidates);
    runtime.block_on(fill(folder.path(), 1, 2, Some(&evidence)));
    let store = Arc::new(SledStore::open(folder.path(), SledOptions::default()).unwrap());
    let artifacts = store.artifacts();
    let digest = artifacts.put(&evidence).unwrap();
    let strategy: StrategySpec = "margin".parse().unwrap();
    let read = best_of(3, || artifacts.get(&digest).unwrap());
    let parse = best_of(3, || Evidence::read(&evidence).unwrap());
    let found = Evidence::read(&evidence).unwrap();
    let batch = BatchSelected { scores: Some(digest), ..batch(None, Vec::new()) };
    let classes: Vec<String> = (0..CLASSES).map(|class| class.to_string()).collect();
    let pick = best_of(3, || {
        let of_cycle = (&batch, &found);
        what_if(CycleNumber(2), of_cycle, &strategy, Some(BATCH), &classes, Pace::default())
            .unwrap();
    });
    drop(found);
    let engine = engine(&store);
    let asked = best_of(3, || {
        let request = Request::WhatIf {
            run: None,
            cycle: 2,
            strategy: "margin".to_owned(),
            batch: Some(BATCH),
        };
        runtime.block_on(handle(&engine, request)).unwrap()
    });
    println!(
        "what-if, margin of {candidates} x {CLASSES}, {:.0} MB of evidence: {:.0} ms, limit 200 ms: {}",
        evidence.len() as f64 / 1e6,
        asked.as_secs_f64() * 1e3,
        verdict(asked < Duration::from_millis(200))
    );
    println!(
        "  file read and compared with its digest {:.0} ms, evidence parsed {:.0} ms, picked {:.0} ms",
        read.as_secs_f64() * 1e3,
        parse.as_secs_f64() * 1e3,
        pick.as_secs_f64() * 1e3
    );
    drop((engine, store));
    let arguments = ["what-if", "--cycle", "2", "--strategy", "margin", "--batch", "10"];
    let command = best_of(3, || gleaner(folder.path(), &arguments));
    println!("  `gleaner what-if`, from the shell: {:.0} ms", command.as_secs_f64() * 1e3);
}

fn gleaner(state: &Path, arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gleaner"));
    command.arg("--state").arg(state).args(arguments).stdout(Stdio::null());
    command.status().unwrap();
}

fn engine(store: &Arc<SledStore>) -> Engine {
    let artifacts = store.artifacts().clone();
    Engine::builder(Arc::clone(store) as Arc<dyn Store>, artifacts).build()
}

/// Distributions with a clear winner in most rows, by a counter-based generator.
fn evidence(candidates: usize) -> Vec<u8> {
    let uniform = |counter: u64| {
        let mut x = counter.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((x ^ (x >> 31)) >> 40) as f32 / (1_u32 << 24) as f32
    };
    let mut values: Vec<f32> =
        (0..(candidates * CLASSES) as u64).map(|place| uniform(place).powi(6) + 0.001).collect();
    for row in values.chunks_exact_mut(CLASSES) {
        let sum: f32 = row.iter().sum();
        row.iter_mut().for_each(|value| *value /= sum);
    }
    let matrix = Matrix::new(candidates, CLASSES, values).unwrap();
    let ids: Vec<SampleId> = (0..candidates).map(sample).collect();
    let mut view =
        View::new(ids.as_slice(), 7, CycleNumber(2)).with("probabilities", Output::flat(&matrix));
    view.classes = CLASSES;
    let spec: StrategySpec = "entropy".parse().unwrap();
    let built = build(&spec).unwrap();
    let request =
        SelectRequest { strategy: &*built, name: "entropy", view: &view, batch: BATCH, audit: 0 };
    let mut writer = EvidenceWriter::new(Vec::new());
    writer.select(&request, &spec, Keep::F32).unwrap();
    writer.finish().unwrap()
}

fn sample(number: usize) -> SampleId {
    format!("sample-{number:08}").into()
}

/// The manifest of a pool with so many samples, see `pool/manifest.rs`.
fn manifest(samples: usize, classes: &[String]) -> Vec<u8> {
    let mut bytes = b"gleaner pool 1".to_vec();
    let text = |bytes: &mut Vec<u8>, text: &str| {
        bytes.extend((text.len() as u64).to_be_bytes());
        bytes.extend(text.bytes());
    };
    bytes.extend([1_u64, 64, classes.len() as u64].iter().flat_map(|n| n.to_be_bytes()));
    classes.iter().for_each(|class| text(&mut bytes, class));
    bytes.extend((samples as u64).to_be_bytes());
    for number in 0..samples {
        text(&mut bytes, sample(number).as_str());
        bytes.extend([7; 32]);
    }
    bytes
}

/// What all runs share.
struct Shared {
    store: SledStore,
    definition: Definition,
    classes: Vec<String>,
    pool: Digest,
    samples: usize,
    models: Vec<Digest>,
    scores: Digest,
}

/// Writes so many runs of so many cycles, and answers how many events they have.
async fn fill(state: &Path, runs: usize, cycles: u32, evidence: Option<&[u8]>) -> usize {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("workflows/digits-production.toml");
    let definition = workflow::load(&file, &[]).unwrap();
    let store = SledStore::open(state, SledOptions::default()).unwrap();
    let artifacts = store.artifacts().clone();
    let put = |bytes: &[u8]| artifacts.put(bytes).unwrap();
    put(&definition.canonical_bytes());
    let classes: Vec<String> = (0..CLASSES).map(|class| class.to_string()).collect();
    // A prime is far from any number of cycles, so that steps of it reach every sample.
    let samples = (cycles as usize * BATCH).max(1_000);
    let shared = Arc::new(Shared {
        pool: put(&manifest(samples, &classes)),
        models: (0..MODELS).map(|model| put(format!("model {model}").as_bytes())).collect(),
        scores: put(evidence.unwrap_or(b"scores")),
        store,
        definition,
        classes,
        samples,
    });
    let mut events = 0;
    for first in (0..runs).step_by(TOGETHER) {
        let tasks: Vec<_> = (first..runs.min(first + TOGETHER))
            .map(|number| tokio::spawn(write(Arc::clone(&shared), number, cycles)))
            .collect();
        for task in tasks {
            events += task.await.unwrap();
        }
    }
    events
}

async fn write(shared: Arc<Shared>, number: usize, cycles: u32) -> usize {
    let id = RunId(Uuid::from_u128((number as u128) << 64 | 7));
    let workflow = shared.definition.digest();
    let mut run = Run::new(id);
    let (mut head, mut count) = (Digest::ZERO, 0);
    for cycle in 1..=cycles {
        let mut events = Vec::new();
        for event in cycle_of(&shared, &mut run, head) {
            count += 1;
            events.push(NewEvent {
                id: EventId(Uuid::from_u128((number as u128) << 64 | count as u128)),
                recorded: Timestamp(1_750_000_000_000_000 + count as i64),
                causation: Some(JobId(Uuid::from_u128(count as u128))),
                actor: "worker-1".into(),
                workflow,
                event,
            });
        }
        let cycle = CycleId { run: id, cycle: CycleNumber(cycle) };
        let appends = vec![Append { cycle, expected: Revision(0), events }];
        let done = shared.store.commit(Commit { appends, ..Commit::default() }).await.unwrap();
        head = done.events.last().unwrap().hash;
    }
    count
}

/// The events of the run's next cycle, which are legal after those before.
fn cycle_of(shared: &Shared, run: &mut Run, head: Digest) -> Vec<Event> {
    let mut events = Vec::new();
    let mut add = |run: &mut Run, event: Event| {
        run.apply(&event).unwrap();
        events.push(event);
    };
    let definition = &shared.definition;
    if run.cycle.0 == 0 {
        let started = RunStarted {
            name: definition.run.name.clone(),
            workflow: definition.digest(),
            folder: "workflows".into(),
            classes: shared.classes.clone(),
            gate: true,
            seed: definition.run.seed,
        };
        add(run, Event::RunStarted(started));
    }
    let labels =
        |run: &Run| labelled_set_digest(run.labels.iter().map(|(id, known)| (id, known.label)));
    let started = CycleStarted {
        workflow: definition.digest(),
        pool: shared.pool,
        labelled_set: labels(run),
        labelled: run.labelled(),
        selector_model: run.production,
        seed: definition.run.seed,
        previous_head: head,
    };
    add(run, Event::CycleStarted(started));
    let number = run.cycle.0 as usize;
    let picks: Vec<SampleId> = ((number - 1) * BATCH..number * BATCH)
        .map(|place| sample(place * 7_919 % shared.samples))
        .collect();
    let selected =
        BatchSelected { scores: Some(shared.scores), ..batch(run.production, picks.clone()) };
    add(run, Event::BatchSelected(selected));
    let labelled = picks.into_iter().enumerate().map(|(place, sample)| Annotation {
        sample,
        label: Label::Class((place % CLASSES) as u32),
        annotator: "oracle".into(),
        at: Timestamp(1_750_000_000_000_000),
        spent: Duration::from_secs(2),
    });
    add(run, Event::Annotated(Annotated { labels: labelled.collect() }));
    if let Some(model) = run.production {
        add(run, Event::KpiChecked(kpi(KpiStage::Gate, model)));
    }
    let model = |step: usize| shared.models[(number + step) % MODELS];
    let checkpoints = [0, 5, 10].map(|step| Checkpoint {
        model: model(step),
        step: step as u64,
        metrics: [
            ("validation.accuracy".into(), 0.9),
            ("validation.loss".into(), 0.312_345),
            ("export.max_difference".into(), 1e-6),
        ]
        .into(),
    });
    let trained = Trained {
        train_set: labels(run),
        train_samples: run.labelled(),
        validation_set: Digest::ZERO,
        validation_samples: 180,
        checkpoints: checkpoints.into(),
    };
    add(run, Event::Trained(trained));
    if let Some(champion) = run.production {
        let compared = ModelsCompared {
            champion,
            challenger: model(0),
            n: 180,
            test: "mcnemar_exact".into(),
            wins: 9,
            losses: 4,
            difference: 0.027_7,
            interval: Interval { low: 0.01, high: 0.04 },
            p: 0.26,
            agreement: Some(0.93),
        };
        add(run, Event::ModelsCompared(compared));
    }
    let candidate = |model| Candidate { model, value: 0.312_345 };
    let known = [0, 5, 10].map(|step| candidate(model(step))).into_iter();
    let chosen = ModelSelected {
        criterion: "validation.loss".into(),
        candidates: known.chain(run.production.map(candidate)).collect(),
        incumbent: run.production,
        winner: model(0),
        promoted: true,
        reason: "0.91 is better than 0.90".into(),
    };
    add(run, Event::ModelSelected(chosen));
    add(run, Event::KpiChecked(kpi(KpiStage::Acceptance, model(0))));
    let ended = CycleEnded { labelled: run.labelled(), production: run.production };
    add(run, Event::CycleEnded(ended));
    events
}

fn batch(model: Option<Digest>, picks: Vec<SampleId>) -> BatchSelected {
    let pick = |(rank, sample): (u32, SampleId)| Pick {
        sample,
        arm: Arm::Strategy,
        score: Some(0.512_345_678 - f64::from(rank) / 1_024.0),
        rank: rank + 1,
        probability: None,
    };
    BatchSelected {
        strategy: "margin".into(),
        strategy_version: 1,
        parameters: [].into(),
        model,
        provider: Some("CPUExecutionProvider (onnxruntime 1.24.4)".into()),
        picks: (0..).zip(picks).map(pick).collect(),
        cutoff: Some(0.498_765_432),
        candidates: 100_000,
        scores: None,
    }
}

fn kpi(stage: KpiStage, model: Digest) -> KpiChecked {
    KpiChecked {
        stage,
        metric: "accuracy".into(),
        estimator: "audit".into(),
        model,
        n: 16,
        value: 0.5,
        interval: Interval { low: 0.4, high: 0.6 },
        target: 0.85,
        basis: Basis::Interval,
        verdict: Verdict::Missed,
    }
}
