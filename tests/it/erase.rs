//! A sample is forgotten on request, and the record still holds together.

use crate::program::{Folder, Live, WRONG, stderr, told};
use crate::verify::files;
use gleaner::artifacts::Artifacts;
use gleaner::audit::erase::{Erasure, Wish};
use gleaner::audit::tree;
use gleaner::audit::verify::verify;
use gleaner::domain::definition::Definition;
use gleaner::domain::digest::Digest;
use gleaner::domain::event::*;
use gleaner::domain::ids::{CycleNumber, RunId, SampleId};
use gleaner::domain::label::Label;
use gleaner::domain::time::Timestamp;
use gleaner::faults::{Fault, Faults};
use gleaner::selftest::copy_folder;
use gleaner::store::codec::Payload;
use gleaner::store::sled::repair::{Repair, repair};
use gleaner::store::sled::{SledOptions, SledStore};
use gleaner::store::{Append, Commit, EventLog, NewEvent, Recorded, Store, StoreError, read_run};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Labels begin here: bytes that nothing else has.
const SECRET: f64 = 98_765.437_5;

const WORKFLOW: &str = "\
[run]
name = \"prices\"
task = \"regression\"
mode = \"development\"
[pool]
source = \"csv\"
path = \"prices.csv\"
id_column = \"id\"
validation = 0.2
test = 0.2
[selector]
strategy = \"greedy_x\"
embedding = \"features\"
batch = 10
seed_batch = 10
[trainer]
graph = \"linear\"
epochs = 2
[kpi]
metric = \"rmse\"
target = 0.001
[stop]
kpi = false
";

