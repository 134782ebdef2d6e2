//! Which numbers a gate may believe: our own engine on the digits, many times, beside what the model is really worth.
//!
//! The truth is the model's accuracy on everything that was still without a label when the gate's batch was picked.

use crate::support::{finish, workflow, workflows};
use gleaner::artifacts::Artifacts;
use gleaner::domain::definition::ProviderChoice;
use gleaner::domain::event::{Event, KpiChecked, KpiStage};
use gleaner::domain::ids::SampleId;
use gleaner::engine::Engine;
use gleaner::inference::{LoadOptions, Scores, load};
use gleaner::metrics::argmax;
use gleaner::pool::Pool;
use gleaner::store::memory::MemoryStore;
use gleaner::store::{Store, read_run};
use std::sync::Arc;

/// A gate's measurement of a model that was trained on 100 labels, and the truth.
async fn gate(seed: u64, estimator: &str, strategy: &str, audit: &str) -> (KpiChecked, f64) {
    let seed = seed.to_string();
    let set = [
        ("run.seed", seed.as_str()),
        ("run.mode", "production"),
        ("kpi.gate", "true"),
        ("kpi.estimator", estimator),
        ("kpi.target", "0.99"),
        ("stop.kpi", "false"),
        ("stop.max_cycles", "2"),
        ("selector.seed_batch", "100"),
        ("selector.batch", "40"),
        ("selector.strategy", strategy),
        ("selector.audit_fraction", audit),
        ("pool.test", "0"),
        ("trainer.epochs", "30"),
    ];
    let definition = workflow("digits-softmax.toml", &set);
    let pool = Pool::load(&definition.pool, &workflows()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::open(folder.path()).unwrap();
    let store = Arc::new(MemoryStore::default());
    let engine = Engine::builder(Arc::clone(&store) as Arc<dyn Store>, artifacts.clone()).build();
    let run = engine.start(definition, &workflows()).await.unwrap();
    finish(&engine, run).await;

    let log = read_run(&*store, run).await.unwrap();
    let events = || log.iter().map(|recorded| (recorded.cycle.cycle.0, &recorded.event));
    let labelled: Vec<SampleId> = events()
        .filter(|(cycle, _)| *cycle == 1)
        .filter_map(|(_, event)| {
            if let Event::Annotated(annotated) = event { Some(&annotated.labels) } else { None }
        })
        .flatten()
        .map(|label| label.sample.clone())
        .collect();
    let checked = events().find_map(|(_, event)| {
        let Event::KpiChecked(checked) = event else { return None };
        (checked.stage == KpiStage::Gate).then(|| checked.clone())
    });
    let checked = checked.unwrap();
    let rows: Vec<usize> = pool.candidates(&labelled).iter().collect();
    let path = artifacts.path(&checked.model);
    let mut predictor = load(&LoadOptions {
        scores: Scores::PerClass(10),
        provider: ProviderChoice::Cpu,
        ..LoadOptions::new(&path, pool.shape())
    })
    .unwrap();
    let answers = predictor.predict(&pool.gather(&rows).unwrap()).unwrap().logits;
    let right = rows.iter().zip(answers.iter_rows());
    let right = right.filter(|(row, scores)| pool.label(**row) == argmax(scores)).count();
    (checked, right as f64 / rows.len() as f64)
}

/// The mean of measured less true over seeds.
async fn bias(seeds: u64, estimator: &str, strategy: &str, audit: &str) -> f64 {
    let mut sum = 0.0;
    for seed in 0..seeds {
        let (checked, truth) = gate(seed, estimator, strategy, audit).await;
        sum += checked.value - truth;
    }
    sum / seeds as f64
}

#[tokio::test]
async fn a_batch_that_was_picked_by_margin_tells_a_gate_far_too_little() {
    let bias = bias(10, "batch", "margin", "0").await;
    assert!(bias < -0.3, "{bias}");
}

#[tokio::test]
async fn the_audit_arms_interval_holds_the_truth_as_often_as_it_says() {
    let (mut held, mut sum) = (0, 0.0);
    for seed in 0..100 {
        let (checked, truth) = gate(seed, "audit", "margin", "0.5").await;
        assert_eq!(checked.n, 20);
        held += usize::from((checked.interval.low..=checked.interval.high).contains(&truth));
        sum += checked.value - truth;
    }
    assert!(held >= 90, "{held} of 100");
    assert!(f64::abs(sum / 100.0) < 0.03, "{}", sum / 100.0);
}

#[tokio::test]
async fn draws_that_are_weighted_by_their_chance_are_right_on_average() {
    let bias = bias(40, "lure", "power(margin)", "0").await;
    assert!(bias.abs() < 0.05, "{bias}");
}
