//! Whether the same inputs give the same batch again, and what another strategy would have picked from them.
//!
//! Pure: a batch and its evidence come in (see [`Evidence`]).

use crate::data_selector::{Evidence, SelectorError, build};
use crate::domain::definition::AnswersSpec;
use crate::domain::event::{Arm, BatchSelected, Pick};
use crate::domain::ids::{CycleNumber, SampleId};
use crate::domain::matrix::Matrix;
use crate::domain::strategy::StrategySpec;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How many picks of a batch are compared with each other: all would take time with the square of their number.
const COMPARED_MAX: usize = 512;

/// A batch, picked again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reselected {
    /// The cycle.
    pub cycle: CycleNumber,
    /// The strategy.
    pub strategy: String,
    /// How many picks were compared; those that ask again for a label are no choice of the strategy.
    pub picks: u64,
    /// What is not the same, for people; empty where every pick is, with every bit of its score.
    pub differences: Vec<String>,
}

/// Picks a batch again from its evidence and compares, bit by bit.
///
/// # Errors
/// [`SelectorError`] where the strategy can no longer be run, for example because it is the host's own.
pub fn reselect(
    cycle: CycleNumber,
    batch: &BatchSelected,
    evidence: &Evidence,
) -> Result<Reselected, SelectorError> {
    let again = evidence.select_again()?;
    let then: Vec<&Pick> = batch.picks.iter().filter(|pick| pick.arm != Arm::Relabel).collect();
    // A first batch by a strategy is an arm of its own.
    let cold = then.iter().all(|pick| pick.arm == Arm::ColdStart);
    let mut differences = Vec::new();
    if again.picks.len() != then.len() {
        differences.push(format!("{} picks then, {} now", then.len(), again.picks.len()));
    }
    for (then, now) in then.iter().zip(&again.picks) {
        let bits = |pick: &Pick| {
            let [score, chance] = [pick.score, pick.probability].map(|x| x.map(f64::to_bits));
            (score, chance)
        };
        if then.sample != now.sample || (then.arm != now.arm && !cold) || then.rank != now.rank {
            differences.push(format!(
                "{:?} pick {}: {} then, {} now",
                then.arm, then.rank, then.sample, now.sample
            ));
        } else if bits(then) != bits(now) {
            differences.push(format!(
                "sample {}: score {:?} then, {:?} now",
                then.sample, then.score, now.score
            ));
        }
    }
    let strategy = batch.strategy.clone();
    Ok(Reselected { cycle, strategy, picks: then.len() as u64, differences })
}

/// What another strategy would have picked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WhatIf {
    /// The cycle.
    pub cycle: CycleNumber,
    /// The strategy.
    pub strategy: String,
    /// What it picks, in its order.
    pub picks: Vec<SampleId>,
    /// How many of them were picked then.
    pub overlap: u64,
    /// How many were picked then by the strategy of the workflow.
    pub picked: u64,
    /// What the batch then was like.
    pub then: Profile,
    /// What this one is like.
    pub now: Profile,
}

/// What a batch is like, as far as it can be told before anybody labels it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Profile {
    /// The mean probability of each class, by the model that scored the candidates; empty where that was not kept.
    pub classes: BTreeMap<String, f64>,
    /// How alike its samples are: the mean over the picks of the cosine between a pick and the one most like it, in [-1, 1]; of
    /// the first 512 picks. `None` for fewer than two picks, or where neither embeddings nor probabilities were kept.
    pub redundancy: Option<f64>,
    /// The output in which they are compared.
    pub redundancy_in: Option<String>,
    /// The seconds that annotators will need: as the pool says, or at their pace so far.
    pub seconds: Option<f64>,
    /// What that costs, where the workflow gives a price.
    pub cost: Option<f64>,
}

/// What is known of annotation when a batch is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Pace {
    /// How answers are asked for, and what they cost.
    pub answers: AnswersSpec,
    /// The mean time of an answer so far, in seconds, where any were given.
    pub seconds: Option<f64>,
}

/// Picks from the evidence of a batch by another strategy, as many as `size`, or as were picked then. The audit arm is drawn as
/// it was. `classes` are the names of the classes.
///
/// # Errors
/// [`SelectorError`] as a selection, for instance if the strategy needs what was not kept.
pub fn what_if(
    cycle: CycleNumber,
    (batch, evidence): (&BatchSelected, &Evidence),
    strategy: &StrategySpec,
    size: Option<usize>,
    classes: &[String],
    pace: Pace,
) -> Result<WhatIf, SelectorError> {
    let size = size.map(|size| size.saturating_add(evidence.about.audit));
    let size = size.unwrap_or(evidence.about.batch);
    let found = evidence.select_batch_by(&*build(strategy)?, size)?;
    let picks = found.picks.into_iter().filter(|pick| pick.arm == Arm::Strategy);
    let picks: Vec<SampleId> = picks.map(|pick| pick.sample).collect();
    let then = batch.picks.iter().filter(|pick| matches!(pick.arm, Arm::Strategy | Arm::ColdStart));
    let then: Vec<SampleId> = then.map(|pick| pick.sample.clone()).collect();
    let known: BTreeSet<&SampleId> = then.iter().collect();
    let places = places(&evidence.ids, then.iter().chain(&picks));
    let profile = |samples: &[SampleId]| {
        let places = samples.iter().filter_map(|sample| places.get(sample).copied());
        Profile::of(evidence, &places.collect::<Vec<usize>>(), classes, pace)
    };
    Ok(WhatIf {
        cycle,
        strategy: strategy.to_string(),
        overlap: picks.iter().filter(|sample| known.contains(sample)).count() as u64,
        picked: then.len() as u64,
        then: profile(&then),
        now: profile(&picks),
        picks,
    })
}

