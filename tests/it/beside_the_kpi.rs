//! What production is told beside its KPI: whether other samples came, and what random selection would have taken.

use crate::support::{finish, workflow, workflows};
use gleaner::artifacts::Artifacts;
use gleaner::domain::command::Command;
use gleaner::domain::event::{Arm, BaselineMeasured, Event};
use gleaner::domain::ids::CycleNumber;
use gleaner::domain::job::JobKind;
use gleaner::domain::kpi::Verdict;
use gleaner::engine::Engine;
use gleaner::engine::reactor::{Reactor, Step, StepError};
use gleaner::engine::reactors::built_in;
use gleaner::engine::savings::savings;
use gleaner::engine::status::{RunState, RunStatus};
use gleaner::store::memory::MemoryStore;
use gleaner::store::{Store, read_run};
use gleaner::workflow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Lets a step do its work, and changes the pool's file while it does in the second cycle.
struct Grows {
    inner: Arc<dyn Reactor>,
    path: PathBuf,
    rows: String,
}

impl Reactor for Grows {
    fn perform(&self, step: &Step) -> Result<Command, StepError> {
        if step.cycle().cycle == CycleNumber(2) {
            let fresh = self.path.with_extension("new");
            std::fs::write(&fresh, &self.rows).unwrap();
            std::fs::rename(&fresh, &self.path).unwrap();
        }
        self.inner.perform(step)
    }
}

/// Samples on a line; the class is whether they lie above 0, and most lie near to it.
fn rows(count: u32, prefix: &str, at: impl Fn(u32) -> f64) -> String {
    let row = |number: u32| {
        let x = at(number);
        let label = if x > 0.0 { "high" } else { "low" };
        format!("{prefix}{number:03},{x},{label}\n")
    };
    (0..count).map(row).collect()
}

/// Evenly from -1 to 1, in no order, each another number.
fn evenly(number: u32) -> f64 {
    f64::from(number * 37 % 200) / 100.0 - 0.995
}

/// A run whose pool grows by these rows after its second cycle.
async fn grown(more: &str, set: &[(&str, &str)]) -> RunStatus {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("line.csv");
    let first = format!("id,x,label\n{}", rows(200, "a", evenly));
    std::fs::write(&path, &first).unwrap();
    let text = r#"
        [run]
        name = "line"
        mode = "production"
        [pool]
        path = "line.csv"
        id_column = "id"
        validation = 0.2
        [selector]
        batch = 8
        seed_batch = 20
        audit_fraction = 0.5
        [trainer]
        graph = "softmax"
        epochs = 40
        learning_rate = 0.1
        [kpi]
        target = 0.3
        drift = 0.01
        [stop]
        kpi = false
        max_cycles = 4
    "#;
    std::fs::write(folder.path().join("line.toml"), text).unwrap();
    let set: Vec<_> = set.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    let definition = workflow::load(&folder.path().join("line.toml"), &set).unwrap();
    let artifacts = Artifacts::open(folder.path().join("artifacts")).unwrap();
    let inner = Arc::clone(&built_in()[&JobKind::Gate]);
    let grows = Grows { inner, path, rows: format!("{first}{more}") };
    let engine = Engine::builder(Arc::new(MemoryStore::default()), artifacts)
        .reactor(JobKind::Gate, grows)
        .build();
    let run = engine.start(definition, folder.path()).await.unwrap();
    let status = finish(&engine, run).await;
    assert_eq!(status.state, RunState::Ended, "{:?}", status.failed);
    status
}

#[tokio::test]
async fn samples_of_another_kind_are_a_reason_to_train_though_the_target_is_met() {
    let more = rows(60, "b", |number| 0.503 + f64::from(number) / 150.0);
    // Once with a new model that takes its place in production, and once with one that does not.
    for min_gain in ["0.0", "1.0"] {
        let status = grown(&more, &[("model_selector.min_gain", min_gain)]).await;
        answered_once(&status);
    }
}

