//! The mean of a value over a whole pool (of correctness, of a loss), told by samples that a strategy chose by chance
//! and not evenly.
//!
//! S. Farquhar, Y. Gal and T. Rainforth, "On statistical bias in active learning: how and when to fix it", arXiv
//! 2101.11665: the estimator R_LURE. Each sample is weighted by how much likelier or unlikelier it was drawn than
//! evenly.
//!
//! It needs every sample of the pool to have had a chance, and the probability of each draw among what was left then: a
//! strategy that draws by Gumbel top-k gives it as `w_i / sum of the w left`. The model that is measured must not have
//! been trained on the samples. Where a strategy gives some samples hardly any chance, the weights of those become huge
//! and the interval wide: see [`Estimate::effective`].

use super::interval::wilson_share;
use super::quantile::student_quantile;
use crate::domain::kpi::Interval;

/// Samples that were drawn one after the other, without replacement, from one pool.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// How many samples the pool held before the first draw.
    pub pool: usize,
    /// The probability of each draw among the samples that were left, in (0, 1], in the order of the draws.
    pub probabilities: &'a [f64],
    /// What is averaged, of each sample drawn, in the same order: 1 or 0 for right or wrong, or a loss.
    pub values: &'a [f64],
}

/// A mean over the pool.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The estimate. On average over draws it is the pool's mean, and therefore can lie outside the range of the
    /// values.
    pub value: f64,
    /// Its interval, within the range of the values.
    pub interval: Interval,
    /// How many samples it is made of.
    pub n: u64,
    /// How many evenly drawn samples would weigh as evenly: `(sum of weights)^2 / sum of squared weights` (Kish). Far
    /// below `n`, few samples decide.
    pub effective: f64,
}

/// Why there is no estimate.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LureError {
    /// No samples.
    #[error("no sample was drawn: there is nothing to estimate from")]
    Empty,
    /// A probability too few or too many.
    #[error(
        "batch {batch} has {probabilities} probabilities for {values} values; each draw has one of both"
    )]
    Lengths {
        /// Which batch, counted from 0.
        batch: usize,
        /// How many probabilities.
        probabilities: usize,
        /// How many values.
        values: usize,
    },
    /// More draws than samples.
    #[error(
        "batch {batch} has {drawn} draws from a pool of {pool}; each sample is drawn once at most"
    )]
    Pool {
        /// Which batch, counted from 0.
        batch: usize,
        /// How many draws.
        drawn: usize,
        /// How many samples there were.
        pool: usize,
    },
    /// A probability that is none.
    #[error(
        "draw {draw} of batch {batch} has the probability {found}; it must be above 0 and at most 1, so the strategy must be \
         one that draws by chance and records it"
    )]
    Probability {
        /// Which batch, counted from 0.
        batch: usize,
        /// Which draw, counted from 0.
        draw: usize,
        /// What it is.
        found: f64,
    },
    /// A value that is no number, or lies outside the range.
    #[error(
        "the value of draw {draw} of batch {batch} is {found}; it must be between {low} and {high}"
    )]
    Value {
        /// Which batch, counted from 0.
        batch: usize,
        /// Which draw, counted from 0.
        draw: usize,
        /// What it is.
        found: f64,
        /// The least there can be.
        low: f64,
        /// The most.
        high: f64,
    },
    /// A confidence that is none.
    #[error("the confidence is {found}; it must be above 0 and below 1")]
    Confidence {
        /// What it is.
        found: f64,
    },
}

/// The weight of each of the draws from a pool of `pool` samples, for probabilities as in [`Batch`]: `v_m = 1 + (N - M)
/// / (N - m) * (1 / ((N - m + 1) q_m) - 1)` for draw `m = 1..M`. Their mean is 1 on average over draws; an even
/// strategy, and a pool drawn to its end, give 1 each. `None` for more draws than samples, or for a probability outside
/// (0, 1].
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts of samples")]
pub fn weights(pool: usize, probabilities: &[f64]) -> Option<Vec<f64>> {
    let undrawn = pool.checked_sub(probabilities.len())? as f64;
    let weight = |(before, &q): (usize, &f64)| {
        // N - m + 1: how many there were to draw from.
        let left = (pool - before) as f64;
        let bent = if undrawn > 0.0 { undrawn / (left - 1.0) } else { 0.0 };
        is_probability(q).then(|| 1.0 + bent * (1.0 / (left * q) - 1.0))
    };
    probabilities.iter().enumerate().map(weight).collect()
}

