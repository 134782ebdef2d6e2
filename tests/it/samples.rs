//! Small values for tests of the store: ids from numbers, events of every kind, commits.

use gleaner::domain::digest::Digest;
use gleaner::domain::event::*;
use gleaner::domain::ids::*;
use gleaner::domain::job::{Job, JobKind, JobStatus, NewJob};
use gleaner::domain::kpi::{Basis, Interval, Verdict};
use gleaner::domain::label::{ClassSet, Label, Value};
use gleaner::domain::task::Task;
use gleaner::domain::time::Timestamp;
use gleaner::store::{Append, Commit, LeaseRequest, NewEvent, Outcome, Settle, Store};
use std::collections::BTreeMap;
use std::time::Duration;
use uuid::Uuid;

pub(crate) const LEASE: Duration = Duration::from_secs(30);

pub(crate) fn seconds(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1_000_000)
}

pub(crate) fn run(number: u128) -> RunId {
    RunId(Uuid::from_u128(number))
}

pub(crate) fn cycle(run_number: u128, number: u32) -> CycleId {
    CycleId { run: run(run_number), cycle: CycleNumber(number) }
}

pub(crate) fn job_id(number: u128) -> JobId {
    JobId(Uuid::from_u128(number))
}

pub(crate) fn event(number: u128) -> NewEvent {
    with(number, Event::CycleCancelled(CycleCancelled { reason: format!("reason {number}") }))
}

pub(crate) fn with(number: u128, event: Event) -> NewEvent {
    NewEvent {
        id: EventId(Uuid::from_u128(number)),
        recorded: seconds(1),
        causation: Some(job_id(7)),
        actor: "worker 1".into(),
        workflow: Digest::of(b"workflow"),
        event,
    }
}

pub(crate) fn annotated(labels: usize) -> Event {
    Event::Annotated(Annotated {
        labels: (0..labels)
            .map(|index| Annotation {
                sample: format!("digits-{index:04}").into(),
                label: Label::Class(u32::try_from(index % 10).unwrap()),
                annotator: "oracle".into(),
                at: seconds(2),
                spent: Duration::from_millis(1500),
            })
            .collect(),
    })
}

pub(crate) fn append(cycle: CycleId, expected: u64, events: Vec<NewEvent>) -> Append {
    Append { cycle, expected: Revision(expected), events }
}

pub(crate) fn appending(cycle: CycleId, expected: u64, events: Vec<NewEvent>) -> Commit {
    Commit { appends: vec![append(cycle, expected, events)], ..Commit::default() }
}

/// A select job of run 1, cycle 1.
pub(crate) fn job(number: u128) -> NewJob {
    NewJob {
        id: job_id(number),
        kind: JobKind::Select,
        cycle: cycle(1, 1),
        priority: 0,
        not_before: Timestamp(0),
        dedupe: None,
    }
}

pub(crate) fn request(now: Timestamp) -> LeaseRequest {
    LeaseRequest {
        worker: "worker 1".into(),
        limits: JobKind::ALL.into_iter().map(|kind| (kind, 1000)).collect(),
        now,
        lease: LEASE,
    }
}

pub(crate) async fn enqueue(store: &dyn Store, jobs: Vec<NewJob>) {
    store.commit(Commit { enqueue: jobs, ..Commit::default() }).await.unwrap();
}

pub(crate) async fn lease(store: &dyn Store, now: i64) -> Option<Job> {
    store.lease(request(seconds(now))).await.unwrap()
}

pub(crate) fn token(job: &Job) -> FencingToken {
    match &job.status {
        JobStatus::Leased(lease) => lease.token,
        JobStatus::Ready | JobStatus::Dead => panic!("job {} is not leased", job.id),
    }
}

pub(crate) fn settling(job: &Job, outcome: Outcome) -> Commit {
    Commit { settle: Some(Settle { job: job.id, token: token(job), outcome }), ..Commit::default() }
}

