//! Logs for tests: short, legal where they must be, and full of what forms stumble over.

use super::labels::LabelSet;
use crate::domain::digest::Digest;
use crate::domain::event::{
    Annotated, Annotation, Arm, BatchSelected, CycleStarted, Event, Pick, RunStarted,
};
use crate::domain::ids::{
    CycleId, CycleNumber, EventId, JobId, Position, Revision, RunId, SampleId,
};
use crate::domain::label::Label;
use crate::domain::time::Timestamp;
use crate::store::Recorded;
use std::collections::BTreeMap;
use std::time::Duration;
use uuid::Uuid;

pub(super) const RUN: RunId = RunId(Uuid::from_u128(7));

/// The event of this place in the first cycle's log, a second for each.
pub(super) fn recorded(place: u32, event: Event) -> Recorded {
    Recorded {
        id: EventId(Uuid::from_u128(100 + u128::from(place))),
        cycle: CycleId { run: RUN, cycle: CycleNumber(1) },
        revision: Revision(place.into()),
        position: Position(u64::from(place) + 1),
        recorded: Timestamp(i64::from(place) * 1_000_000),
        causation: (place > 0).then(|| JobId(Uuid::from_u128(place.into()))),
        actor: "worker 1".into(),
        version: 1,
        workflow: Digest::of(b"workflow"),
        previous: Digest::of(&place.to_le_bytes()),
        hash: Digest::of(&(place + 1).to_le_bytes()),
        original: None,
        event,
    }
}

fn pick(sample: &str, score: Option<f64>) -> Pick {
    let (sample, rank) = (SampleId::from(sample), 1);
    Pick { sample, arm: Arm::Strategy, score, rank, probability: None }
}

fn batch(picks: Vec<Pick>) -> Event {
    Event::BatchSelected(BatchSelected {
        strategy: "margin".to_owned(),
        strategy_version: 1,
        parameters: BTreeMap::new(),
        model: None,
        provider: None,
        candidates: picks.len() as u64,
        picks,
        cutoff: None,
        scores: None,
    })
}

/// An event with ids and scores that need care, as the log of an engine never has them.
pub(super) fn awkward() -> Recorded {
    let picks = vec![pick("a,\"b\"\r\nç=1", Some(f64::NAN)), pick("=1+1", None)];
    Recorded { actor: "=cmd|' /C calc'!A1, \"ä\"".into(), ..recorded(3, batch(picks)) }
}

/// The beginning of a run, up to `labels`, picked beside `unlabelled`; the last event, and the labels.
pub(super) fn records(
    classes: &[&str],
    labels: &[(&str, Label)],
    unlabelled: &[&str],
) -> (Recorded, LabelSet) {
    let mut set = LabelSet::new(RUN);
    let all = events(classes, labels, unlabelled);
    all.iter().for_each(|event| set.take(event).expect("a legal log"));
    (all.into_iter().next_back().expect("a log"), set)
}

/// The labels of a run that has these, and waits for no others.
pub(super) fn labelled(classes: &[&str], labels: &[(&str, Label)]) -> LabelSet {
    records(classes, labels, &[]).1
}

/// A short log.
pub(super) fn log() -> Vec<Recorded> {
    events(&["a", "b"], &[("s1", Label::Class(0))], &["s2"])
}

fn events(classes: &[&str], labels: &[(&str, Label)], unlabelled: &[&str]) -> Vec<Recorded> {
    let workflow = Digest::of(b"workflow");
    let samples = labels.iter().map(|(sample, _)| *sample).chain(unlabelled.iter().copied());
    let annotation = |(sample, label): &(&str, Label)| Annotation {
        sample: SampleId::from(*sample),
        label: *label,
        annotator: "änn".into(),
        at: Timestamp(9_000_000),
        spent: Duration::ZERO,
    };
    let events = [
        Event::RunStarted(RunStarted {
            name: "small".to_owned(),
            workflow,
            folder: "/".to_owned(),
            classes: classes.iter().map(|class| (*class).to_owned()).collect(),
            gate: false,
            seed: 7,
        }),
        Event::CycleStarted(CycleStarted {
            workflow,
            pool: Digest::of(b"pool"),
            labelled_set: Digest::of(b""),
            labelled: 0,
            selector_model: None,
            seed: 7,
            previous_head: Digest::ZERO,
        }),
        batch(samples.map(|sample| pick(sample, Some(0.5))).collect()),
        Event::Annotated(Annotated { labels: labels.iter().map(annotation).collect() }),
    ];
    (0..).zip(events).map(|(place, event)| recorded(place, event)).collect()
}
