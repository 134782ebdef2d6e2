//! Labels that people give are wrong now and then: several answers a label, labels that are asked again, and a report on both.

use crate::support::{finish, sled, workflow, workflows};
use gleaner::domain::event::{Arm, Event};
use gleaner::domain::ids::{CycleNumber, RunId, SampleId};
use gleaner::domain::label::Label;
use gleaner::engine::label_report::LabelReport;
use gleaner::engine::status::{RunState, RunStatus};
use gleaner::engine::{Engine, EngineError};
use gleaner::pool::Pool;
use gleaner::workflow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// A run that is over, what it says of its labels, and its events.
struct Ended {
    status: RunStatus,
    report: LabelReport,
    events: Vec<Event>,
}

impl Ended {
    async fn run(definition: gleaner::domain::definition::Definition, folder: &Path) -> Self {
        let state = tempfile::tempdir().unwrap();
        let (store, artifacts) = sled(state.path());
        let engine = Engine::builder(store, artifacts).build();
        let run = engine.start(definition, folder).await.unwrap();
        let status = finish(&engine, run).await;
        assert_eq!(status.state, RunState::Ended, "{:?}", status.failed);
        let report = engine.labels(run).await.unwrap();
        let events = events(&engine, run, status.cycles.len()).await;
        Self { status, report, events }
    }

    /// The labels at the end.
    fn labels(&self) -> BTreeMap<SampleId, Label> {
        let mut labels = BTreeMap::new();
        for event in &self.events {
            if let Event::Annotated(annotated) = event {
                labels
                    .extend(annotated.labels.iter().map(|said| (said.sample.clone(), said.label)));
            }
            if let Event::Relabelled(relabelled) = event {
                let after = relabelled.labels.iter();
                labels.extend(after.map(|relabel| (relabel.sample.clone(), relabel.after)));
            }
        }
        labels
    }

    /// The share of labels that are wrong.
    fn wrong(&self, pool: &Pool) -> f64 {
        let labels = self.labels();
        let wrong = labels.iter().filter(|(sample, label)| !is_right(pool, sample, **label));
        wrong.count() as f64 / labels.len() as f64
    }
}

async fn events(engine: &Engine, run: RunId, cycles: usize) -> Vec<Event> {
    let mut events = Vec::new();
    for cycle in 1..=u32::try_from(cycles).unwrap() {
        let cycle = gleaner::domain::ids::CycleId { run, cycle: CycleNumber(cycle) };
        let log = engine.log(cycle, gleaner::domain::ids::Revision(0), 1000).await.unwrap();
        events.extend(log.into_iter().map(|recorded| recorded.event));
    }
    events
}

fn is_right(pool: &Pool, sample: &SampleId, label: Label) -> bool {
    let truth = pool.index_of(sample).and_then(|row| pool.label(row));
    truth.map(Label::Class) == Some(label)
}

const SMALL: [(&str, &str); 6] = [
    ("stop.kpi", "false"),
    ("stop.max_cycles", "6"),
    ("selector.seed_per_class", "4"),
    ("selector.batch", "30"),
    ("trainer.epochs", "40"),
    ("annotator.noise", "0.2"),
];

async fn digits(set: &[(&str, &str)]) -> (Ended, Pool) {
    let definition = workflow("digits-softmax.toml", &[&SMALL, set].concat());
    let pool = Pool::load(&definition.pool, &workflows()).unwrap();
    (Ended::run(definition, &workflows()).await, pool)
}

#[tokio::test]
async fn three_annotators_are_wrong_less_often_than_one() {
    let (alone, pool) = digits(&[]).await;
    let (three, _) =
        digits(&[("annotator.votes", "3"), ("annotator.consensus", "dawid_skene")]).await;
    let (of_one, of_three) = (alone.wrong(&pool), three.wrong(&pool));
    // By chance 0.2, and at most 3 * 0.2^2 * 0.8 + 0.2^3 = 0.104 where two of three must agree.
    assert!((0.13..0.27).contains(&of_one), "{of_one}");
    let sole = &alone.report.annotators[0];
    assert_eq!(
        (sole.answers, sole.accuracy),
        (190, None),
        "of who answers alone nothing can be told"
    );
    assert!(of_three < 0.1, "{of_three}");
    assert_eq!((three.status.labelled, three.status.answers), (190, 570));
    let report = &three.report;
    let names: Vec<&str> = report.annotators.iter().map(|of| of.name.as_str()).collect();
    assert_eq!(names, ["annotator-1", "annotator-2", "annotator-3"]);
    // Two who are each right with 0.8 and else say anything agree by 0.64 + 0.04 / 9 where chance gives 0.1: kappa 0.6.
    assert!(report.kappa.is_some_and(|kappa| (0.5..0.7).contains(&kappa)), "{:?}", report.kappa);
    assert!(report.annotators.iter().all(|of| (0.7..0.95).contains(&of.accuracy.unwrap())));
    assert_eq!(report.pairs.len(), 3);
    assert!(report.disputed.len() > 40);
}

