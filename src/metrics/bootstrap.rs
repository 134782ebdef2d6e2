//! Resampling: what a measure would have been on other samples of the same kind.
//!
//! A measure is worked out from sums over samples (counts, losses), so a resample only adds the sums up again, each
//! sample as often as it was drawn. Knows neither metrics nor models.
//!
//! B. Efron and R. J. Tibshirani (1993), An Introduction to the Bootstrap, for the method; T. C. Hesterberg (2015),
//! "What teachers should know about the bootstrap", The American Statistician 69, 371-386, for the ends, which are
//! moved out as far as Student's t lies outside the normal distribution: plain percentiles are too narrow for few
//! samples.

use super::quantile::{normal_cdf, normal_quantile, student_quantile};
use crate::domain::chance::Chance;
use crate::domain::ids::CycleNumber;
use crate::domain::kpi::Interval;

/// How many resamples an interval is read from: its ends then move by less than a twentieth of its width from seed to
/// seed.
pub(super) const RESAMPLES: usize = 1_000;

/// For each sample the numbers that it adds to the sums, those that are 0 left out.
#[derive(Debug, Default)]
pub(super) struct Sums {
    width: usize,
    ends: Vec<usize>,
    entries: Vec<(usize, f64)>,
}

impl Sums {
    /// No samples yet, `width` sums.
    pub(super) fn new(width: usize) -> Self {
        Self { width, ..Self::default() }
    }

    /// One more sample, which adds these numbers, one for each sum.
    pub(super) fn push(&mut self, numbers: &[f64]) {
        let kept = numbers.iter().copied().enumerate().filter(|(_, number)| *number != 0.0);
        self.entries.extend(kept);
        self.ends.push(self.entries.len());
    }

    /// How many samples.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// What each sample adds, first to last.
    pub(super) fn samples(&self) -> impl Iterator<Item = &[(usize, f64)]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| self.entries.get(start..end).unwrap_or_default())
    }

    /// The sums of one sample by itself.
    pub(super) fn alone(&self, sample: &[(usize, f64)]) -> Vec<f64> {
        let mut sums = vec![0.0; self.width];
        add(&mut sums, sample, 1.0);
        sums
    }

    /// The sums of all samples but one, each one in turn.
    pub(super) fn all_but_one(&self) -> impl Iterator<Item = Vec<f64>> {
        let totals = self.totals();
        self.samples().map(move |sample| {
            let mut sums = totals.clone();
            add(&mut sums, sample, -1.0);
            sums
        })
    }

    /// The sums, each sample once.
    pub(super) fn totals(&self) -> Vec<f64> {
        let mut sums = Vec::new();
        self.weighted(&vec![1; self.len()], &mut sums);
        sums
    }

    /// The sums, each sample as often as `weights` says.
    pub(super) fn weighted(&self, weights: &[u32], sums: &mut Vec<f64>) {
        sums.clear();
        sums.resize(self.width, 0.0);
        for (sample, &weight) in self.samples().zip(weights).filter(|(_, weight)| **weight > 0) {
            add(sums, sample, f64::from(weight));
        }
    }
}

fn add(sums: &mut [f64], sample: &[(usize, f64)], weight: f64) {
    for &(index, number) in sample {
        if let Some(sum) = sums.get_mut(index) {
            *sum += weight * number;
        }
    }
}

/// The values of a measure over `resamples` resamples of `n` samples, ascending. `value` is told how often each sample
/// was drawn; a resample on which it cannot be measured is left out.
pub(super) fn distribution(
    n: usize,
    resamples: usize,
    chance: Chance<'_>,
    mut value: impl FnMut(&[u32]) -> Option<f64>,
) -> Vec<f64> {
    let mut weights = vec![0; n];
    let mut values: Vec<f64> = (0..resamples)
        .filter_map(|round| {
            draw(chance.draw(&round.to_string()), &mut weights);
            value(&weights)
        })
        .collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The chance of one purpose of this seed. Measures are repeated on the same samples, so the cycle has no part in it.
pub(super) const fn chance(seed: u64, purpose: &str) -> Chance<'_> {
    Chance { seed, cycle: CycleNumber(0), purpose }
}

