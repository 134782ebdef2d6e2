//! What need not be kept may go, and the record stays whole.

use crate::program::{Folder, Live, WRONG, stderr, told};
use crate::support::{finish, sled, workflow, workflows};
use gleaner::artifacts::Artifacts;
use gleaner::audit::retention::{Models, Plan};
use gleaner::audit::verify::{Verification, verify};
use gleaner::control::{Request, Response, handle};
use gleaner::domain::definition::Definition;
use gleaner::domain::digest::Digest;
use gleaner::domain::event::{
    ArtifactKind, ArtifactsRemoved, Event, LabelsDoubted, RemovedArtifact,
};
use gleaner::domain::ids::{CycleId, CycleNumber, EventId, Revision, RunId};
use gleaner::domain::time::Timestamp;
use gleaner::engine::Engine;
use gleaner::engine::notice::Notice;
use gleaner::store::sled::repair::{Repair, repair};
use gleaner::store::sled::{SledOptions, SledStore};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const SET: [(&str, &str); 7] = [
    ("stop.max_cycles", "3"),
    ("stop.kpi", "false"),
    ("selector.seed_per_class", "1"),
    ("selector.batch", "5"),
    ("selector.keep", "scores"),
    ("trainer.epochs", "2"),
    ("trainer.checkpoints", "2"),
];

fn open(state: &Path) -> Engine {
    let (store, artifacts) = sled(state);
    Engine::builder(store, artifacts).build()
}

async fn start(engine: &Engine) -> RunId {
    engine.start(workflow("digits-softmax.toml", &SET), &workflows()).await.unwrap()
}

/// A run that is over, in a state directory that nobody has open.
async fn ended(state: &Path) -> RunId {
    let engine = open(state);
    let run = start(&engine).await;
    assert!(finish(&engine, run).await.failed.is_none());
    run
}

async fn gc(engine: &Engine, cycles: u32, confirmed: bool) -> Plan {
    let request =
        Request::Collect { cycles, models: Models::Production, keep: Vec::new(), confirmed };
    let Response::Collected(plan) = handle(engine, request).await.unwrap() else { panic!() };
    assert_eq!(plan.done, confirmed);
    plan
}

async fn refused(engine: &Engine, request: Request) -> String {
    handle(engine, request).await.unwrap_err().to_string()
}

fn verified(state: &Path) -> Verification {
    let scratch = tempfile::tempdir().unwrap();
    let (store, _lock) =
        SledStore::open_copy(state, scratch.path(), SledOptions::default()).unwrap();
    verify(&store, store.artifacts(), None).unwrap()
}

fn files(state: &Path) -> BTreeMap<Digest, u64> {
    Artifacts::as_they_are(state.join("artifacts")).list().unwrap()
}

fn digests(plan: &Plan) -> Vec<Digest> {
    plan.files().map(|file| file.artifact).collect()
}

async fn log(engine: &Engine, run: RunId) -> Vec<Event> {
    let cycle = CycleId { run, cycle: engine.last_cycle(run).await.unwrap() };
    let log = engine.log(cycle, Revision(0), 1000).await.unwrap();
    log.into_iter().map(|recorded| recorded.event).collect()
}