/// A run that bought every label of the training part, and the ids of its samples with labels.
fn prices() -> Folder {
    let folder = Folder::new();
    let mut pool = "id,x,y,label\n".to_owned();
    for row in 0..60 {
        let (x, y) = (f64::from(row) / 7.0, f64::from(row * row % 11));
        pool += &format!("s{row:02},{x},{y},{}\n", label(row));
    }
    folder.write("prices.csv", pool);
    folder.write("prices.toml", WORKFLOW);
    let output = folder.gleaner(&["run", "prices.toml"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    folder
}

/// The label of the sample of that number.
fn label(number: u32) -> f64 {
    SECRET + f64::from(number)
}

/// In which files of the state directory the label of a sample is, as an event or an array holds it.
fn told_by(folder: &Folder, number: u32) -> Vec<PathBuf> {
    #[expect(clippy::cast_possible_truncation, reason = "arrays hold 32 bits")]
    let (wide, narrow) = (label(number).to_le_bytes(), (label(number) as f32).to_le_bytes());
    let tells = |bytes: &[u8]| {
        bytes.windows(8).any(|found| found == wide) || bytes.windows(4).any(|found| found == narrow)
    };
    let all = files(&folder.path("state"));
    all.into_iter().filter(|(_, bytes)| tells(bytes)).map(|(path, _)| path).collect()
}

fn ask(folder: &Folder, arguments: &[&str]) -> String {
    let output = folder.gleaner(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn json(folder: &Folder, arguments: &[&str]) -> Value {
    serde_json::from_str(&ask(folder, &[arguments, &["--json"]].concat())).unwrap()
}

fn open(folder: &Folder) -> SledStore {
    SledStore::open(&folder.path("state"), SledOptions::default()).unwrap()
}

async fn records(store: &SledStore) -> (RunId, Vec<Recorded>) {
    let (run, _) = store.runs().await.unwrap()[0];
    (run, read_run(store, run).await.unwrap())
}

/// A sample that has a label.
fn labelled(records: &[Recorded]) -> u32 {
    let annotated = records.iter().rev().find_map(|recorded| {
        if let Event::Annotated(annotated) = &recorded.event { Some(annotated) } else { None }
    });
    annotated.unwrap().labels[0].sample.as_str()[1..].parse().unwrap()
}

#[tokio::test]
async fn what_a_sample_is_is_gone_from_the_disk_and_every_hash_is_as_before() {
    let folder = prices();
    let store = open(&folder);
    let (_, before) = records(&store).await;
    let before_tree = tree::records(&store).await.unwrap();
    drop(store);
    let number = labelled(&before);
    let sample = format!("s{number:02}");
    assert!(!told_by(&folder, number).is_empty());
    let other = (0..60).find(|of| *of != number && !told_by(&folder, *of).is_empty()).unwrap();

    // Whatever a crash left of an earlier one is gone as soon as somebody opens the directory.
    let left = folder.path("state/rewriting/log/db");
    std::fs::create_dir_all(left.parent().unwrap()).unwrap();
    std::fs::write(&left, label(number).to_le_bytes()).unwrap();

    // Asked only, nothing happens.
    let erase = ["erase", &sample, "--reason", "asked by the person"];
    let said = ask(&folder, &erase);
    assert!(said.contains("would be erased from 1 records") && said.contains("--yes"), "{said}");
    assert!(!left.exists());
    assert!(!told_by(&folder, number).is_empty());
    let said = json(&folder, &[&erase[..], &["--yes"]].concat());
    assert_eq!((&said["done"], &said["runs"][0]["records"]), (&true.into(), &1.into()), "{said}");

    let told = told_by(&folder, number);
    assert!(told.is_empty(), "it is on the disk still: {told:?}");
    assert!(!told_by(&folder, other).is_empty(), "what nobody wanted erased is there");
    let store = open(&folder);
    let (_, after) = records(&store).await;
    assert!(after.len() > before.len());
    for (then, now) in before.iter().zip(&after) {
        assert_eq!((then.hash, then.id, then.recorded), (now.hash, now.id, now.recorded));
        assert_eq!(now.original.is_some(), then.event != now.event);
    }
    let after_tree = tree::records(&store).await.unwrap();
    assert_eq!(before_tree[..], after_tree[..before_tree.len()], "checkpoints kept elsewhere hold");
    let found = verify(&store, store.artifacts(), None).unwrap();
    assert!(found.is_sound(), "{found:?}");
    let notes: Vec<&str> = found.runs[0].notes.iter().map(|note| note.what.as_str()).collect();
    let said = |words: &str| notes.iter().any(|note| note.contains(words));
    assert!(said("was erased on") && said("asked by the person"), "{notes:?}");
    assert!(said("were removed by policy on"), "{notes:?}");
    drop(store);

    // Whoever looks is told, and who asks again finds nothing.
    let said = ask(&folder, &["explain", &sample]);
    assert!(said.contains("erased"), "{said}");
    assert!(ask(&folder, &["log"]).contains("SampleErased"));
    assert!(ask(&folder, &["verify"]).contains("hold together"));
    let again = ask(&folder, &["erase", &sample, "--reason", "again", "--yes"]);
    assert!(again.contains("nothing is kept"), "{again}");

    // What a crash left that came before the caches went, whoever asks again removes.
    let run = json(&folder, &["status"])["run"].as_str().unwrap().to_owned();
    for left in ["state/cache/embeddings", "state/training"] {
        std::fs::create_dir_all(folder.path(left)).unwrap();
    }
    folder.write("state/cache/embeddings/some", label(number).to_le_bytes());
    folder.write(&format!("state/training/{run}-1.state"), label(number).to_le_bytes());
    ask(&folder, &["erase", &sample, "--reason", "again", "--yes"]);
    assert!(told_by(&folder, number).is_empty());

    // Another one, and the first stays erased.
    let sample = format!("s{other:02}");
    ask(&folder, &["erase", &sample, "--reason", "the next", "--yes"]);
    for number in [number, other] {
        assert!(told_by(&folder, number).is_empty());
    }
    assert!(ask(&folder, &["verify"]).contains("hold together"));
}

#[tokio::test]
async fn a_record_that_no_erasure_speaks_of_is_found() {
    let folder = prices();
    let store = open(&folder);
    let (run, log) = records(&store).await;
    let sample = format!("s{:02}", labelled(&log));
    // Somebody rewrites a record as an erasure would, and does not say so.
    let changes = log.iter().filter_map(|recorded| {
        Some((recorded.position, recorded.event.without_labels_of(&sample.as_str().into())?))
    });
    let changes: BTreeMap<_, _> = changes.collect();
    let state = folder.path("state");
    store.rewrite(&state, SledOptions::default(), &changes, Commit::default()).await.unwrap();
    let store = open(&folder);
    assert_eq!(records(&store).await.0, run);
    let found = verify(&store, store.artifacts(), None).unwrap();
    let findings = &found.runs[0].findings;
    assert!(findings.iter().any(|of| of.what.contains("no event says so")), "{findings:?}");
    let place = log.iter().position(|recorded| changes.contains_key(&recorded.position)).unwrap();
    assert_eq!(found.runs[0].trusted.unwrap().hash, log[place - 1].hash, "what is before it holds");
    assert!(store.commit(Commit::default()).await.is_ok(), "the store goes on");
}

/// What verification says after somebody changed an event, kept its hash, and said that it was for a sample.
async fn forged(sample: &str, change: &dyn Fn(&mut Event) -> bool) -> Vec<String> {
    let folder = prices();
    let store = open(&folder);
    let (run, log) = records(&store).await;
    let changed = log.iter().find_map(|recorded| {
        let mut event = recorded.event.clone();
        change(&mut event).then_some((recorded, event))
    });
    let (recorded, event) = changed.unwrap();
    let digest = |event: &Event| Payload::of(event).unwrap().digest();
    let record = RewrittenRecord {
        cycle: recorded.cycle.cycle,
        revision: recorded.revision,
        original: digest(&recorded.event),
        now: digest(&event),
    };
    let (last, at) = (log.last().unwrap(), Timestamp(9));
    let (sample, reason, rewritten) = (sample.into(), "forged".to_owned(), vec![record]);
    let erased = Event::SampleErased(SampleErased { sample, reason, at, rewritten });
    let appended = NewEvent { workflow: last.workflow, ..crate::samples::with(9, erased) };
    let expected = last.revision.next();
    let append = Append { cycle: last.cycle, expected, events: vec![appended] };
    let commit = Commit { appends: vec![append], ..Commit::default() };
    let changes = BTreeMap::from([(recorded.position, event)]);
    let state = folder.path("state");
    store.rewrite(&state, SledOptions::default(), &changes, commit).await.unwrap();
    let store = open(&folder);
    let found = verify(&store, store.artifacts(), Some(run)).unwrap();
    found.runs[0].findings.iter().map(|finding| finding.what.clone()).collect()
}

#[tokio::test]
async fn an_erasure_covers_no_other_change_of_a_record() {
    let measured = |event: &mut Event| {
        let Event::KpiChecked(checked) = event else { return false };
        checked.value += 0.001;
        true
    };
    let another_label = |event: &mut Event| {
        let Event::Annotated(annotated) = event else { return false };
        annotated.labels[0].annotator = "somebody".into();
        true
    };
    let another_sample = |event: &mut Event| {
        let Event::Annotated(annotated) = event else { return false };
        annotated.labels[0].label = Label::Erased(annotated.labels[0].label.task());
        true
    };
    type Forgery<'a> = (&'a dyn Fn(&mut Event) -> bool, &'a str);
    let forgeries: [Forgery<'_>; 3] = [
        (&measured, "KpiChecked was rewritten, and no label in it is erased"),
        (&another_label, "Annotated was rewritten, and no label in it is erased"),
        (&another_sample, "was rewritten for sample nobody, and there is no erased label"),
    ];
    for (change, words) in forgeries {
        let said = forged("nobody", change).await;
        assert!(said.iter().any(|said| said.contains(words)), "{said:?} lacks {words}");
    }
}

#[tokio::test]
async fn what_is_erased_after_a_repair_that_lost_events_leaves_a_log_that_opens() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let store = open_in(&state);
    let reason = "lost for good".to_owned();
    let lost = crate::samples::with(8, Event::CycleCancelled(CycleCancelled { reason }));
    let commit = crate::samples::appending(crate::samples::cycle(7, 1), 0, vec![lost]);
    store.commit(commit).await.unwrap();
    append_masks(&store, 1).await;
    drop(store);
    std::fs::remove_file(state.join("format")).unwrap();
    spoil(&state, b"lost for good");
    let Repair::Rebuilt(repaired) = repair(&state, None, SledOptions::default()).await.unwrap()
    else {
        panic!("it is damaged")
    };
    assert!(!repaired.lost.is_empty(), "{repaired:?}");
    let mut erasure = rewritten(&state, "s00", Faults::none()).await.unwrap();
    let store = open_in(&state);
    let artifacts = Artifacts::as_they_are(state.join("artifacts"));
    erasure.remove_files(&store, &artifacts).await.unwrap();
    let found = verify(&store, store.artifacts(), None).unwrap();
    assert!(found.is_sound(), "{found:?}");
    assert!(store.commit(Commit::default()).await.is_ok(), "the store goes on");
}

/// Flips bits in the log wherever these bytes are.
fn spoil(state: &Path, words: &[u8]) {
    let path = state.join("log/db");
    let mut bytes = std::fs::read(&path).unwrap();
    let found = |bytes: &[u8], at: usize| bytes[at..].starts_with(words);
    let places: Vec<usize> = (0..bytes.len()).filter(|at| found(&bytes, *at)).collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|at| bytes[at] ^= 0xFF);
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn an_interrupted_erasure_is_finished_by_asking_again() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path();
    masks(state).await;
    // Twice the process ends as soon as the log is rewritten.
    for sample in ["s00", "s01"] {
        rewritten(state, sample, Faults::none()).await.unwrap();
    }
    let store = open_in(state);
    let artifacts = Artifacts::as_they_are(state.join("artifacts"));
    assert_eq!(artifacts.list().unwrap().len(), 7);
    let sample = SampleId::from("s01");
    let wish = Wish { sample: &sample, run: None, reason: "again", at: Timestamp(9) };
    let mut again = Erasure::of(&store, &artifacts, wish).await.unwrap();
    assert!(again.runs.is_empty());
    assert_eq!(again.forgetting(), &BTreeSet::from([crate::samples::run(1)]));
    again.remove_files(&store, &artifacts).await.unwrap();
    let left = artifacts.list().unwrap().len();
    assert_eq!(left, 4, "the workflow, the pool, the shared mask, and the event as it is now");
    assert!(verify(&store, store.artifacts(), None).unwrap().is_sound());
}

/// Erases a sample in a state directory, with the files.
async fn erased(state: &Path, sample: &str) {
    let mut erasure = rewritten(state, sample, Faults::none()).await.unwrap();
    let artifacts = Artifacts::as_they_are(state.join("artifacts"));
    erasure.remove_files(&open_in(state), &artifacts).await.unwrap();
}

#[tokio::test]
async fn a_repair_brings_nothing_back_that_was_erased_here_or_in_the_copy() {
    let folder = tempfile::tempdir().unwrap();
    let (state, copy) = (folder.path().join("state"), folder.path().join("copy"));
    let (annotated, masks) = masks(&state).await;
    for (changed, sample, count) in [(&state, "s00", 1), (&copy, "s01", 2)] {
        copy_folder(&state, &copy).unwrap();
        erased(changed, sample).await;
        std::fs::remove_file(state.join("format")).unwrap();
        let repaired = repair(&state, Some(&copy), SledOptions::default()).await.unwrap();
        assert!(matches!(repaired, Repair::Rebuilt(_)), "{repaired:?}");
        std::fs::remove_dir_all(&copy).unwrap();
        let store = open_in(&state);
        let found = verify(&store, store.artifacts(), None).unwrap();
        assert!(found.is_sound(), "{found:?}");
        let artifacts = store.artifacts();
        assert_eq!(masks.map(|mask| artifacts.path(&mask).exists()), [false, true]);
        assert!(!artifacts.path(&annotated).exists(), "the event as it was");
        let (_, log) = records(&store).await;
        let erased: BTreeSet<_> = log.iter().flat_map(|of| of.event.erased_samples()).collect();
        assert_eq!(erased.len(), count);
    }
}

#[tokio::test]
async fn runs_that_were_not_asked_and_still_tell_of_the_sample_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path();
    masks(state).await;
    append_masks(&open_in(state), 2).await;
    let [asked, other] = [1, 2].map(crate::samples::run);
    let (store, sample) = (open_in(state), SampleId::from("s00"));
    let mut wish = Wish { sample: &sample, run: Some(asked), reason: "asked", at: Timestamp(9) };
    let erasure = Erasure::of(&store, store.artifacts(), wish).await.unwrap();
    assert_eq!((erasure.runs[0].run, &erasure.others[..]), (asked, &[other][..]));
    wish.run = None;
    let erasure = Erasure::of(&store, store.artifacts(), wish).await.unwrap();
    assert_eq!((erasure.runs.len(), &erasure.others[..]), (2, &[][..]));
}

/// An event of a run that labels 100 samples by masks: `a` by one of its own, the others by one that they share.
fn masked(workflow: &Definition, pool: Digest, [alone, shared]: [Digest; 2]) -> Vec<Event> {
    let samples = || (0..100).map(|number| SampleId::from(format!("s{number:02}").as_str()));
    let pick = |sample: SampleId| Pick {
        sample,
        arm: Arm::ColdStart,
        score: None,
        rank: 1,
        probability: None,
    };
    let said = |sample: SampleId| Annotation {
        label: Label::Mask(if sample.as_str() == "s00" { alone } else { shared }),
        sample,
        annotator: "oracle".into(),
        at: Timestamp(3),
        spent: Duration::ZERO,
    };
    let (digest, seed) = (workflow.digest(), workflow.run.seed);
    vec![
        Event::RunStarted(RunStarted {
            name: "masks".to_owned(),
            workflow: digest,
            folder: ".".to_owned(),
            classes: vec!["ground".to_owned(), "box".to_owned()],
            gate: false,
            seed,
        }),
        Event::CycleStarted(CycleStarted {
            workflow: digest,
            pool,
            labelled_set: labelled_set_digest([]),
            labelled: 0,
            selector_model: None,
            seed,
            previous_head: Digest::ZERO,
        }),
        Event::BatchSelected(BatchSelected {
            strategy: "random".to_owned(),
            strategy_version: 1,
            parameters: BTreeMap::new(),
            model: None,
            provider: None,
            picks: samples().map(pick).collect(),
            cutoff: None,
            candidates: 100,
            scores: None,
        }),
        Event::Annotated(Annotated { labels: samples().map(said).collect() }),
        Event::CycleCancelled(CycleCancelled { reason: "enough".to_owned() }),
        Event::RunEnded(RunEnded {
            reason: EndReason::Cancelled,
            cycles: CycleNumber(1),
            labelled: 100,
            production: None,
        }),
    ]
}

fn open_in(state: &Path) -> SledStore {
    SledStore::open(state, SledOptions::default()).unwrap()
}

/// A state directory with that run; answers the digests of the event with the labels and of the masks.
async fn masks(state: &Path) -> (Digest, [Digest; 2]) {
    append_masks(&open_in(state), 1).await
}

/// Appends that run under a number.
async fn append_masks(store: &SledStore, run: u128) -> (Digest, [Digest; 2]) {
    let workflow = crate::support::workflow("digits.toml", &[]);
    let put = |bytes: &[u8]| store.artifacts().put(bytes).unwrap();
    put(&workflow.canonical_bytes());
    let (pool, masks) = (put(b"a pool"), [put(b"alone"), put(b"shared")]);
    let events = masked(&workflow, pool, masks);
    let annotated = Payload::of(&events[3]).unwrap();
    assert!(annotated.is_large());
    let events = (1..).zip(events).map(|(number, event)| NewEvent {
        workflow: workflow.digest(),
        ..crate::samples::with(number, event)
    });
    let append = crate::samples::append(crate::samples::cycle(run, 1), 0, events.collect());
    store.commit(Commit { appends: vec![append], ..Commit::default() }).await.unwrap();
    (annotated.digest(), masks)
}

/// Erases a sample in a state directory, on a disk that may fail; the files are still to go.
async fn rewritten(state: &Path, sample: &str, faults: Faults) -> Result<Erasure, StoreError> {
    let store = open_in(state);
    let sample = SampleId::from(sample);
    let wish = Wish { sample: &sample, run: None, reason: "asked", at: Timestamp(9) };
    let erasure = Erasure::of(&store, store.artifacts(), wish).await.unwrap();
    assert_eq!(erasure.runs[0].records, 1);
    let commit = erasure.commit(Timestamp(9), "cli", &|| uuid::Uuid::from_u128(9));
    let options = SledOptions { faults, ..SledOptions::default() };
    store.rewrite(state, options, erasure.changes(), commit).await?;
    Ok(erasure)
}

#[tokio::test]
async fn masks_and_events_that_are_files_go_where_nothing_else_needs_them() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path();
    let (annotated, masks) = masks(state).await;
    let artifacts = Artifacts::as_they_are(state.join("artifacts"));
    assert!(artifacts.path(&annotated).exists());
    for sample in ["s00", "s01"] {
        let mut erasure = rewritten(state, sample, Faults::none()).await.unwrap();
        let store = open_in(state);
        erasure.remove_files(&store, &artifacts).await.unwrap();
        assert_eq!(masks.map(|mask| artifacts.path(&mask).exists()), [false, true]);
        assert!(!artifacts.path(&annotated).exists(), "the event as it was");
        let found = verify(&store, store.artifacts(), None).unwrap();
        assert!(found.is_sound(), "{found:?}");
    }
    let left = artifacts.list().unwrap().len();
    assert_eq!(left, 4, "the workflow, the pool, the shared mask, and the event as it is now");
}

