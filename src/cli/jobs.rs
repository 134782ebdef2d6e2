//! `gleaner jobs`: what is queued, and dead letters.

use super::error::CliError;
use super::output::{Output, Style};
use super::session::Session;
use super::{Cli, JobsAction};
use crate::control::{Request, Response};
use crate::engine::status::JobSummary;
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
    let response = session.ask(request).await?;
    if let Response::Jobs(jobs) = response {
        if output.json { output.json(&jobs)? } else { list(output, &jobs)? }
    } else if let Response::Done(text) = response {
        output.line(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn list(output: &Output, jobs: &[JobSummary]) -> Result<(), CliError> {
    if jobs.is_empty() {
        return output.line("no unfinished jobs");
    }
    let head = format!(
        "{:<36} {:<13} {:>5} {:<7} {:>8} {:>7}  {}",
        "job", "kind", "cycle", "status", "failures", "crashes", "last error"
    );
    output.line(&output.style(Style::Bold, &head))?;
    jobs.iter().try_for_each(|job| {
        output.line(&format!(
            "{} {:<13} {:>5} {:<7} {:>8} {:>7}  {}",
            job.id,
            job.kind.name(),
            job.cycle.0,
            job.status,
            job.failures,
            job.crashes,
            job.last_error.as_deref().unwrap_or("-")
        ))
    })
}
