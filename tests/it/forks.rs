//! Two futures of one run: what a fork shares, by what it goes on, and what the audit says of both.

use crate::engine::World;
use crate::program::{Folder, Live, WRONG, stderr, told};
use crate::support::{finish, sled, workflow, workflows};
use crate::verify::{folder, verdict, written};
use gleaner::audit::erase::{Erasure, Wish};
use gleaner::audit::futures::Futures;
use gleaner::audit::replay::Difference;
use gleaner::control::{Request, Response, handle};
use gleaner::domain::definition::Definition;
use gleaner::domain::digest::Digest;
use gleaner::domain::event::{Event, Forked};
use gleaner::domain::ids::{CycleId, CycleNumber, Revision, RunId};
use gleaner::domain::time::Timestamp;
use gleaner::engine::status::{RunState, RunStatus};
use gleaner::engine::{Engine, EngineError};
use gleaner::store::sled::{SledOptions, SledStore};
use gleaner::store::{Recorded, read_run};
use std::path::Path;
use std::sync::Arc;

/// Four small cycles of the digits by margin.
fn definition() -> Definition {
    workflow(
        "digits-softmax.toml",
        &[
            ("stop.max_cycles", "4"),
            ("selector.seed_per_class", "1"),
            ("selector.batch", "5"),
            ("trainer.epochs", "3"),
            ("annotator.price", "0.5"),
        ],
    )
}

fn set(definition: &Definition, overrides: &[(&str, &str)]) -> Definition {
    let overrides: Vec<(String, String)> =
        overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    gleaner::workflow::changed(definition, "the run", &overrides).unwrap()
}

fn engine(state: &Path) -> Engine {
    let (store, artifacts) = sled(state);
    Engine::builder(store, artifacts).build()
}

async fn parent(engine: &Engine) -> RunId {
    let run = engine.start(definition(), &workflows()).await.unwrap();
    ended(engine, run).await;
    run
}

async fn ended(engine: &Engine, run: RunId) -> RunStatus {
    let status = finish(engine, run).await;
    assert_eq!(status.state, RunState::Ended, "{:?}", status.failed);
    status
}

async fn log(engine: &Engine, run: RunId) -> Vec<Recorded> {
    let mut log = Vec::new();
    for cycle in 1..=engine.last_cycle(run).await.unwrap().0 {
        let cycle = CycleId { run, cycle: CycleNumber(cycle) };
        log.extend(engine.log(cycle, Revision(0), 1000).await.unwrap());
    }
    log
}

/// What a run has of its cycles up to `last`, less what is never inherited.
fn past(log: &[Recorded], last: u32) -> Vec<&Event> {
    let past = log.iter().filter(|recorded| recorded.cycle.cycle.0 <= last);
    past.map(|recorded| &recorded.event).filter(|event| event.is_inherited()).collect()
}

fn forked(log: &[Recorded]) -> &Forked {
    let Event::Forked(forked) = &log[1].event else { panic!("{}", log[1].event.name()) };
    forked
}

async fn strategies(engine: &Engine, run: RunId) -> Vec<String> {
    let of = |recorded: Recorded| match recorded.event {
        Event::BatchSelected(batch) => Some(batch.strategy),
        _ => None,
    };
    log(engine, run).await.into_iter().filter_map(of).collect()
}

async fn compared(engine: &Engine, a: &str, b: &str) -> Difference {
    let request = Request::Diff { a: a.to_owned(), b: b.to_owned() };
    let Response::Difference(found) = handle(engine, request).await.unwrap() else {
        panic!("no difference")
    };
    found
}

async fn reselected(engine: &Engine, run: RunId, cycle: u32) -> Vec<String> {
    let request = Request::Reselect { run: Some(run.to_string()), cycle };
    let Response::Reselected(found) = handle(engine, request).await.unwrap() else {
        panic!("nothing reselected")
    };
    assert!(found.picks > 0);
    found.differences
}

