//! Backups: state directories that nobody works with, and that were found whole.
//!
//! A copy is made under another name beside its place, opened, verified and synced; then it gets its name, in one step. So what
//! has the name is complete, whatever crashed. What is left of a crash is called `.NAME.unfinished-...` and can be removed.

use super::ControlError;
use super::wire::BackedUp;
use crate::audit::verify::{Verification, verify};
use crate::blocking::attempt;
use crate::engine::{Engine, EngineError};
use crate::store::sled::{SledOptions, SledStore};
use crate::store::{Store, StoreError};
use rayon::prelude::*;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// Copies what the engine works with to `to`, while it works. What may go waits, so a copy that is not whole is of an
/// original that is not.
pub(super) async fn back_up(engine: &Engine, to: &Path) -> Result<BackedUp, ControlError> {
    let copy = beside(to)?;
    let state = engine.artifacts().state().to_path_buf();
    engine.back_up(copy.path()).await.map_err(|error| {
        if let EngineError::Store(error) = error { of_store(error, &state) } else { error.into() }
    })?;
    finish(copy, to.to_path_buf(), state).await
}

/// Copies the backup `from`, with which nobody works, to the state directory `to`, which is not there yet or is empty.
///
/// # Errors
/// [`ControlError::Occupied`], [`ControlError::NotWhole`], [`ControlError::Copy`], or [`ControlError::Engine`] with what the
/// store says; there is nothing at `to` then.
pub async fn restore(from: &Path, to: &Path) -> Result<BackedUp, ControlError> {
    let copy = beside(to)?;
    let (source, target) = (from.to_path_buf(), copy.path().to_path_buf());
    let copied = blocking(move || Ok(SledStore::copy_closed(&source, &target))).await?;
    copied.map_err(|error| of_store(error, from))?;
    finish(copy, to.to_path_buf(), from.to_path_buf()).await
}

/// An empty folder beside the place `to`, which must be free.
fn beside(to: &Path) -> Result<TempDir, ControlError> {
    let is_free = match fs::read_dir(to) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == ErrorKind::NotFound,
    };
    if !is_free {
        return Err(ControlError::Occupied { path: to.to_path_buf() });
    }
    let (parent, name) = (parent(to), to.file_name().unwrap_or_default().to_string_lossy());
    let prefix = format!(".{name}.unfinished-");
    let made = tempfile::Builder::new().prefix(&prefix).tempdir_in(parent);
    made.map_err(|source| ControlError::Copy { path: to.to_path_buf(), source })
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Verifies a copy and gives it its name. `original` is what is not whole where the copy is not.
async fn finish(copy: TempDir, to: PathBuf, original: PathBuf) -> Result<BackedUp, ControlError> {
    let runtime = tokio::runtime::Handle::current();
    blocking(move || {
        let found = runtime.block_on(verified(copy.path(), &original))?;
        if !found.is_sound() {
            return Err(ControlError::NotWhole { path: original, what: first_finding(&found) });
        }
        place(copy, &to).map_err(|source| ControlError::Copy { path: to.clone(), source })?;
        let (runs, artifacts) = (found.runs.len() as u64, found.artifacts);
        Ok(BackedUp { path: to, events: found.events, runs, artifacts })
    })
    .await
}

async fn verified(copy: &Path, original: &Path) -> Result<Verification, ControlError> {
    let opened = SledStore::open(copy, SledOptions::default());
    let store = Arc::new(opened.map_err(|error| of_store(error, original))?);
    let artifacts = store.artifacts().clone();
    let engine = Engine::builder(Arc::clone(&store) as Arc<dyn Store>, artifacts.clone()).build();
    for run in engine.runs().await? {
        // Loading a run makes the file that is its production model; what is wrong with the run is found below.
        let _found_below = engine.status(run).await;
    }
    verify(&*store, &artifacts, None).map_err(|error| of_store(error, original))
}

fn of_store(error: StoreError, original: &Path) -> ControlError {
    if let StoreError::Damaged { what } = error {
        ControlError::NotWhole { path: original.to_path_buf(), what }
    } else {
        EngineError::from(error).into()
    }
}

fn first_finding(found: &Verification) -> String {
    let finding = found.runs.iter().find_map(|run| Some((run.run, run.findings.first()?)));
    match (finding, &found.damaged) {
        (_, Some(why)) => why.clone(),
        (Some((run, finding)), None) => {
            let place = finding.cycle.zip(finding.revision);
            let place = place.map(|(cycle, revision)| format!("at {cycle}:{revision} "));
            format!("run {run}: {}{}", place.unwrap_or_default(), finding.what)
        }
        (None, None) => "nothing was found".to_owned(),
    }
}

/// Makes a copy durable, and then known by its name.
fn place(copy: TempDir, to: &Path) -> io::Result<()> {
    let mut all = vec![copy.path().to_path_buf()];
    let mut next = 0;
    while let Some(path) = all.get(next).cloned() {
        next += 1;
        if fs::symlink_metadata(&path)?.is_dir() {
            for entry in fs::read_dir(&path)? {
                let entry = entry?;
                if !entry.file_type()?.is_symlink() {
                    all.push(entry.path());
                }
            }
        }
    }
    // Folders come before what is in them, and are synced after it.
    all.par_iter().rev().try_for_each(|path| File::open(path)?.sync_all())?;
    fs::rename(copy.path(), to)?;
    drop(copy.keep()); // it has another name now
    File::open(parent(to))?.sync_all()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ControlError> + Send + 'static,
) -> Result<T, ControlError> {
    attempt(work).await.unwrap_or_else(|error| {
        Err(EngineError::from(StoreError::Backend {
            operation: "copy the state directory",
            outcome_unknown: false,
            source: Box::new(error),
        })
        .into())
    })
}
