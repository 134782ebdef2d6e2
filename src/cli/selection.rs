//! `gleaner explain`, `reselect` and `what-if`: why a batch is what it is, and what it could have been.

use super::Cli;
use super::error::CliError;
use super::output::{Output, Style};
use super::session::Session;
use super::verify::NOT_SOUND;
use crate::audit::selection::{Explanation, Happened};
use crate::control::{Request, Response};
use crate::domain::digest::Digest;
use crate::domain::label::Label;
use std::process::ExitCode;

pub(super) async fn explain(
    cli: &Cli,
    output: &Output,
    sample: &str,
    run: Option<String>,
) -> Result<ExitCode, CliError> {
    let session = Session::open_to_ask(&cli.state).await?;
    let request = Request::Explain { run, sample: sample.to_owned() };
    if let Response::Explained(found) = session.ask(request).await? {
        if output.json { output.json(&found)? } else { show(output, &found)? }
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
            let picks: Vec<&str> = found.picks.iter().map(|sample| sample.as_str()).collect();
            output.line(&format!(
                "{} picks {} in cycle {}; {} of the {} that were picked are among them",
                found.strategy,
                picks.len(),
                found.cycle,
                found.overlap,
                found.picked
            ))?;
            output.line(&picks.join(" "))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(output: &Output, found: &Explanation) -> Result<(), CliError> {
    output.line(&output.style(Style::Bold, found.sample.as_str()))?;
    found.history.iter().try_for_each(|happened| output.line(&sentence(happened)))
}

fn sentence(happened: &Happened) -> String {
    let number = |value: &Option<f64>, before: &str| {
        value.map_or_else(String::new, |value| format!("{before}{value:.6}"))
    };
    match happened {
        Happened::Picked {
            cycle,
            arm,
            strategy,
            model,
            score,
            rank,
            above_cutoff,
            probability,
            candidates,
        } => {
            let model = model.as_ref().map(Digest::short);
            let model = model.map_or_else(String::new, |model| format!(", model {model}"));
            format!(
                "cycle {cycle}: picked, {arm:?} {rank} of {candidates} by {strategy}{}{}{}{model}",
                number(score, ", score "),
                number(above_cutoff, ", above the last pick by "),
                number(probability, ", by chance with probability ")
            )
        }
        Happened::Passed { cycle, score, rank, below_cutoff, candidates } => format!(
            "cycle {cycle}: not picked, {rank} of {candidates}, score {score:.6}{}",
            number(below_cutoff, ", below the last pick by ")
        ),
        Happened::Unknown { cycle, date } => {
            format!("cycle {cycle}: not picked, its score was removed by policy on {date}")
        }
        Happened::Answered { cycle, annotator, label } => {
            format!("cycle {cycle}: {annotator} says {}", name(*label))
        }
        Happened::Labelled { cycle, annotator, label } => {
            format!("cycle {cycle}: labelled {} by {annotator}", name(*label))
        }
        Happened::Reconsidered { cycle, before, after } if before == after => {
            format!("cycle {cycle}: asked again, {} stands", name(*after))
        }
        Happened::Reconsidered { cycle, before, after } => {
            format!("cycle {cycle}: {} became {}", name(*before), name(*after))
        }
    }
}

/// A label, as far as the log alone knows it: classes by their numbers.
fn name(label: Label) -> String {
    match label {
        Label::Class(class) => format!("class number {class}"),
        Label::Classes(set) => format!("{set:?}"),
        Label::Value(value) => value.get().to_string(),
        Label::Mask(digest) => format!("mask {}", digest.short()),
        Label::Erased(_) => "something that was erased".to_owned(),
    }
}
