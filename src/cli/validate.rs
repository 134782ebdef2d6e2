//! `gleaner validate`: check a workflow without running it.

use super::error::CliError;
use super::output::Output;
use crate::workflow;
use std::path::Path;
use std::process::ExitCode;

pub(super) fn validate(
    output: &Output,
    file: &Path,
    overrides: &[(String, String)],
) -> Result<ExitCode, CliError> {
    let definition = workflow::load(file, overrides)?;
    if output.json {
        let digest = definition.digest();
        output.json(&serde_json::json!({ "workflow": definition, "digest": digest }))?;
    } else {
        output.line(&format!(
            "{}: a valid workflow, digest {}",
            file.display(),
            definition.digest()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
