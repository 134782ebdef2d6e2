//! Why samples were picked, and batches picked once more with their model run again.

use crate::support::{finish, workflow, workflows};
use gleaner::artifacts::Artifacts;
use gleaner::audit::explanation::{BatchExplanation, Explanation, Happened};
use gleaner::audit::inferred::Inferred;
use gleaner::control::{Request, Response, handle};
use gleaner::domain::definition::Definition;
use gleaner::domain::event::Arm;
use gleaner::domain::ids::{CycleNumber, SampleId};
use gleaner::engine::Engine;
use gleaner::pool::Pool;
use gleaner::store::memory::MemoryStore;
use std::collections::BTreeSet;
use std::sync::Arc;
use tempfile::TempDir;

/// A run of the digits that has ended, and whom to ask about it.
struct Asked {
    engine: Engine,
    definition: Definition,
    _folder: TempDir,
}

impl Asked {
    async fn about(set: &[(&str, &str)]) -> Self {
        let small = [("stop.max_cycles", "3"), ("stop.kpi", "false"), ("trainer.epochs", "3")];
        let definition = workflow("digits.toml", &[&small, set].concat());
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(folder.path().join("artifacts")).unwrap();
        let engine = Engine::builder(Arc::new(MemoryStore::default()), artifacts).build();
        let run = engine.start(definition.clone(), &workflows()).await.unwrap();
        finish(&engine, run).await;
        Self { engine, definition, _folder: folder }
    }

    async fn batch(&self, cycle: u32) -> BatchExplanation {
        match handle(&self.engine, Request::ExplainBatch { run: None, cycle }).await.unwrap() {
            Response::ExplainedBatch(found) => found,
            other => panic!("{other:?}"),
        }
    }

    async fn sample(&self, sample: &SampleId) -> Explanation {
        let sample = sample.as_str().to_owned();
        match handle(&self.engine, Request::Explain { run: None, sample }).await.unwrap() {
            Response::Explained(found) => found,
            other => panic!("{other:?}"),
        }
    }

    async fn inferred(&self, cycle: u32) -> Inferred {
        let request = Request::Reinfer { run: None, cycle, provider: None };
        match handle(&self.engine, request).await.unwrap() {
            Response::Inferred(found) => found,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_pick_is_explained_by_the_labelled_sample_most_like_it() {
    let features = ("selector.embedding", "features");
    let asked = Asked::about(&[("selector.strategy", "kcenter"), features]).await;
    let pool = Pool::load(&asked.definition.pool, &workflows()).unwrap();
    let row = |sample: &SampleId| {
        let row = pool.index_of(sample).unwrap();
        pool.features().read(row..row + 1).unwrap().into_owned()
    };
    let (first, second) = (asked.batch(1).await, asked.batch(2).await);
    let labelled: BTreeSet<&SampleId> = first.picks.iter().map(|pick| &pick.sample).collect();
    for pick in &second.picks {
        let nearest = pick.picked.nearest.as_ref().unwrap();
        let picked = row(&pick.sample);
        let distance = |other: &SampleId| -> f64 {
            let apart = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).powi(2);
            picked.iter().zip(&row(other)).map(apart).sum::<f64>().sqrt()
        };
        let least = labelled.iter().map(|known| distance(known)).fold(f64::INFINITY, f64::min);
        assert_eq!((nearest.distance, distance(&nearest.sample)), (least, least));
        let known = first.picks.iter().find(|known| known.sample == nearest.sample).unwrap();
        assert_eq!(Some(nearest.label), known.label);
        assert_eq!((pick.picked.cycle, pick.picked.arm), (CycleNumber(2), Arm::Strategy));
        assert!(pick.label.is_some() && pick.annotator.as_deref() == Some("oracle"));
    }
}

#[tokio::test]
async fn what_a_label_changed_and_how_close_a_sample_came_are_told() {
    let asked = Asked::about(&[]).await;
    let third = asked.batch(3).await;
    let story = asked.sample(&third.picks[0].sample).await;
    assert_eq!(story.classes.len(), 10);
    // Nothing looked at the candidates of the first batch, which was drawn.
    let [second, third, labelled, learned] = story.history.as_slice() else {
        panic!("{:?}", story.history)
    };
    let Happened::Passed { score: Some(_), rank: Some(rank), below_cutoff: Some(below), .. } =
        second
    else {
        panic!("{second:?}")
    };
    assert!(*rank > 10 && *below >= 0.0);
    assert!(matches!(third, Happened::Picked(picked) if picked.rank == 1));
    assert!(matches!(labelled, Happened::Labelled { .. }));
    let Happened::Learned { cycle: CycleNumber(3), before: Some(_), .. } = learned else {
        panic!("{learned:?}")
    };
}

#[tokio::test]
async fn a_model_that_is_run_again_on_the_same_machine_says_the_same() {
    for strategy in ["margin", "kcenter", "badge"] {
        let asked = Asked::about(&[("selector.strategy", strategy)]).await;
        let found = asked.inferred(3).await;
        assert!(found.is_within(0.0), "{strategy}: {found:?}");
        assert!(found.compared.iter().all(|compared| compared.values > 0));
        assert!(found.provider_then.is_some() && found.provider_then == found.provider_now);
        assert_eq!((found.picks, found.lost), (10, Vec::new()));
    }
    let asked = Asked::about(&[]).await;
    let request = Request::Reinfer { run: None, cycle: 1, provider: None };
    let error = handle(&asked.engine, request).await.unwrap_err().to_string();
    assert!(error.contains("ran no model"), "{error}");
    let nothing = Asked::about(&[("selector.keep", "nothing")]).await.inferred(3).await;
    assert!(!nothing.is_within(1.0), "what was not compared is not within anything: {nothing:?}");
}
