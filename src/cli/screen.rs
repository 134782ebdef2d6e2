//! A run on the screen: one line a cycle, a progress bar for the step under way, a summary at the end.

use super::error::CliError;
use super::output::{Output, Style};
use crate::domain::digest::Digest;
use crate::domain::event::{EndReason, Event, KpiChecked, KpiStage};
use crate::domain::ids::RunId;
use crate::domain::kpi::{Interval, Verdict};
use crate::domain::metric::Metric;
use crate::domain::state::CycleSummary;
use crate::domain::time::Timestamp;
use crate::engine::forecast::forecast;
use crate::engine::notice::Notice;
use crate::engine::savings::{Savings, savings};
use crate::engine::status::{RunState, RunStatus};
use crate::metrics::learning_curve::{CannotTell, LabelsTo};
use crate::store::Recorded;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeSet;
use std::time::Duration;

/// Follows one run.
pub(super) struct Screen {
    output: Output,
    run: RunId,
    line: Option<CycleSummary>,
    labelled: u64,
    begun: Timestamp,
    said: BTreeSet<String>,
    bar: ProgressBar,
}

impl Screen {
    /// A screen for `run`, which has `labelled` labels.
    pub(super) fn new(output: Output, run: RunId, labelled: u64) -> Self {
        let bar = if output.json { ProgressBar::hidden() } else { ProgressBar::no_length() };
        if let Ok(style) = ProgressStyle::with_template("  {msg:<24} [{bar:32}] {pos}/{len}") {
            bar.set_style(style.progress_chars("=> "));
        }
        let begun = Timestamp::default();
        Self { output, run, line: None, labelled, begun, said: BTreeSet::new(), bar }
    }

    /// Prints the table's head.
    pub(super) fn head(&self) -> Result<(), CliError> {
        self.print(&self.output.style(Style::Bold, &table_head()))
    }

    /// Shows a notice, if it is about the run.
    pub(super) fn show(&mut self, notice: &Notice) -> Result<(), CliError> {
        match notice {
            Notice::Committed(recorded) if recorded.cycle.run == self.run => {
                self.committed(recorded)
            }
            Notice::StepStarted { cycle, kind } if cycle.run == self.run => {
                self.bar.set_message(format!("cycle {}: {kind}", cycle.cycle));
                self.bar.set_position(0);
                Ok(())
            }
            Notice::Progress { cycle, done, total, .. } if cycle.run == self.run => {
                self.bar.set_length(*total);
                self.bar.set_position(*done);
                Ok(())
            }
            Notice::StepRetried { cycle, kind, failures, error } if cycle.run == self.run => {
                let text = format!("  {kind} failed ({failures}), trying again: {error}");
                self.print(&self.output.style(Style::Yellow, &text))
            }
            Notice::Remark { run, text } if *run == self.run => {
                // The same words come every cycle; once is enough.
                if self.said.insert(text.clone()) {
                    self.print(&self.output.style(Style::Dim, &format!("  {text}")))?;
                }
                Ok(())
            }
            Notice::Committed(_)
            | Notice::StepStarted { .. }
            | Notice::Progress { .. }
            | Notice::StepRetried { .. }
            | Notice::Remark { .. } => Ok(()),
        }
    }

    fn committed(&mut self, recorded: &Recorded) -> Result<(), CliError> {
        match &recorded.event {
            Event::CycleStarted(started) => {
                self.begun = recorded.recorded;
                self.labelled = started.labelled;
                self.line = Some(CycleSummary::new(recorded.cycle.cycle, started.labelled));
            }
            Event::BatchSelected(batch) => {
                self.change(|line| line.batch = batch.picks.len() as u64)
            }
            Event::Annotated(annotated) => {
                let new = annotated.labels.len() as u64;
                self.change(|line| line.labelled += new);
            }
            Event::KpiChecked(checked) => self.change(|line| match checked.stage {
                KpiStage::Gate => line.gate = Some(checked.clone()),
                KpiStage::Acceptance => line.acceptance = Some(checked.clone()),
            }),
            Event::Trained(trained) => {
                self.change(|line| line.checkpoints = Some(trained.checkpoints.len() as u64));
            }
            Event::ModelSelected(selected) => self.change(|line| line.promoted = selected.promoted),
            Event::CycleEnded(_) => {
                let spent = recorded.recorded.since(self.begun);
                let begun_here = self.begun != Timestamp::default();
                if let Some(line) = self.line.take() {
                    self.print(&row(&self.output, &line, begun_here.then_some(spent)))?;
                }
            }
            Event::RunStarted(_)
            | Event::CycleFailed(_)
            | Event::CycleCancelled(_)
            | Event::RunEnded(_)
            | Event::ModelsCompared(_)
            | Event::RolledBack(_)
            | Event::Pinned(_)
            | Event::Voted(_)
            | Event::Relabelled(_)
            | Event::LabelsDoubted(_)
            | Event::BaselineMeasured(_)
            | Event::DriftChecked(_)
            | Event::ClassesMeasured(_)
            | Event::Forked(_)
            | Event::ArtifactsRemoved(_)
            | Event::SampleErased(_) => {}
        }
        Ok(())
    }

