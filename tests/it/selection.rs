//! What a run's log says of its batches: each is picked again, bit for bit, from what was kept of it.

use crate::bad_input::model;
use crate::support::{finish, workflow, workflows};
use gleaner::artifacts::Artifacts;
use gleaner::audit::inferred::compare;
use gleaner::audit::selection::reselect;
use gleaner::data_selector::{Evidence, Needs, Plan, SelectorError, Strategy, View};
use gleaner::domain::digest::Digest;
use gleaner::domain::event::{Arm, BatchSelected, Event, Pick};
use gleaner::domain::ids::CycleNumber;
use gleaner::engine::Engine;
use gleaner::engine::status::RunState;
use gleaner::inference::cache::EmbeddingCache;
use gleaner::store::memory::MemoryStore;
use gleaner::store::{Store, read_run};
use std::sync::Arc;
use tempfile::TempDir;

/// A run of the digits that has ended, made small.
pub(crate) struct Ended {
    folder: TempDir,
    artifacts: Artifacts,
    pub(crate) batches: Vec<BatchSelected>,
}

impl Ended {
    pub(crate) async fn run(set: &[(&str, &str)]) -> Self {
        let small = [
            ("stop.max_cycles", "3"),
            ("stop.kpi", "false"),
            ("trainer.epochs", "3"),
            ("trainer.checkpoints", "3"),
        ];
        let definition = workflow("digits.toml", &[&small, set].concat());
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(folder.path().join("artifacts")).unwrap();
        let store = Arc::new(MemoryStore::default());
        let shared = Arc::clone(&store) as Arc<dyn Store>;
        let engine = Engine::builder(shared, artifacts.clone()).build();
        let run = engine.start(definition, &workflows()).await.unwrap();
        let status = finish(&engine, run).await;
        assert_eq!(status.state, RunState::Ended, "{:?}", status.failed);
        let log = read_run(&*store, run).await.unwrap();
        let batches = log.into_iter().filter_map(|recorded| {
            if let Event::BatchSelected(batch) = recorded.event { Some(batch) } else { None }
        });
        Self { folder, artifacts, batches: batches.collect() }
    }

    fn evidence(&self, batch: &BatchSelected) -> Option<Evidence> {
        let bytes = self.artifacts.get(&batch.scores?).unwrap();
        Some(Evidence::read(&bytes).unwrap())
    }
}

async fn is_picked_again(set: &[(&str, &str)]) {
    let ended = Ended::run(set).await;
    let mut again = 0;
    for batch in &ended.batches {
        let Some(evidence) = ended.evidence(batch) else { continue };
        let found = evidence.select_again().unwrap();
        assert_eq!(found.cutoff, batch.cutoff, "{set:?}");
        let arms = batch.picks.iter().filter(|pick| pick.arm != Arm::ColdStart);
        assert!(found.picks.iter().eq(arms), "{set:?}");
        for threads in [1, 2, 5] {
            let threads = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let told = threads.install(|| reselect(evidence.about.cycle, batch, &evidence));
            let told = told.unwrap();
            let picks = batch.picks.len() as u64;
            assert_eq!((told.differences, told.picks), (vec![], picks), "{set:?} on {threads:?}");
        }
        again += 1;
    }
    assert_eq!(again, 2, "{set:?}: the first batch is drawn at random, the others are selected");
}

#[tokio::test]
async fn every_batch_is_picked_again_from_what_was_kept() {
    for keep in ["f32", "f16", "scores"] {
        is_picked_again(&[("selector.keep", keep)]).await;
    }
    is_picked_again(&[("selector.strategy", "entropy")]).await;
}

#[tokio::test]
async fn a_score_that_was_edited_is_named() {
    let ended = Ended::run(&[("selector.keep", "scores")]).await;
    let batch = &ended.batches[1];
    let mut evidence = ended.evidence(batch).unwrap();
    let (cycle, first) = (evidence.about.cycle, &batch.picks[0].sample);
    let place = evidence.ids.iter().position(|sample| sample == first).unwrap();
    let scores = evidence.scores.as_mut().unwrap();
    scores[place] = f64::from_bits(scores[place].to_bits() - 1);
    let told = reselect(cycle, batch, &evidence).unwrap().differences;
    assert!(told.len() == 1 && told[0].contains(first.as_str()), "{told:?}");
    evidence.scores.as_mut().unwrap()[place] = -9.0;
    let told = reselect(cycle, batch, &evidence).unwrap().differences;
    assert!(told[0].contains(first.as_str()), "{told:?}");
    // Running the model again finds it too.
    let sound = ended.evidence(batch).unwrap();
    let found = compare(cycle, (batch, &evidence), (batch, &sound));
    assert!(!found.is_within(1e-4));
    assert_eq!(found.compared.last().unwrap().at.as_ref(), Some(first));
    // A pick that was put in another's place in the log, its score being far from the last pick's.
    let mut forged = batch.clone();
    forged.picks[0].sample = "somebody-else".into();
    let found = compare(cycle, (&forged, &sound), (batch, &sound));
    assert!(!found.is_within(1e-9) && found.lost[0].sample == "somebody-else".into(), "{found:?}");
}