/// The mean over the pool, from one batch or several.
///
/// Batches are estimated each by itself, from the pool that there was then, and averaged with their numbers of samples.
/// So each part is unbiased for its own pool; pools differ only by the samples drawn in between, which is what makes
/// the whole an estimate of any of them.
///
/// The interval is normal, with Student's quantile. Its variance is that of the paper's R_PURE: with `a_m = L_m / (N
/// q_m) + (1 / N) sum of the L drawn before`, each of which has the pool's mean whatever was drawn before, the estimate
/// is `sum of c_m a_m / M` with `c_m = N (N - M) / ((N - m) (N - m + 1))`, and its parts are uncorrelated. Where all
/// values are equal it also holds Wilson's interval for [`Estimate::effective`] samples, if `range` is [0, 1], because
/// what was not seen may still be there; else the range.
///
/// # Errors
///
/// All of [`LureError`]. `range` is what the values can be, both ends included: [0, 1] for right or wrong, [0,
/// `f64::MAX`] for a loss.
pub fn estimate(
    batches: &[Batch<'_>],
    range: Interval,
    confidence: f64,
) -> Result<Estimate, LureError> {
    if !(confidence > 0.0 && confidence < 1.0) {
        return Err(LureError::Confidence { found: confidence });
    }
    let mut all = Vec::new();
    for (index, batch) in batches.iter().enumerate() {
        check(index, batch, range)?;
        all.push(weights(batch.pool, batch.probabilities).ok_or(LureError::Empty)?);
    }
    let n = all.iter().map(Vec::len).sum::<usize>();
    if n == 0 {
        return Err(LureError::Empty);
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of samples")]
    let count = n as f64;
    let terms =
        batches.iter().zip(&all).flat_map(|(batch, weights)| batch.values.iter().zip(weights));
    let value = terms.map(|(value, weight)| value * weight).sum::<f64>() / count;
    let weight: f64 = all.iter().flatten().sum();
    let squares: f64 = all.iter().flatten().map(|weight| weight * weight).sum();
    let effective = if squares > 0.0 { weight * weight / squares } else { 0.0 };

    let mut values = batches.iter().flat_map(|batch| batch.values);
    let first = values.next().copied().unwrap_or_default();
    let interval = if values.all(|value| value.total_cmp(&first).is_eq()) {
        unseen(value, effective, range, confidence)
    } else {
        let spread = batches.iter().map(|batch| spread(batch, value)).sum::<f64>();
        let variance = spread / (count * count) * count / (count - 1.0);
        let half = student_quantile(0.5 + confidence / 2.0, n - 1) * variance.sqrt();
        Interval { low: value - half, high: value + half }
    };
    let within = |end: f64| end.clamp(range.low, range.high);
    let interval = Interval { low: within(interval.low), high: within(interval.high) };
    Ok(Estimate { value, interval, n: n as u64, effective })
}

fn check(index: usize, batch: &Batch<'_>, range: Interval) -> Result<(), LureError> {
    let Batch { pool, probabilities, values } = *batch;
    if probabilities.len() != values.len() {
        let (probabilities, values) = (probabilities.len(), values.len());
        return Err(LureError::Lengths { batch: index, probabilities, values });
    }
    if values.len() > pool {
        return Err(LureError::Pool { batch: index, drawn: values.len(), pool });
    }
    if let Some(draw) = probabilities.iter().position(|q| !is_probability(*q)) {
        let found = probabilities.get(draw).copied().unwrap_or(f64::NAN);
        return Err(LureError::Probability { batch: index, draw, found });
    }
    let Interval { low, high } = range;
    if let Some(draw) = values.iter().position(|value| !(low <= *value && *value <= high)) {
        let found = values.get(draw).copied().unwrap_or(f64::NAN);
        return Err(LureError::Value { batch: index, draw, found, low, high });
    }
    Ok(())
}

fn is_probability(q: f64) -> bool {
    q > 0.0 && q <= 1.0
}

/// What may be where all values were the same.
fn unseen(value: f64, effective: f64, range: Interval, confidence: f64) -> Interval {
    let is_share = range.low.abs() <= 0.0 && (range.high - 1.0).abs() <= 0.0;
    if is_share { wilson_share(value.clamp(0.0, 1.0), effective, confidence) } else { range }
}

/// `sum of c_m^2 (a_m - mean)^2` of one batch.
#[expect(clippy::cast_precision_loss, reason = "counts of samples")]
fn spread(batch: &Batch<'_>, mean: f64) -> f64 {
    let pool = batch.pool as f64;
    let undrawn = pool - batch.values.len() as f64;
    let mut drawn = 0.0;
    let mut sum = 0.0;
    for (before, (value, q)) in batch.values.iter().zip(batch.probabilities).enumerate() {
        let left = pool - before as f64;
        let part = value / (pool * q) + drawn / pool;
        // A pool drawn to its end is known: only the last draw counts, and it has no choice left.
        let factor = if undrawn > 0.0 { pool * undrawn / ((left - 1.0) * left) } else { 0.0 };
        let away = factor * (part - mean);
        sum += away * away;
        drawn += value;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::bootstrap::unit;
    use quickcheck::quickcheck;

    const SHARE: Interval = Interval { low: 0.0, high: 1.0 };

    /// A pool in which a biased strategy prefers the wrong: samples and their weights.
    fn pool(n: usize) -> (Vec<f64>, Vec<f64>) {
        let right = (0..n).map(|i| f64::from(u8::from(i % 5 != 0))).collect();
        let liking =
            (0..n).map(|i| if i % 5 == 0 { 3.0 } else { 1.0 } + (i % 3) as f64 / 2.0).collect();
        (right, liking)
    }

    /// Draws `m` samples, likelier ones first: indexes and the probabilities of the draws.
    fn draw(liking: &[f64], m: usize, key: u64) -> (Vec<usize>, Vec<f64>) {
        let mut left: Vec<usize> = (0..liking.len()).collect();
        (0..m as u64)
            .map(|counter| {
                let total: f64 = left.iter().map(|&i| liking[i]).sum();
                let mut at = unit(key, counter) * total;
                let place = left.iter().position(|&i| {
                    at -= liking[i];
                    at < 0.0
                });
                let chosen = left.remove(place.unwrap_or(left.len() - 1));
                (chosen, liking[chosen] / total)
            })
            .unzip()
    }

    #[test]
    fn on_average_over_many_draws_it_is_the_pools_mean_and_the_plain_mean_is_not() {
        let (right, liking) = pool(60);
        let truth = right.iter().sum::<f64>() / 60.0;
        let (mut sum, mut plain, mut covered) = (0.0, 0.0, 0);
        for key in 0..4_000 {
            let (chosen, probabilities) = draw(&liking, 25, key);
            let values: Vec<f64> = chosen.iter().map(|&i| right[i]).collect();
            let batch = Batch { pool: 60, probabilities: &probabilities, values: &values };
            let found = estimate(&[batch], SHARE, 0.95).unwrap();
            sum += found.value / 4_000.0;
            plain += values.iter().sum::<f64>() / 25.0 / 4_000.0;
            covered += u32::from(found.interval.low <= truth && truth <= found.interval.high);
            assert!(found.effective < 25.0);
        }
        assert!((sum - truth).abs() < 0.003, "{sum} is not {truth}");
        assert!((plain - truth).abs() > 0.1, "{plain} is near {truth}");
        assert!((3_600..=4_000).contains(&covered), "{covered} of 4,000 intervals hold the truth");
    }

    #[test]
    fn several_batches_from_a_shrinking_pool_stay_unbiased() {
        let (right, liking) = pool(90);
        let truth = right.iter().sum::<f64>() / 90.0;
        let (mut sum, mut expected) = (0.0, 0.0);
        for key in 0..3_000 {
            // The first ten are drawn evenly and leave the pool, so that the second batch sees another one.
            let (mut gone, even) = draw(&[1.0; 90], 10, key ^ 0xABCD_0000);
            let first: Vec<f64> = gone.iter().map(|&i| right[i]).collect();
            gone.sort_unstable();
            let left: Vec<usize> = (0..90).filter(|i| gone.binary_search(i).is_err()).collect();
            let liking: Vec<f64> = left.iter().map(|&i| liking[i]).collect();
            let (chosen, probabilities) = draw(&liking, 20, key);
            let second: Vec<f64> = chosen.iter().map(|&i| right[left[i]]).collect();
            let batches = [
                Batch { pool: 90, probabilities: &even, values: &first },
                Batch { pool: 80, probabilities: &probabilities, values: &second },
            ];
            sum += estimate(&batches, SHARE, 0.95).unwrap().value / 3_000.0;
            expected += left.iter().map(|&i| right[i]).sum::<f64>() / 80.0 / 3_000.0;
        }
        assert!(
            (expected - truth).abs() < 0.003 && (sum - truth).abs() < 0.004,
            "{sum}, {expected}, {truth}"
        );
    }

    /// Every order in which 2 of 3 can be drawn, each with its probability: the expectation is exact.
    #[test]
    fn the_expectation_over_all_draws_is_exactly_the_mean() {
        let (liking, values) = ([1.0, 2.0, 5.0], [0.3, 0.9, 0.1]);
        let mut expectation = 0.0;
        for first in 0..3 {
            for second in (0..3).filter(|second| *second != first) {
                let q1: f64 = liking[first] / 8.0;
                let q2 = liking[second] / (8.0 - liking[first]);
                let drawn = [values[first], values[second]];
                let batch = Batch { pool: 3, probabilities: &[q1, q2], values: &drawn };
                expectation += q1 * q2 * estimate(&[batch], SHARE, 0.9).unwrap().value;
            }
        }
        assert!((expectation - 1.3 / 3.0).abs() < 1e-12, "{expectation}");
    }

    #[test]
    fn all_right_is_no_proof() {
        let probabilities: Vec<f64> = (0..10).map(|m| 1.0 / f64::from(100 - m)).collect();
        let batch = Batch { pool: 100, probabilities: &probabilities, values: &[1.0; 10] };
        let found = estimate(&[batch], SHARE, 0.95).unwrap();
        assert!((found.value - 1.0).abs() < 1e-12 && (found.effective - 10.0).abs() < 1e-9);
        assert!((found.interval.low - 0.7225).abs() < 1e-3, "{found:?}");
        let loss = estimate(&[batch], Interval { low: 0.0, high: f64::MAX }, 0.95).unwrap();
        assert!(loss.interval.high > 1e300, "equal losses tell nothing of their spread");
    }

    #[test]
    fn what_is_no_draw_is_refused() {
        let refused = |pool, probabilities: &[f64], values: &[f64]| {
            estimate(&[Batch { pool, probabilities, values }], SHARE, 0.95).unwrap_err()
        };
        assert_eq!(refused(5, &[], &[]), LureError::Empty);
        assert!(matches!(refused(5, &[0.5], &[]), LureError::Lengths { .. }));
        assert!(matches!(refused(1, &[0.5, 0.5], &[1.0, 1.0]), LureError::Pool { .. }));
        for q in [0.0, 1.5, f64::NAN] {
            assert!(matches!(refused(5, &[q], &[1.0]), LureError::Probability { .. }));
        }
        assert!(matches!(refused(5, &[0.5], &[f64::NAN]), LureError::Value { .. }));
        assert!(matches!(estimate(&[], SHARE, 1.0), Err(LureError::Confidence { .. })));
        assert_eq!(estimate(&[], SHARE, 0.9), Err(LureError::Empty));
        assert_eq!(weights(1, &[0.5, 0.5]), None);
    }

    quickcheck! {
        fn even_draws_weigh_one_each(pool: u8, drawn: u8) -> bool {
            let pool = usize::from(pool) + 1;
            let even: Vec<f64> =
                (0..usize::from(drawn) % pool + 1).map(|m| 1.0 / (pool - m) as f64).collect();
            weights(pool, &even).unwrap().iter().all(|weight| (weight - 1.0).abs() < 1e-12)
        }

        fn weights_are_never_below_zero(pool: u8, draws: Vec<u8>) -> bool {
            let q: Vec<f64> = draws.iter().map(|&q| (f64::from(q) + 1.0) / 256.0).collect();
            weights(usize::from(pool) + q.len(), &q).unwrap().iter().all(|weight| *weight >= 0.0)
        }
    }
}