    /// A cycle that was begun before this process looked is filled in from its summary.
    pub(super) fn continue_cycle(&mut self, line: Option<&CycleSummary>) {
        self.line = line.cloned();
    }

    fn change(&mut self, change: impl FnOnce(&mut CycleSummary)) {
        if let Some(line) = &mut self.line {
            change(line);
        }
    }

    fn print(&self, text: &str) -> Result<(), CliError> {
        if self.output.json {
            return Ok(());
        }
        self.bar.suspend(|| self.output.line(text))
    }

    /// Takes the progress bar away.
    pub(super) fn close(&self) {
        self.bar.finish_and_clear();
    }
}

/// The head of the table of cycles.
pub(super) fn table_head() -> String {
    format!(
        "{:>5} {:>7} {:>6}  {:<22} {:<6} {:<9} {:<32} {:>7}",
        "cycle", "labels", "batch", "gate", "saved", "promoted", "measured (interval)", "seconds"
    )
    .trim_end()
    .to_owned()
}

/// A cycle as a line of the table.
pub(super) fn row(output: &Output, line: &CycleSummary, spent: Option<Duration>) -> String {
    let gate = line.gate.as_ref().map_or_else(
        || "-".to_owned(),
        |gate| format!("{} {} of {}", verdict(gate.verdict), value(gate, gate.value), gate.n),
    );
    let saved = line.checkpoints.map_or_else(|| "-".to_owned(), |saved| saved.to_string());
    let promoted = match (line.promoted, line.checkpoints) {
        (true, _) => "yes",
        (false, Some(_)) => "no",
        (false, None) => "-",
    };
    let measured = line.acceptance.as_ref().map_or_else(|| "-".to_owned(), measured);
    let spent = spent.map_or_else(String::new, |spent| format!("{:.2}", spent.as_secs_f64()));
    let text = format!(
        "{:>5} {:>7} {:>6}  {gate:<22} {saved:<6} {promoted:<9} {measured:<32} {spent:>7}",
        line.cycle.0, line.labelled, line.batch
    );
    let met = [&line.gate, &line.acceptance]
        .into_iter()
        .flatten()
        .any(|checked| checked.verdict == Verdict::Met);
    if met { output.style(Style::Green, text.trim_end()) } else { text.trim_end().to_owned() }
}

fn measured(checked: &KpiChecked) -> String {
    let Interval { low, high } = checked.interval;
    let estimator = &checked.estimator;
    if is_share(checked) {
        let [found, low, high] = [checked.value, low, high].map(|share| share * 100.0);
        format!("{estimator} {found:.1} % ({low:.1} to {high:.1})")
    } else {
        format!("{estimator} {:.3} ({low:.3} to {high:.3})", checked.value)
    }
}

fn is_share(checked: &KpiChecked) -> bool {
    checked.metric.parse::<Metric>().is_ok_and(|metric| metric.most().is_some())
}

/// A value of what was measured: a share in percent, any other number as it is.
fn value(checked: &KpiChecked, value: f64) -> String {
    if is_share(checked) { format!("{:.1} %", value * 100.0) } else { format!("{value:.3}") }
}

const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Met => "met",
        Verdict::Missed => "missed",
        Verdict::Inconclusive => "open",
    }
}