/// One event of each kind, every field filled.
pub(crate) fn every_event() -> Vec<Event> {
    let digest = |text: &str| Digest::of(text.as_bytes());
    vec![
        Event::RunStarted(RunStarted {
            name: "digits".into(),
            workflow: digest("workflow"),
            folder: "/srv/workflows".into(),
            classes: vec!["zero".into(), "ünë".into()],
            gate: true,
            seed: 7,
        }),
        Event::CycleStarted(CycleStarted {
            workflow: digest("workflow"),
            pool: digest("pool"),
            labelled_set: digest("labels"),
            labelled: 20,
            selector_model: Some(digest("model")),
            seed: 7,
            previous_head: digest("head"),
        }),
        Event::BatchSelected(BatchSelected {
            strategy: "margin".into(),
            strategy_version: 1,
            parameters: BTreeMap::from([("k".into(), "2".into())]),
            model: Some(digest("model")),
            provider: Some("CPUExecutionProvider (onnxruntime 1.24.4)".into()),
            picks: vec![
                Pick {
                    sample: "digits-0042".into(),
                    arm: Arm::Strategy,
                    score: Some(0.75),
                    rank: 1,
                    probability: None,
                },
                Pick {
                    sample: "digits-0007".into(),
                    arm: Arm::Audit,
                    score: None,
                    rank: 1,
                    probability: Some(0.01),
                },
                Pick {
                    sample: "digits-0001".into(),
                    arm: Arm::ColdStart,
                    score: None,
                    rank: 1,
                    probability: None,
                },
            ],
            cutoff: Some(0.5),
            candidates: 957,
            scores: Some(digest("scores")),
        }),
        annotated(2),
        Event::KpiChecked(KpiChecked {
            stage: KpiStage::Gate,
            metric: "accuracy".into(),
            estimator: "audit".into(),
            model: digest("model"),
            n: 40,
            value: 0.925,
            interval: Interval { low: 0.8, high: 0.975 },
            target: 0.95,
            basis: Basis::Interval,
            verdict: Verdict::Inconclusive,
        }),
        Event::Trained(Trained {
            train_set: digest("train"),
            train_samples: 30,
            validation_set: digest("validation"),
            validation_samples: 300,
            checkpoints: vec![Checkpoint {
                model: digest("checkpoint"),
                step: 120,
                metrics: BTreeMap::from([("validation.accuracy".into(), 0.9)]),
            }],
        }),
        Event::ModelSelected(ModelSelected {
            criterion: "validation.accuracy".into(),
            candidates: vec![Candidate { model: digest("checkpoint"), value: 0.9 }],
            incumbent: Some(digest("model")),
            winner: digest("checkpoint"),
            promoted: true,
            reason: "better by 0.02".into(),
        }),
        Event::CycleEnded(CycleEnded { labelled: 30, production: Some(digest("checkpoint")) }),
        Event::CycleFailed(CycleFailed {
            step: "train".into(),
            attempts: 3,
            cause: "no space left on device".into(),
        }),
        Event::CycleCancelled(CycleCancelled { reason: "asked by a person".into() }),
        Event::RunEnded(RunEnded {
            reason: EndReason::MaxLabels,
            cycles: CycleNumber(3),
            labelled: 50,
            production: None,
        }),
        Event::ModelsCompared(ModelsCompared {
            champion: digest("model"),
            challenger: digest("checkpoint"),
            n: 300,
            test: "mcnemar_exact".into(),
            wins: 12,
            losses: 4,
            difference: 0.026,
            interval: Interval { low: 0.001, high: 0.052 },
            p: 0.077,
            agreement: Some(0.96),
        }),
        Event::RolledBack(RolledBack {
            model: digest("model"),
            previous: digest("checkpoint"),
            reason: "worse at night".into(),
        }),
        Event::Pinned(Pinned { pinned: true, reason: "in review".into() }),
        labelled_otherwise(),
        Event::Voted(Voted { votes: answers() }),
        Event::Relabelled(Relabelled {
            labels: vec![Relabel {
                sample: "digits-0042".into(),
                before: Label::Class(3),
                after: Label::Class(8),
            }],
        }),
        Event::LabelsDoubted(LabelsDoubted {
            labels: 120,
            folds: 5,
            suspects: 9,
            error_rate: 0.0625,
            evidence: digest("probabilities"),
        }),
        Event::BaselineMeasured(BaselineMeasured {
            random_labels: 32,
            all_labels: 120,
            metric: "accuracy".into(),
            n: 180,
            random: 0.75,
            all: 0.875,
        }),
        Event::DriftChecked(DriftChecked {
            model: digest("model"),
            before: 180,
            arrived: 400,
            statistic: 0.25,
            p: 0.0005,
            level: 0.01,
        }),
        Event::ClassesMeasured(ClassesMeasured {
            metric: "accuracy".into(),
            model: digest("model"),
            classes: vec![ClassKpi {
                class: 1,
                n: 20,
                value: 0.5,
                interval: Interval { low: 0.3, high: 0.7 },
            }],
        }),
        asked_again(),
        Event::RunEnded(RunEnded {
            reason: EndReason::MaxCost,
            cycles: CycleNumber(3),
            labelled: 50,
            production: None,
        }),
        Event::Forked(Forked {
            run: RunId(Uuid::from_u128(0x0190_eeee_0000_7000_8000_0000_0000_0001)),
            cycle: CycleNumber(4),
            head: digest("head of the other run"),
            past: vec![Decided {
                run: RunId(Uuid::from_u128(0x0190_eeee_0000_7000_8000_0000_0000_0001)),
                until: CycleNumber(4),
                workflow: digest("workflow of the other run"),
                seed: 7,
                gate: true,
            }],
        }),
        Event::ArtifactsRemoved(ArtifactsRemoved {
            removed: vec![
                RemovedArtifact {
                    artifact: digest("scores"),
                    kind: ArtifactKind::Scores,
                    bytes: 4096,
                },
                RemovedArtifact {
                    artifact: digest("probabilities"),
                    kind: ArtifactKind::Evidence,
                    bytes: 80,
                },
                RemovedArtifact {
                    artifact: digest("checkpoint"),
                    kind: ArtifactKind::Checkpoint,
                    bytes: 100,
                },
            ],
            policy: "scores of the last 5 cycles".into(),
            at: seconds(9),
        }),
        Event::SampleErased(SampleErased {
            sample: "digits-0042".into(),
            reason: "asked by the person".into(),
            at: seconds(10),
            rewritten: vec![RewrittenRecord {
                cycle: CycleNumber(2),
                revision: Revision(3),
                original: digest("with"),
                now: digest("without"),
            }],
        }),
        Event::Annotated(Annotated { labels: vec![erased()] }),
    ]
}

