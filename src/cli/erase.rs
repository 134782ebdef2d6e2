//! `gleaner erase`: forget a sample on request.

use super::Cli;
use super::error::CliError;
use super::output::{Output, Style};
use super::session;
use crate::artifacts::Artifacts;
use crate::audit::erase::{Erasure, Wish};
use crate::control::named;
use crate::domain::ids::{RunId, SampleId};
use crate::engine::clock::{Clock as _, SystemClock};
use crate::store::sled::SledStore;
use crate::store::{EventLog as _, StoreError};
use std::path::Path;
use std::process::ExitCode;

/// What is not ours to erase.
const NOT_OURS: &str = "not touched: the pool's own files, models that were trained with it, exports, bundles, backups, and what was published elsewhere";

/// Erases a sample from the logs of runs that are over; nobody else may have the state directory open.
pub(super) async fn erase(
    cli: &Cli,
    output: &Output,
    sample: &str,
    run: Option<&str>,
    reason: &str,
    confirmed: bool,
) -> Result<ExitCode, CliError> {
    if !cli.state.join("log").is_dir() {
        return Err(CliError::NoState { path: cli.state.clone() });
    }
    let store = open(&cli.state).await?;
    let run = match run {
        Some(text) => {
            let runs = store.runs().await?.into_iter().map(|(run, _)| run);
            Some(named(runs.collect(), text)?)
        }
        None => None,
    };
    let sample = SampleId::from(sample);
    let at = SystemClock.now();
    let wish = Wish { sample: &sample, run, reason, at };
    let mut erasure = Erasure::of(&store, store.artifacts(), wish).await?;
    if confirmed {
        let store = if erasure.runs.is_empty() {
            store
        } else {
            let commit = erasure.commit(at, "cli", &|| SystemClock.mint());
            let options = session::options();
            store.rewrite(&cli.state, options, erasure.changes(), commit).await?;
            open(&cli.state).await?
        };
        // Whatever is removed is while the directory is held.
        remove_caches(&cli.state, &erasure)?;
        // A handle of its own: with the store's, nothing may be about to be named.
        let artifacts = Artifacts::as_they_are(store.artifacts().root());
        erasure.remove_files(&store, &artifacts).await?;
    }
    if output.json {
        output.json(&erasure)?
    } else {
        show(output, &erasure)?
    }
    Ok(ExitCode::SUCCESS)
}

async fn open(state: &Path) -> Result<SledStore, StoreError> {
    let path = state.to_owned();
    let opened = tokio::task::spawn_blocking(move || SledStore::open(&path, session::options()));
    opened.await.map_err(|join| StoreError::Backend {
        operation: "open the state directory",
        outcome_unknown: false,
        source: Box::new(join),
    })?
}

/// Removes what is kept beside the record and can be made again: embeddings of every sample, and what trainings of the runs
/// left that forget this one or did before. Nobody else may have the state directory open.
fn remove_caches(state: &Path, erasure: &Erasure) -> Result<(), CliError> {
    let gone = |error: std::io::Error| {
        let is_gone = error.kind() == std::io::ErrorKind::NotFound;
        if is_gone { Ok(()) } else { Err(CliError::Io(error)) }
    };
    std::fs::remove_dir_all(state.join("cache").join("embeddings")).or_else(gone)?;
    let Ok(left) = std::fs::read_dir(state.join("training")) else { return Ok(()) };
    for entry in left {
        let path = entry.map_err(CliError::Io)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let of = |run: &RunId| name.starts_with(&run.to_string());
        if erasure.forgetting().iter().any(of) {
            let removed = if path.is_dir() {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            removed.or_else(gone)?;
        }
    }
    Ok(())
}

fn show(output: &Output, erasure: &Erasure) -> Result<(), CliError> {
    let sample = &erasure.sample;
    if erasure.runs.is_empty() {
        output.line(&format!("nothing is kept of sample {sample} but that it was there"))?;
    }
    let verb = if erasure.done { "erased from" } else { "would be erased from" };
    for run in &erasure.runs {
        let bytes: u64 = run.artifacts.iter().map(|gone| gone.bytes).sum();
        let text = format!(
            "{verb} {} records of run {}, with {} artifacts that hold scores of it, {bytes} bytes",
            run.records,
            run.run,
            run.artifacts.len()
        );
        output.line(&output.style(Style::Bold, &text))?;
    }
    for run in &erasure.others {
        output.line(&format!(
            "run {run} still tells what it is: leave `--run` away and every run forgets it"
        ))?;
    }
    output.line(NOT_OURS)?;
    if !erasure.done {
        output.line("nothing was erased: `gleaner erase ... --yes` does it, for good")?;
    }
    Ok(())
}
