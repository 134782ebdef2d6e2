//! A process that ends, and a disk that fails, at each single durable step of a campaign; and again while it recovers.

use super::child::{Ended, Program, Role};
use super::facts::Facts;
use super::violations::Violations;
use super::{Ground, SelftestError, workload};
use crate::faults::Fault;
use serde::Serialize;
use std::path::Path;

/// Recovery is gone through step by step after a first fault at each of so many places, spread over the campaign.
const RECOVERIES: u64 = 3;

/// What was tried.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Sweep {
    /// Durable steps of a smooth campaign of three cycles.
    pub steps: u64,
    /// Faults in normal work.
    pub in_work: u64,
    /// Faults while recovering from an earlier one.
    pub in_recovery: u64,
}

/// One thing to try: a first fault, and perhaps a second one during the recovery from it.
type Trial = ((u64, Fault), Option<(u64, Fault)>);

pub(super) fn sweep(
    ground: &Ground<'_>,
    program: &Program,
    wanted: u64,
    violations: &mut Violations,
) -> Result<Sweep, SelftestError> {
    let smooth = ground.folder()?;
    workload::write_pool(smooth.path())?;
    let ended = program.finish(Role::Campaign, smooth.path(), Some((u64::MAX, Fault::Failed)))?;
    let (Some(steps), Some(digest)) = (said(&ended, "steps"), said(&ended, "ended")) else {
        return Err(SelftestError::Harness(format!("no smooth campaign: {}", ended.errors)));
    };
    let steps: u64 = steps.parse().unwrap_or(0);
    let mut tally = Sweep { steps, ..Sweep::default() };

    let mut trials: Vec<Trial> =
        (1..=steps).flat_map(|step| Fault::REAL.map(|fault| ((step, fault), None))).collect();
    for number in 1..=RECOVERIES {
        // A recovery has fewer steps than the whole; the last ones of it do not come to their fault and are smooth.
        let first = (steps * number / (RECOVERIES + 1), Fault::Torn);
        let rest = steps.saturating_sub(first.0) + OPENING_STEPS;
        trials.extend(
            (1..=rest).flat_map(|step| Fault::REAL.map(|fault| (first, Some((step, fault))))),
        );
    }
    let all = trials.len() as u64;
    let wanted = wanted.min(all).max(1);
    // In any order, so that whatever there is time for is spread over all steps, in work and in recovery.
    let mut trials: Vec<(u64, &Trial)> = (0..)
        .zip(spread(&trials, wanted))
        .map(|(number, trial)| (ground.draw("trial", number, u64::MAX), trial))
        .collect();
    trials.sort_by_key(|(drawn, _)| *drawn);
    for (done, (_, trial)) in (1..).zip(trials) {
        if ground.is_half_over() {
            break;
        }
        let ((step, fault), second) = *trial;
        violations.at = match second {
            None => format!("{} at step {step}", fault.name()),
            Some((again, how)) => {
                format!("torn at step {step}, then {} at step {again} of the recovery", how.name())
            }
        };
        let folder = ground.folder()?;
        workload::write_pool(folder.path())?;
        let mut facts = Facts::default();
        live(ground, program, folder.path(), Some((step, fault)), &mut facts, violations)?;
        tally.in_work += u64::from(second.is_none());
        if let Some(second) = second {
            live(ground, program, folder.path(), Some(second), &mut facts, violations)?;
            tally.in_recovery += 1;
        }
        let ended = live(ground, program, folder.path(), None, &mut facts, violations)?;
        match said(&ended, "ended") {
            Some(found) if found == digest => {}
            Some(_) => violations.add("it ended with another history".to_owned()),
            None => violations.add(format!("it does not end any more: {}", ended.errors.trim())),
        }
        ground.tell("faults", done, wanted);
    }
    Ok(tally)
}

/// How many steps opening may add to what was left to do.
const OPENING_STEPS: u64 = 12;

/// One life of the child, and a look at what it leaves behind.
fn live(
    ground: &Ground<'_>,
    program: &Program,
    folder: &Path,
    fault: Option<(u64, Fault)>,
    facts: &mut Facts,
    violations: &mut Violations,
) -> Result<Ended, SelftestError> {
    let ended = program.finish(Role::Campaign, folder, fault)?;
    if ended.hung {
        violations.add("the child hung".to_owned());
    }
    let aborted_unasked = ended.aborted() && matches!(fault, None | Some((_, Fault::Failed)));
    if ended.crashed() || aborted_unasked {
        violations.add(format!("the child crashed: {}", ended.errors.trim()));
    }
    for line in &ended.lines {
        facts.note(line);
    }
    ground.block_on(facts.check(folder, violations))?;
    Ok(ended)
}

/// What a child said under a word.
fn said<'a>(ended: &'a Ended, word: &str) -> Option<&'a str> {
    ended.lines.iter().find_map(|line| line.strip_prefix(word)?.strip_prefix(' '))
}

/// `wanted` of them, evenly.
fn spread(trials: &[Trial], wanted: u64) -> impl Iterator<Item = &Trial> {
    let all = trials.len() as u64;
    (0..wanted).filter_map(move |number| {
        let at = u128::from(number) * u128::from(all) / u128::from(wanted);
        trials.get(usize::try_from(at).ok()?)
    })
}
