//! The rules of the domain as stories: given these events, when this, then that.
//!
//! This file owns the one door to the API ([`check`]) and the words that stories are told in; the stories lie beside it.

mod facts;
mod matrix;
mod rules;
mod semantic;
mod walk;

use crate::support::workflow;
use gleaner::domain::command::{Command, Measurement};
use gleaner::domain::decide::{Refusal, decide};
use gleaner::domain::definition::{ColdStart, Definition, Mode};
use gleaner::domain::digest::Digest;
use gleaner::domain::event::*;
use gleaner::domain::ids::{CycleNumber, RunId, SampleId};
use gleaner::domain::job::JobKind;
use gleaner::domain::kpi::{Basis, Interval, Verdict};
use gleaner::domain::state::{IllegalEvent, Phase, Run};
use gleaner::domain::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;
use uuid::Uuid;

/// What happens in a story.
enum When {
    Event(Event),
    Command(Box<Definition>, Command),
}

impl From<Event> for When {
    fn from(event: Event) -> Self {
        Self::Event(event)
    }
}

fn command(definition: &Definition, command: Command) -> When {
    When::Command(Box::new(definition.clone()), command)
}

/// What comes of it.
enum Then<'a> {
    /// The event fits, and the run is in this phase.
    Phase(&'a str),
    /// The command leads to these events and to this work.
    Yields(&'a [&'a str], Option<JobKind>),
    /// It is refused with an error that says this.
    Refused(&'a str),
}
use Then::{Phase as InPhase, Refused, Yields};

/// Given events, when something happens, then: the one place that calls the API. Returns the run as it is then.
#[track_caller]
fn check(given: &[Event], when: impl Into<When>, then: Then<'_>) -> Run {
    let before = replay(given);
    match (when.into(), then) {
        (When::Event(event), InPhase(phase)) => {
            let after = applied(&before, &event).unwrap();
            assert_eq!(after.phase.name(), phase);
            after
        }
        (When::Event(event), Refused(why)) => {
            let mut after = before.clone();
            let error = after.apply(&event).unwrap_err();
            assert_eq!(after, before, "an event that does not fit leaves the run unchanged");
            assert_eq!((error.event, error.phase), (event.name(), before.phase.name()));
            let text = error.to_string();
            for part in [event.name(), before.phase.name(), why] {
                assert!(text.contains(part), "{text:?} does not say {part:?}");
            }
            after
        }
        (When::Command(definition, command), Yields(names, next)) => {
            let decision = decide(&before, &definition, command.clone()).unwrap();
            assert_eq!(Ok(&decision), decide(&before, &definition, command).as_ref(), "not pure");
            let found: Vec<&str> = decision.events.iter().map(|(_, event)| event.name()).collect();
            assert_eq!(found, names);
            assert_eq!(decision.next.map(|(_, kind)| kind), next);
            assert_eq!(decision.next, decision.next.and(decision.run.next_step()));
            let log = given.iter().chain(decision.events.iter().map(|(_, event)| event));
            assert_eq!(replay(log), decision.run, "the log tells another run");
            decision.run
        }
        (When::Command(definition, command), Refused(why)) => {
            let refusal: Refusal = decide(&before, &definition, command).unwrap_err();
            let text = refusal.to_string();
            assert!(text.contains(why), "{text:?} does not say {why:?}");
            before
        }
        (When::Event(_), Yields(..)) | (When::Command(..), InPhase(_)) => {
            panic!("events are in a phase, commands yield events")
        }
    }
}

#[track_caller]
fn replay<'a>(events: impl IntoIterator<Item = &'a Event>) -> Run {
    let mut run = Run::new(RunId(Uuid::from_u128(1)));
    for event in events {
        run.apply(event).unwrap();
    }
    run
}

fn applied(run: &Run, event: &Event) -> Result<Run, IllegalEvent> {
    let mut after = run.clone();
    after.apply(event).map(|()| after)
}