#[tokio::test]
async fn what_a_policy_does_not_keep_goes_and_the_record_stays_whole() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path();
    let run = ended(state).await;
    let engine = open(state);
    let before = (files(state), engine.status(run).await.unwrap());

    // Asked only, nothing happens.
    let plan = gc(&engine, 1, false).await;
    let kinds: Vec<ArtifactKind> = plan.removed.iter().map(|going| going.artifact.kind).collect();
    let count = |kind| kinds.iter().filter(|of| **of == kind).count();
    assert_eq!(count(ArtifactKind::Scores), 1, "of cycle 2: the first one kept none\n{plan:?}");
    assert!(count(ArtifactKind::Checkpoint) >= 1, "two a cycle, at most one of them promoted");
    assert!(plan.kept.keys().any(|why| why.contains("in production")), "{:?}", plan.kept);
    assert_eq!(before.0, files(state));
    assert_eq!(before.1, engine.status(run).await.unwrap());

    let done = gc(&engine, 1, true).await;
    assert_eq!(digests(&done), digests(&plan));
    let mut left = before.0.clone();
    left.retain(|digest, _| !digests(&done).contains(digest));
    assert_eq!(files(state), left);
    let status = engine.status(run).await.unwrap();
    assert_eq!(status.events, before.1.events + 1);
    assert_eq!(status.semantic_digest, before.1.semantic_digest, "what it found out is the same");
    let Some(Event::ArtifactsRemoved(removed)) = log(&engine, run).await.pop() else { panic!() };
    let recorded: Vec<Digest> = removed.removed.iter().map(|gone| gone.artifact).collect();
    assert_eq!(recorded, digests(&done));
    assert!(gc(&engine, 1, true).await.files().next().is_none(), "once is enough");

    // Who asks for it is told since when it is gone.
    let on = format!("removed by policy on {}", removed.at.date());
    let reselect = Request::Reselect { run: None, cycle: 2 };
    let said = refused(&engine, reselect).await;
    assert!(said.contains(&on) && said.contains("cycle 2"), "{said}");
    let explain = Request::Explain { run: None, sample: "digits-0000".to_owned() };
    let said = format!("{:?}", handle(&engine, explain).await.unwrap());
    assert!(said.contains(&removed.at.date()), "{said}");
    assert!(handle(&engine, Request::Reselect { run: None, cycle: 3 }).await.is_ok());
    drop(engine);

    let found = verified(state);
    assert!(found.is_sound(), "{found:?}");
    assert_eq!(found.artifacts, before.0.len() as u64 - recorded.len() as u64);
    let [note] = &found.runs[0].notes[..] else { panic!("{found:?}") };
    assert!(note.what.contains(&on), "{note:?}");
    assert!(note.what.contains(&format!("{} artifacts", recorded.len())), "{note:?}");

    // Interrupted before the file went: it is told, and the next one takes it away without another word.
    let artifacts = Artifacts::as_they_are(state.join("artifacts"));
    std::fs::write(artifacts.path(&recorded[0]), b"still there").unwrap();
    let engine = open(state);
    let plan = gc(&engine, 1, true).await;
    assert_eq!(plan.leftovers.len(), 1, "{plan:?}");
    assert!(plan.removed.is_empty() && !artifacts.path(&recorded[0]).exists());
    assert_eq!(engine.status(run).await.unwrap().events, status.events);
    drop(engine);

    // What is gone without a word is missing.
    let scores = Request::Reselect { run: None, cycle: 3 };
    std::fs::remove_file(artifacts.path(&before.1.production.unwrap())).unwrap();
    let found = verified(state);
    assert!(!found.is_sound());
    let findings = &found.runs[0].findings;
    assert!(findings.iter().any(|finding| finding.what.contains("is missing")), "{findings:?}");
    assert!(handle(&open(state), scores).await.is_ok());
}

#[tokio::test]
async fn what_another_run_needs_and_what_was_just_stored_stays() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path();
    let first = ended(state).await;
    let orphan = Artifacts::open(state.join("artifacts")).unwrap().put(b"left by a crash").unwrap();
    let engine = open(state);
    assert_eq!(gc(&engine, 0, false).await.orphans.len(), 1);

    // A twin of the run stores the same bytes, and stops in its second cycle.
    let twin = start(&engine).await;
    let mut notices = engine.watch();
    let stop = async {
        while let Ok(notice) = notices.recv().await {
            if matches!(&notice, Notice::Committed(at) if at.cycle.cycle.0 == 2 && matches!(at.event, Event::Trained(_)))
            {
                break;
            }
        }
    };
    engine.run(stop).await.unwrap();
    let plan = gc(&engine, 0, true).await;
    let said: Vec<&String> = plan.kept.keys().collect();
    assert!(said.iter().any(|why| why.contains("runs that are not over")), "{said:?}");
    assert!(plan.orphans.is_empty(), "a step of the twin may be about to name it");
    assert!(plan.removed.iter().all(|going| going.runs == [first]), "{plan:?}");
    drop(engine);
    assert!(verified(state).is_sound());

    // It is over: what both name goes from both, what it alone stored, too, but not while it was just stored.
    let engine = open(state);
    engine.cancel(twin, "enough").await.unwrap();
    engine.pin(twin, true, "in review").await.unwrap();
    let plan = gc(&engine, 0, false).await;
    assert!(plan.kept.keys().any(|why| why.contains("pinned")), "{:?}", plan.kept);
    assert!(plan.removed.is_empty(), "{plan:?}");
    engine.pin(twin, false, "reviewed").await.unwrap();
    let plan = gc(&engine, 0, true).await;
    assert!(plan.removed.iter().any(|going| going.runs == [first, twin]), "{plan:?}");
    assert_eq!(plan.orphans.iter().map(|gone| gone.artifact).collect::<Vec<_>>(), [orphan]);
    drop(engine);
    let found = verified(state);
    assert!(found.is_sound(), "{found:?}");
}