#[tokio::test]
async fn a_fork_shares_the_past_and_has_a_future_of_its_own() {
    let state = folder();
    let engine = engine(state.path());
    let run = parent(&engine).await;
    let changed = set(&definition(), &[("selector.strategy", "entropy"), ("stop.max_cycles", "5")]);
    let fork = engine.fork(run, CycleNumber(2), changed).await.unwrap();
    let before = engine.status(fork).await.unwrap();
    assert_eq!(
        (before.state, before.cycle, before.labelled),
        (RunState::Active, CycleNumber(2), 15)
    );
    let status = ended(&engine, fork).await;
    assert_eq!((status.cycle, status.labelled), (CycleNumber(5), 30));

    let (theirs, ours) = (log(&engine, run).await, log(&engine, fork).await);
    assert_eq!(past(&ours, 2), past(&theirs, 2));
    assert_eq!((forked(&ours).run, forked(&ours).cycle), (run, CycleNumber(2)));
    let then = |log: &[Recorded]| {
        let of = log.iter().filter(|one| one.cycle.cycle.0 <= 2 && one.event.is_inherited());
        of.map(|one| (one.recorded, one.causation, one.actor.clone())).collect::<Vec<_>>()
    };
    assert_eq!(then(&ours), then(&theirs), "who did it and when stands");
    let named = strategies(&engine, fork).await;
    assert_eq!(named[1..], ["margin", "entropy", "entropy", "entropy"]);

    // The batches of both workflows are picked again, from evidence that both runs name.
    for cycle in [2, 3] {
        assert_eq!(reselected(&engine, fork, cycle).await, Vec::<String>::new(), "cycle {cycle}");
    }
    let found = compared(&engine, &run.to_string(), &fork.to_string()).await;
    assert_eq!((found.a.labelled, found.b.labelled, found.alike >= 15), (25, 30, true));
    let Futures { common, a, b, at_equal_labels } = found.futures;
    assert_eq!((common, a.turns.len(), b.turns.len()), (CycleNumber(2), 4, 5));
    assert_eq!(a.turns[..2], b.turns[..2]);
    let last = &b.turns[4];
    assert_eq!((last.bought, last.labelled, last.answers, last.cost), (5, 30, 30, Some(15.0)));
    assert_eq!(last.strategy.as_deref(), Some("entropy"));
    let equal = at_equal_labels.unwrap();
    assert_eq!(equal.labelled, 25);
    assert_eq!(equal.b.to_bits(), b.turns[3].acceptance.as_ref().unwrap().value.to_bits());

    // A fork of the fork names both who came before it, a fork of what the fork inherited only the first.
    let third = set(&engine.definition(fork).await.unwrap(), &[("stop.max_cycles", "6")]);
    let deep = engine.fork(fork, CycleNumber(4), third.clone()).await.unwrap();
    let owners = |log: &[Recorded]| {
        let of = |one: &gleaner::domain::event::Decided| (one.run, one.until.0);
        forked(log).past.iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(owners(&log(&engine, deep).await), [(run, 2), (fork, 4)]);
    let shallow = engine.fork(deep, CycleNumber(1), third).await.unwrap();
    assert_eq!(owners(&log(&engine, shallow).await), [(run, 1)]);
    let status = ended(&engine, deep).await;
    assert_eq!(status.cycle, CycleNumber(6));
    ended(&engine, shallow).await;
    let found = compared(&engine, &run.to_string(), &deep.to_string()).await;
    assert_eq!(found.futures.common, CycleNumber(2));
    let found = compared(&engine, &shallow.to_string(), &deep.to_string()).await;
    assert_eq!(found.futures.common, CycleNumber(1));

    drop(engine);
    verdict(state.path()).unwrap();
}

#[tokio::test]
async fn a_fork_that_changes_nothing_ends_as_the_run_did() {
    let state = folder();
    let engine = engine(state.path());
    let run = parent(&engine).await;
    let end = engine.status(run).await.unwrap();
    for at in 0..=3 {
        let same = (*engine.definition(run).await.unwrap()).clone();
        let fork = engine.fork(run, CycleNumber(at), same).await.unwrap();
        let found = ended(&engine, fork).await;
        assert_eq!(found.semantic_digest, end.semantic_digest, "from cycle {at}");
        assert_eq!(found.production, end.production);
    }
}

#[tokio::test]
async fn what_contradicts_the_past_is_refused_by_its_key() {
    let state = folder();
    let engine = engine(state.path());
    let run = parent(&engine).await;
    let fork = async |at, definition| {
        engine.fork(run, CycleNumber(at), definition).await.unwrap_err().to_string()
    };
    for (key, value) in
        [("pool.validation", "0.2"), ("pool.duplicates", "keep"), ("pool.seed", "9")]
    {
        let error = fork(2, set(&definition(), &[(key, value)])).await;
        assert!(error.starts_with(key) && error.contains("start a new run"), "{error}");
    }
    let other = [("run.mode", "production"), ("selector.seed_batch", "20"), ("stop.kpi", "false")];
    let error = fork(2, set(&definition(), &other)).await;
    assert!(error.starts_with("run.mode"), "{error}");
    let error = fork(9, definition()).await;
    assert!(error.contains("cycle 9") && error.contains("it has 4"), "{error}");
    let error = fork(4, definition()).await;
    assert!(error.contains("MaxCycles") && error.contains("stop.max_cycles=9"), "{error}");
    let unknown = engine.fork(RunId(uuid::Uuid::nil()), CycleNumber(1), definition()).await;
    assert!(matches!(unknown, Err(EngineError::UnknownRun { .. })));
    assert_eq!(engine.runs().await.unwrap(), [run], "nothing of it is recorded");
    // What is not the past's may change, the seed among it.
    let seed = set(&definition(), &[("run.seed", "8"), ("kpi.target", "0.5")]);
    let fork = engine.fork(run, CycleNumber(3), seed).await.unwrap();
    ended(&engine, fork).await;
    drop(engine);
    verdict(state.path()).unwrap();
}

/// What is said of a store with both logs, after the fork's was written anew with a change.
async fn said(state: &Path, ours: &[Recorded], theirs: &[Recorded]) -> Result<(), String> {
    let _ = std::fs::remove_dir_all(state.join("log"));
    let _ = std::fs::remove_file(state.join("acknowledged"));
    written(state, &[theirs, ours].concat()).await;
    verdict(state)
}

#[tokio::test]
async fn a_forged_past_is_found() {
    let state = folder();
    let (theirs, ours) = {
        let engine = engine(state.path());
        let run = parent(&engine).await;
        let fork = engine.fork(run, CycleNumber(2), definition()).await.unwrap();
        (log(&engine, run).await, log(&engine, fork).await)
    };
    said(state.path(), &ours, &theirs).await.unwrap();
    said(state.path(), &ours, &[]).await.unwrap();

    let forge = |change: &dyn Fn(&mut Forked)| {
        let mut forged = ours.clone();
        let Event::Forked(forked) = &mut forged[1].event else { panic!("no fork") };
        change(forked);
        forged
    };
    let place = |name: &str| ours.iter().position(|one| one.event.name() == name).unwrap();
    let mut measured = ours.clone();
    let Event::KpiChecked(checked) = &mut measured[place("KpiChecked")].event else { panic!() };
    checked.value += 0.001;
    let mut lacking = ours.clone();
    lacking.remove(place("ClassesMeasured"));
    let mut twice = ours.clone();
    twice.insert(place("ClassesMeasured"), ours[place("ClassesMeasured")].clone());
    let short: Vec<Recorded> = ours.iter().filter(|one| one.cycle.cycle.0 < 2).cloned().collect();
    for (forged, words) in [
        (forge(&|forked| forked.head = Digest::ZERO), "no event there has that hash"),
        (forge(&|forked| forked.past[0].workflow = Digest::ZERO), "workflow or seed"),
        (forge(&|forked| forked.past[0].seed += 1), "workflow or seed"),
        (forge(&|forked| forked.past[0].until = CycleNumber(1)), "is not told in order"),
        (measured, "KpiChecked is not what run"),
        (lacking, "is not what run"),
        (twice, "is not what run"),
        (short, "it lacks CycleStarted of run"),
    ] {
        let said = said(state.path(), &forged, &theirs).await.unwrap_err();
        assert!(said.contains(words), "{said} lacks {words}");
    }
    // A past of fewer cycles than the events tell.
    let one = forge(&|forked| {
        forked.cycle = CycleNumber(1);
        forked.past[0].until = CycleNumber(1);
    });
    assert!(said(state.path(), &one, &theirs).await.is_err());
}

#[tokio::test]
async fn a_forged_past_is_found_beside_labels_that_were_erased_in_the_other_run() {
    let state = folder();
    let (run, theirs, mut ours) = {
        let engine = engine(state.path());
        let run = parent(&engine).await;
        let fork = engine.fork(run, CycleNumber(2), definition()).await.unwrap();
        (run, log(&engine, run).await, log(&engine, fork).await)
    };
    for is_forged in [false, true] {
        let labels = ours.iter_mut().find_map(|recorded| match &mut recorded.event {
            Event::Annotated(annotated) => Some(&mut annotated.labels),
            _ => None,
        });
        let labels = labels.unwrap();
        if is_forged {
            labels[1].annotator = "somebody".into();
        }
        let sample = labels[0].sample.clone();
        assert_eq!(said(state.path(), &ours, &theirs).await.is_err(), is_forged);
        let store = SledStore::open(state.path(), SledOptions::default()).unwrap();
        let (reason, at) = ("asked", Timestamp(9));
        let wish = Wish { sample: &sample, run: Some(run), reason, at };
        let erasure = Erasure::of(&store, store.artifacts(), wish).await.unwrap();
        let commit = erasure.commit(at, "cli", &|| uuid::Uuid::from_u128(9));
        let options = SledOptions::default();
        store.rewrite(state.path(), options, erasure.changes(), commit).await.unwrap();
        let said = verdict(state.path()).err().unwrap_or_default();
        assert_eq!(said.contains("Annotated is not what run"), is_forged, "{said}");
        assert_eq!(said.is_empty(), !is_forged, "{said}");
    }
}

#[tokio::test]
async fn a_pool_that_grew_is_taken_as_the_run_would_have_and_another_one_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("line.csv");
    let rows = |numbers: std::ops::Range<u32>| -> String {
        let label = |number: u32| if number.is_multiple_of(2) { "even" } else { "odd" };
        numbers.map(|number| format!("a{number},{}.5,{}\n", number % 7, label(number))).collect()
    };
    std::fs::write(&path, format!("id,x,label\n{}", rows(0..60))).unwrap();
    let text = "[run]\nname = \"line\"\nmode = \"development\"\n[pool]\npath = \"line.csv\"\nid_column = \"id\"\n\
                duplicates = \"keep\"\n[selector]\nbatch = 4\n[trainer]\nepochs = 2\n[kpi]\ntarget = 0.99\n[stop]\n\
                kpi = false\nmax_cycles = 3\n";
    let definition = gleaner::workflow::parse(text, "line.toml", &[]).unwrap();
    let state = folder();
    let engine = engine(state.path());
    let run = engine.start(definition.clone(), data.path()).await.unwrap();
    ended(&engine, run).await;
    std::fs::write(&path, format!("id,x,label\n{}", rows(0..90))).unwrap();
    let fork = engine.fork(run, CycleNumber(2), definition.clone()).await.unwrap();
    ended(&engine, fork).await;
    let of = |log: Vec<Recorded>| {
        let pools = log.into_iter().filter_map(|one| match one.event {
            Event::CycleStarted(started) => Some(started.pool),
            _ => None,
        });
        pools.collect::<Vec<_>>()
    };
    let pools = of(log(&engine, fork).await);
    assert!(pools[0] == pools[1] && pools[1] != pools[2], "{pools:?}");
    std::fs::write(&path, format!("id,x,label\n{}", rows(1..90))).unwrap();
    let error = engine.fork(run, CycleNumber(2), definition).await.unwrap_err().to_string();
    assert!(error.contains("a0"), "{error}");
    drop(engine);
    verdict(state.path()).unwrap();
}

