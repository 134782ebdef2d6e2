//! A run that goes on from where another one stood: what it inherits, and by what it goes on.

use super::Then::{Follows, Refused};
use super::*;

/// The run whose past is inherited.
fn other() -> RunId {
    RunId(uuid::Uuid::from_u128(9))
}

fn decided(run: RunId, until: u32) -> Decided {
    let (until, workflow) = (CycleNumber(until), workflow().digest());
    Decided { run, until, workflow, seed: 7, gate: true }
}

pub(super) fn forked(cycle: u32) -> Event {
    Event::Forked(fork(cycle, vec![decided(other(), cycle)]))
}

fn fork(cycle: u32, past: Vec<Decided>) -> Forked {
    Forked { run: other(), cycle: CycleNumber(cycle), head: Digest::of(b"head"), past }
}

/// Another workflow: another strategy, another seed and no gate.
fn changed() -> Definition {
    let mut changed = stopping(false, Some(3), None);
    changed.selector.strategy = "random".parse().unwrap();
    changed.run.seed = 8;
    changed.kpi.gate = false;
    changed
}

fn starting(workflow: &Definition) -> RunStarted {
    let Event::RunStarted(started) = started(workflow.kpi.gate) else { panic!("a start") };
    RunStarted { workflow: workflow.digest(), seed: workflow.run.seed, ..started }
}

/// A fork of [`two_cycles`] after the second.
fn forking(workflow: &Definition) -> Command {
    Command::Fork {
        started: starting(workflow),
        forked: fork(2, vec![decided(other(), 2)]),
        past: two_cycles().into_iter().filter(Event::is_inherited).collect(),
        removed: Vec::new(),
        at: Timestamp(9),
    }
}

const WHOLE: [&str; 17] = [
    "RunStarted",
    "Forked",
    "CycleStarted",
    "BatchSelected",
    "Annotated",
    "Trained",
    "ModelSelected",
    "KpiChecked",
    "CycleEnded",
    "CycleStarted",
    "BatchSelected",
    "Annotated",
    "KpiChecked",
    "Trained",
    "ModelSelected",
    "KpiChecked",
    "CycleEnded",
];

#[test]
fn a_fork_knows_what_the_other_run_knew_and_goes_on_by_its_own_workflow() {
    let changed = changed();
    let run = check(&changed, &[], forking(&changed), Follows(&WHOLE, Some(JobKind::Start)));
    let before = replay(&two_cycles());
    assert_eq!((&run.labels, run.production), (&before.labels, before.production));
    assert_eq!((&run.history, &run.fresh_audit), (&before.history, &before.fresh_audit));
    assert_eq!(run.next_step(), Some((CycleNumber(3), JobKind::Start)));
    let workflows: Vec<_> = (1..=3).map(|cycle| run.workflow_of(CycleNumber(cycle))).collect();
    let (then, now) = (Some(workflow().digest()), Some(changed.digest()));
    assert_eq!(workflows, [then, then, now]);

    // The next cycle is of the fork's workflow and seed, and asks no gate.
    let Event::CycleStarted(next) = cycle_started(4) else { panic!("a cycle") };
    let mut theirs = run.clone();
    let error = theirs.apply(&Event::CycleStarted(next.clone())).unwrap_err().to_string();
    assert!(error.contains("its workflow or seed is not the run's"), "{error}");
    let mut run = run;
    let next = CycleStarted { workflow: changed.digest(), seed: 8, ..next };
    run.apply(&Event::CycleStarted(next)).unwrap();
    run.apply(&batch(&[("e", Arm::Strategy)], 6)).unwrap();
    run.apply(&annotated(&["e"])).unwrap();
    assert_eq!(run.phase.name(), "training");
}

#[test]
fn an_inherited_cycle_is_of_the_workflow_that_made_it() {
    let changed = changed();
    let log = [Event::RunStarted(starting(&changed)), forked(2)];
    let Event::CycleStarted(first) = cycle_started(0) else { panic!("a cycle") };
    let own = CycleStarted { workflow: changed.digest(), seed: 8, ..first };
    check(
        &changed,
        &log,
        Event::CycleStarted(own),
        Refused(&["workflow or seed is not of the run that made the cycle"]),
    );
}

