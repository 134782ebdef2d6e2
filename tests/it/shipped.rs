//! The workflows that the project ships: each says what it means, and each whose data lies beside it runs.

use crate::support::{finish, workflow, workflows};
use gleaner::artifacts::Artifacts;
use gleaner::engine::Engine;
use gleaner::engine::status::RunState;
use gleaner::store::memory::MemoryStore;
use std::sync::Arc;

#[tokio::test]
async fn every_shipped_workflow_loads_and_runs_where_its_data_is_there() {
    let mut ran = Vec::new();
    for entry in std::fs::read_dir(workflows()).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        if !file.ends_with(".toml") {
            continue;
        }
        let definition = workflow(&file, &[]);
        let has = |path: &str| workflows().join(path).exists();
        // What is made by a documented command is there only where somebody ran it; so is a program's Python.
        let here =
            has(&definition.pool.path) && definition.trainer.backbone.as_deref().is_none_or(has);
        if !here || definition.trainer.external.is_some() {
            continue;
        }
        let short = [
            ("trainer.epochs", "4"),
            ("trainer.checkpoints", "1"),
            ("stop.max_cycles", "2"),
            ("stop.kpi", "false"),
        ];
        let definition = workflow(&file, &short);
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(folder.path()).unwrap();
        let engine = Engine::builder(Arc::new(MemoryStore::default()), artifacts).build();
        let run = engine.start(definition, &workflows()).await.unwrap();
        let status = finish(&engine, run).await;
        assert_eq!(status.state, RunState::Ended, "{file}: {:?}", status.failed);
        assert_eq!(status.cycles.len(), 2, "{file}");
        ran.push(file);
    }
    ran.sort();
    for task in
        ["attributes.toml", "diabetes.toml", "digits-cnn.toml", "digits-crowd.toml", "fields.toml"]
    {
        assert!(ran.iter().any(|file| file == task), "{task} did not run: {ran:?}");
    }
}