#[tokio::test]
async fn what_this_process_stored_stays_until_the_next_opening() {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let run = start(&engine).await;
    finish(&engine, run).await;
    let plan = gc(&engine, 0, true).await;
    assert!(plan.files().next().is_none(), "{plan:?}");
    assert!(plan.kept.keys().any(|why| why.contains("by the process")), "{:?}", plan.kept);
    drop(engine);
    assert!(gc(&open(folder.path()), 0, true).await.files().next().is_some());
}

async fn backed_up(engine: &Engine, to: &Path) {
    let request = Request::BackUp { to: to.to_path_buf() };
    let Response::BackedUp(_) = handle(engine, request).await.unwrap() else { panic!() };
}

async fn forked(engine: &Engine, of: RunId, overrides: &[(&str, &str)]) -> Result<RunId, String> {
    let overrides: Vec<(String, String)> =
        overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let before = engine.definition(of).await.unwrap();
    let definition: Definition =
        gleaner::workflow::changed(&before, "the run", &overrides).unwrap();
    let fork = engine.fork(of, CycleNumber(2), definition).await;
    fork.map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_fork_of_what_was_collected_is_whole_and_tells_what_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let run = ended(&state).await;
    let engine = open(&state);
    let plan = gc(&engine, 1, true).await;
    let fork = forked(&engine, run, &[]).await.unwrap();
    let again = forked(&engine, fork, &[]).await.unwrap();
    for fork in [fork, again] {
        let last = log(&engine, fork).await.pop().unwrap();
        let Event::ArtifactsRemoved(removed) = last else { panic!("{}", last.name()) };
        assert!(removed.removed.iter().all(|gone| digests(&plan).contains(&gone.artifact)));
        assert!(removed.removed.iter().any(|gone| gone.kind == ArtifactKind::Scores));
        assert_eq!(removed.policy, format!("{}; removed before the fork", plan.policy));
        let reselect = Request::Reselect { run: Some(fork.to_string()), cycle: 2 };
        let said = refused(&engine, reselect).await;
        assert!(said.contains(&format!("removed by policy on {}", removed.at.date())), "{said}");
    }
    for fork in [fork, again] {
        assert!(finish(&engine, fork).await.failed.is_none());
    }
    backed_up(&engine, &folder.path().join("backup")).await;
    drop(engine);
    let found = verified(&state);
    assert!(found.is_sound(), "{found:?}");
    for run in &found.runs[1..] {
        assert!(run.notes[0].what.ends_with("removed before the fork"), "{:?}", run.notes);
    }
}

#[tokio::test]
async fn a_fork_that_could_take_no_step_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let run = ended(folder.path()).await;
    let engine = open(folder.path());
    gc(&engine, 1, true).await;
    let committee = [("selector.strategy", "vote_entropy"), ("selector.committee", "checkpoints")];
    let said = forked(&engine, run, &committee).await.unwrap_err();
    for words in ["in its committee", "was removed by policy on", "selector.committee"] {
        assert!(said.contains(words), "{words} is not in {said}");
    }
    for model in engine.models(run).await.unwrap() {
        std::fs::remove_file(model.file).unwrap();
    }
    let said = forked(&engine, run, &[]).await.unwrap_err();
    assert!(said.contains("its production model") && said.contains("is missing"), "{said}");
    assert_eq!(engine.runs().await.unwrap(), [run], "nothing of it is recorded");
}

#[tokio::test]
async fn backups_and_forks_beside_a_removal_are_whole() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let run = ended(&state).await;
    let [first, last] = ["first", "last"].map(|name| folder.path().join(name));
    let engine = open(&state);
    // The first copies while the second waits, and finds what the third names.
    let ((), plan, fork) =
        tokio::join!(backed_up(&engine, &first), gc(&engine, 0, true), forked(&engine, run, &[]),);
    assert!(!plan.removed.is_empty());
    assert!(finish(&engine, fork.unwrap()).await.failed.is_none());
    backed_up(&engine, &last).await;
    drop(engine);
    for state in [state, first, last] {
        let found = verified(&state);
        assert!(found.is_sound(), "{found:?}");
    }
}

#[tokio::test]
async fn events_that_are_artifacts_stay() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path();
    let engine = open(state);
    let set = SET.into_iter().filter(|(key, _)| *key != "selector.batch");
    let set: Vec<(&str, &str)> = set.chain([("selector.batch", "150")]).collect();
    let definition = workflow("digits-softmax.toml", &set);
    let run = engine.start(definition, &workflows()).await.unwrap();
    assert!(finish(&engine, run).await.failed.is_none());
    let payloads = engine.payloads(run).await.unwrap();
    assert!(!payloads.is_empty());
    drop(engine);
    let engine = open(state);
    let plan = gc(&engine, 0, true).await;
    assert!(!plan.removed.is_empty());
    assert!(payloads.iter().all(|payload| engine.artifacts().path(payload).exists()));
    drop(engine);
    assert!(verified(state).is_sound());
}