#[test]
fn a_fork_that_changes_nothing_means_the_same() {
    let meaning = |log: &[Event]| {
        let mut digest = SemanticDigest::default();
        let mut run = replay(&[]);
        for event in log {
            digest.add(run.log_of(event), event);
            run.apply(event).unwrap();
        }
        digest.finish()
    };
    let whole = two_cycles();
    let fork = [&whole[..1], &[forked(2)], &whole[1..]].concat();
    assert_eq!(meaning(&fork), meaning(&whole));
}

#[test]
fn what_did_not_end_cannot_be_gone_on_from() {
    let workflow = stopping(true, None, None);
    let Command::Fork { started, forked, mut past, removed, at } = forking(&workflow) else {
        panic!("a fork")
    };
    past.pop();
    let command = Command::Fork { started, forked, past, removed, at };
    check(&workflow, &[], command, Refused(&["cycle 2", "does not end it"]));
}

#[test]
fn a_fork_that_would_know_erased_labels_is_refused() {
    let workflow = stopping(true, None, None);
    let Command::Fork { started, forked, past, removed, at } = forking(&workflow) else {
        panic!("a fork")
    };
    let forgotten = |event: Event| event.without_labels_of(&"a".into()).unwrap_or(event);
    let past = past.into_iter().map(forgotten).collect();
    let command = Command::Fork { started, forked, past, removed, at };
    check(&workflow, &[], command, Refused(&["the label of sample a was erased"]));
}

#[test]
fn what_the_past_names_and_is_gone_is_told_after_it() {
    let workflow = stopping(true, None, None);
    let fork = |of: &[&str]| {
        let Command::Fork { started, forked, past, .. } = forking(&workflow) else {
            panic!("a fork")
        };
        let told = of.iter().map(|of| match after_training::removal(of) {
            Event::ArtifactsRemoved(removed) => removed,
            other => panic!("{} is no removal", other.name()),
        });
        Command::Fork { started, forked, past, removed: told.collect(), at: Timestamp(9) }
    };
    let whole: Vec<&str> = WHOLE.into_iter().chain(["ArtifactsRemoved"; 2]).collect();
    let follows = Follows(whole.leak(), Some(JobKind::Start));
    let run = check(&workflow, &[], fork(&["m2", "scores"]), follows);
    assert_eq!(run.removed.len(), 2);
    check(&workflow, &[], fork(&["m3"]), Refused(&["the production model"]));
}

#[test]
fn a_fork_that_would_end_at_once_is_refused_and_told_which_rule_does_it() {
    let cycles = stopping(true, Some(2), None);
    check(
        &cycles,
        &[],
        forking(&cycles),
        Refused(&["after cycle 2", "MaxCycles", "--set stop.max_cycles=7"]),
    );
    let labels = stopping(true, None, Some(4));
    check(
        &labels,
        &[],
        forking(&labels),
        Refused(&["after cycle 2", "MaxLabels", "stop.max_labels"]),
    );
    // A target that was missed then may be met by what the fork asks for.
    let mut lower = development(stopping(true, None, None));
    check(&lower, &[], forking(&lower), Follows(&WHOLE, Some(JobKind::Start)));
    lower.kpi.target = 0.35;
    check(&lower, &[], forking(&lower), Refused(&["KpiMet", "kpi.target"]));
}

#[test]
fn where_a_run_forks_from_is_told_once_in_order_and_before_its_first_cycle() {
    let begun = [started(true)];
    let two = |first, second| {
        vec![decided(RunId(uuid::Uuid::from_u128(8)), first), decided(other(), second)]
    };
    for (past, cycle) in [
        (vec![], 2),
        (vec![decided(other(), 1)], 2),
        (vec![decided(other(), 3)], 2),
        (two(2, 2), 2),
        (two(2, 1), 1),
        (vec![decided(other(), 0)], 0),
    ] {
        let event = Event::Forked(fork(cycle, past));
        check(&workflow(), &begun, event, Refused(&["is not told in order"]));
    }
    check(&workflow(), &begun, Event::Forked(fork(3, two(1, 3))), Follows(&["Forked"], None));
    let again = then(&begun, &[forked(2)]);
    check(&workflow(), &again, forked(2), Refused(&["forks once"]));
    check(&workflow(), &two_cycles(), forked(2), Refused(&["before its first cycle"]));
    let own = RunId(uuid::Uuid::from_u128(1));
    let itself = Event::Forked(fork(2, vec![decided(own, 2)]));
    check(&workflow(), &begun, itself, Refused(&["forks from itself"]));
}
