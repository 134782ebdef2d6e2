//! `gleaner gc`: remove what a policy does not keep, after it was shown.

use super::error::CliError;
use super::output::{Output, Style};
use super::session::Session;
use super::{Cli, KeptModels};
use crate::audit::retention::{Going, Models, Orphan, Plan, Total};
use crate::control::{Request, Response};
use crate::domain::event::ArtifactKind;
use std::collections::BTreeMap;
use std::process::ExitCode;

/// No more artifacts are listed one by one; `--json` has all.
const LISTED_MAX: usize = 20;

pub(super) async fn gc(
    cli: &Cli,
    output: &Output,
    cycles: u32,
    models: KeptModels,
    keep: &[String],
    confirmed: bool,
) -> Result<ExitCode, CliError> {
    let models = match models {
        KeptModels::Production => Models::Production,
        KeptModels::All => Models::All,
    };
    let session = Session::open_to_ask(&cli.state).await?;
    let request = Request::Collect { cycles, models, keep: keep.to_vec(), confirmed };
    if let Response::Collected(plan) = session.ask(request).await? {
        if output.json { output.json(&plan)? } else { show(output, &plan)? }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(output: &Output, plan: &Plan) -> Result<(), CliError> {
    output.line(&format!("kept: {}", plan.policy))?;
    let mut all = Total::default();
    plan.files().for_each(|file| all.add(file.bytes));
    let verb = if plan.done { "removed" } else { "would remove" };
    let head = format!("{verb} {} artifacts, {} bytes", all.artifacts, all.bytes);
    output.line(&output.style(Style::Bold, &head))?;
    let mut kinds: BTreeMap<ArtifactKind, Total> = BTreeMap::new();
    plan.removed.iter().for_each(|going| {
        kinds.entry(going.artifact.kind).or_default().add(going.artifact.bytes);
    });
    for (kind, total) in kinds {
        output.line(&line(total, kind.plural()))?;
    }
    for (files, what) in [
        (&plan.leftovers, "left over by an earlier removal that was cut short"),
        (&plan.orphans, "named by no event, left by crashes"),
    ] {
        let mut total = Total::default();
        files.iter().for_each(|file| total.add(file.bytes));
        if total.artifacts > 0 {
            output.line(&line(total, what))?;
        }
    }
    for Going { artifact: gone, runs } in plan.removed.iter().take(LISTED_MAX) {
        let runs: Vec<String> = runs.iter().map(ToString::to_string).collect();
        output.line(&format!(
            "  {} {} bytes, of {}",
            gone.artifact,
            gone.bytes,
            runs.join(", ")
        ))?;
    }
    let others = plan.leftovers.iter().chain(&plan.orphans);
    for Orphan { artifact, bytes } in others.take(LISTED_MAX.saturating_sub(plan.removed.len())) {
        output.line(&format!("  {artifact} {bytes} bytes"))?;
    }
    let more = all.artifacts.saturating_sub(LISTED_MAX as u64);
    if more > 0 {
        output.line(&format!("  and {more} more: `gleaner --json gc`"))?;
    }
    output.line(&output.style(Style::Bold, "stays"))?;
    for (why, total) in &plan.kept {
        output.line(&line(*total, why))?;
    }
    if !plan.done && all.artifacts > 0 {
        output.line("nothing was removed: `gleaner gc --yes` does it")?;
    }
    Ok(())
}

fn line(total: Total, what: &str) -> String {
    format!("{:>7} {:>15} bytes  {what}", total.artifacts, total.bytes)
}