/// Where samples stand among `ids`; those that do not are left out.
pub(super) fn places<'s>(
    ids: &[SampleId],
    samples: impl Iterator<Item = &'s SampleId>,
) -> BTreeMap<&'s SampleId, usize> {
    let wanted: BTreeSet<&SampleId> = samples.collect();
    let place = |(place, id)| wanted.get(id).map(|sample| (*sample, place));
    ids.iter().enumerate().filter_map(place).collect()
}

impl Profile {
    /// Of the candidates at these places.
    fn of(evidence: &Evidence, places: &[usize], classes: &[String], pace: Pace) -> Self {
        let known = ["embedding", "probabilities"];
        let compared = known.iter().find_map(|name| Some((*name, evidence.output(name)?)));
        let redundancy = compared.and_then(|(_, rows)| redundancy(rows, places));
        let seconds = seconds(evidence, places, pace);
        let answers = (places.len() as u64).saturating_mul(pace.answers.votes as u64);
        let spent = Duration::try_from_secs_f64(seconds.unwrap_or_default()).unwrap_or_default();
        let cost = pace.answers.is_priced().then(|| pace.answers.cost(answers, spent));
        Self {
            classes: evidence
                .output("probabilities")
                .filter(|rows| rows.cols() == classes.len() && !places.is_empty())
                .map(|rows| mean(rows, places))
                .filter(|mean| mean.iter().all(|share| share.is_finite()))
                .map(|mean| classes.iter().cloned().zip(mean).collect())
                .unwrap_or_default(),
            redundancy,
            redundancy_in: compared.filter(|_| redundancy.is_some()).map(|(name, _)| name.into()),
            seconds,
            cost,
        }
    }
}

/// The mean of some rows.
fn mean(rows: &Matrix, places: &[usize]) -> Vec<f64> {
    let mut sums = vec![0.0; rows.cols()];
    for &place in places {
        for (sum, value) in sums.iter_mut().zip(rows.row(place)) {
            *sum += f64::from(*value);
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a batch is far smaller than 2^53")]
    sums.iter_mut().for_each(|sum| *sum /= places.len() as f64);
    sums
}

fn redundancy(rows: &Matrix, places: &[usize]) -> Option<f64> {
    let compared: Vec<&[f32]> =
        places.iter().take(COMPARED_MAX).map(|&place| rows.row(place)).collect();
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let lengths: Vec<f64> = compared.iter().map(|row| dot(row, row).sqrt()).collect();
    let mut most = vec![f64::NEG_INFINITY; compared.len()];
    for (i, (a, length)) in compared.iter().zip(&lengths).enumerate() {
        for (j, (b, other)) in compared.iter().zip(&lengths).enumerate().take(i) {
            let cosine = dot(a, b) / (length * other).max(f64::MIN_POSITIVE);
            for place in [i, j] {
                if let Some(most) = most.get_mut(place) {
                    *most = most.max(cosine);
                }
            }
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "at most 512")]
    let count = most.len() as f64;
    let mean = most.iter().sum::<f64>() / count;
    (most.len() > 1 && mean.is_finite()).then_some(mean)
}

/// What annotators will need for the candidates at these places, all votes together.
fn seconds(evidence: &Evidence, places: &[usize], pace: Pace) -> Option<f64> {
    let answer = |place: &usize| match evidence.seconds() {
        Some(seconds) => seconds.get(*place).copied().filter(|seconds| seconds.is_finite()),
        None => pace.seconds,
    };
    let sum: Option<f64> = places.iter().map(answer).sum();
    #[expect(clippy::cast_precision_loss, reason = "annotators of one sample")]
    sum.map(|sum| sum * pace.answers.votes as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_that_point_the_same_way_are_redundant() {
        let rows = Matrix::new(4, 2, vec![1.0, 0.0, 5.0, 0.0, 0.0, 2.0, -1.0, 0.0]).unwrap();
        assert_eq!(redundancy(&rows, &[0]), None);
        assert_eq!(redundancy(&rows, &[0, 1]), Some(1.0));
        assert_eq!(redundancy(&rows, &[0, 2]), Some(0.0));
        assert_eq!(redundancy(&rows, &[0, 3]), Some(-1.0));
        assert_eq!(redundancy(&rows, &[0, 1, 2, 3]), Some(0.5));
        assert_eq!(mean(&rows, &[0, 2]), [0.5, 1.0]);
    }
}