/// A workflow with a gate that reads the audit arm; batches of 4, and nothing that stops it.
fn production() -> Definition {
    static SHIPPED: LazyLock<Definition> =
        LazyLock::new(|| workflow("digits-production.toml", &[]));
    let mut definition = SHIPPED.clone();
    definition.run.seed = 7;
    definition.selector.batch = 4;
    definition.selector.cold_start = ColdStart::Random(2);
    definition.kpi.target = 0.9;
    definition.kpi.gate = true;
    definition.stop.kpi = false;
    definition.stop.max_cycles = None;
    definition.stop.max_labels = None;
    definition
}

/// The same without a gate, measured on a test split.
fn development() -> Definition {
    let mut definition = production();
    definition.run.mode = Mode::Development;
    definition.kpi.gate = false;
    definition.selector.audit_fraction = 0.0;
    definition
}

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

/// A log under construction: each event is made to fit the run so far, and applied.
#[derive(Clone)]
struct Log {
    definition: Definition,
    run: Run,
    events: Vec<Event>,
}

impl Log {
    /// A run of `definition`, with the classes `no` and `yes`.
    fn of(definition: &Definition) -> Self {
        let log = Self { definition: definition.clone(), run: replay([]), events: Vec::new() };
        let started = run_started(definition);
        log.then(Event::RunStarted(started))
    }

    #[track_caller]
    fn then(mut self, event: Event) -> Self {
        self.run.apply(&event).unwrap();
        self.events.push(event);
        self
    }

    fn cycle(self) -> Self {
        let started = cycle_started(&self.run, &self.definition);
        self.then(Event::CycleStarted(started))
    }

    /// A batch that leaves 100 candidates; samples whose name begins with `audit` are picked by the audit arm.
    fn batch(self, samples: &[&str]) -> Self {
        let batch = batch(&self.run, samples, 100);
        self.then(Event::BatchSelected(batch))
    }

    fn labels(self, samples: &[&str]) -> Self {
        self.then(annotated(samples))
    }

    fn gate(self, value: f64) -> Self {
        let checked = kpi(&self.run, &self.definition, KpiStage::Gate, value);
        self.then(Event::KpiChecked(checked))
    }

    fn trained(self, models: &[&str]) -> Self {
        let trained = trained(&self.run, models);
        self.then(Event::Trained(trained))
    }

    /// `winner` out of itself and the incumbent.
    fn selected(self, winner: &str, promoted: bool) -> Self {
        let selected = selected(&self.run, winner, promoted);
        self.then(Event::ModelSelected(selected))
    }

    fn accepted(self, value: f64) -> Self {
        let checked = kpi(&self.run, &self.definition, KpiStage::Acceptance, value);
        self.then(Event::KpiChecked(checked))
    }

    fn ended(self) -> Self {
        let ended = cycle_ended(&self.run);
        self.then(Event::CycleEnded(ended))
    }

    fn failed(self) -> Self {
        self.then(failed())
    }

    /// A whole first cycle: samples `a` and `b` are labelled, the model `m1` goes to production.
    fn first_cycle(self) -> Self {
        let log = self.cycle().batch(&["a", "b"]).labels(&["a", "b"]).trained(&["m1"]);
        log.selected("m1", true).accepted(0.5).ended()
    }
}

fn run_started(definition: &Definition) -> RunStarted {
    RunStarted {
        name: definition.run.name.clone(),
        workflow: definition.digest(),
        folder: "/srv/workflows".into(),
        classes: vec!["no".into(), "yes".into()],
        gate: definition.kpi.gate,
        seed: definition.run.seed,
    }
}

fn cycle_started(run: &Run, definition: &Definition) -> CycleStarted {
    CycleStarted {
        workflow: definition.digest(),
        pool: digest("pool"),
        labelled_set: label_digest(run),
        labelled: run.labelled(),
        selector_model: run.production,
        seed: definition.run.seed,
        previous_head: digest("head"),
    }
}

fn label_digest(run: &Run) -> Digest {
    labelled_set_digest(run.labels.iter().map(|(sample, known)| (sample, known.label)))
}

