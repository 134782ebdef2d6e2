//! `gleaner selftest`: does this disk keep what is acknowledged?

use super::error::CliError;
use super::output::{Output, Style};
use crate::faults::{Fault, Faults};
use crate::selftest::{self, Amount, Program, Report, Role, Sabotage, Say, SelftestError};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Kill programs and have the disk fail, over and over, and look whether anything acknowledged is lost.
    #[arg(long, required = true)]
    crash: bool,
    /// For how long, in minutes.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    minutes: u64,
    /// What the project itself claims, however long it takes: 2,000 kills, 500 power cuts (these need root), each fault at
    /// each step, 10,000 damages.
    #[arg(long, conflicts_with = "minutes")]
    full: bool,
    /// So many kills.
    #[arg(long, value_name = "N")]
    kills: Option<u64>,
    /// So many power cuts, which need root: ext4 on a loop device.
    #[arg(long, value_name = "N")]
    cuts: Option<u64>,
    /// So many planned faults, spread over all steps.
    #[arg(long, value_name = "N")]
    faults: Option<u64>,
    /// So many damages to a store at rest.
    #[arg(long, value_name = "N")]
    damages: Option<u64>,
    /// Another draw of instants and places.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Write the report here, too.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Children that do not sync, to see whether the tests see it.
    #[arg(long, hide = true)]
    without_barrier: bool,
    /// Children that say facts too early, to see whether the tests see it.
    #[arg(long, hide = true)]
    early: bool,
}

impl Arguments {
    fn amount(&self) -> Amount {
        let counts = [self.kills, self.cuts, self.faults, self.damages];
        if counts.iter().any(Option::is_some) {
            return Amount {
                kills: self.kills.unwrap_or(0),
                cuts: self.cuts.unwrap_or(0),
                faults: self.faults.unwrap_or(0),
                damages: self.damages.unwrap_or(0),
                at_most: None,
            };
        }
        if self.full {
            return Amount::FULL;
        }
        Amount::within(Duration::from_secs(self.minutes.saturating_mul(60)))
    }
}

/// Runs the tests beside the state directory, that is, on its disk.
pub(super) async fn selftest(
    state: &Path,
    output: &Output,
    arguments: &Arguments,
) -> Result<ExitCode, CliError> {
    let parent = match state.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    };
    let program = Program {
        path: std::env::current_exe().map_err(CliError::Io)?,
        without_barrier: arguments.without_barrier,
        early: arguments.early,
    };
    let (amount, seed) = (arguments.amount(), arguments.seed);
    let bar = bar(output);
    let shown = bar.clone();
    let work = tokio::task::spawn_blocking(move || {
        selftest::run(&parent, &program, amount, seed, &|what, done, of| {
            shown.set_message(if of == u64::MAX {
                format!("{done} {what}")
            } else {
                format!("{done} of {of} {what}")
            });
        })
    });
    let report = work.await.map_err(|join| SelftestError::Harness(join.to_string()))??;
    bar.finish_and_clear();
    if let Some(path) = &arguments.report {
        let text =
            serde_json::to_string_pretty(&report).map_err(|error| CliError::Io(error.into()))?;
        std::fs::write(path, text + "\n").map_err(CliError::Io)?;
    }
    if output.json {
        output.json(&report)?;
    } else {
        show(output, &report)?;
    }
    Ok(ExitCode::from(u8::from(report.violations > 0) * 5))
}

fn bar(output: &Output) -> ProgressBar {
    if output.json {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn show(output: &Output, report: &Report) -> Result<(), CliError> {
    let disk = &report.disk;
    let cache = match disk.write_cache.as_str() {
        "" => String::new(),
        cache => format!(", device cache: {cache}"),
    };
    output.line(&format!("gleaner {} on {}{cache}", report.version, disk.file_system))?;
    output.line(&format!("a small synced write takes {} microseconds", disk.sync_micros))?;
    if let Some(faults) = &report.faults {
        output.line(&format!(
            "{} faults in normal work and {} in recovery, over {} durable steps",
            faults.in_work, faults.in_recovery, faults.steps
        ))?;
    }
    if let Some(kills) = &report.kills {
        output.line(&format!(
            "{} kills, {} of them while opening; {} acknowledged facts",
            kills.kills, kills.while_opening, kills.facts
        ))?;
    }
    if let Some(cuts) = &report.cuts {
        output.line(&match &cuts.skipped {
            Some(why) => output.style(Style::Yellow, &format!("power cuts SKIPPED: {why}")),
            None => format!("{} power cuts; {} acknowledged facts", cuts.cuts, cuts.facts),
        })?;
    }
    if let Some(damages) = &report.damages {
        output.line(&format!(
            "{} damages: {} told, {} without effect; {} repaired without a copy, {} with one",
            damages.damages, damages.told, damages.harmless, damages.repaired, damages.restored
        ))?;
    }
    for doubt in &disk.doubts {
        output.line(
            &output.style(Style::Yellow, &format!("this disk's promise is in doubt: {doubt}")),
        )?;
    }
    if report.violations == 0 {
        let text = "nothing acknowledged was lost, nothing was done twice, no panic, no hang";
        return output.line(&output.style(Style::Green, text));
    }
    for detail in &report.details {
        output.line(&format!("  {detail}"))?;
    }
    let text = format!("{} broken promises; do not trust this disk with a run", report.violations);
    output.line(&output.style(Style::Red, &text))
}

#[derive(Debug, clap::Args)]
pub(super) struct ChildArguments {
    /// What it does.
    #[arg(value_parser = role)]
    role: Role,
    /// Where.
    folder: PathBuf,
    /// Which durable step goes wrong, and how: `17:torn`.
    #[arg(long, value_parser = fault)]
    fault: Option<(u64, Fault)>,
    #[arg(long)]
    without_barrier: bool,
    #[arg(long)]
    early: bool,
}

fn role(text: &str) -> Result<Role, String> {
    [Role::Everything, Role::Campaign, Role::Inspect]
        .into_iter()
        .find(|role| role.name() == text)
        .ok_or_else(|| "everything, campaign or inspect".to_owned())
}

fn fault(text: &str) -> Result<(u64, Fault), String> {
    text.split_once(':')
        .and_then(|(number, fault)| Some((number.parse().ok()?, Fault::named(fault)?)))
        .ok_or_else(|| "a step and how it goes wrong, for example 17:torn".to_owned())
}

pub(super) async fn child(
    output: &Output,
    arguments: &ChildArguments,
) -> Result<ExitCode, CliError> {
    let faults = match arguments.fault {
        Some((number, fault)) => Faults::at(number, fault),
        None if arguments.without_barrier => Faults::at_named(selftest::BARRIER, 1, Fault::Skipped),
        None => Faults::none(),
    };
    let sabotage = Sabotage { faults: faults.clone(), early: arguments.early };
    let printer = *output;
    let say: Say = Arc::new(move |line: &str| {
        // The parent has gone; so has the reason to live.
        if printer.line(line).is_err() {
            std::process::abort();
        }
    });
    let folder = &arguments.folder;
    match arguments.role {
        Role::Everything => selftest::everything(folder, &sabotage, say).await?,
        Role::Campaign => {
            selftest::one_campaign(folder, &sabotage, Arc::clone(&say)).await?;
            say(&format!("steps {}", faults.steps()));
        }
        Role::Inspect => selftest::inspect(folder, say).await?,
    }
    Ok(ExitCode::SUCCESS)
}
