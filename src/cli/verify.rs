//! `gleaner verify`: is the record whole?

use super::error::CliError;
use super::output::{Output, Style};
use super::session;
use super::{Cli, bundle};
use crate::audit::verify::{Verification, VerifiedRun, verify as verify_store};
use crate::control::{ControlError, named};
use crate::domain::ids::RunId;
use crate::store::sled::SledStore;
use crate::store::{EventLog as _, StoreError};
use std::fs::File;
use std::path::Path;
use std::process::ExitCode;
use tempfile::TempDir;

/// What is not whole is told by this exit code, as damage is by other commands.
pub(super) const NOT_SOUND: u8 = 5;

/// Verifies a copy of the log and the artifacts where they are; nothing is written to the state directory.
pub(super) async fn verify(
    cli: &Cli,
    output: &Output,
    run: Option<&str>,
    key: Option<&str>,
) -> Result<ExitCode, CliError> {
    if let Some(file) = run.map(Path::new).filter(|file| file.is_file()) {
        return bundle::verify(output, file, key).await;
    }
    if key.is_some() {
        let why = "--key checks the signature of a bundle: name its file; of a state directory, `gleaner checkpoint verify`";
        return Err(CliError::Refused(why.to_owned()));
    }
    let found = match copy(cli) {
        Ok(Copied { store, .. }) => {
            let run = match run {
                Some(run) => Some(find(&store, Some(run)).await?),
                None => None,
            };
            verify_store(&store, store.artifacts(), run)?
        }
        Err(CliError::Store(StoreError::Damaged { what })) => Verification::not_opened(what),
        Err(other) => return Err(other),
    };
    if output.json {
        output.json(&found)?
    } else {
        show(output, &found)?
    }
    Ok(if found.is_sound() { ExitCode::SUCCESS } else { NOT_SOUND.into() })
}

/// A copy of the state directory's log, opened; nobody changes the state directory while it lives.
pub(super) struct Copied {
    pub(super) store: SledStore,
    _lock: Option<File>,
    _scratch: TempDir,
}

/// Copies and opens the state directory's log.
pub(super) fn copy(cli: &Cli) -> Result<Copied, CliError> {
    if !cli.state.join("log").is_dir() {
        return Err(CliError::NoState { path: cli.state.clone() });
    }
    let scratch =
        tempfile::Builder::new().prefix("gleaner-verify-").tempdir().map_err(CliError::Io)?;
    let (store, lock) = SledStore::open_copy(&cli.state, scratch.path(), session::options())?;
    Ok(Copied { store, _lock: lock, _scratch: scratch })
}

/// The run that `text` names by the beginning or the end of its id; without a text the newest.
pub(super) async fn find(store: &SledStore, text: Option<&str>) -> Result<RunId, CliError> {
    let mut runs = store.runs().await?.into_iter().map(|(run, _)| run);
    let Some(text) = text else {
        return runs.next_back().ok_or_else(|| ControlError::NoRuns.into());
    };
    if text.is_empty() {
        return Err(ControlError::UnknownRun { text: text.to_owned() }.into());
    }
    Ok(named(runs.collect(), text)?)
}

pub(super) fn show(output: &Output, found: &Verification) -> Result<(), CliError> {
    for run in &found.runs {
        show_run(output, run)?;
    }
    let (events, artifacts, runs) = (found.events, found.artifacts, found.runs.len());
    if let Some(why) = &found.damaged {
        let text = format!("not whole: {why}; `gleaner repair` tells what can be saved");
        return output.line(&output.style(Style::Red, &text));
    }
    if found.is_sound() {
        let text = format!(
            "whole: {events} events of {runs} runs and {artifacts} artifacts hold together"
        );
        output.line(&output.style(Style::Green, &text))
    } else {
        let text = format!(
            "not whole: {events} events and {artifacts} artifacts hold; what does not is listed above"
        );
        output.line(&output.style(Style::Red, &text))
    }
}

fn show_run(output: &Output, run: &VerifiedRun) -> Result<(), CliError> {
    let end = run.trusted.map_or_else(
        || "nothing of it can be trusted".to_owned(),
        |end| {
            format!(
                "{} events hold, up to {}.{}: {}",
                run.events, end.cycle, end.revision, end.hash
            )
        },
    );
    output.line(&format!("run {}: {end}", run.run))?;
    for (found, style) in [(&run.notes, Style::Dim), (&run.findings, Style::Red)] {
        for finding in found {
            let place = match (finding.cycle, finding.revision) {
                (Some(cycle), Some(revision)) => format!("{cycle}.{revision}: "),
                (_, _) => String::new(),
            };
            output.line(&output.style(style, &format!("  {place}{}", finding.what)))?;
        }
    }
    Ok(())
}
