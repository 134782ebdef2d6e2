//! `gleaner backup` and `gleaner restore`: a copy of the state directory, and a state directory from a copy.

use super::Cli;
use super::error::CliError;
use super::output::Output;
use super::session::Session;
use crate::control::{BackedUp, ControlError, Request, Response, backup as copies};
use crate::engine::EngineError;
use std::path::Path;
use std::process::ExitCode;

/// Has a copy made by whoever has the state directory.
pub(super) async fn backup(cli: &Cli, output: &Output, to: &Path) -> Result<ExitCode, CliError> {
    // The process that writes it may be in another folder.
    let to = std::path::absolute(to).map_err(CliError::Io)?;
    let session = Session::open_to_ask(&cli.state).await?;
    if let Response::BackedUp(done) = session.ask(Request::BackUp { to }).await? {
        show(output, &done, "a verified copy")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Puts a copy of a backup where the state directory is to be.
pub(super) async fn restore(cli: &Cli, output: &Output, from: &Path) -> Result<ExitCode, CliError> {
    if !from.join("log").is_dir() {
        return Err(CliError::Refused(format!("{} is no backup: it has no log", from.display())));
    }
    let done = match copies::restore(from, &cli.state).await {
        Err(ControlError::Engine(EngineError::Store(error))) => return Err(error.into()),
        done => done?,
    };
    show(output, &done, "restored and verified; `gleaner resume` goes on")?;
    Ok(ExitCode::SUCCESS)
}

fn show(output: &Output, done: &BackedUp, what: &str) -> Result<(), CliError> {
    if output.json {
        return output.json(done);
    }
    let BackedUp { path, events, runs, artifacts } = done;
    output.line(&format!(
        "{}: {what}: {events} events of {runs} runs, {artifacts} artifacts",
        path.display()
    ))
}
