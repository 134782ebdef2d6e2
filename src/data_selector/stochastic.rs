//! Noise on top of scores: makes a batch of a ranking, and says how likely each pick was.
//!
//! A. Kirsch, S. Farquhar, P. Atighehchian, A. Jesson, F. Branchaud-Charron and Y. Gal (2021), "Stochastic batch acquisition",
//! arXiv 2106.12059, section 3. A batch of the highest scores holds samples that are alike; a batch that is drawn by weights
//! made of the scores costs no more and does as well as methods that look for diversity.
//!
//! Each candidate's key is its log weight plus Gumbel noise `-ln(-ln u)`, and the highest keys are picked: that is the same
//! as drawing one after the other without replacement, each time with a probability proportional to the weight among those
//! still left (W. Kool, H. van Hoof and M. Welling (2019), arXiv 1903.06059, section 2). The paper adds noise of scale
//! 1/beta; multiplying by beta ranks alike. `u` is derived from the seed, the cycle and the sample's id.
//!
//! Every pick records **its probability among those still left at that draw**. This is what S. Farquhar, Y. Gal and
//! T. Rainforth (2021), "On statistical bias in active learning", arXiv 2101.11665, weigh losses by (LURE). It is not the
//! probability that the sample is in the batch.
//!
//! They need what the strategy inside needs, which must score each candidate (margin, where none is named). Two passes over
//! the scores: `O(n)` time beside theirs; memory for the batch, but 24 bytes a candidate for ranks. The score of a pick is that of
//! the strategy inside. Use `power` first; `softmax` where scores may be 0 or below, or their differences have a meaning; `softrank`
//! where only the order of scores is to be trusted. Not for a batch of one, nor where the best must be taken.

use super::strategy::{Chosen, Needs, Plan, Scores, Strategy};
use super::{SelectorError, View, top_k};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::ops::Range;

/// Candidates that are looked at together; fixed, since sums depend on it.
const PIECE: usize = 8 * 1024;
/// The weight of nothing. Finite, since keys are compared: such candidates come last, in the order of ids.
const NEVER: f64 = f64::MIN;
/// No log weight is beyond this, so that noise can be added: far below it already, the noise changes nothing.
const LOG_WEIGHT_MAX: f64 = 1e300;

/// What a weight is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Law {
    /// `score ^ beta`. A score of 0 or below has no weight: such candidates are picked only when no other is left, in the
    /// order of ids, which is no chance, so without a probability.
    Power,
    /// `exp(beta * score)`.
    Softmax,
    /// `rank ^ -beta`, the highest score having rank 1, equal scores ranking in the order of ids.
    SoftRank,
}

/// A draw by weights that are made of another strategy's scores. `beta` (1 by default, as in the paper) is how much
/// weights differ: near 0 the draw is uniform, and high it takes the highest scores.
pub(super) struct Stochastic {
    pub(super) law: Law,
    pub(super) beta: f64,
    pub(super) inner: Box<dyn Strategy>,
    /// As the workflow writes it, for its errors.
    pub(super) name: String,
}

impl Strategy for Stochastic {
    fn version(&self) -> u32 {
        self.inner.version()
    }

    fn needs(&self) -> Needs {
        self.inner.needs()
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, count: usize) -> Result<Plan<'v>, SelectorError> {
        let Plan::Scores(scores) = self.inner.plan(view, count)? else {
            return Err(SelectorError::Strategy {
                strategy: self.name.clone(),
                problem: "the strategy inside picks a batch by itself and scores no sample; name one that scores \
                          each, for example margin"
                    .to_owned(),
            });
        };
        let ranks = match self.law {
            Law::SoftRank => ranks(view, &scores)?,
            Law::Power | Law::Softmax => Vec::new(),
        };
        let log_weights = |range: Range<usize>| -> Result<(Vec<f64>, Vec<f64>), SelectorError> {
            let scores = checked(view, &scores, range.clone())?;
            let weights = match self.law {
                Law::Power => scores.iter().map(|&score| self.of_power(score)).collect(),
                Law::Softmax => scores.iter().map(|&score| bounded(self.beta * score)).collect(),
                Law::SoftRank => {
                    let ranks = ranks.get(range).unwrap_or_default();
                    ranks.iter().map(|&rank| bounded(-self.beta * libm::log(rank))).collect()
                }
            };
            Ok((scores, weights))
        };
        let chance = view.chance("stochastic batch");
        let keys: Scores<'_> = Box::new(|range| {
            let (_, weights) = log_weights(range.clone())?;
            let noisy = range.zip(weights).map(|(index, weight)| {
                if weight > NEVER { weight + gumbel(chance.unit(&view.id(index))) } else { NEVER }
            });
            Ok(noisy.collect())
        });
        let drawn: Vec<usize> =
            top_k(view, &keys, count, None)?.into_iter().map(|chosen| chosen.index).collect();
        Ok(Plan::picks(with_probabilities(view.len(), &drawn, &log_weights)?))
    }
}

