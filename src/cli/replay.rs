//! `gleaner replay` and `gleaner diff`: a run as it was at any point of its log.

use super::Cli;
use super::error::CliError;
use super::futures;
use super::log::sentence;
use super::output::{Output, Style};
use super::session::Session;
use crate::audit::replay::{Difference, Point, Replay, Snapshot};
use crate::control::{Cursor, LogRecord, Request, Response};
use crate::domain::event::KpiChecked;
use crate::domain::ids::{CycleNumber, Revision, RunId};
use std::process::ExitCode;

/// No more samples of a difference are listed.
const LISTED_MAX: usize = 10;

pub(super) async fn replay(
    cli: &Cli,
    output: &Output,
    run: Option<String>,
    to: Option<Point>,
    step: bool,
) -> Result<ExitCode, CliError> {
    let mut say = |record: &LogRecord, replay: &Replay| -> Result<(), CliError> {
        if output.json {
            return output.json(&replay.snapshot());
        }
        let run = replay.run();
        output.line(&format!(
            "{:>3}.{:<3} {:<15} {:<17} {:>6} labels  {}",
            record.cycle,
            record.revision,
            record.event.name(),
            run.phase.name(),
            run.labelled(),
            sentence(&record.event)
        ))
    };
    let session = Session::open_to_ask(&cli.state).await?;
    let request = Request::Replay { run: run.clone(), to: to.map(|to| to.to_string()) };
    // Asked first: a point that is not there is told before anything is shown.
    let (session, response) = session.ask_again(request).await?;
    let Response::Replayed(at) = response else { return Ok(ExitCode::SUCCESS) };
    if step {
        walk(session, Some(at.run.to_string()), to, &mut say).await?;
    }
    match (output.json, step) {
        (true, true) => {} // the last step was the answer
        (true, false) => output.json(&at)?,
        (false, _) => show(output, &at)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Compares two points, each written `RUN`, `RUN@CYCLE` or `RUN@CYCLE:REVISION`; without a run, the newest.
pub(super) async fn diff(
    cli: &Cli,
    output: &Output,
    a: &str,
    b: &str,
) -> Result<ExitCode, CliError> {
    let session = Session::open_to_ask(&cli.state).await?;
    let request = Request::Diff { a: a.to_owned(), b: b.to_owned() };
    if let Response::Difference(found) = session.ask(request).await? {
        if output.json { output.json(&found)? } else { show_difference(output, &found)? }
    }
    Ok(ExitCode::SUCCESS)
}

/// Goes through the log of a run up to a point, event by event.
async fn walk(
    mut session: Session,
    run: Option<String>,
    to: Option<Point>,
    say: &mut dyn FnMut(&LogRecord, &Replay) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let mut from = Cursor::START;
    let mut replay: Option<Replay> = None;
    loop {
        let request = Request::Log { run: run.clone(), cycle: None, from, wait: false };
        let (again, response) = session.ask_again(request).await?;
        session = again;
        let Response::Log { records, next, over } = response else { break };
        for record in &records {
            let (cycle, revision) = (CycleNumber(record.cycle), Revision(record.revision));
            if to.is_some_and(|to| !to.reaches(cycle, revision)) {
                return Ok(());
            }
            let replay = match &mut replay {
                Some(replay) => replay,
                None => replay.insert(Replay::new(id(&record.run)?)),
            };
            let taken = replay.take(cycle, revision, &record.event);
            taken.map_err(|error| CliError::Refused(error.to_string()))?;
            say(record, replay)?;
        }
        if over || records.is_empty() {
            break;
        }
        from = next;
    }
    Ok(())
}

fn id(run: &str) -> Result<RunId, CliError> {
    let parsed = run.parse::<uuid::Uuid>().map(RunId);
    parsed.map_err(|_| CliError::Refused(format!("{run:?} is no id of a run")))
}

fn show(output: &Output, at: &Snapshot) -> Result<(), CliError> {
    let (cycle, revision) = (at.cycle.unwrap_or_default(), at.revision.unwrap_or_default());
    let events = at.events;
    output.line(&output.style(Style::Bold, &format!("run {} at {cycle}:{revision}", at.run)))?;
    output.line(&format!("waits for  {} (after {events} events)", at.phase))?;
    let arms: Vec<String> = at.arms.iter().map(|(arm, labels)| format!("{labels} {arm}")).collect();
    let of = if arms.is_empty() { String::new() } else { format!(" ({})", arms.join(", ")) };
    output.line(&format!("labels     {}{of}, set {}", at.labelled, at.labelled_set.short()))?;
    output.line(&format!("answers    {}, {:.0} s", at.answers, at.spent_seconds))?;
    let model = at.production.map_or_else(|| "none yet".to_owned(), |model| model.to_string());
    output.line(&format!("production {model}{}", if at.pinned { ", pinned" } else { "" }))?;
    for (name, checked) in [("gate", &at.gate), ("accepted", &at.acceptance)] {
        if let Some(checked) = checked {
            output.line(&format!("{name:<10} {}", kpi(checked)))?;
        }
    }
    output.line(&format!("digest     {}", at.semantic_digest))
}

fn kpi(checked: &KpiChecked) -> String {
    format!(
        "{} {:.4} on {} of {} samples, target {}: {:?}",
        checked.metric,
        checked.value,
        checked.estimator,
        checked.n,
        checked.target,
        checked.verdict
    )
}

fn show_difference(output: &Output, found: &Difference) -> Result<(), CliError> {
    for (name, at) in [("a", &found.a), ("b", &found.b)] {
        let (cycle, revision) = (at.cycle.unwrap_or_default(), at.revision.unwrap_or_default());
        let measured = at.acceptance.as_ref().map_or_else(|| "-".to_owned(), kpi);
        let model = at.production.map_or_else(|| "none".to_owned(), |model| model.short());
        output.line(&format!(
            "{name}: {}@{cycle}:{revision}, {}  {} labels, {} answers, model {model}, {measured}",
            at.run, at.phase, at.labelled, at.answers
        ))?;
    }
    if found.a.semantic_digest == found.b.semantic_digest {
        return output.line("both mean the same, event by event");
    }
    output.line(&format!("{} labels alike", found.alike))?;
    for (what, samples) in [
        ("labelled in a only", &found.only_a),
        ("labelled in b only", &found.only_b),
        ("labelled otherwise", &found.labelled_otherwise),
    ] {
        if samples.is_empty() {
            continue;
        }
        let named: Vec<&str> =
            samples.iter().take(LISTED_MAX).map(|sample| sample.as_str()).collect();
        let more = if samples.len() > LISTED_MAX { ", ..." } else { "" };
        output.line(&format!("{} {what}: {}{more}", samples.len(), named.join(", ")))?;
    }
    futures::show(output, &found.futures)
}
