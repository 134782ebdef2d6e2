//! `gleaner labels`: how good the labels are, who gave them, and where answers differ.

use super::Cli;
use super::error::CliError;
use super::output::{Output, Style};
use super::session::Session;
use crate::control::{Request, Response};
use crate::engine::label_report::{LabelReport, PairReport, SuspectLabel};
use std::process::ExitCode;

/// No more suspect or disputed labels are listed; `--json` has all.
const LISTED_MAX: usize = 20;

/// The pairs that agree least; `--json` has all.
const PAIRS_MAX: usize = 5;

pub(super) async fn labels(
    cli: &Cli,
    output: &Output,
    run: Option<String>,
) -> Result<ExitCode, CliError> {
    let session = Session::open_to_ask(&cli.state).await?;
    if let Response::Labels(report) = session.ask(Request::Labels { run }).await? {
        if output.json { output.json(&report)? } else { show(output, &report)? }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(output: &Output, report: &LabelReport) -> Result<(), CliError> {
    let LabelReport { labelled, answers, relabelled, .. } = report;
    output.line(&format!("labels     {labelled}, by {answers} answers; {relabelled} changed"))?;
    if let Some(doubted) = &report.doubted {
        output.line(&format!(
            "doubted    {} of {} look wrong to models that had not seen them, {} of those were asked again; few labels make poor judges",
            doubted.suspects,
            doubted.labels,
            doubted.suspects.saturating_sub(report.suspects.len() as u64)
        ))?;
    }
    if let Some(date) = &report.removed {
        output
            .line(&format!("suspects   what those models said was removed by policy on {date}"))?;
    }
    for suspect in report.suspects.iter().take(LISTED_MAX) {
        let SuspectLabel { sample, label, likely, probability } = suspect;
        output
            .line(&format!("{sample} is {label}, {likely} is likelier (p = {probability:.3})"))?;
    }
    let more = report.suspects.len().saturating_sub(LISTED_MAX);
    if more > 0 {
        output.line(&format!("and {more} more that look wrong: `gleaner --json labels`"))?;
    }
    if report.annotators.is_empty() {
        return Ok(());
    }
    output.line(&format!("agreement  kappa {}", number(report.kappa)))?;
    let head = format!("{:<24} {:>8} {:>9}", "annotator", "answers", "accuracy");
    output.line(&output.style(Style::Bold, &head))?;
    for of in &report.annotators {
        output.line(&format!("{:<24} {:>8} {:>9}", of.name, of.answers, number(of.accuracy)))?;
    }
    let mut pairs: Vec<&PairReport> = report.pairs.iter().collect();
    pairs.sort_by(|a, b| a.kappa.unwrap_or(1.0).total_cmp(&b.kappa.unwrap_or(1.0)));
    for pair in pairs.into_iter().take(PAIRS_MAX).filter(|_| report.annotators.len() > 2) {
        let (first, second, samples) = (&pair.first, &pair.second, pair.samples);
        let kappa = number(pair.kappa);
        output.line(&format!("kappa {kappa} between {first} and {second} ({samples} samples)"))?;
    }
    for disputed in report.disputed.iter().take(LISTED_MAX) {
        let said: Vec<String> =
            disputed.answers.iter().map(|(who, what)| format!("{who} {what}")).collect();
        let (sample, label) = (&disputed.sample, &disputed.label);
        output.line(&format!("{sample} is {label}: {}", said.join(", ")))?;
    }
    let more = report.disputed.len().saturating_sub(LISTED_MAX);
    if more > 0 {
        output.line(&format!("and {more} more whose answers differ: `gleaner --json labels`"))?;
    }
    Ok(())
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"))
}