#[tokio::test]
async fn every_kind_of_strategy_goes_through_the_engine_and_is_picked_again() {
    for strategy in [
        "random",
        "ratio",
        "margin(temperature=fit)",
        "kcenter(metric=cosine)",
        "badge",
        "typiclust",
        "probcover",
        "max_herding",
        "uncertainty_herding",
        "cluster_margin",
        "diverse_mini_batch",
        "density_weighted",
        "contrastive",
        "kmeans",
        "power(entropy, beta=2)",
        "softrank",
        "prefilter(kcenter, margin, keep=40)",
        "seals(margin, neighbours=10)",
        "class_balanced",
        "product(margin, density_weighted)",
        "sum(margin, entropy, weight=0.7)",
        "autopilot",
    ] {
        let set = [("selector.strategy", strategy)];
        if strategy == "random" {
            let ended = Ended::run(&set).await;
            assert!(ended.batches.iter().all(|batch| batch.scores.is_none()), "nothing to keep");
        } else {
            is_picked_again(&set).await;
        }
    }
}

#[tokio::test]
async fn a_committee_of_the_last_checkpoints_disputes() {
    for strategy in ["bald", "vote_entropy", "batchbald"] {
        let set = [("selector.strategy", strategy), ("selector.committee", "checkpoints")];
        is_picked_again(&set).await;
        let ended = Ended::run(&set).await;
        let members = ended.batches[1].parameters["committee"].split(' ').count();
        assert!(members >= 2, "{members} checkpoints");
    }
}

#[tokio::test]
#[cfg(feature = "sql")]
async fn queries_see_what_is_predicted_and_what_is_labelled() {
    let sql =
        "SELECT id FROM samples WHERE labelled = 0 AND predicted = '7' ORDER BY confidence LIMIT 4";
    let strategy = format!("query(sql=\"{sql}\")");
    let set = [("selector.strategy", strategy.as_str()), ("trainer.epochs", "20")];
    is_picked_again(&set).await;
    let ended = Ended::run(&set).await;
    assert!(ended.batches[1].picks.len() <= 4);
    let strategy =
        "where(margin, sql=\"SELECT id FROM samples WHERE cycle IS NULL AND id < 'digits-0900'\")";
    let ended = Ended::run(&[("selector.strategy", strategy)]).await;
    assert!(ended.batches[1].picks.iter().all(|pick| pick.sample.as_str() < "digits-0900"));
}

#[tokio::test]
async fn a_cold_start_may_be_a_strategy_that_needs_no_model() {
    for strategy in ["typiclust", "kcenter", "kmeans"] {
        let set = [("selector.cold_start", strategy), ("selector.seed_batch", "15")];
        let ended = Ended::run(&set).await;
        let first = &ended.batches[0];
        assert_eq!((first.strategy.as_str(), first.picks.len()), (strategy, 15));
        assert!(first.picks.iter().all(|pick| pick.arm == Arm::ColdStart));
        let again = ended.evidence(first).unwrap().select_again().unwrap();
        let samples = |picks: &[Pick]| picks.iter().map(|p| p.sample.clone()).collect::<Vec<_>>();
        assert_eq!(samples(&again.picks), samples(&first.picks));
    }
}

