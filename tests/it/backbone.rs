//! A head on a frozen backbone: what is trained is small, and what goes to production is one file.

use crate::support::{finish, sled, workflow, workflows};
use gleaner::domain::definition::ProviderChoice;
use gleaner::engine::Engine;
use gleaner::inference::{LoadOptions, Scores, load};
use gleaner::metrics::argmax;

#[tokio::test]
async fn a_head_on_a_backbone_goes_to_production_as_one_file_that_takes_raw_samples() {
    let folder = tempfile::tempdir().unwrap();
    let (store, artifacts) = sled(&folder.path().join("state"));
    let engine = Engine::builder(store, artifacts.clone()).build();
    // The backbone: a convolutional network that has seen some digits.
    let set =
        [("stop.max_cycles", "1"), ("trainer.epochs", "40"), ("selector.seed_per_class", "8")];
    let run = engine.start(workflow("digits-cnn.toml", &set), &workflows()).await.unwrap();
    let network = finish(&engine, run).await.production.unwrap();
    let file = folder.path().join("backbone.onnx");
    std::fs::copy(artifacts.path(&network), &file).unwrap();

    let set = [
        ("pool.shape", "[1, 8, 8]"),
        ("trainer.backbone", file.to_str().unwrap()),
        ("stop.max_cycles", "2"),
        ("selector.seed_per_class", "5"),
    ];
    let run = engine.start(workflow("digits-softmax.toml", &set), &workflows()).await.unwrap();
    let status = finish(&engine, run).await;
    assert!(status.failed.is_none(), "{status:?}");
    let accuracy = status.cycles[1].acceptance.as_ref().unwrap().value;
    assert!(accuracy > 0.85, "{accuracy}");
    let head = status.production.unwrap();
    assert_ne!(head, network);
    // One file: samples as they are in the pool go in, logits come out.
    let path = artifacts.path(&head);
    let predictor = load(&LoadOptions {
        scores: Scores::PerClass(10),
        provider: ProviderChoice::Cpu,
        ..LoadOptions::new(&path, &[1, 8, 8])
    });
    let pool = gleaner::pool::Pool::load(&workflow("digits-softmax.toml", &set).pool, &workflows());
    let (pool, mut predictor) = (pool.unwrap(), predictor.unwrap());
    // The log speaks of what the head made of embeddings that were worked out once; the one file says the same of samples.
    let test = &pool.split().test;
    let answers = predictor.predict(&pool.gather(test).unwrap()).unwrap().logits;
    let right = test.iter().zip(answers.iter_rows());
    let right = right.filter(|(row, scores)| pool.label(**row) == argmax(scores)).count();
    assert!((right as f64 / test.len() as f64 - accuracy).abs() < 1.5 / test.len() as f64);
    let parts = gleaner::training::parts_of(&artifacts.get(&head).unwrap()).unwrap();
    assert_eq!(parts.backbone, network);
    assert!(artifacts.contains(&parts.head));
    assert_eq!(gleaner::training::parts_of(&artifacts.get(&network).unwrap()), None);
}
