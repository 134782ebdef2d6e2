//! The registry of production models: what is in production can be found, pinned and taken back, by events.

use crate::support::{finish, sled, workflow, workflows};
use gleaner::domain::event::Event;
use gleaner::domain::ids::RunId;
use gleaner::engine::status::RunStatus;
use gleaner::engine::{Engine, EngineError};
use std::path::Path;

/// A run that trains twice and keeps what it trained, in this state directory.
async fn twice_trained(state: &Path) -> (Engine, RunId, RunStatus) {
    let (store, artifacts) = sled(state);
    let engine = Engine::builder(store, artifacts).build();
    let set = [
        ("stop.max_cycles", "3"),
        ("stop.kpi", "false"),
        ("trainer.epochs", "20"),
        ("trainer.checkpoints", "1"),
        ("model_selector.criterion", "validation.accuracy"),
    ];
    let run = engine.start(workflow("digits.toml", &set), &workflows()).await.unwrap();
    let status = finish(&engine, run).await;
    (engine, run, status)
}

#[tokio::test]
async fn production_is_a_file_that_follows_every_promotion_and_roll_back() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, run, status) = twice_trained(folder.path()).await;
    let models = engine.models(run).await.unwrap();
    assert!(models.len() >= 2, "{models:?}");
    let (first, last) = (&models[0], models.last().unwrap());
    assert_eq!((Some(last.model), last.current), (status.production, true));
    let current = engine.current_model(run);
    let bytes = |model: &gleaner::engine::status::ModelSummary| std::fs::read(&model.file).unwrap();
    assert_eq!(std::fs::read(&current).unwrap(), bytes(last));

    // The run is over; what is in production may change nevertheless.
    engine.roll_back(run, first.model, "worse at night").await.unwrap();
    assert_eq!(std::fs::read(&current).unwrap(), bytes(first));
    let again = engine.models(run).await.unwrap();
    assert_eq!(again.iter().filter(|model| model.current).count(), 1);
    assert!(again[0].current);
    drop(engine);

    // Another process finds the same, and makes the file good if a crash came in between.
    std::fs::remove_file(&current).unwrap();
    let (store, artifacts) = sled(folder.path());
    let engine = Engine::builder(store, artifacts).build();
    assert_eq!(engine.status(run).await.unwrap().production, Some(first.model));
    assert_eq!(std::fs::read(&current).unwrap(), bytes(first));
}

#[tokio::test]
async fn only_what_was_in_production_can_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, run, status) = twice_trained(folder.path()).await;
    let refused = |result: Result<(), EngineError>| match result {
        Err(EngineError::Refused(refusal)) => refusal.to_string(),
        other => panic!("{other:?}"),
    };
    let current = status.production.unwrap();
    let why = refused(engine.roll_back(run, current, "again").await);
    assert!(why.contains("is in production already"), "{why}");
    let stranger = gleaner::domain::digest::Digest::of(b"stranger");
    let why = refused(engine.roll_back(run, stranger, "what?").await);
    assert!(why.contains("was never in production"), "{why}");
    let why = refused(engine.pin(run, false, "free").await);
    assert!(why.contains("not pinned"), "{why}");
}

#[tokio::test]
async fn a_pinned_model_stays_and_what_training_found_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (store, artifacts) = sled(folder.path());
    let engine = Engine::builder(store, artifacts).build();
    let set = [("stop.max_cycles", "3"), ("stop.kpi", "false"), ("trainer.epochs", "20")];
    let run = engine.start(workflow("digits.toml", &set), &workflows()).await.unwrap();
    // Pinned by another hand as soon as there is a model, while the loop goes on.
    let mut notices = engine.watch();
    let pinning = async {
        loop {
            let notice = notices.recv().await.unwrap();
            if let gleaner::engine::notice::Notice::Committed(recorded) = notice
                && matches!(recorded.event, Event::ModelSelected(_))
            {
                break engine.pin(run, true, "in review").await.unwrap();
            }
        }
    };
    let (status, ()) = tokio::join!(finish(&engine, run), pinning);
    assert!(status.failed.is_none(), "{status:?}");
    let models = engine.models(run).await.unwrap();
    assert_eq!(models.len(), 1, "nothing took its place");
    assert!(models[0].pinned && models[0].current);
    let promoted: Vec<bool> = status.cycles.iter().map(|cycle| cycle.promoted).collect();
    assert_eq!(promoted, [true, false, false]);
    engine.pin(run, false, "reviewed").await.unwrap();
}

#[tokio::test]
async fn champion_and_challenger_are_compared_before_a_choice() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, run, _) = twice_trained(folder.path()).await;
    let cycle = gleaner::domain::ids::CycleId { run, cycle: gleaner::domain::ids::CycleNumber(2) };
    let log = engine.log(cycle, gleaner::domain::ids::Revision(0), 100).await.unwrap();
    let names: Vec<&str> = log.iter().map(|recorded| recorded.event.name()).collect();
    let place = names.iter().position(|name| *name == "ModelsCompared").unwrap();
    assert_eq!(names[place + 1], "ModelSelected");
    let Event::ModelsCompared(compared) = &log[place].event else { panic!("{names:?}") };
    assert_eq!(compared.test, "mcnemar_exact");
    assert_eq!(compared.n, 180, "the validation split");
    let lead = (compared.wins as f64 - compared.losses as f64) / 180.0;
    assert!((compared.difference - lead).abs() < 1e-12);
    assert!((0.0..=1.0).contains(&compared.p));
}

#[tokio::test]
async fn limits_keep_a_model_out_of_production() {
    let folder = tempfile::tempdir().unwrap();
    let (store, artifacts) = sled(folder.path());
    let engine = Engine::builder(store, artifacts).build();
    let set = [
        ("model_selector.max_bytes", "100"),
        ("stop.max_cycles", "1"),
        ("trainer.epochs", "1"),
        ("retry.attempts", "1"),
    ];
    let run = engine.start(workflow("digits-softmax.toml", &set), &workflows()).await.unwrap();
    let status = finish(&engine, run).await;
    let cause = status.failed.unwrap().cause;
    assert!(cause.contains("model_selector.max_bytes is 100"), "{cause}");
    assert!(cause.contains("loosen the limit"), "{cause}");
}
