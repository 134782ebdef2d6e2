//! `gleaner explain`, `reselect` and `what-if`: why a batch is what it is, and what it could have been.

use super::Cli;
use super::error::CliError;
use super::explanation;
use super::output::{Output, Style};
use super::session::Session;
use super::verify::NOT_SOUND;
use crate::audit::inferred::{Compared, LostPick};
use crate::audit::selection::WhatIf;
use crate::control::{Request, Response};
use serde_json::json;
use std::process::ExitCode;

pub(super) async fn explain(
    cli: &Cli,
    output: &Output,
    request: Request,
) -> Result<ExitCode, CliError> {
    let session = Session::open_to_ask(&cli.state).await?;
    let response = session.ask(request).await?;
    if let Response::Explained(found) = response {
        if output.json { output.json(&found)? } else { explanation::show(output, &found)? }
    } else if let Response::ExplainedBatch(found) = response {
        if output.json { output.json(&found)? } else { explanation::show_batch(output, &found)? }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn reselect(
    cli: &Cli,
    output: &Output,
    cycle: u32,
    run: Option<String>,
) -> Result<ExitCode, CliError> {
    let session = Session::open_to_ask(&cli.state).await?;
    let response = session.ask(Request::Reselect { run, cycle }).await?;
    let Response::Reselected(found) = response else { return Ok(ExitCode::SUCCESS) };
    let same = found.differences.is_empty();
    if output.json {
        output.json(&found)?;
    } else if same {
        let text = format!(
            "the same: {} gives the same {} picks of cycle {}, bit for bit",
            found.strategy, found.picks, found.cycle
        );
        output.line(&output.style(Style::Green, &text))?;
    } else {
        for difference in &found.differences {
            output.line(&output.style(Style::Red, difference))?;
        }
    }
    Ok(if same { ExitCode::SUCCESS } else { NOT_SOUND.into() })
}

/// The batch once more with its model run again; within `tolerance`, or not.
pub(super) async fn reinfer(
    cli: &Cli,
    output: &Output,
    request: Request,
    tolerance: f64,
) -> Result<ExitCode, CliError> {
    let session = Session::open_to_ask(&cli.state).await?;
    let Response::Inferred(found) = session.ask(request).await? else {
        return Ok(ExitCode::SUCCESS);
    };
    let within = found.is_within(tolerance);
    if output.json {
        output.json(&json!({ "within": within, "tolerance": tolerance, "found": found }))?;
    } else {
        let provider =
            |name: &Option<String>| name.clone().unwrap_or_else(|| "no model".to_owned());
        output.line(&format!("then  {}", provider(&found.provider_then)))?;
        output.line(&format!("now   {}", provider(&found.provider_now)))?;
        for Compared { array, values, largest, at } in &found.compared {
            let at = at.as_ref().map_or_else(String::new, |sample| format!(", at {sample}"));
            let apart = largest.map_or_else(
                || "some are no numbers any more".to_owned(),
                |largest| format!("{largest:.2e} apart at the most"),
            );
            output.line(&format!("{array}: {values} values, {apart}{at}"))?;
        }
        for difference in &found.differences {
            output.line(&output.style(Style::Red, difference))?;
        }
        for LostPick { sample, from_cutoff } in &found.lost {
            let tie = from_cutoff.map_or_else(
                || ", and had no score".to_owned(),
                |apart| format!("; its score was {apart:.2e} from the last pick's"),
            );
            output.line(&format!("{sample} would not be picked now{tie}"))?;
        }
        let (lost, picks) = (found.lost.len() as u64, found.picks);
        let same = picks.saturating_sub(lost);
        let (style, verdict) =
            if within { (Style::Green, "within") } else { (Style::Red, "not within") };
        let text = format!("{verdict} {tolerance:e}; {same} of {picks} picks are the same");
        output.line(&output.style(style, &text))?;
    }
    Ok(if within { ExitCode::SUCCESS } else { NOT_SOUND.into() })
}

pub(super) async fn what_if(
    cli: &Cli,
    output: &Output,
    request: Request,
) -> Result<ExitCode, CliError> {
    let session = Session::open_to_ask(&cli.state).await?;
    if let Response::WhatIf(found) = session.ask(request).await? {
        if output.json {
            output.json(&found)?;
        } else {
            show_what_if(output, &found)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show_what_if(output: &Output, found: &WhatIf) -> Result<(), CliError> {
    let picks: Vec<&str> = found.picks.iter().map(|sample| sample.as_str()).collect();
    output.line(&format!(
        "{} picks {} in cycle {}; {} of the {} that were picked are among them",
        found.strategy,
        picks.len(),
        found.cycle,
        found.overlap,
        found.picked
    ))?;
    let (then, now) = (&found.then, &found.now);
    let mix = then.classes.iter().zip(&now.classes);
    let mix: Vec<String> = mix
        .map(|((class, then), (_, now))| {
            format!("{class} {:.0}/{:.0} %", then * 100.0, now * 100.0)
        })
        .collect();
    if !mix.is_empty() {
        output.line(&format!("expected classes, then/now: {}", mix.join(", ")))?;
    }
    let both = |then: Option<f64>, now: Option<f64>, unit: &str| {
        then.zip(now).map(|(then, now)| format!("{then:.3} then, {now:.3} now{unit}"))
    };
    let within = now.redundancy_in.as_deref().unwrap_or_default();
    for (what, text) in [
        ("redundancy", both(then.redundancy, now.redundancy, &format!(" (cosine of {within})"))),
        ("seconds", both(then.seconds, now.seconds, "")),
        ("cost", both(then.cost, now.cost, "")),
    ] {
        if let Some(text) = text {
            output.line(&format!("{what:<11}{text}"))?;
        }
    }
    output.line(&picks.join(" "))
}
