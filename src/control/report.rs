//! A run as a report: its log folded, its record verified, its samples looked at.

use super::{ControlError, find_run, records};
use crate::audit::report::Gathering;
use crate::audit::report::value::{RandomEstimate, Report, Stands};
use crate::audit::verify::{Verification, verify};
use crate::blocking::attempt;
use crate::domain::ids::{CycleNumber, RunId};
use crate::engine::savings::{Savings, savings};
use crate::engine::status::{RunState, RunStatus};
use crate::engine::{Engine, EngineError};

/// How often a record is verified that changes meanwhile: what was committed between two looks is no finding.
const VERIFICATIONS_MAX: u32 = 3;

/// The report of a run, with its newest `picks` picks.
pub(super) async fn reported(
    engine: &Engine,
    run: Option<&str>,
    picks: usize,
) -> Result<Report, ControlError> {
    let run = find_run(engine, run).await?;
    let definition = engine.definition(run).await?;
    let mut gathering = Gathering::new(run, &definition, picks);
    for cycle in (1..=engine.last_cycle(run).await?.0).map(CycleNumber) {
        for recorded in records(engine, run, cycle).await? {
            gathering.take(&recorded).map_err(|source| EngineError::IllegalLog { run, source })?;
        }
    }
    let mut report = gathering.finish(verified(engine, run).await?);
    let status = engine.status(run).await?;
    if status.state == RunState::Paused && matches!(report.stands, Stands::Active(_)) {
        report.stands = Stands::Paused;
    }
    report.random = random(&status);
    let samples = report.samples();
    if !samples.is_empty() {
        match engine.shown(run, samples).await {
            Ok(looks) => report.show(looks),
            // The pool may have gone long since; the log has not.
            Err(error) => report.unseen = Some(error.to_string()),
        }
    }
    Ok(report)
}

/// Verifies a run where that may block: every file is read.
async fn verified(engine: &Engine, run: RunId) -> Result<Verification, ControlError> {
    let mut tries = 0;
    loop {
        let before = engine.status(run).await?.head;
        let there = engine.clone();
        let work = move || verify(there.event_log(), there.artifacts(), Some(run));
        let found = match attempt(work).await {
            Ok(found) => found.map_err(EngineError::from)?,
            Err(join) => Verification::not_opened(format!("the verification broke off: {join}")),
        };
        tries += 1;
        if found.is_sound()
            || tries == VERIFICATIONS_MAX
            || engine.status(run).await?.head == before
        {
            return Ok(found);
        }
    }
}

fn random(status: &RunStatus) -> Option<RandomEstimate> {
    let Savings { quality, bought, random, .. } = savings(status)?;
    let (labels, why_not) = match random {
        Ok(labels) => (Some(labels), None),
        Err(why) => (None, Some(why.to_string())),
    };
    Some(RandomEstimate {
        quality,
        bought,
        labels: labels.map(|found| found.labels),
        low: labels.map(|found| found.low),
        high: labels.and_then(|found| found.high),
        why_not,
    })
}