impl Stochastic {
    fn of_power(&self, score: f64) -> f64 {
        if score > 0.0 { bounded(self.beta * libm::log(score)) } else { NEVER }
    }
}

const fn bounded(log_weight: f64) -> f64 {
    log_weight.clamp(-LOG_WEIGHT_MAX, LOG_WEIGHT_MAX)
}

/// A draw from the standard Gumbel distribution; `unit` is in [0, 1), and 0 counts as half of the next number.
fn gumbel(unit: f64) -> f64 {
    let open = unit.max(1.0 / (1_u64 << 54) as f64);
    -libm::log(-libm::log(open))
}

/// Scores, all of them finite.
fn checked(
    view: &View<'_>,
    scores: &Scores<'_>,
    range: Range<usize>,
) -> Result<Vec<f64>, SelectorError> {
    let found = scores(range.clone())?;
    match range.zip(&found).find(|(_, score)| !score.is_finite()) {
        Some((index, &score)) => Err(SelectorError::Score { sample: view.sample(index), score }),
        None => Ok(found),
    }
}

/// The rank of each candidate, from 1.
fn ranks(view: &View<'_>, scores: &Scores<'_>) -> Result<Vec<f64>, SelectorError> {
    let found = in_pieces(view.len(), |range| checked(view, scores, range))?.concat();
    let mut ranked: Vec<(f64, usize)> =
        found.into_iter().map(|score| score + 0.0).zip(0..).collect(); // -0 + 0 is 0
    ranked.par_sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut ranks = vec![0.0; ranked.len()];
    let mut rank = 0.0;
    for (_, index) in ranked {
        rank += 1.0;
        if let Some(place) = ranks.get_mut(index) {
            *place = rank;
        }
    }
    Ok(ranks)
}

/// What `work` answers for each piece of the candidates, in their order.
fn in_pieces<T: Send>(
    candidates: usize,
    work: impl Fn(Range<usize>) -> Result<T, SelectorError> + Sync,
) -> Result<Vec<T>, SelectorError> {
    let pieces: Vec<usize> = (0..candidates).step_by(PIECE).collect();
    let all: Vec<_> =
        pieces.into_par_iter().map(|first| work(first..(first + PIECE).min(candidates))).collect();
    all.into_iter().collect()
}

/// The picks, each with its probability among those left. Weights left over are only ever added, from the last draw to the
/// first, and never taken away, so that no digits get lost where a few weights are nearly all.
fn with_probabilities(
    candidates: usize,
    drawn: &[usize],
    log_weights: &(impl Fn(Range<usize>) -> Result<(Vec<f64>, Vec<f64>), SelectorError> + Sync),
) -> Result<Vec<Chosen>, SelectorError> {
    let places: BTreeMap<usize, usize> = drawn.iter().copied().zip(0..).collect();
    let pieces = in_pieces(candidates, |range| {
        let (scores, weights) = log_weights(range.clone())?;
        let (mut left, mut picked) = (LogSum::NOTHING, Vec::new());
        for (index, (score, weight)) in range.zip(scores.into_iter().zip(weights)) {
            match places.get(&index) {
                Some(&place) => picked.push((place, score, weight)),
                None => left.add(weight),
            }
        }
        Ok((left, picked))
    })?;
    let mut left = LogSum::NOTHING;
    let mut picked = Vec::with_capacity(drawn.len());
    for (piece, some) in pieces {
        left.join(piece);
        picked.extend(some);
    }
    picked.sort_unstable_by_key(|&(place, _, _)| std::cmp::Reverse(place));
    let mut chosen: Vec<Chosen> = picked
        .into_iter()
        .zip(drawn.iter().rev())
        .map(|((_, score, weight), &index)| {
            left.add(weight);
            let probability = (weight > NEVER).then(|| left.share(weight));
            Chosen { index, score, probability }
        })
        .collect();
    chosen.reverse();
    Ok(chosen)
}

/// The logarithm of a sum of weights that are given by their logarithms: `sum * exp(highest)`.
#[derive(Debug, Clone, Copy)]
struct LogSum {
    highest: f64,
    sum: f64,
}

impl LogSum {
    const NOTHING: Self = Self { highest: NEVER, sum: 0.0 };

    fn add(&mut self, log_weight: f64) {
        if log_weight > NEVER {
            self.join(Self { highest: log_weight, sum: 1.0 });
        }
    }

    fn join(&mut self, other: Self) {
        let (high, low) =
            if other.highest > self.highest { (other, *self) } else { (*self, other) };
        let sum = high.sum + low.sum * libm::exp(low.highest - high.highest);
        *self = Self { highest: high.highest, sum };
    }

    /// The share of a weight that was added.
    fn share(&self, log_weight: f64) -> f64 {
        libm::exp(log_weight - self.highest) / self.sum
    }
}

#[cfg(test)]
#[path = "stochastic/tests.rs"]
mod tests;