#[tokio::test]
async fn what_is_named_once_more_after_its_removal_is_needed() {
    let folder = crate::verify::folder();
    let mut log = crate::verify::records(folder.path()).await;
    let at = log.iter().rposition(|one| matches!(one.event, Event::BatchSelected(_))).unwrap();
    let Event::BatchSelected(batch) = &log[at].event else { panic!() };
    let scores = batch.scores.unwrap();
    let Event::CycleStarted(started) = &log[at - 1].event else { panic!() };
    let labels = started.labelled;
    let gone = RemovedArtifact { artifact: scores, kind: ArtifactKind::Scores, bytes: 9 };
    let policy = "nothing".to_owned();
    let removed = ArtifactsRemoved { removed: vec![gone], policy, at: Timestamp(1) };
    let doubted =
        LabelsDoubted { evidence: scores, labels, folds: 2, suspects: 0, error_rate: 0.0 };
    for event in [Event::ArtifactsRemoved(removed), Event::LabelsDoubted(doubted)] {
        let mut recorded = log[at].clone();
        recorded.id = EventId(uuid::Uuid::from_u128(log.len() as u128));
        recorded.event = event;
        log.insert(at, recorded);
    }
    crate::verify::written(folder.path(), &log).await;
    crate::verify::verdict(folder.path()).unwrap();

    // It was named, removed, and named again by the batch: whoever asks for it needs it.
    let engine = open(folder.path());
    let reselect = || Request::Reselect { run: None, cycle: 2 };
    assert!(handle(&engine, reselect()).await.is_ok());
    assert!(gc(&engine, 1, true).await.leftovers.is_empty());
    drop(engine);
    std::fs::remove_file(Artifacts::as_they_are(folder.path().join("artifacts")).path(&scores))
        .unwrap();
    let said = crate::verify::verdict(folder.path()).unwrap_err();
    assert!(said.contains(&scores.to_string()) && said.contains("is missing"), "{said}");
    let repaired = repair(folder.path(), None, SledOptions::default()).await.unwrap();
    let Repair::Artifacts { missing, .. } = repaired else { panic!("{repaired:?}") };
    assert_eq!(missing, BTreeSet::from([scores]));
}

fn ask(folder: &Folder, arguments: &[&str]) -> String {
    let output = folder.gleaner(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn people_and_programs_are_shown_what_goes_before_it_does() {
    let folder = Folder::ended();
    let said = ask(&folder, &["gc", "--keep-scores", "0"]);
    for words in ["would remove", "checkpoints that never", "stays", "in production", "--yes"] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
    let json = |arguments: &[&str]| -> serde_json::Value {
        serde_json::from_str(&ask(&folder, &[&["gc", "--json"], arguments].concat())).unwrap()
    };
    let all = json(&["--keep-scores", "0"])["removed"].as_array().unwrap().len();
    assert!(
        json(&["--keep-scores", "0", "--models", "all"])["removed"].as_array().unwrap().len() < all
    );
    assert_eq!(
        json(&["--keep", "0"])["removed"],
        serde_json::json!([]),
        "every id holds a 0 at its beginning"
    );
    let unknown = folder.gleaner(&["gc", "--keep", "nosuchrun"]).output().unwrap();
    told(&unknown, WRONG, &["nosuchrun"]);
    let done = ask(&folder, &["gc", "--keep-scores", "0", "--yes"]);
    assert!(done.contains(&format!("removed {all} artifacts")), "{done}");
    assert!(ask(&folder, &["log"]).contains("ArtifactsRemoved"));
    assert!(ask(&folder, &["verify"]).contains("were removed by policy on"));
    assert!(ask(&folder, &["gc", "--yes"]).contains("removed 0 artifacts"));

    // Beside a run at work, through its socket: what that needs stays.
    let sets = ["stop.max_cycles=100000", "selector.batch=1", "trainer.epochs=2000"];
    let mut live = Live::start(folder.running(&sets));
    live.until("    2 ");
    let said = ask(&folder, &["gc", "--keep-scores", "0", "--yes"]);
    assert!(said.contains("of runs that are not over"), "{said}");
    ask(&folder, &["cancel"]);
    told(&live.end(), 0, &[]);
    assert!(ask(&folder, &["verify"]).contains("hold together"));
}