/// How often each of the samples is drawn when as many as there are are drawn with replacement.
fn draw(key: u64, weights: &mut [u32]) {
    weights.fill(0);
    let n = weights.len() as u64;
    for counter in 0..n {
        let index = (u128::from(number(key, counter)) * u128::from(n)) >> 64;
        if let Some(weight) = usize::try_from(index).ok().and_then(|index| weights.get_mut(index)) {
            *weight += 1;
        }
    }
}

/// A uniform number for each `counter` under a `key` that was drawn by [`Chance`]; a hash each would take most of the
/// time.
///
/// SplitMix64: G. L. Steele, D. Lea and C. H. Flood (2014), "Fast splittable pseudorandom number generators", OOPSLA.
pub(super) const fn number(key: u64, counter: u64) -> u64 {
    let z = key.wrapping_add(counter.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A uniform number inside (0, 1) for each `counter` under a `key`.
#[expect(clippy::cast_precision_loss, reason = "52 bits and a half fit a double exactly")]
pub(super) fn unit(key: u64, counter: u64) -> f64 {
    ((number(key, counter) >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
}

/// The interval between the percentiles of `values` (ascending), which were measured on resamples of `n` samples.
/// `None` without values.
pub(super) fn percentiles(values: &[f64], n: usize, confidence: f64) -> Option<Interval> {
    let tail = normal_cdf(-reach(n, confidence));
    Some(Interval { low: percentile(values, tail)?, high: percentile(values, 1.0 - tail)? })
}

/// The interval between percentiles that are moved for a measure that is biased, or whose spread grows with its value, as
/// that of losses does: `value` is the measure of the samples, `without` what it is without each of them in turn.
/// `None` without values.
///
/// B. Efron (1987), "Better bootstrap confidence intervals", Journal of the American Statistical Association 82, 171-185
/// (BCa).
#[expect(clippy::cast_precision_loss, reason = "counts of samples and resamples")]
pub(super) fn accelerated(
    values: &[f64],
    value: f64,
    without: &[f64],
    confidence: f64,
) -> Option<Interval> {
    let below = values.partition_point(|found| *found < value);
    let up_to = values.partition_point(|found| *found <= value);
    // Half a resample at each end, so that the bias stays finite.
    let share = ((below + up_to) as f64 / 2.0 + 0.5) / (values.len() as f64 + 1.0);
    let bias = normal_quantile(share);
    let mean = without.iter().sum::<f64>() / without.len().max(1) as f64;
    let (squares, cubes) = without.iter().fold((0.0, 0.0), |(squares, cubes), found| {
        let away = mean - found;
        (squares + away * away, cubes + away * away * away)
    });
    let growth = if squares > 0.0 { cubes / (6.0 * squares * squares.sqrt()) } else { 0.0 };
    let reach = reach(without.len(), confidence);
    let end = |reach: f64| {
        let moved = bias + reach;
        let slowed = 1.0 - growth * moved;
        // Past the pole the end is as far out as can be.
        let p = if slowed > 0.0 {
            normal_cdf(bias + moved / slowed)
        } else {
            f64::from(u8::from(moved > 0.0))
        };
        percentile(values, p)
    };
    Some(Interval { low: end(-reach)?, high: end(reach)? })
}

/// How many standard errors an interval reaches to each side.
#[expect(clippy::cast_precision_loss, reason = "a count of samples")]
fn reach(n: usize, confidence: f64) -> f64 {
    let freedom = n.saturating_sub(1).max(1);
    let widened = (n.max(2) as f64 / freedom as f64).sqrt();
    widened * student_quantile(0.5 + confidence / 2.0, freedom)
}

/// The value below which a share `p` of `values` (ascending) lies, the `p (k + 1)`-th of `k`, interpolated.
pub(super) fn percentile(values: &[f64], p: f64) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    #[expect(clippy::cast_precision_loss, reason = "a count of resamples")]
    let place = (p * (values.len() as f64 + 1.0) - 1.0).clamp(0.0, last as f64);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the last index"
    )]
    let below = place as usize;
    let (low, high) = (*values.get(below)?, *values.get((below + 1).min(last))?);
    // Between equals nothing is worked out: infinities would give NaN.
    let step = place.fract();
    Some(if step > 0.0 && high > low { low + step * (high - low) } else { low })
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    #[test]
    fn as_many_are_drawn_as_there_are_and_each_as_often_as_another() {
        let mut weights = vec![0; 50];
        let mut totals = vec![0_u32; 50];
        let chance = chance(3, "test");
        for round in 0..2_000 {
            draw(chance.draw(&round.to_string()), &mut weights);
            assert_eq!(weights.iter().sum::<u32>(), 50);
            totals.iter_mut().zip(&weights).for_each(|(total, weight)| *total += weight);
        }
        // 2,000 draws expected for each, deviation 44.
        assert!(totals.iter().all(|total| (1_800..2_200).contains(total)), "{totals:?}");
    }

    /// The standard error of a mean is known: the deviation by the root of the number.
    #[test]
    fn a_mean_has_the_spread_that_theory_gives_it() {
        let mut sums = Sums::new(2);
        for i in 0..400_u32 {
            sums.push(&[f64::from(i % 20), 1.0]);
        }
        let mut totals = Vec::new();
        let values = distribution(sums.len(), RESAMPLES, chance(1, "test"), |weights| {
            sums.weighted(weights, &mut totals);
            Some(totals[0] / totals[1])
        });
        let found = percentiles(&values, sums.len(), 0.95).unwrap();
        let expected = 1.96 * (399.0_f64 / 12.0 / 400.0).sqrt();
        assert!(((found.high - found.low) / 2.0 / expected - 1.0).abs() < 0.08, "{found:?}");
        assert!((found.high + found.low) / 2.0 - 9.5 < 0.05, "{found:?}");
    }

    #[test]
    fn percentiles_are_order_statistics() {
        let values: Vec<f64> = (1..=999).map(f64::from).collect();
        assert_eq!(percentile(&values, 0.025), Some(25.0));
        assert_eq!(percentile(&values, 0.975), Some(975.0));
        assert_eq!(percentile(&values, 0.0), Some(1.0));
        assert_eq!(percentile(&[1.0, 2.0], 0.5), Some(1.5));
        assert_eq!(percentile(&[f64::INFINITY; 2], 0.5), Some(f64::INFINITY));
        assert_eq!(percentile(&[], 0.5), None);
        assert!(reach(5, 0.95) > reach(50, 0.95) && reach(50, 0.95) > 1.96);
        assert!((reach(1_000_000, 0.95) - 1.959_964).abs() < 1e-5);
    }

    /// A measure without bias or skew needs no moving; a skewed one is moved towards its long side.
    #[test]
    fn an_interval_is_moved_only_where_the_measure_asks_for_it() {
        let values: Vec<f64> = (1..=999).map(f64::from).collect();
        let even: Vec<f64> = (0..40).map(f64::from).collect();
        let plain = percentiles(&values, 40, 0.95).unwrap();
        let same = accelerated(&values, 500.0, &even, 0.95).unwrap();
        assert!(
            (same.low - plain.low).abs() < 2.0 && (same.high - plain.high).abs() < 2.0,
            "{same:?}"
        );
        let skewed: Vec<f64> = (0..40).map(|i| -f64::from(i * i * i)).collect();
        let moved = accelerated(&values, 500.0, &skewed, 0.95).unwrap();
        assert!(moved.low > plain.low && moved.high > plain.high, "{moved:?}");
        let biased = accelerated(&values, 400.0, &even, 0.95).unwrap();
        assert!(biased.low < plain.low && biased.high < plain.high, "{biased:?}");
        assert_eq!(accelerated(&[], 0.0, &[], 0.95), None);
    }

    quickcheck! {
        fn sums_are_the_same_as_with_each_sample_written_as_often_as_drawn(rows: Vec<(u8, u8, u8)>) -> bool {
            let mut once = Sums::new(2);
            let mut written = Sums::new(2);
            for &(a, b, weight) in &rows {
                let numbers = [f64::from(a), f64::from(b)];
                once.push(&numbers);
                (0..weight).for_each(|_| written.push(&numbers));
            }
            let weights: Vec<u32> = rows.iter().map(|row| u32::from(row.2)).collect();
            let mut totals = Vec::new();
            once.weighted(&weights, &mut totals);
            totals == written.totals()
        }
    }
}