/// What became of a run, in a few lines.
pub(super) fn summary(
    output: &Output,
    status: &RunStatus,
    model: impl Fn(&Digest) -> String,
) -> String {
    let mut lines = Vec::new();
    let end = match (status.state, status.ended) {
        (_, Some(reason)) => end_reason(reason),
        (RunState::Failed, None) => "failed".to_owned(),
        (RunState::Paused, None) => "paused; `gleaner resume` goes on".to_owned(),
        (RunState::Active | RunState::Ended, None) => {
            format!("{}, cycle {}", status.phase, status.cycle)
        }
    };
    lines.push(format!("{} {end}", output.style(Style::Bold, "state     ")));
    lines.push(labels(status));
    let gated = status.cycles.iter().any(|line| line.gate.is_some());
    let reached = status.cycles.iter().find_map(|line| {
        // Where there are gates, they speak: the validation split helped to choose the model.
        let checked = if gated { &line.gate } else { &line.acceptance };
        Some((line, checked.as_ref().filter(|checked| checked.verdict == Verdict::Met)?))
    });
    if let Some((line, checked)) = reached {
        lines.push(format!(
            "target     {} {} first reached on the {} {} with {} labels (cycle {})",
            checked.metric,
            value(checked, checked.target),
            checked.estimator,
            if gated { "samples" } else { "split" },
            line.labelled,
            line.cycle
        ));
    }
    if reached.is_none() {
        lines.extend(forecast(status).map(|forecast| told(status, forecast)));
    }
    lines.extend(savings(status).map(|savings| saved(&savings)));
    let relabelled: u64 = status.cycles.iter().map(|line| line.relabelled).sum();
    if relabelled > 0 {
        lines.push(format!("relabelled {relabelled} labels changed: `gleaner labels` shows them"));
    }
    if let Some(digest) = &status.production {
        lines.push(format!("model      {}", model(digest)));
    }
    lines.push(format!("digest     {}", status.semantic_digest));
    if let Some(failed) = &status.failed {
        let text = format!(
            "failed     step {} after {} {}: {}",
            failed.step,
            failed.attempts,
            if failed.attempts == 1 { "try" } else { "tries" },
            failed.cause
        );
        lines.push(output.style(Style::Red, &text));
        lines.push("           remove the cause, then `gleaner resume`".to_owned());
    }
    lines.join("\n")
}

/// How many labels the target will take.
fn told(status: &RunStatus, forecast: Result<LabelsTo, CannotTell>) -> String {
    match forecast {
        Ok(found) => {
            let low = found.low.ceil();
            let range = match found.high {
                Some(high) => format!("{low} to {}", high.ceil()),
                None => format!("{low} or more"),
            };
            let more = (found.labels.ceil() - status.labelled as f64).max(0.0);
            let cost =
                status.cost.filter(|_| status.labelled > 0).map_or_else(String::new, |cost| {
                    format!(", for {:.2}", more * cost / status.labelled as f64)
                });
            format!(
                "forecast   the target takes about {} labels ({range}, 90 % interval): {more} more{cost}",
                found.labels.ceil()
            )
        }
        Err(why) => format!("forecast   cannot tell yet: {why}"),
    }
}

/// What was bought, and what it cost.
fn labels(status: &RunStatus) -> String {
    let mut text = format!("labels     {} in {} cycles", status.labelled, status.cycles.len());
    if status.answers != status.labelled {
        text.push_str(&format!(", by {} answers", status.answers));
    }
    if let Some(cost) = status.cost {
        text.push_str(&format!(", for {cost:.2}"));
    }
    text
}

/// What random selection would have taken.
fn saved(savings: &Savings) -> String {
    let Savings { metric, quality, bought, random } = savings;
    match random {
        Ok(found) => {
            let low = found.low.ceil();
            let range = found.high.map_or_else(
                || format!("{low} or more"),
                |high| format!("{low} to {}", high.ceil()),
            );
            format!(
                "savings    {metric} {quality:.3} took {bought} labels; random selection would take about {} ({range}, 90 % interval)",
                found.labels.ceil()
            )
        }
        Err(CannotTell::BeyondAsymptote { target, asymptote }) => format!(
            "savings    {metric} {target} took {bought} labels; random selection, as far as it was tried, levels off at {asymptote:.4}"
        ),
        Err(why) => format!("savings    of random selection nothing can be told yet: {why}"),
    }
}

/// Why a run ended, in words.
pub(super) fn end_reason(reason: EndReason) -> String {
    format!("ended: {}", reason.why())
}