#[tokio::test]
async fn a_disk_that_fails_anywhere_leaves_the_old_log_or_the_new_one() {
    let mut outcomes = [0, 0];
    for number in 1.. {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path();
        masks(state).await;
        let faults = Faults::at(number, Fault::Failed);
        let done = rewritten(state, "s00", faults.clone()).await;
        let store = open_in(state);
        assert!(!state.join("rewriting").exists());
        let (_, log) = records(&store).await;
        let is_new = log.iter().any(|recorded| recorded.original.is_some());
        assert_eq!(log.len(), if is_new { 7 } else { 6 }, "step {number}");
        assert!(is_new || done.is_err(), "step {number} failed and nobody was told");
        let found = verify(&store, store.artifacts(), None).unwrap();
        assert!(found.is_sound(), "step {number}: {found:?}");
        outcomes[usize::from(is_new)] += 1;
        if faults.steps() < number {
            break;
        }
    }
    assert!(outcomes.iter().all(|count| *count > 1), "{outcomes:?}");
}

#[test]
fn what_is_still_needed_or_nobody_knows_is_not_erased() {
    let folder = Folder::new();
    told(
        &folder.gleaner(&["erase", "x", "--reason", "r"]).output().unwrap(),
        WRONG,
        &["holds no runs"],
    );
    let sets = ["stop.max_cycles=100000", "selector.batch=1", "trainer.epochs=2000"];
    let mut live = Live::start(folder.running(&sets));
    live.until("    2 ");
    let held = folder.gleaner(&["erase", "x", "--reason", "r"]).output().unwrap();
    told(&held, 4, &["in use"]);
    ask(&folder, &["pause"]);
    live.end();
    told(
        &folder.gleaner(&["erase", "nobody", "--reason", "r"]).output().unwrap(),
        WRONG,
        &["no run here knows a sample", "nobody"],
    );
    let log = ask(&folder, &["log", "--json"]);
    let sample = log.lines().find_map(|line| {
        let record: Value = serde_json::from_str(line).unwrap();
        let sample = record["event"]["Annotated"]["labels"][0]["sample"].as_str();
        sample.map(str::to_owned)
    });
    let sample = sample.unwrap();
    let refused = folder.gleaner(&["erase", &sample, "--reason", "r", "--yes"]).output().unwrap();
    told(&refused, WRONG, &[&sample, "gleaner cancel", "not over"]);
    ask(&folder, &["cancel"]);
    let run = json(&folder, &["status"])["run"].as_str().unwrap().to_owned();
    ask(&folder, &["erase", &sample, "--run", &run[24..], "--reason", "r", "--yes"]);
    assert!(ask(&folder, &["verify"]).contains("hold together"));
}