/// New samples led to one training.
fn answered_once(status: &RunStatus) {
    let [_, second, third, fourth] = &status.cycles[..] else { panic!("{:?}", status.cycles) };
    assert!(second.drift.is_none() && second.checkpoints.is_none(), "nothing had come yet");
    let drift = third.drift.as_ref().unwrap();
    assert!(drift.is_drift(), "{drift:?}");
    assert_eq!((drift.before, drift.arrived), (40, 60), "the validation split, and all that came");
    assert_eq!(third.gate.as_ref().unwrap().verdict, Verdict::Met);
    assert!(third.checkpoints.is_some(), "trained all the same");
    assert!(fourth.drift.is_none(), "they have had their training, whatever came of it");
    assert!(fourth.checkpoints.is_none(), "{fourth:?}");
}

#[tokio::test]
async fn more_samples_of_the_same_kind_are_none() {
    let status = grown(&rows(60, "b", |number| evenly(number * 3) + 0.002), &[]).await;
    let third = &status.cycles[2];
    let drift = third.drift.as_ref().unwrap();
    assert!(!drift.is_drift(), "{drift:?}");
    assert!(third.checkpoints.is_none(), "{third:?}");
}

async fn digits(set: &[(&str, &str)], folder: &Path) -> (RunStatus, Vec<Event>) {
    let small = [
        ("stop.max_cycles", "5"),
        ("stop.kpi", "false"),
        ("trainer.graph", "softmax"),
        ("trainer.epochs", "40"),
        ("selector.batch", "20"),
        ("selector.audit_fraction", "0.3"),
    ];
    let definition = workflow("digits-production.toml", &[&small, set].concat());
    let store = Arc::new(MemoryStore::default());
    let artifacts = Artifacts::open(folder.join("artifacts")).unwrap();
    let engine = Engine::builder(Arc::clone(&store) as Arc<dyn Store>, artifacts).build();
    let run = engine.start(definition, &workflows()).await.unwrap();
    let status = finish(&engine, run).await;
    assert_eq!(status.state, RunState::Ended, "{:?}", status.failed);
    let log = read_run(&*store, run).await.unwrap();
    (status, log.into_iter().map(|recorded| recorded.event).collect())
}

#[tokio::test]
async fn each_training_is_held_against_one_on_the_random_labels_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (status, events) = digits(&[], folder.path()).await;
    let (mut random, mut measured) = (0, Vec::<BaselineMeasured>::new());
    for event in &events {
        if let Event::BatchSelected(batch) = event {
            let by_chance = |arm| matches!(arm, Arm::Audit | Arm::ColdStart);
            random += batch.picks.iter().filter(|pick| by_chance(pick.arm)).count() as u64;
        }
        if let Event::BaselineMeasured(baseline) = event {
            assert_eq!(baseline.random_labels, random);
            assert!((0.2..1.0).contains(&baseline.random), "{baseline:?}");
            measured.push(baseline.clone());
        }
    }
    let trained = status.cycles.iter().filter(|line| line.checkpoints.is_some()).count();
    assert_eq!(measured.len(), trained);
    let found = savings(&status).unwrap();
    assert_eq!(found.bought, status.cycles.last().unwrap().labelled);
    let last = measured.last().unwrap();
    assert!((found.quality - last.all).abs() < 1e-12 && last.all > last.random, "{found:?}");
    if let Ok(random) = found.random {
        assert!(random.labels > last.random_labels as f64, "{random:?}");
    }
}

#[tokio::test]
async fn whoever_wants_no_comparison_pays_for_none() {
    let folder = tempfile::tempdir().unwrap();
    let set = [("kpi.savings", "false"), ("stop.max_cycles", "2")];
    let (status, events) = digits(&set, folder.path()).await;
    assert!(events.iter().all(|event| !matches!(event, Event::BaselineMeasured(_))));
    assert_eq!(savings(&status), None);
}
