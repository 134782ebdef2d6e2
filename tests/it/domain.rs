//! The rules of a run, told as stories: given these events, when this comes, then that follows.
//!
//! [`check`] is the only place that calls `decide` and `apply`. What a log means is compared in `meaning`, what may follow
//! what is the table in `transitions`, each rule has its story in `rules`, and `walk` goes where no story went.

mod after_training;
mod answers;
mod forks;
mod meaning;
mod rules;
mod transitions;
mod walk;

use crate::support;
use gleaner::domain::command::{Command, Measurement};
use gleaner::domain::decide::{Decision, decide};
use gleaner::domain::definition::{ColdStart, Definition, Mode, SelectorModel, StopSpec};
use gleaner::domain::digest::Digest;
use gleaner::domain::event::*;
use gleaner::domain::ids::{CycleNumber, RunId, SampleId};
use gleaner::domain::job::JobKind;
use gleaner::domain::kpi::{Basis, Interval, Verdict};
use gleaner::domain::label::Label;
use gleaner::domain::meaning::SemanticDigest;
use gleaner::domain::state::Run;
use gleaner::domain::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What a story turns on: a command for `decide`, or an event that some log puts before `apply`.
enum When {
    Wish(Box<Command>),
    Fact(Box<Event>),
}

impl From<Command> for When {
    fn from(command: Command) -> Self {
        Self::Wish(Box::new(command))
    }
}

impl From<Event> for When {
    fn from(event: Event) -> Self {
        Self::Fact(Box::new(event))
    }
}

/// What must come of it.
enum Then {
    /// These events in this order, and this work.
    Follows(&'static [&'static str], Option<JobKind>),
    /// The same, and the run is over for this reason.
    Ends(&'static [&'static str], EndReason),
    /// Nothing; the error holds each of these.
    Refused(&'static [&'static str]),
}

/// Given a workflow and a log, when something comes, then this follows. Returns the run as it is after that.
#[track_caller]
fn check(workflow: &Definition, given: &[Event], when: impl Into<When>, then: Then) -> Run {
    let run = replay(given);
    let mut after = run.clone();
    let outcome = match when.into() {
        When::Wish(command) => {
            decide(&run, workflow, *command).map_err(|refusal| refusal.to_string())
        }
        When::Fact(event) => {
            let cycle = after.log_of(&event);
            after.apply(&event).map_err(|illegal| illegal.to_string()).map(|()| Decision {
                next: after.next_step().filter(|step| run.next_step() != Some(*step)),
                run: after.clone(),
                events: vec![(cycle, *event)],
                cancels_jobs: false,
            })
        }
    };
    match (outcome, then) {
        (Ok(decision), Then::Follows(names, next)) => {
            agrees(&run, &decision, names);
            assert_eq!(decision.next.map(|(_, kind)| kind), next);
            decision.run
        }
        (Ok(decision), Then::Ends(names, reason)) => {
            agrees(&run, &decision, names);
            let Some((_, Event::RunEnded(ended))) = decision.events.last() else {
                panic!("{:?} does not end the run", decision.events);
            };
            assert_eq!(ended.reason, reason);
            assert_eq!(decision.next, None, "a run that is over has no next step");
            decision.run
        }
        (Err(error), Then::Refused(parts)) => {
            assert_eq!(after, run, "what is refused changes nothing");
            for part in parts {
                assert!(error.contains(part), "`{error}` lacks `{part}`");
            }
            after
        }
        (Ok(decision), Then::Refused(parts)) => {
            panic!("{:?} should be refused: {parts:?}", decision.events)
        }
        (Err(error), Then::Follows(names, _) | Then::Ends(names, _)) => {
            panic!("{names:?} should follow, but: {error}")
        }
    }
}

/// A decision tells these events, and they lead from `run` to the run it shows.
#[track_caller]
fn agrees(run: &Run, decision: &Decision, names: &[&str]) {
    let told: Vec<&str> = decision.events.iter().map(|(_, event)| event.name()).collect();
    assert_eq!(told, names);
    let mut replayed = run.clone();
    for (cycle, event) in &decision.events {
        assert_eq!(*cycle, replayed.log_of(event), "the log of {}", event.name());
        replayed.apply(event).unwrap();
    }
    assert_eq!(replayed, decision.run);
}

/// The run that a log adds up to.
#[track_caller]
fn replay(log: &[Event]) -> Run {
    let mut run = Run::new(RunId(uuid::Uuid::from_u128(1)));
    for event in log {
        run.apply(event).unwrap();
    }
    run
}

