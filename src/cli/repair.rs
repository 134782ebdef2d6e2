//! `gleaner repair`: what can be saved of a damaged state directory.

use super::error::CliError;
use super::output::{Output, Style};
use super::session;
use crate::domain::digest::Digest;
use crate::engine::Engine;
use crate::engine::status::RunState;
use crate::store::sled::repair::{Repair, Repaired, repair as repair_state};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

/// Repairs the state directory and puts the next step of each unfinished run into its queue.
pub(super) async fn repair(
    state: &Path,
    output: &Output,
    copy: Option<&Path>,
) -> Result<ExitCode, CliError> {
    if !state.is_dir() {
        return Err(CliError::NoState { path: state.to_owned() });
    }
    if let Some(copy) = copy.filter(|copy| !copy.join("log").is_dir()) {
        return Err(CliError::Refused(format!(
            "{} is no copy of a state directory: it has no log",
            copy.display()
        )));
    }
    let options = session::options();
    let repaired = match repair_state(state, copy, options).await? {
        Repair::Rebuilt(repaired) => repaired,
        Repair::Artifacts { restored, missing } => {
            if output.json {
                output
                    .json(&json!({ "log": "intact", "restored": restored, "missing": missing }))?;
            } else {
                output.line(&format!(
                    "every event is intact; {restored} artifacts came from the copy"
                ))?;
                show_missing(output, &missing)?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        Repair::Healthy => {
            if output.json {
                output.json(&json!({ "log": "intact", "restored": 0, "missing": [] }))?;
            } else {
                output.line("nothing is damaged: every event and every artifact is intact")?;
            }
            return Ok(ExitCode::SUCCESS);
        }
    };
    let engine = session::engine(state).await?.build();
    let stuck = enqueue(&engine).await?;
    if output.json {
        let runs: Vec<_> = repaired
            .runs
            .iter()
            .map(
                |run| json!({ "run": run.run, "saved": run.saved, "unconnected": run.unconnected }),
            )
            .collect();
        output.json(&json!({
            "log": "rebuilt",
            "cause": repaired.cause,
            "damaged": repaired.old,
            "runs": runs,
            "lost": repaired.lost,
            "artifacts": repaired.artifacts,
            "restored": repaired.restored,
            "missing": repaired.missing,
            "stuck": stuck,
        }))?;
    } else {
        show(output, state, &repaired, &stuck)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Puts the next step of each unfinished run into the queue, which is made anew; answers which runs cannot go on, and why.
async fn enqueue(engine: &Engine) -> Result<Vec<String>, CliError> {
    let mut stuck = Vec::new();
    for run in engine.runs().await? {
        let resumed = match engine.status(run).await {
            Ok(status) if status.state == RunState::Ended => continue,
            Ok(_) => engine.resume(run).await,
            Err(error) => Err(error),
        };
        if let Err(error) = resumed {
            stuck.push(format!("run {run} cannot go on: {error}"));
        }
    }
    Ok(stuck)
}

fn show(
    output: &Output,
    state: &Path,
    repaired: &Repaired,
    stuck: &[String],
) -> Result<(), CliError> {
    output.line(&repaired.cause)?;
    for run in &repaired.runs {
        output.line(&match run.unconnected {
            0 => format!("run {}: {} events saved", run.run, run.saved),
            lost => format!(
                "run {}: {} events saved; {lost} more are sound but come after a lost one",
                run.run, run.saved
            ),
        })?;
    }
    let from_copy = match repaired.restored {
        0 => String::new(),
        restored => format!(", {restored} of them from the copy"),
    };
    let artifacts = repaired.artifacts.saturating_add(repaired.restored);
    output.line(&format!("{artifacts} artifacts{from_copy}"))?;
    for (first, last) in &repaired.lost {
        let text = format!("lost: the events at positions {first} to {last}");
        output.line(&output.style(Style::Red, &text))?;
    }
    show_missing(output, &repaired.missing)?;
    for text in stuck {
        output.line(&output.style(Style::Red, text))?;
    }
    output.line("not saved: which runs were paused, and how often a step had failed")?;
    output.line(&format!(
        "{} is usable again, `gleaner resume` goes on; the damaged one is kept in {}",
        state.display(),
        repaired.old.display()
    ))
}

fn show_missing(output: &Output, missing: &BTreeSet<Digest>) -> Result<(), CliError> {
    for digest in missing {
        output.line(&output.style(Style::Red, &format!("lost: artifact {digest}")))?;
    }
    Ok(())
}
