//! Whether the samples that came since the last training are of another kind than those before.

use super::measured::answers;
use crate::domain::chance::Chance;
use crate::domain::digest::Digest;
use crate::domain::event::DriftChecked;
use crate::domain::rows::Runs;
use crate::engine::candidates::drawn;
use crate::engine::reactor::{Step, StepError};
use crate::metrics::drift;

/// At most so many samples of each side are looked at: a difference that takes more to be seen matters to nobody.
const SAMPLES_MOST: usize = 1_000;

/// Asks the production model about some samples of both sides; `None` where nobody wants to know, or hardly anything came.
pub(super) fn drift(step: &Step, model: Digest) -> Result<Option<DriftChecked>, StepError> {
    let Some(level) = step.definition.kpi.drift else { return Ok(None) };
    // Since the last training, whatever came of it: one answer to new samples is enough.
    let trained = step.run.history.iter().rev().find(|line| line.checkpoints.is_some());
    let then = trained.and_then(|line| step.run.pool_of(line.cycle));
    let Some(then) = then.filter(|then| Some(*then) != step.run.pool) else { return Ok(None) };
    let (before, arrived) = sides(step, then)?;
    if arrived.len() < drift::SAMPLES_LEAST || before.len() < drift::SAMPLES_LEAST {
        return Ok(None);
    }
    let found = drift::drift(&answers(step, model, &before)?, &answers(step, model, &arrived)?)
        .map_err(StepError::permanent)?;
    let checked = DriftChecked {
        model,
        before: found.before,
        arrived: found.arrived,
        statistic: found.statistic,
        p: found.p,
        level,
    };
    if checked.is_drift() {
        step.remark(format!(
            "the {} samples that came since the last training look different to the production model (distance {:.3}, p {:.2e})",
            checked.arrived, checked.statistic, checked.p
        ));
    }
    Ok(Some(checked))
}

/// Samples that were there when the model was trained, and those that came since.
///
/// A model's answers must not be compared where it learnt. So before stands the part of the first pool that is held out
/// from training, and of what came later, up to the training, an equal share of what has no label (which lacks the few that
/// a strategy picked); after it all that came since. Each cycle with new samples looks once, at the level of the workflow.
fn sides(step: &Step, then: Digest) -> Result<(Vec<usize>, Vec<usize>), StepError> {
    let members = |version: Digest| -> Result<Runs, StepError> {
        step.pool.members(&step.artifacts.get(&version)?).map_err(StepError::permanent)
    };
    let known = members(then)?;
    let first = step.run.pools.first().copied().unwrap_or(then);
    let founders = if first == then { known.clone() } else { members(first)? };
    let is_in = |runs: &Runs, row: usize| runs.place_of(row).is_some();
    let (seed, cycle) = (step.definition.run.seed, step.cycle().cycle);
    let chance = Chance { seed, cycle, purpose: "drift" };
    let split = step.pool.split();
    let held_out = split.validation.len() + split.test.len();
    let share = crate::metrics::share(held_out as u64, founders.len() as u64);
    let mut before: Vec<usize> = split.validation.iter().chain(&split.test).copied().collect();
    before.extend(split.train.iter().filter(|&row| {
        let joined = is_in(&known, row) && !is_in(&founders, row);
        joined
            && chance.unit(&step.pool.id(row)) < share
            && !step.run.labels.contains_key(&step.pool.sample(row))
    }));
    before.sort_unstable();
    let arrived = split.train.iter().filter(|&row| !is_in(&known, row));
    let chance = Chance { purpose: "samples compared for drift", ..chance };
    let some =
        |rows: &mut dyn Iterator<Item = usize>| drawn(&step.pool, &chance, rows, SAMPLES_MOST);
    Ok((some(&mut before.into_iter()), some(&mut { arrived })))
}
