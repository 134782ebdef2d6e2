//! `gleaner jobs`: what is queued, and dead letters.

use super::error::CliError;
use super::output::{Output, Style};
use super::session::Session;
use super::{Cli, JobsAction};
use crate::control::{Request, Response};
use std::process::ExitCode;

pub(super) async fn jobs(
    cli: &Cli,
    output: &Output,
    action: Option<&JobsAction>,
) -> Result<ExitCode, CliError> {
    let session = Session::open_to_ask(&cli.state).await?;
    let request = match action {
        None | Some(JobsAction::List) => Request::Jobs,
        Some(JobsAction::Retry { job }) => Request::RetryJob { job: job.clone() },
        Some(JobsAction::Cancel { job }) => Request::CancelJob { job: job.clone() },
    };
    match session.ask(request).await? {
        Response::Jobs(jobs) if output.json => output.json(&jobs)?,
        Response::Jobs(jobs) => {
            if jobs.is_empty() {
                output.line("no unfinished jobs")?;
                return Ok(ExitCode::SUCCESS);
            }
            let head = format!(
                "{:<36} {:<13} {:>5} {:<7} {:>8} {:>7}  {}",
                "job", "kind", "cycle", "status", "failures", "crashes", "last error"
            );
            output.line(&output.style(Style::Bold, &head))?;
            for job in jobs {
                let text = format!(
                    "{} {:<13} {:>5} {:<7} {:>8} {:>7}  {}",
                    job.id,
                    job.kind.name(),
                    job.cycle.0,
                    job.status,
                    job.failures,
                    job.crashes,
                    job.last_error.as_deref().unwrap_or("-")
                );
                output.line(&text)?;
            }
        }
        Response::Done(text) => output.line(&text)?,
        Response::Runs(_)
        | Response::Status(_)
        | Response::Log { .. }
        | Response::Models(_)
        | Response::Labels(_)
        | Response::Explained(_)
        | Response::Reselected(_)
        | Response::WhatIf(_)
        | Response::Replayed(_)
        | Response::Difference(_)
        | Response::Collected(_)
        | Response::Refused(_) => {}
    }
    Ok(ExitCode::SUCCESS)
}