#[tokio::test]
async fn what_a_strategy_lacks_is_told_before_anything_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    for (set, text) in [
        (vec![("selector.strategy", "bald")], "the strategy bald needs a committee"),
        (vec![("selector.strategy", "cost_aware")], "name their column in pool.seconds_column"),
        (vec![("selector.strategy", "output(name=loss)")], "needs output `loss`"),
        (vec![("selector.strategy", "custom(name=mine)")], "a strategy of another program"),
        (vec![("selector.model", "pool")], "name their file in pool.predictions"),
        (vec![("selector.strategy", "query(sql=\"SELEC id\")")], "near \"SELEC\": syntax error"),
        (
            vec![("selector.strategy", "where(margin, sql=\"SELECT idd FROM samples\")")],
            "no such column: idd; there are samples(id,",
        ),
        (vec![("selector.cold_start", "margin")], "before the first training there is no model"),
        (
            vec![
                ("selector.strategy", "bald"),
                ("selector.committee", "checkpoints"),
                ("trainer.checkpoints", "1"),
            ],
            "raise trainer.checkpoints",
        ),
    ] {
        let store = Arc::new(MemoryStore::default());
        let artifacts = Artifacts::open(folder.path()).unwrap();
        let engine = Engine::builder(Arc::clone(&store) as Arc<dyn Store>, artifacts).build();
        let refused = engine.start(workflow("digits.toml", &set), &workflows()).await;
        let error = refused.expect_err(text).to_string();
        assert!(error.contains(text), "{error}");
        assert!(engine.runs().await.unwrap().is_empty());
    }
}

/// Prefers the last ids.
struct Last;

impl Strategy for Last {
    fn needs(&self) -> Needs {
        Needs::nothing()
    }

    fn plan<'v>(&'v self, _: &'v View<'v>, _: usize) -> Result<Plan<'v>, SelectorError> {
        Ok(Plan::scores(|rows| Ok(rows.map(|index| index as f64).collect())))
    }
}

#[tokio::test]
async fn a_host_brings_a_strategy_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::default());
    let artifacts = Artifacts::open(folder.path()).unwrap();
    let shared = Arc::clone(&store) as Arc<dyn Store>;
    let engine = Engine::builder(shared, artifacts).strategy("last", Last).build();
    let set = [
        ("selector.strategy", "custom(name=last)"),
        ("selector.batch", "1"),
        ("stop.max_cycles", "2"),
        ("trainer.epochs", "1"),
    ];
    let run = engine.start(workflow("digits.toml", &set), &workflows()).await.unwrap();
    finish(&engine, run).await;
    let mut log = read_run(&*store, run).await.unwrap();
    log.retain(|recorded| recorded.cycle.cycle >= CycleNumber(2));
    let picked = log.iter().find_map(|recorded| {
        if let Event::BatchSelected(batch) = &recorded.event { Some(batch) } else { None }
    });
    let picked = picked.unwrap();
    assert_eq!(picked.strategy, "custom(name=last)");
    assert!(picked.picks[0].sample.as_str() >= "digits-1790", "{}", picked.picks[0].sample);
}

#[tokio::test]
async fn a_run_may_keep_nothing() {
    let ended = Ended::run(&[("selector.keep", "nothing")]).await;
    let evidence = ended.evidence(&ended.batches[1]).unwrap();
    assert!(evidence.scores.is_none() && evidence.select_again().is_err());
}

#[tokio::test]
async fn a_frozen_backbone_sees_each_sample_once_and_what_it_says_is_kept_beside_the_artifacts() {
    // The last layer of a linear model sees its input: as an embedding that is the pool's own features.
    let backbone = model(64, 10);
    let file = tempfile::Builder::new().suffix(".onnx").tempfile().unwrap();
    std::fs::write(file.path(), &backbone).unwrap();
    let strategy = ("selector.strategy", "kcenter");
    let embedding = ("selector.embedding", file.path().to_str().unwrap());
    let by_backbone = Ended::run(&[strategy, embedding]).await;
    let by_features = Ended::run(&[strategy, ("selector.embedding", "features")]).await;
    assert_eq!(by_backbone.batches.len(), 3);
    for (one, other) in by_backbone.batches.iter().zip(&by_features.batches) {
        assert_eq!(one.picks, other.picks);
    }
    let folder = by_backbone.folder.path().join("cache").join("embeddings");
    let digest = Digest::of(&backbone);
    assert_eq!(EmbeddingCache::width(&folder, digest), Some(64));
    let cache = EmbeddingCache::open(&folder, digest, 64).unwrap();
    // A header, then a digest, 64 numbers and a checksum for each sample that is neither held out nor the same as another.
    let record = 32 + 4 * 64 + 4;
    let bytes = std::fs::metadata(cache.path()).unwrap().len() - 52;
    assert_eq!(bytes % record, 0);
    assert!((900..=1797).contains(&(bytes / record)), "{} records", bytes / record);
}
