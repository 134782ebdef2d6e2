//! Whether a run ends with the cycle that is just complete.

use super::definition::{Definition, StopWhen};
use super::event::EndReason;
use super::state::{CycleSummary, Run};
use super::time::Timestamp;

/// Predictions count as stable when this many trainings in a row hardly changed them (M. Bloodgood and K. Vijay-Shanker
/// (2009), "A method for stopping active learning based on stabilizing predictions and the need for user-adjustable
/// stopping", CoNLL, who average over a window of 3).
const STABLE_CYCLES: usize = 3;

/// Why the run ends; `None` where it goes on. Rules are asked in the order of [`EndReason`] as it is told here: the KPI,
/// cycles, hours, deadline, plateau, stable predictions, cost. By `stop.when` one of them is enough, or all that the workflow names
/// must hold. That labels or samples have run out ends a run in any case.
#[must_use]
pub fn reason(
    run: &Run,
    definition: &Definition,
    kpi_met: bool,
    now: Timestamp,
) -> Option<EndReason> {
    let stop = &definition.stop;
    let hours = run.spent.as_secs_f64() / 3600.0;
    let cost = definition.answers.cost(run.answers, run.spent);
    let rules = [
        (EndReason::KpiMet, stop.kpi.then_some(kpi_met)),
        (EndReason::MaxCycles, stop.max_cycles.map(|most| run.cycle.0 >= most)),
        (EndReason::MaxHours, stop.max_hours.map(|most| hours >= most)),
        (EndReason::Deadline, stop.deadline.map(|end| now >= end)),
        (EndReason::Plateau, stop.plateau.map(|cycles| is_plateau(run, definition, cycles))),
        (EndReason::Stable, stop.stable.map(|least| is_stable(&run.history, least))),
        (EndReason::MaxCost, stop.max_cost.map(|most| cost >= most)),
    ];
    let named = || rules.iter().filter_map(|(reason, holds)| holds.map(|holds| (*reason, holds)));
    let ends = match stop.when {
        StopWhen::Any => named().find(|(_, holds)| *holds),
        StopWhen::All => named().all(|(_, holds)| holds).then(|| named().next()).flatten(),
    };
    if let Some((reason, _)) = ends {
        Some(reason)
    } else if stop.max_labels.is_some_and(|most| run.labels.len() >= most) {
        Some(EndReason::MaxLabels)
    } else if run.remaining == Some(0) {
        Some(EndReason::PoolExhausted)
    } else {
        None
    }
}

/// Whether no measurement of the last `cycles` cycles is better by more than `plateau_gain` than the best before them.
fn is_plateau(run: &Run, definition: &Definition, cycles: u32) -> bool {
    let direction = definition.kpi.metric.direction();
    let values: Vec<f64> = run.history.iter().filter_map(measured).collect();
    let Some((before, last)) = usize::try_from(cycles)
        .ok()
        .and_then(|cycles| values.len().checked_sub(cycles))
        .and_then(|split| values.split_at_checked(split))
    else {
        return false;
    };
    let best = |values: &[f64]| {
        values.iter().copied().reduce(
            |best, next| {
                if direction.gain(next, best) > 0.0 { next } else { best }
            },
        )
    };
    match (best(before), best(last)) {
        (Some(before), Some(last)) => direction.gain(last, before) <= definition.stop.plateau_gain,
        (None, _) | (_, None) => false,
    }
}

fn measured(cycle: &CycleSummary) -> Option<f64> {
    cycle.acceptance.as_ref().map(|checked| checked.value)
}

fn is_stable(history: &[CycleSummary], least: f64) -> bool {
    let newest = history.iter().rev().filter(|cycle| cycle.checkpoints.is_some());
    let newest: Vec<f64> = newest.map_while(|cycle| cycle.agreement).take(STABLE_CYCLES).collect();
    #[expect(clippy::cast_precision_loss, reason = "a small count")]
    let mean = newest.iter().sum::<f64>() / STABLE_CYCLES as f64;
    newest.len() == STABLE_CYCLES && mean >= least
}