/// A workflow of production mode: batches of two, a target of 0.9 that ends the run, no other limit.
fn workflow() -> Definition {
    let mut workflow = support::workflow("digits.toml", &[]);
    workflow.run.mode = Mode::Production;
    workflow.run.seed = 7;
    workflow.selector.batch = 2;
    workflow.selector.cold_start = ColdStart::Random(2);
    workflow.selector.model = SelectorModel::Production;
    workflow.kpi.target = 0.9;
    workflow.kpi.gate = true;
    workflow.stop = stop(true, None, None);
    workflow
}

fn stop(kpi: bool, max_cycles: Option<u32>, max_labels: Option<usize>) -> StopSpec {
    StopSpec { kpi, max_cycles, max_labels, ..StopSpec::default() }
}

/// The same with other stop rules.
fn stopping(kpi: bool, max_cycles: Option<u32>, max_labels: Option<usize>) -> Definition {
    Definition { stop: stop(kpi, max_cycles, max_labels), ..workflow() }
}

/// The same, but of development mode.
fn development(mut workflow: Definition) -> Definition {
    workflow.run.mode = Mode::Development;
    workflow
}

/// Two whole cycles: the first without a gate, the second with a missed one and an audit sample (`d`).
fn two_cycles() -> Vec<Event> {
    vec![
        started(true),
        cycle_started(0),
        batch(&[("a", Arm::ColdStart), ("b", Arm::ColdStart)], 10),
        annotated(&["a", "b"]),
        trained(2, &["m1"]),
        selected(None, "m1", true),
        checked(KpiStage::Acceptance, "m1", Verdict::Missed),
        cycle_ended(2, Some("m1")),
        cycle_started(2),
        batch(&[("c", Arm::Strategy), ("d", Arm::Audit)], 8),
        annotated(&["c", "d"]),
        checked(KpiStage::Gate, "m1", Verdict::Missed),
        trained(4, &["m2", "m3"]),
        selected(Some("m1"), "m3", true),
        checked(KpiStage::Acceptance, "m3", Verdict::Missed),
        cycle_ended(4, Some("m3")),
    ]
}

/// [`two_cycles`] up to where the run waits in this phase, in the second cycle where it can.
fn until(phase: &str) -> Vec<Event> {
    let mut log = two_cycles();
    let length = match phase {
        "new" => 0,
        "between cycles" | "ended" => log.len(),
        "selecting" | "cancelled" => 9,
        "annotating" => 10,
        "gating" => 11,
        "training" => 12,
        "selecting a model" => 13,
        "accepting" => 14,
        "closing" => 15,
        other => panic!("no phase is called {other}"),
    };
    log.truncate(length);
    match phase {
        "cancelled" => log.push(cancelled()),
        "ended" => log.push(run_ended(EndReason::MaxCycles, 2, 4, Some("m3"))),
        _ => {}
    }
    assert_eq!(replay(&log).phase.name(), phase);
    log
}

/// A log and what comes after it.
fn then(log: &[Event], more: &[Event]) -> Vec<Event> {
    [log, more].concat()
}

