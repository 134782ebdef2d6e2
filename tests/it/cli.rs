//! What the command line promises to people and to programs: exit codes, JSON, a second terminal, and every way to stop.

use crate::program::{FAILED, Folder, Live, WRONG, stderr, told};
use serde_json::Value;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

/// Another process has the state directory.
const IN_USE: i32 = 4;
const INTERRUPTED: i32 = 130;

/// A run that ends only when it is told to: its pool outlasts every test.
fn endless(folder: &Folder) -> Live {
    let sets = ["stop.max_cycles=100000", "selector.batch=1", "trainer.epochs=2000"];
    Live::start(folder.running(&sets))
}

fn ask(folder: &Folder, arguments: &[&str]) -> String {
    let output = folder.gleaner(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn json(folder: &Folder, arguments: &[&str]) -> Value {
    let text = ask(folder, &[arguments, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
}

#[test]
fn a_finished_run_can_be_read_by_people_and_programs() {
    let folder = Folder::new();
    assert!(folder.run(&[]).status.success());

    let status = json(&folder, &["status"]);
    assert_eq!((&status["state"], &status["labelled"]), (&"ended".into(), &6.into()), "{status}");
    assert_eq!(status["semantic_digest"].as_str().unwrap().len(), 64);
    assert_eq!(status["cycles"].as_array().unwrap().len(), 2);
    assert_eq!(json(&folder, &["status", "--all"]).as_array().unwrap().len(), 1);
    assert_eq!(json(&folder, &["jobs"]), Value::Array(vec![]));
    assert_eq!(ask(&folder, &["jobs"]), "no unfinished jobs\n");
    assert!(ask(&folder, &["status"]).contains("stop.max_cycles is reached"));

    let all = ask(&folder, &["log", "--json"]);
    let all: Vec<Value> = all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<&str> = all.iter().map(|record| record["name"].as_str().unwrap()).collect();
    let cycle = [
        "CycleStarted",
        "BatchSelected",
        "Annotated",
        "Trained",
        "ModelSelected",
        "ClassesMeasured",
        "KpiChecked",
        "CycleEnded",
    ];
    // From the second cycle on there is a champion to compare with.
    let (before, after) = cycle.split_at(4);
    let second = [before, &["ModelsCompared"], after].concat();
    assert_eq!(names, [&["RunStarted"][..], &cycle, &second, &["RunEnded"]].concat());
    let second = ask(&folder, &["log", "--cycle", "2"]);
    assert_eq!(second.lines().count(), 10, "{second}");
    assert!(second.contains("BatchSelected") && second.contains("by margin"), "{second}");
    told(&folder.gleaner(&["log", "--follow"]).output().unwrap(), 0, &["nothing follows"]);
}

#[test]
fn the_past_of_a_run_can_be_looked_at_verified_and_signed() {
    let folder = Folder::new();
    assert!(folder.run(&[]).status.success());
    let status = json(&folder, &["status"]);
    let now = json(&folder, &["replay"]);
    assert_eq!(now["semantic_digest"], status["semantic_digest"]);
    assert_eq!((&now["labelled"], &now["phase"]), (&status["labelled"], &"ended".into()));
    let then = json(&folder, &["replay", "--to", "1:2"]);
    assert_eq!(
        (&then["cycle"], &then["revision"], &then["labelled"]),
        (&1.into(), &2.into(), &0.into())
    );
    let steps = ask(&folder, &["replay", "--step", "--to", "1"]);
    assert!(steps.contains("Annotated") && steps.contains("training"), "{steps}");
    told(
        &folder.gleaner(&["replay", "--to", "9"]).output().unwrap(),
        WRONG,
        &["nothing at 9", "ends at 2:"],
    );
    told(&folder.gleaner(&["replay", "--to", "x"]).output().unwrap(), 2, &["CYCLE:REVISION"]);
    let differs = json(&folder, &["diff", "@1", "@2"]);
    assert_eq!(differs["only_a"], Value::Array(vec![]));
    assert_eq!(
        differs["only_b"].as_array().unwrap().len() as u64,
        now["labelled"].as_u64().unwrap() - differs["alike"].as_u64().unwrap()
    );

    assert!(ask(&folder, &["reselect", "--cycle", "2"]).contains("bit for bit"));
    let else_picked = json(&folder, &["what-if", "--cycle", "2", "--strategy", "margin"]);
    assert_eq!(else_picked["overlap"], else_picked["picked"], "{else_picked}");
    let (then, now) = (&else_picked["then"], &else_picked["now"]);
    assert_eq!(then, now);
    let shares = then["classes"].as_object().unwrap().values();
    assert!((shares.map(|share| share.as_f64().unwrap()).sum::<f64>() - 1.0).abs() < 1e-6);
    let two = json(
        &folder,
        &["what-if", "--cycle", "2", "--strategy", "least_confidence", "--batch", "2"],
    );
    assert_eq!(two["picks"].as_array().unwrap().len(), 2);
    let picked = else_picked["picks"][0].as_str().unwrap();
    let why = ask(&folder, &["explain", picked]);
    for word in [
        "cycle 2: picked, Strategy 1 of",
        "by margin, score ",
        "above the last pick",
        "cycle 2: labelled",
    ] {
        assert!(why.contains(word), "{word} is not in {why}");
    }
    let cycle = ask(&folder, &["explain", "--cycle", "2"]);
    assert!(cycle.contains(picked) && cycle.contains("by oracle"), "{cycle}");
    let again = ask(&folder, &["reselect", "--cycle", "2", "--infer", "--tolerance", "0"]);
    assert!(again.contains("picks are the same") && again.contains("within"), "{again}");
    let unlabelled = differs["only_b"].as_array().unwrap().len();
    assert!(unlabelled > 0);
    told(
        &folder.gleaner(&["explain", "nobody"]).output().unwrap(),
        WRONG,
        &["says nothing of sample \"nobody\""],
    );
    told(
        &folder.gleaner(&["reselect", "--cycle", "1"]).output().unwrap(),
        WRONG,
        &["kept nothing"],
    );
    told(
        &folder.gleaner(&["what-if", "--cycle", "9", "--strategy", "margin"]).output().unwrap(),
        WRONG,
        &["9"],
    );
    assert!(ask(&folder, &["verify"]).contains("hold together"));
    let key = ask(&folder, &["key", "new", "a.test/runs", "key"]);
    assert_eq!(ask(&folder, &["key", "show", "key"]), key);
    told(&folder.gleaner(&["key", "new", "a.test/runs", "key"]).output().unwrap(), WRONG, &["key"]);
    let kept = ask(&folder, &["checkpoint", "export", "--key", "key"]);
    folder.write("kept", &kept);
    let verify = ["checkpoint", "verify", "kept", "--key", key.trim()];
    assert!(ask(&folder, &verify).contains("begins with"));
    // The store goes on, and still begins so.
    assert!(folder.run(&["run.seed=2"]).status.success());
    assert!(ask(&folder, &verify).contains("begins with"));
    folder.write("kept", kept.replace("a.test/runs", "b.test/runs"));
    let forged = folder.gleaner(&verify).output().unwrap();
    assert_eq!(forged.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&forged.stdout).contains("not to be believed"));
    // A model that was changed.
    let model = status["production"].as_str().unwrap();
    let path = folder.path(&format!("state/artifacts/{}/{}", &model[..2], &model[2..]));
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, bytes).unwrap();
    let verified = folder.gleaner(&["verify"]).output().unwrap();
    assert_eq!(verified.status.code(), Some(5));
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(said.contains(model) && said.contains("another file"), "{said}");
}

#[test]
fn runs_are_named_by_the_end_of_their_id_and_unknown_ones_refused() {
    let folder = Folder::new();
    assert!(folder.run(&[]).status.success());
    let first = json(&folder, &["status"])["run"].as_str().unwrap().to_owned();
    assert!(folder.run(&["run.seed=2"]).status.success());
    let newest = json(&folder, &["status"])["run"].as_str().unwrap().to_owned();
    assert_ne!(first, newest);
    assert_eq!(json(&folder, &["status", &first[24..]])["run"], first.as_str());
    for arguments in [&["status", "nosuchrun"][..], &["log", "nosuchrun"], &["cancel", "nosuchrun"]]
    {
        told(&folder.gleaner(arguments).output().unwrap(), WRONG, &["nosuchrun"]);
    }
    told(&folder.gleaner(&["cancel"]).output().unwrap(), WRONG, &[&newest, "has ended"]);
    told(&folder.gleaner(&["jobs", "retry", "nosuchjob"]).output().unwrap(), WRONG, &["nosuchjob"]);
}

#[test]
fn what_can_be_read_without_a_run() {
    let folder = Folder::new();
    for command in ["status", "log", "jobs", "resume", "pause", "cancel"] {
        let output = folder.gleaner(&[command]).output().unwrap();
        told(&output, WRONG, &["holds no runs", "gleaner run WORKFLOW", "--state"]);
    }
    assert!(!folder.path("state").exists(), "looking creates nothing");
    assert!(ask(&folder, &["validate", "workflow.toml"]).contains("workflow.toml"));
    json(&folder, &["validate", "workflow.toml"]);
    json(&folder, &["doctor"]);
    json(&folder, &["runtime", "list"]);
    let help = ask(&folder, &["--help"]);
    assert!(help.contains("Exit codes:") && help.contains("130"), "{help}");
    for wrong in [&["rnu"][..], &["run"], &["status", "--colour"], &[]] {
        told(&folder.gleaner(wrong).output().unwrap(), WRONG, &["Usage"]);
    }
}

#[test]
fn what_is_piped_has_no_escape_codes() {
    let folder = Folder::new();
    let run = folder.run(&[]);
    let log = folder.gleaner(&["log"]).output().unwrap();
    let status = folder.gleaner(&["status"]).output().unwrap();
    for bytes in [run.stdout, run.stderr, log.stdout, status.stdout] {
        assert!(!bytes.contains(&0x1b), "{}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = Folder::new();
    let mut live = endless(&folder);
    live.until("    1 ");
    ask(&folder, &["pause"]);
    live.end();
    let mut command = folder.gleaner(&["log"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    told(&child.wait_with_output().unwrap(), 0, &[]);
}

#[test]
fn a_second_terminal_looks_and_steers() {
    let folder = Folder::new();
    let mut live = endless(&folder);
    live.until("    2 ");

    let status = json(&folder, &["status"]);
    assert_eq!(status["state"], "active", "{status}");
    assert!(!ask(&folder, &["status"]).contains("nobody works on it"));
    assert!(ask(&folder, &["log", "--cycle", "1"]).contains("CycleEnded"));
    assert_eq!(json(&folder, &["jobs"]).as_array().unwrap().len(), 1);
    let holder = format!("process {}", live.child.id());
    told(&folder.run(&[]), IN_USE, &[&holder, "another `run` needs another --state"]);

    let mut follow = Live::start(folder.gleaner(&["log", "--follow"]));
    follow.until("  4.0 ");
    assert!(ask(&folder, &["pause"]).contains("paused"));
    follow.signal("KILL");
    follow.end();
    let output = live.end();
    told(&output, 0, &[]);
    assert_eq!(json(&folder, &["status"])["state"], "paused");

    let mut live = Live::start(folder.gleaner(&["resume"]));
    live.until("goes on at cycle");
    ask(&folder, &["cancel", "--reason", "enough seen"]);
    told(&live.end(), 0, &[]);
    assert_eq!(json(&folder, &["status"])["state"], "ended");
    let log = ask(&folder, &["log"]);
    let mut ends = log.lines().rev().filter(|line| !line.trim().is_empty());
    assert!(ends.next().unwrap().contains("RunEnded"), "{log}");
    assert!(ends.next().unwrap().contains("enough seen"), "{log}");
    told(&folder.gleaner(&["pause"]).output().unwrap(), WRONG, &["has ended"]);
}

#[test]
fn an_interrupted_run_goes_on_as_if_nothing_had_been() {
    for signal in ["INT", "TERM"] {
        let folder = Folder::new();
        let mut live = Live::start(folder.gleaner(&["run", "workflow.toml"]));
        live.until("cycle"); // the head of the table: the run is recorded, its work has just begun
        live.signal(signal);
        told(&live.end(), INTERRUPTED, &["gleaner resume"]);
        folder.recovers(&["resume"]);
    }
}

#[test]
fn a_second_interruption_stops_at_once_and_loses_nothing() {
    let folder = Folder::new();
    let mut live = endless(&folder);
    live.until("    1 ");
    live.signal("INT");
    live.signal("INT");
    told(&live.end(), INTERRUPTED, &[]);
    let status = json(&folder, &["status"]);
    assert_eq!(status["state"], "active", "{status}");
    assert!(ask(&folder, &["status"]).contains("`gleaner resume` goes on"));
    assert!(ask(&folder, &["cancel"]).contains("cancelled"));
}

#[test]
fn a_program_that_is_stopped_for_longer_than_its_lease_does_nothing_twice() {
    let sets = ["stop.max_cycles=6", "trainer.epochs=3000", "retry.lease=1s"];
    let smooth = Folder::new();
    assert!(smooth.run(&sets).status.success());
    let folder = Folder::new();
    let mut live = Live::start(folder.running(&sets));
    for cycle in ["    1 ", "    3 "] {
        live.until(cycle);
        std::thread::park_timeout(Duration::from_millis(100)); // into the next step, whichever it is
        live.signal("STOP");
        std::thread::park_timeout(Duration::from_millis(1500)); // the lease's second goes by
        live.signal("CONT");
    }
    told(&live.end(), 0, &[]);
    assert_eq!(folder.digest(), smooth.digest());
    assert_eq!(json(&folder, &["jobs"]), Value::Array(vec![]));
}

#[test]
fn a_failed_run_says_what_failed_and_goes_on_once_the_cause_is_gone() {
    let folder = Folder::new();
    let mut live = Live::start(folder.gleaner(&["run", "workflow.toml"]));
    live.until("cycle");
    live.signal("INT");
    told(&live.end(), INTERRUPTED, &[]);

    fs::rename(folder.path("pool.csv"), folder.path("elsewhere.csv")).unwrap();
    let output = folder.gleaner(&["resume"]).output().unwrap();
    told(&output, FAILED, &[]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("failed") && said.contains("pool.csv"), "{said}");
    let log = ask(&folder, &["log", "--json"]);
    let failed: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(failed["name"], "CycleFailed", "{failed}");
    let event = &failed["event"]["CycleFailed"];
    assert!(event["step"].is_string() && event["attempts"].is_u64(), "{event}");
    assert!(event["cause"].as_str().unwrap().contains("pool.csv"), "{event}");

    let dead = json(&folder, &["jobs"]);
    assert_eq!(dead[0]["status"], "dead", "{dead}");
    ask(&folder, &["jobs", "retry", dead[0]["id"].as_str().unwrap()]);
    assert_eq!(json(&folder, &["jobs"])[0]["status"], "ready");
    ask(&folder, &["jobs", "cancel", dead[0]["id"].as_str().unwrap()]);
    assert_eq!(json(&folder, &["jobs"]), Value::Array(vec![]));

    fs::rename(folder.path("elsewhere.csv"), folder.path("pool.csv")).unwrap();
    told(&folder.gleaner(&["resume"]).output().unwrap(), 0, &[]);
    let status = json(&folder, &["status"]);
    assert_eq!((&status["state"], &status["labelled"]), (&"ended".into(), &6.into()), "{status}");
}
