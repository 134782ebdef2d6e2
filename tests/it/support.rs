//! What several stories need: a small workflow on the real digits, and an engine that works on it.

use gleaner::artifacts::Artifacts;
use gleaner::domain::definition::Definition;
use gleaner::domain::ids::RunId;
use gleaner::engine::Engine;
use gleaner::engine::status::RunStatus;
use gleaner::store::Store;
use gleaner::store::sled::{SledOptions, SledStore};
use gleaner::workflow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder with the workflows that the project ships.
pub(crate) fn workflows() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("workflows")
}

/// A shipped workflow with overrides, as `--set` would make them.
pub(crate) fn workflow(file: &str, overrides: &[(&str, &str)]) -> Definition {
    let overrides: Vec<(String, String)> =
        overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    workflow::load(&workflows().join(file), &overrides).unwrap()
}

/// The digits workflow, made small: three cycles, short trainings.
pub(crate) fn small() -> Definition {
    workflow(
        "digits.toml",
        &[
            ("stop.max_cycles", "3"),
            ("stop.kpi", "false"),
            ("trainer.epochs", "3"),
            ("trainer.checkpoints", "2"),
        ],
    )
}

/// A sled store and its artifacts under `dir`.
pub(crate) fn sled(dir: &Path) -> (Arc<dyn Store>, Artifacts) {
    let store = SledStore::open(dir, SledOptions::default()).unwrap();
    let artifacts = store.artifacts().clone();
    (Arc::new(store), artifacts)
}

/// Works until the run can go no further by itself, then stops.
pub(crate) async fn finish(engine: &Engine, run: RunId) -> RunStatus {
    let settled = async { drop(engine.settled(run).await) };
    engine.run(settled).await.unwrap();
    engine.status(run).await.unwrap()
}
