//! `gleaner doctor`: what runs models on this machine.

use super::error::CliError;
use super::output::Output;
use crate::inference;
use std::process::ExitCode;

pub(super) fn doctor(output: &Output) -> Result<ExitCode, CliError> {
    let report = inference::doctor();
    if output.json {
        output.json(&report)?;
    } else {
        output.line(&format!("gleaner    {}", env!("CARGO_PKG_VERSION")))?;
        output.line(report.to_string().trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}
