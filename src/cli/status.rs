//! `gleaner status`: where runs stand.

use super::Cli;
use super::error::CliError;
use super::output::{Output, Style};
use super::screen::{end_reason, row, summary, table_head};
use super::session::Session;
use crate::control::{Request, Response};
use crate::engine::status::{RunState, RunStatus};
use std::process::ExitCode;

pub(super) async fn status(
    cli: &Cli,
    output: &Output,
    run: Option<String>,
    all: bool,
) -> Result<ExitCode, CliError> {
    let session = Session::open_to_ask(&cli.state).await?;
    let elsewhere = session.is_there();
    let request = if all { Request::Runs } else { Request::Status { run } };
    match session.ask(request).await? {
        Response::Runs(runs) if output.json => output.json(&runs)?,
        Response::Runs(runs) => {
            for run in runs {
                output.line(&one_line(&run))?;
            }
        }
        Response::Status(status) if output.json => output.json(&status)?,
        Response::Status(status) => show(cli, output, &status, elsewhere)?,
        Response::Log { .. }
        | Response::Jobs(_)
        | Response::Models(_)
        | Response::Labels(_)
        | Response::Explained(_)
        | Response::Reselected(_)
        | Response::WhatIf(_)
        | Response::Replayed(_)
        | Response::Difference(_)
        | Response::Done(_)
        | Response::Collected(_)
        | Response::Refused(_) => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn one_line(run: &RunStatus) -> String {
    let state = match (run.state, run.ended) {
        (_, Some(reason)) => end_reason(reason).to_owned(),
        (RunState::Failed, None) => "failed".to_owned(),
        (RunState::Paused, None) => "paused".to_owned(),
        (RunState::Active | RunState::Ended, None) => run.phase.clone(),
    };
    format!("{}  {}  cycle {}, {} labels, {state}", run.run, run.name, run.cycle, run.labelled)
}

fn show(cli: &Cli, output: &Output, status: &RunStatus, elsewhere: bool) -> Result<(), CliError> {
    output.line(&format!("{}: run {}", status.name, status.run))?;
    output.line(&output.style(Style::Bold, &table_head()))?;
    for line in &status.cycles {
        output.line(&row(output, line, None))?;
    }
    output.line("")?;
    let artifacts = cli.state.join("artifacts");
    output.line(&summary(output, status, |digest| {
        format!("{} in {}", digest, artifacts.display())
    }))?;
    for job in &status.jobs {
        let error = job.last_error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
        output.line(&format!("job        {} {} ({}{error})", job.id, job.kind, job.status))?;
    }
    if status.state == RunState::Active && !elsewhere {
        output.line("nobody works on it now: `gleaner resume` goes on")?;
    }
    Ok(())
}