/// An answer that was erased.
fn erased() -> Annotation {
    Annotation {
        sample: "digits-0042".into(),
        label: Label::Erased(Task::Regression),
        annotator: "ann".into(),
        at: seconds(4),
        spent: Duration::from_millis(1500),
    }
}

/// Two answers for one sample.
fn answers() -> Vec<Annotation> {
    let said = |(annotator, class): (&str, u32)| Annotation {
        sample: "digits-0042".into(),
        label: Label::Class(class),
        annotator: annotator.into(),
        at: seconds(4),
        spent: Duration::from_millis(1500),
    };
    [("ann", 3), ("ben", 8)].map(said).to_vec()
}

/// A batch that asks again for a label.
fn asked_again() -> Event {
    Event::BatchSelected(BatchSelected {
        strategy: "margin".into(),
        strategy_version: 1,
        parameters: BTreeMap::new(),
        model: None,
        provider: None,
        picks: vec![Pick {
            sample: "digits-0042".into(),
            arm: Arm::Relabel,
            score: Some(0.9375),
            rank: 1,
            probability: None,
        }],
        cutoff: None,
        candidates: 900,
        scores: None,
    })
}

/// A label of each kind that is no class.
fn labelled_otherwise() -> Event {
    let labels = [
        Label::Classes(ClassSet::of([0, 2, 63])),
        Label::Value(Value::new(-151.5).unwrap()),
        Label::Mask(Digest::of(b"mask")),
    ];
    let said = |(sample, label): (&str, Label)| Annotation {
        sample: sample.into(),
        label,
        annotator: "ann".into(),
        at: seconds(3),
        spent: Duration::from_millis(2500),
    };
    let samples = ["a", "b", "c"];
    Event::Annotated(Annotated { labels: samples.into_iter().zip(labels).map(said).collect() })
}