/// However many cycles: they are one commit.
#[tokio::test]
async fn a_run_of_hundreds_of_cycles_is_forked_in_one_step() {
    let cycles = 200;
    let most = cycles.to_string();
    let world = World::new();
    let theirs = {
        let engine = world.engine().build();
        let overrides = [
            ("selector.strategy", "random"),
            ("selector.seed_per_class", "1"),
            ("selector.batch", "1"),
            ("stop.kpi", "false"),
            ("stop.max_cycles", &most),
        ];
        let run = engine.start(workflow("digits.toml", &overrides), &workflows()).await.unwrap();
        ended(&engine, run).await;
        log(&engine, run).await
    };
    let state = folder();
    let artifacts = gleaner::artifacts::Artifacts::open(state.path().join("artifacts")).unwrap();
    for digest in theirs.iter().flat_map(|one| one.event.artifacts()) {
        match world.artifacts.get(&digest) {
            Ok(bytes) => drop(artifacts.put(&bytes).unwrap()),
            // Models of this world are names without files; a fork asks whether there is one.
            Err(_) => {
                std::fs::create_dir_all(artifacts.path(&digest).parent().unwrap()).unwrap();
                std::fs::write(artifacts.path(&digest), b"model").unwrap();
            }
        }
    }
    let Event::CycleStarted(first) = &theirs[1].event else { panic!("a cycle") };
    artifacts.put(&world.artifacts.get(&first.pool).unwrap()).unwrap();
    written(state.path(), &theirs).await;

    let store = SledStore::open(state.path(), SledOptions::default()).unwrap();
    let artifacts = store.artifacts().clone();
    let engine = Engine::builder(Arc::new(store), artifacts).build();
    let run = theirs[0].cycle.run;
    let definition = (*engine.definition(run).await.unwrap()).clone();
    let more = set(&definition, &[("stop.max_cycles", "201")]);
    let fork = engine.fork(run, CycleNumber(cycles), more).await.unwrap();
    let ours = log(&engine, fork).await;
    assert_eq!(past(&ours, cycles), past(&theirs, cycles));
    drop(engine);
    let store = SledStore::open(state.path(), SledOptions::default()).unwrap();
    let again = read_run(&store, fork).await.unwrap();
    assert_eq!(again, ours, "as whole after the next opening");
}

