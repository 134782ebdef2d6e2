//! `gleaner runtime`: install and list inference runtimes by hand.

use super::error::CliError;
use super::output::Output;
use crate::inference::install::{self, Variant};
use crate::inference::{self, DoctorReport};
use std::process::ExitCode;

pub(super) fn install(output: &Output, gpu: bool) -> Result<ExitCode, CliError> {
    let variant = if gpu { Variant::Gpu } else { Variant::Cpu };
    let path = install::install(variant, &mut |line| output.note(line))?;
    if output.json {
        output.json(&path)?;
    } else {
        output.line(&format!("onnxruntime {} is at {}", install::VERSION, path.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn list(output: &Output) -> Result<ExitCode, CliError> {
    let DoctorReport { runtime, tried, installed, .. } = inference::doctor();
    if output.json {
        output.json(
            &serde_json::json!({ "used": runtime, "rejected": tried, "installed": installed }),
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    match &runtime {
        Some(runtime) => {
            let (version, origin) = (&runtime.version, runtime.origin);
            output
                .line(&format!("used       {version} from {origin}: {}", runtime.path.display()))?;
        }
        None => output.line("used       none")?,
    }
    for path in &installed {
        output.line(&format!("installed  {}", path.display()))?;
    }
    for rejected in &tried {
        output.line(&format!("rejected   {rejected}"))?;
    }
    Ok(ExitCode::SUCCESS)
}