#[tokio::test]
async fn labels_that_are_probably_wrong_are_asked_again_and_put_right() {
    let again = [("selector.relabel_fraction", "0.4"), ("stop.max_cycles", "8")];
    let (ended, pool) = digits(&again).await;
    let (mut asked, mut wrong) = (0, 0);
    let mut known: BTreeMap<SampleId, Label> = BTreeMap::new();
    for event in &ended.events {
        if let Event::Annotated(annotated) = event {
            known.extend(annotated.labels.iter().map(|said| (said.sample.clone(), said.label)));
        }
        if let Event::BatchSelected(batch) = event {
            for pick in batch.picks.iter().filter(|pick| pick.arm == Arm::Relabel) {
                asked += 1;
                wrong += usize::from(!is_right(&pool, &pick.sample, known[&pick.sample]));
                assert!(pick.score.is_some_and(|score| (0.0..=1.0).contains(&score)));
            }
        }
        if let Event::Relabelled(relabelled) = event {
            let after = relabelled.labels.iter();
            known.extend(after.map(|relabel| (relabel.sample.clone(), relabel.after)));
        }
    }
    // One in five labels is wrong; of those that were asked again more than one in three.
    assert!(asked >= 40, "{asked}");
    assert!(wrong * 3 > asked, "{wrong} of {asked}");
    assert!(ended.wrong(&pool) < 0.12, "{}", ended.wrong(&pool));
    let doubted = ended.report.doubted.as_ref().unwrap();
    assert!((0.05..0.4).contains(&doubted.error_rate), "{doubted:?}");
    let suspects = &ended.report.suspects;
    assert!(suspects.iter().all(|of| of.label != of.likely), "{suspects:?}");
    assert_eq!(
        ended.report.relabelled,
        ended.status.cycles.iter().map(|line| line.relabelled).sum::<u64>()
    );
    assert!(ended.report.relabelled > 20);
    // The same again gives the same.
    let (twin, _) = digits(&again).await;
    assert_eq!(twin.status.semantic_digest, ended.status.semantic_digest);
}

/// A pool of two clouds on a line, with a column for each of three annotators; `ben` says `high` of everything.
fn crowd(folder: &Path) {
    let mut text = "id,x,label,ann,ben,eve\n".to_owned();
    for number in 0..120_u32 {
        let truth = if number % 2 == 0 { "low" } else { "high" };
        let x = f64::from(number % 2) * 2.0 + f64::from(number) / 200.0;
        let ann = if number % 7 == 0 { "" } else { truth };
        text.push_str(&format!("s{number:03},{x},{truth},{ann},high,{truth}\n"));
    }
    std::fs::write(folder.join("crowd.csv"), text).unwrap();
    let workflow = r#"
        [run]
        name = "crowd"
        [pool]
        path = "crowd.csv"
        id_column = "id"
        [selector]
        batch = 10
        [annotator]
        columns = ["ann", "ben", "eve"]
        votes = 3
        consensus = "dawid_skene"
        price = 0.05
        [trainer]
        graph = "softmax"
        epochs = 20
        [kpi]
        target = 0.95
        [stop]
        kpi = false
        max_cost = 6.5
    "#;
    std::fs::write(folder.join("crowd.toml"), workflow).unwrap();
}