fn model(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

fn started(gate: bool) -> Event {
    Event::RunStarted(RunStarted {
        name: "digits".to_owned(),
        workflow: workflow().digest(),
        folder: "workflows".to_owned(),
        classes: ["0", "1", "2"].map(str::to_owned).to_vec(),
        gate,
        seed: 7,
    })
}

fn cycle_started(labelled: u64) -> Event {
    Event::CycleStarted(CycleStarted {
        workflow: workflow().digest(),
        pool: Digest::of(b"pool"),
        labelled_set: Digest::of(b"labels"),
        labelled,
        selector_model: None,
        seed: 7,
        previous_head: Digest::of(b"head"),
    })
}

fn batch_of(picks: &[(&str, Arm)], candidates: u64) -> BatchSelected {
    let picks = (1..)
        .zip(picks)
        .map(|(rank, (sample, arm))| Pick {
            sample: SampleId::from(*sample),
            arm: *arm,
            score: Some(0.5),
            rank,
            probability: Some(0.25),
        })
        .collect();
    BatchSelected {
        strategy: "margin".to_owned(),
        strategy_version: 1,
        parameters: BTreeMap::from([("audit_fraction".to_owned(), "0.1".to_owned())]),
        model: None,
        provider: Some("CPUExecutionProvider".to_owned()),
        picks,
        cutoff: Some(0.5),
        candidates,
        scores: Some(Digest::of(b"scores")),
    }
}

fn batch(picks: &[(&str, Arm)], candidates: u64) -> Event {
    Event::BatchSelected(batch_of(picks, candidates))
}

fn labels(samples: &[&str]) -> Vec<Annotation> {
    samples.iter().map(|sample| label(sample, 1)).collect()
}

fn label(sample: &str, class: u32) -> Annotation {
    Annotation {
        sample: SampleId::from(sample),
        label: Label::Class(class),
        annotator: "oracle".into(),
        at: Timestamp(5),
        spent: Duration::from_millis(7),
    }
}

fn annotated(samples: &[&str]) -> Event {
    Event::Annotated(Annotated { labels: labels(samples) })
}

/// A measurement whose interval has this verdict on the target 0.9; its value alone has it too, or misses.
fn measured(name: &str, verdict: Verdict) -> Measurement {
    let (low, value, high) = match verdict {
        Verdict::Met => (0.92, 0.95, 0.97),
        Verdict::Missed => (0.4, 0.5, 0.6),
        Verdict::Inconclusive => (0.8, 0.85, 0.95),
    };
    Measurement {
        metric: "accuracy".into(),
        estimator: "audit".into(),
        model: model(name),
        n: 40,
        at: Timestamp(9),
        value,
        interval: Interval { low, high },
        by_class: vec![],
    }
}

fn gate(measured: Measurement) -> Command {
    Command::CheckGate { measured, drift: None }
}

fn record(batch: BatchSelected) -> Command {
    Command::RecordBatch { doubted: None, batch }
}

fn kpi(stage: KpiStage, name: &str, verdict: Verdict) -> KpiChecked {
    let Measurement { metric, estimator, model, n, value, interval, .. } = measured(name, verdict);
    let basis = Basis::Interval;
    KpiChecked { stage, metric, estimator, model, n, value, interval, target: 0.9, basis, verdict }
}

fn checked(stage: KpiStage, name: &str, verdict: Verdict) -> Event {
    Event::KpiChecked(kpi(stage, name, verdict))
}

fn training(samples: u64, models: &[&str]) -> Trained {
    let checkpoints = (1..)
        .zip(models)
        .map(|(step, name)| Checkpoint {
            model: model(name),
            step,
            metrics: BTreeMap::from([("validation.accuracy".into(), 0.5)]),
        })
        .collect();
    Trained {
        train_set: Digest::of(b"train"),
        train_samples: samples,
        validation_set: Digest::of(b"validation"),
        validation_samples: 20,
        checkpoints,
    }
}

/// A training on what the run knows.
fn training_of(run: &Run, models: &[&str]) -> Trained {
    let known = run.labels.iter().map(|(sample, known)| (sample, known.label));
    Trained { train_set: labelled_set_digest(known), ..training(run.labelled(), models) }
}

fn trained(samples: u64, models: &[&str]) -> Event {
    Event::Trained(training(samples, models))
}

fn choice(incumbent: Option<&str>, winner: &str, promoted: bool) -> ModelSelected {
    let mut names: Vec<&str> = incumbent.into_iter().collect();
    if incumbent != Some(winner) {
        names.push(winner);
    }
    ModelSelected {
        criterion: "validation.accuracy".into(),
        candidates: names.iter().map(|name| Candidate { model: model(name), value: 0.5 }).collect(),
        incumbent: incumbent.map(model),
        winner: model(winner),
        promoted,
        reason: "a story".to_owned(),
    }
}

fn selected(incumbent: Option<&str>, winner: &str, promoted: bool) -> Event {
    Event::ModelSelected(choice(incumbent, winner, promoted))
}

fn cycle_ended(labelled: u64, production: Option<&str>) -> Event {
    Event::CycleEnded(CycleEnded { labelled, production: production.map(model) })
}

fn failure() -> CycleFailed {
    CycleFailed { step: "train".to_owned(), attempts: 5, cause: "disk full".to_owned() }
}

fn failed() -> Event {
    Event::CycleFailed(failure())
}

fn cancellation() -> CycleCancelled {
    CycleCancelled { reason: "enough".to_owned() }
}

fn cancelled() -> Event {
    Event::CycleCancelled(cancellation())
}

fn run_ended(reason: EndReason, cycles: u32, labelled: u64, production: Option<&str>) -> Event {
    let (cycles, production) = (CycleNumber(cycles), production.map(model));
    Event::RunEnded(RunEnded { reason, cycles, labelled, production })
}

fn samples(names: &[&str]) -> BTreeSet<SampleId> {
    names.iter().map(|name| SampleId::from(*name)).collect()
}

fn select_model(incumbent: &str, winner: &str, promoted: bool, verdict: Verdict) -> Command {
    let acceptance = measured(if promoted { winner } else { incumbent }, verdict);
    Command::SelectModel {
        compared: None,
        selected: choice(Some(incumbent), winner, promoted),
        acceptance,
        baseline: None,
    }
}
