//! `gleaner simulate`: which strategy is worth it on data whose labels are all known?

use super::error::CliError;
use super::leave;
use super::output::{Output, Style};
use super::run::{INTERRUPTED, Interruptions, policy};
use super::{Install, key_value};
use crate::inference;
use crate::simulate::summary::{self, Estimate, StrategySummary, Summary};
use crate::simulate::{self, How, Out, Plan, Request, SimulateError};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::sync::watch;

/// Where nobody watches a bar, progress is told this often.
const TOLD: u64 = 10;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The workflow file, in development mode.
    workflow: PathBuf,
    /// What is compared, for example `random,margin,power(margin)` [default: random and the workflow's own strategy].
    #[arg(long, value_name = "LIST")]
    strategies: Vec<String>,
    /// How many seeds each strategy is tried with.
    #[arg(long, value_name = "N", default_value_t = 10)]
    seeds: u64,
    /// The first seed; the others follow it.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The value of the KPI whose price in labels is told [default: the workflow's kpi.target].
    #[arg(long, value_name = "ACCURACY")]
    target: Option<f64>,
    /// Labels at the most [default: the workflow's stop.max_labels].
    #[arg(long, value_name = "N")]
    labels: Option<usize>,
    /// The folder for results.csv, summary.json, curves.svg and curves.png.
    #[arg(long, value_name = "DIR", default_value = "simulation")]
    out: PathBuf,
    /// Campaigns at a time; the result is the same for any number [default: one for each core].
    #[arg(long, value_name = "N")]
    threads: Option<std::num::NonZeroUsize>,
    /// Another value for a key of the workflow, for example `trainer.epochs=50`.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
    #[command(flatten)]
    install: Install,
}

/// Compares, writes the files and shows the table. Everything that can be wrong is found before the first campaign.
pub(super) async fn simulate(output: &Output, arguments: &Arguments) -> Result<ExitCode, CliError> {
    let strategies: Vec<String> =
        arguments.strategies.iter().flat_map(|list| simulate::split_strategies(list)).collect();
    let plan = simulate::plan(&Request {
        file: &arguments.workflow,
        overrides: &arguments.set,
        strategies: &strategies,
        first_seed: arguments.seed,
        seeds: arguments.seeds,
        target: arguments.target,
        labels: arguments.labels,
    })?;
    let out = Out::open(&arguments.out)?;
    let install = policy(&arguments.install);
    inference::prepare(plan.runtime.as_deref(), install, &mut |line| output.note(line))?;
    let threads = arguments.threads.map_or_else(
        || std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get),
        std::num::NonZeroUsize::get,
    );

    let mut interruptions = Interruptions::listen().map_err(CliError::Io)?;
    let (stop, stopped) = watch::channel(false);
    let plan = Arc::new(plan);
    let work = tokio::task::spawn_blocking({
        let (plan, progress) = (Arc::clone(&plan), Progress::new(output, &plan));
        move || {
            let how = How { threads, install, stop: stopped };
            let curves = simulate::run(&plan, &how, &|done| progress.tell(done));
            progress.bar.finish_and_clear();
            curves
        }
    });
    let output_of_interruption = *output;
    let listening = tokio::spawn(async move {
        interruptions.next().await;
        output_of_interruption.note("stopping after the steps under way; once more stops at once");
        stop.send_replace(true);
        interruptions.next().await;
        leave::at_once(INTERRUPTED);
    });
    let curves = work.await.map_err(|join| CliError::Io(join.into()))?;
    listening.abort();
    let curves = match curves {
        Err(SimulateError::Interrupted) => {
            output.note(&SimulateError::Interrupted.to_string());
            return Ok(ExitCode::from(INTERRUPTED));
        }
        curves => curves?,
    };
    let summary = summary::summarise(&plan, &curves);
    let files = out.write(&summary, &curves)?;
    if output.json {
        output.json(&summary)?;
    } else {
        show(output, &summary)?;
        let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        output.line(&format!("\nwritten    {}", files.join(", ")))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// How far the work is: a bar for people, a line now and then where nobody watches.
struct Progress {
    output: Output,
    bar: ProgressBar,
    total: u64,
    watched: bool,
}

impl Progress {
    fn new(output: &Output, plan: &Plan) -> Self {
        let (strategies, seeds) = (plan.strategies.len() as u64, plan.seeds.len() as u64);
        let total = strategies * seeds;
        output.note(&format!(
            "{}: {strategies} strategies, {seeds} seeds each: {total} campaigns",
            plan.name
        ));
        let watched = std::io::stderr().is_terminal();
        let bar = if watched { ProgressBar::new(total) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("  [{bar:32}] {pos}/{len}, {eta} left") {
            bar.set_style(style.progress_chars("=> "));
        }
        Self { output: *output, bar, total, watched }
    }

    fn tell(&self, done: u64) {
        self.bar.set_position(done);
        let tenth = |done: u64| done * TOLD / self.total.max(1);
        if !self.watched && tenth(done) > tenth(done.saturating_sub(1)) {
            self.output.note(&format!("{done} of {} campaigns done", self.total));
        }
    }
}

fn show(output: &Output, summary: &Summary) -> Result<(), CliError> {
    let strategies = || summary.strategies.iter();
    let wide = strategies().map(|one| one.strategy.chars().count()).max().unwrap_or(0).max(8);
    let head = format!(
        "{:<wide$}  {:>12}  {:<16} {:<16} {}",
        "strategy",
        format!("labels to {}", shown(summary)),
        "area (s.e.)",
        "last (s.e.)",
        format_args!("area against {} (s.e., 95 % interval)", summary.against)
    );
    output.line(&output.style(Style::Bold, &head))?;
    for one in strategies() {
        let line = format!(
            "{:<wide$}  {:>12}  {:<16} {:<16} {}",
            one.strategy,
            labels(one, summary),
            estimate(&one.area),
            estimate(&one.last),
            difference(one)
        );
        output.line(line.trim_end())?;
    }
    Ok(())
}

/// The target: a share in percent, any other number as it is.
fn shown(summary: &Summary) -> String {
    if summary.metric.most().is_none() {
        return summary.target.to_string();
    }
    let text = format!("{:.2}", summary.target * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// The median, or that it lies beyond every label that was bought.
fn labels(one: &StrategySummary, summary: &Summary) -> String {
    let bought = summary.labels.map(|labels| labels as u64);
    match one.labels_to_target {
        Some(labels) => format!("{labels}"),
        None => one
            .curve
            .last()
            .map(|point| point.labels)
            .or(bought)
            .map_or_else(|| "never".to_owned(), |labels| format!("over {labels}")),
    }
}

fn estimate(estimate: &Estimate) -> String {
    match estimate.standard_error {
        Some(error) => format!("{:.4} ({error:.4})", estimate.mean),
        None => format!("{:.4}", estimate.mean),
    }
}

fn difference(one: &StrategySummary) -> String {
    let Some(difference) = &one.difference else { return String::new() };
    let mean = difference.estimate.mean;
    match (difference.estimate.standard_error, difference.interval) {
        (Some(error), Some((low, high))) => {
            format!("{mean:+.4} ({error:.4}, {low:+.4} to {high:+.4})")
        }
        _ => format!("{mean:+.4}"),
    }
}
