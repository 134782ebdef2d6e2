//! Nothing acknowledged is ever lost: the program's own self-test at a small size, and proof that it sees what it looks for.
//!
//! The full size is `gleaner selftest --crash --full`; its figures are in the README.

use crate::program::{STATE, stderr};
use gleaner::selftest::{self, Amount, Program};
use serde_json::Value;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

fn run(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gleaner"));
    command.current_dir(folder.path()).stdin(Stdio::null()).env_remove("GLEANER_STATE");
    let output = command.args(["--json", "selftest", "--crash"]).args(arguments).output().unwrap();
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 0, "it cleans up: {}", stderr(&output));
    output
}

#[track_caller]
fn report(output: &Output) -> Value {
    assert!(!output.stdout.is_empty(), "{}", stderr(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[track_caller]
fn clean(arguments: &[&str]) -> Value {
    let output = run(arguments);
    let report = report(&output);
    assert_eq!(report["violations"], 0, "{report:#}");
    assert_eq!(output.status.code(), Some(0));
    report
}

#[test]
fn killed_programs_lose_nothing_and_do_nothing_twice() {
    let report = clean(&["--kills", "60"]);
    assert_eq!(report["kills"]["kills"], 60);
    assert!(report["kills"]["while_opening"].as_u64().unwrap() > 0, "{report:#}");
    assert!(report["kills"]["facts"].as_u64().unwrap() > 1000, "{report:#}");
}

#[test]
fn whatever_durable_step_fails_tears_or_is_the_last_the_run_ends_as_if_nothing_had_happened() {
    let report = clean(&["--faults", "120"]);
    let tried = |name: &str| report["faults"][name].as_u64().unwrap();
    assert_eq!(tried("in_work") + tried("in_recovery"), 120);
    assert!(tried("in_work") > 20 && tried("in_recovery") > 20, "{report:#}");
    assert!(tried("steps") > 100, "{report:#}");
}

#[test]
fn damaged_files_are_told_or_harmless_and_repair_saves_what_is_intact() {
    let report = clean(&["--damages", "200"]);
    for outcome in ["told", "harmless", "repaired", "restored"] {
        assert!(report["damages"][outcome].as_u64().unwrap() > 0, "{outcome}: {report:#}");
    }
}

#[test]
fn a_power_cut_takes_nothing_that_was_acknowledged() {
    let report = clean(&["--cuts", "15"]);
    if let Some(why) = report["cuts"]["skipped"].as_str() {
        eprintln!("SKIPPED: no power was cut: {why}");
        return;
    }
    assert_eq!(report["cuts"]["cuts"], 15);
    assert!(report["cuts"]["facts"].as_u64().unwrap() > 100, "{report:#}");
}

#[test]
fn without_the_barrier_a_power_cut_takes_acknowledged_facts_and_the_harness_sees_it() {
    // Whether an instant is a bad one is chance: a few tens of cuts are enough, but on a busy machine 100 were too few.
    for seed in 1..=40 {
        let seed = seed.to_string();
        let output = run(&["--cuts", "10", "--seed", &seed, "--without-barrier"]);
        let report = report(&output);
        if let Some(why) = report["cuts"]["skipped"].as_str() {
            eprintln!("SKIPPED: no power was cut: {why}");
            return;
        }
        if report["violations"].as_u64().unwrap() > 0 {
            assert_eq!(output.status.code(), Some(STATE));
            assert!(report["details"].to_string().contains("lost"), "{report:#}");
            return;
        }
    }
    panic!("400 power cuts without a barrier, and nothing was lost");
}

#[test]
fn a_program_that_speaks_too_early_is_found_out() {
    let output = run(&["--kills", "40", "--early"]);
    let report = report(&output);
    assert!(report["violations"].as_u64().unwrap() > 0, "{report:#}");
    assert!(report["details"].to_string().contains("is lost"), "{report:#}");
    assert_eq!(output.status.code(), Some(STATE));
}

#[test]
fn the_time_is_shared_among_kills_and_faults_at_work_and_in_recovery() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = env!("CARGO_BIN_EXE_gleaner").into();
    let program = Program { path, without_barrier: false, early: false };
    let amount = Amount::within(Duration::from_secs(8));
    let report = selftest::run(folder.path(), &program, amount, 1, &|_, _, _| {}).unwrap();
    let (faults, kills) = (report.faults.unwrap(), report.kills.unwrap());
    assert!(
        faults.in_work > 0 && faults.in_recovery > 0 && kills.kills > 0,
        "{faults:?} {kills:?}"
    );
    assert_eq!(report.violations, 0, "{:?}", report.details);
}

#[test]
fn the_report_is_written_where_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.json");
    let output = run(&["--kills", "3", "--report", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let written: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    assert_eq!(written, report(&output));
    assert!(written["disk"]["sync_micros"].as_u64().unwrap() > 0);
    assert!(written["disk"]["file_system"].is_string());
}