fn batch(run: &Run, samples: &[&str], left: u64) -> BatchSelected {
    let pick = |(rank, sample): (u32, &&str)| Pick {
        sample: SampleId::from(*sample),
        arm: if sample.starts_with("audit") { Arm::Audit } else { Arm::Strategy },
        score: Some(0.5),
        rank,
        probability: None,
    };
    BatchSelected {
        strategy: "margin".into(),
        strategy_version: 1,
        parameters: BTreeMap::new(),
        model: run.selector_model,
        provider: Some("CPUExecutionProvider".into()),
        picks: (1..).zip(samples).map(pick).collect(),
        cutoff: Some(0.5),
        candidates: samples.len() as u64 + left,
        scores: Some(digest("scores")),
    }
}

/// Every sample is a `yes`.
fn annotations(samples: &[&str]) -> Vec<Annotation> {
    let annotation = |sample: &&str| Annotation {
        sample: SampleId::from(*sample),
        label: Label::Class(1),
        annotator: "oracle".into(),
        at: Timestamp(1),
        spent: Duration::from_secs(2),
    };
    samples.iter().map(annotation).collect()
}

fn annotated(samples: &[&str]) -> Event {
    Event::Annotated(Annotated { labels: annotations(samples) })
}

/// The production model, measured on 20 samples; the interval reaches 0.05 to each side.
fn measured(run: &Run, value: f64) -> Measurement {
    Measurement {
        metric: "accuracy".into(),
        estimator: "audit".into(),
        model: run.production.unwrap_or_default(),
        n: 20,
        value,
        interval: Interval { low: value - 0.05, high: value + 0.05 },
    }
}

fn kpi(run: &Run, definition: &Definition, stage: KpiStage, value: f64) -> KpiChecked {
    let Measurement { metric, estimator, model, n, value, interval } = measured(run, value);
    let (basis, reaches) = match definition.run.mode {
        Mode::Development => (Basis::Value, [value, value]),
        Mode::Production => (Basis::Interval, [interval.low, interval.high]),
    };
    let target = definition.kpi.target;
    let verdict = match reaches.map(|end| end >= target) {
        [true, _] => Verdict::Met,
        [false, true] => Verdict::Inconclusive,
        [false, false] => Verdict::Missed,
    };
    KpiChecked { stage, metric, estimator, model, n, value, interval, target, basis, verdict }
}

fn trained(run: &Run, models: &[&str]) -> Trained {
    let checkpoint = |(step, model): (u64, &&str)| Checkpoint {
        model: digest(model),
        step,
        metrics: BTreeMap::from([("validation.accuracy".into(), 0.8)]),
    };
    Trained {
        train_set: label_digest(run),
        train_samples: run.labelled(),
        validation_set: digest("validation"),
        validation_samples: 10,
        checkpoints: (1..).zip(models).map(checkpoint).collect(),
    }
}

fn selected(run: &Run, winner: &str, promoted: bool) -> ModelSelected {
    let winner = digest(winner);
    let incumbent = run.production.filter(|model| *model != winner);
    ModelSelected {
        criterion: "validation.accuracy".into(),
        candidates: [Some(winner), incumbent]
            .into_iter()
            .flatten()
            .map(|model| Candidate { model, value: 0.8 })
            .collect(),
        incumbent: run.production,
        winner,
        promoted,
        reason: "because".into(),
    }
}

fn cycle_ended(run: &Run) -> CycleEnded {
    CycleEnded { labelled: run.labelled(), production: run.production }
}

fn failed() -> Event {
    let cause = "no space left on device".into();
    Event::CycleFailed(CycleFailed { step: "train".into(), attempts: 3, cause })
}

fn cancelled() -> CycleCancelled {
    CycleCancelled { reason: "asked by a person".into() }
}

fn run_ended(run: &Run, reason: EndReason) -> RunEnded {
    let (cycles, labelled, production) = (run.cycle, run.labelled(), run.production);
    RunEnded { reason, cycles, labelled, production }
}