#[tokio::test]
async fn annotators_speak_through_columns_of_their_own_and_a_budget_of_money_ends_a_run() {
    let folder = tempfile::tempdir().unwrap();
    crowd(folder.path());
    let definition = workflow::load(&folder.path().join("crowd.toml"), &[]).unwrap();
    let pool = Pool::load(&definition.pool, folder.path()).unwrap();
    assert_eq!(pool.shape(), [1], "what annotators say is no feature");
    assert!(pool.metadata().columns.is_empty(), "and no query sees it");
    let ended = Ended::run(definition, folder.path()).await;
    assert!(ended.wrong(&pool) < 1e-9, "one who always says the same is not believed");
    let status = &ended.status;
    assert!(status.answers < 3 * status.labelled, "some cells are empty");
    let cost = status.cost.unwrap();
    assert!((cost - status.answers as f64 * 0.05).abs() < 1e-9);
    assert!((6.5..6.5 + 1.5).contains(&cost), "at the end of the cycle that spent it: {cost}");
    assert_eq!(status.ended, Some(gleaner::domain::event::EndReason::MaxCost));
    let of = |name: &str| ended.report.annotators.iter().find(|of| of.name == name).unwrap();
    assert!(of("ben").accuracy.unwrap() < 0.6 && of("eve").accuracy.unwrap() > 0.95);
}

#[tokio::test]
async fn cells_that_cannot_be_answers_are_told_before_anything_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    crowd(folder.path());
    let path = folder.path().join("crowd.csv");
    let text = std::fs::read_to_string(&path).unwrap();
    let state = tempfile::tempdir().unwrap();
    let (store, artifacts) = sled(state.path());
    let engine = Engine::builder(store, artifacts).build();
    let refused = async |text: String, set: &[(&str, &str)]| {
        std::fs::write(&path, text).unwrap();
        let set: Vec<_> = set.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let definition = workflow::load(&folder.path().join("crowd.toml"), &set).unwrap();
        engine.start(definition, folder.path()).await.unwrap_err().to_string()
    };
    let why = refused(text.replace(",high,low", ",hihg,low"), &[]).await;
    assert!(why.contains("ben says \"hihg\" of sample s"), "{why}");
    assert!(why.contains("correct the cell"), "{why}");
    let mut silent: Vec<String> = text.lines().map(str::to_owned).collect();
    for line in silent.iter_mut().skip(1) {
        let cells: Vec<&str> = line.split(',').take(3).collect();
        *line = format!("{},,,", cells.join(","));
    }
    let why = refused(silent.join("\n"), &[]).await;
    assert!(why.contains("says anything of") && why.contains("fill one in"), "{why}");
    let dora = [("annotator.columns", "[\"ann\", \"ben\", \"dora\"]")];
    let why = refused(text, &dora).await;
    assert!(why.contains("no column \"dora\", which `annotator.columns` names"), "{why}");
    let error = engine.labels(RunId(uuid::Uuid::from_u128(1))).await.unwrap_err();
    assert!(matches!(error, EngineError::UnknownRun { .. }), "{error}");
}

#[tokio::test]
async fn labels_that_a_gate_reads_are_left_alone() {
    let set = [
        ("run.mode", "production"),
        ("pool.test", "0"),
        ("selector.seed_batch", "40"),
        ("selector.audit_fraction", "0.3"),
        ("selector.relabel_fraction", "0.3"),
        ("annotator.votes", "2"),
        ("annotator.consensus", "dawid_skene"),
        ("kpi.gate", "true"),
        ("kpi.target", "0.99"),
        ("kpi.savings", "false"),
    ];
    let small = SMALL.iter().filter(|(key, _)| *key != "selector.seed_per_class");
    let set: Vec<_> = small.chain(&set).copied().collect();
    let ended = Ended::run(workflow("digits-softmax.toml", &set), &workflows()).await;
    let (mut fresh, mut changed) = (BTreeSet::new(), 0);
    for event in &ended.events {
        if let Event::BatchSelected(batch) = event {
            let audit = batch.picks.iter().filter(|pick| pick.arm == Arm::Audit);
            fresh.extend(audit.map(|pick| pick.sample.clone()));
        }
        if let Event::ModelSelected(selected) = event
            && selected.promoted
        {
            fresh.clear();
        }
        if let Event::Relabelled(relabelled) = event {
            changed += relabelled.labels.len();
            let read = relabelled.labels.iter().find(|relabel| fresh.contains(&relabel.sample));
            assert!(read.is_none(), "{read:?}");
        }
    }
    assert!(changed > 0 && ended.events.iter().any(|event| event.name() == "KpiChecked"));
}