fn gleaner(folder: &Folder, arguments: &[&str]) -> String {
    let output = folder.gleaner(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_fork_that_is_killed_goes_on_and_both_futures_are_told_beside_each_other() {
    let folder = Folder::new();
    assert!(folder.run(&["stop.max_cycles=4"]).status.success());
    let set = ["--set", "selector.strategy=random", "--set", "stop.max_cycles=6"];
    let fork = [&["fork", "--at", "2"][..], &set].concat();
    let mut live = Live::start(folder.gleaner(&fork));
    live.until("goes on from cycle 2 of run");
    live.child.kill().unwrap();
    live.child.wait().unwrap();
    let status = gleaner(&folder, &["status", "--all", "--json"]);
    let runs: Vec<serde_json::Value> = serde_json::from_str(&status).unwrap();
    let id = |at: usize| runs[at]["run"].as_str().unwrap().to_owned();
    let (parent, killed) = (id(0), id(1));
    gleaner(&folder, &["resume"]);

    // The same without the kill means the same.
    gleaner(&folder, &[&["fork", parent.as_str(), "--at", "2"][..], &set].concat());
    let differs = gleaner(&folder, &["diff", &killed, ""]);
    assert!(differs.contains("both mean the same, event by event"), "{differs}");

    let differs = gleaner(&folder, &["diff", &parent, &killed]);
    for words in [
        "  2  =  ",
        "  3  a  ",
        "  3  b  ",
        "  6  b  ",
        "  random",
        "both have it from one run: 6 labels by cycle 2",
        "the target of 0.99",
    ] {
        assert!(differs.contains(words), "{words} is not in {differs}");
    }
    assert!(gleaner(&folder, &["verify"]).contains("hold together"));
    let inherited = gleaner(&folder, &["log", &killed, "--cycle", "1"]);
    assert!(inherited.contains(&format!("goes on from cycle 2 of run {parent}")), "{inherited}");

    for (arguments, words) in [
        (vec!["fork", "--at", "9"], "has not ended"),
        (vec!["fork", &parent, "--at", "2", "--set", "pool.test=0.1"], "pool.test"),
        (vec!["fork", &parent, "--at", "2", "--set", "selector.strategy=margn"], "margin"),
        (vec!["fork", &parent, "--at", "4"], "MaxCycles"),
        (vec!["fork", "nobody", "--at", "2"], "nobody"),
    ] {
        told(&folder.gleaner(&arguments).output().unwrap(), WRONG, &[words]);
    }
}
