//! Whether one model is really better than another, told by the same samples.
//!
//! Two models that are measured on the same samples share their luck; a test of pairs takes it out. Says what the
//! difference is and how sure that is, not what to do about it.

use super::bootstrap::{Sums, chance, distribution, percentiles};
use super::interval::paired_difference;
use super::measure::{MetricError, Settings};
use super::statistic::Case;
use crate::domain::definition::Direction;
use crate::domain::kpi::Interval;
use crate::domain::matrix::Matrix;
use crate::domain::metric::Metric;
use crate::domain::task::Task;
use std::fmt;

/// More than for an interval: no p-value is below 1 in so many.
const RESAMPLES: usize = 2_000;

/// A challenger beside an incumbent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// The challenger's value minus the incumbent's, in the unit of what was measured.
    pub difference: f64,
    /// Where the difference of the whole population lies. It holds `difference`.
    pub interval: Interval,
    /// How often a difference this large, either way, would come about between two models that are equally good: in
    /// (0, 1].
    pub p: f64,
    /// How that was worked out.
    pub test: Test,
    /// How many samples.
    pub n: u64,
    /// On how many samples the challenger is better.
    pub wins: u64,
    /// On how many the incumbent is.
    pub losses: u64,
}

impl Comparison {
    /// Whether the difference is more than luck: [`Comparison::p`] is below 1 less this confidence.
    #[must_use]
    pub fn is_real(&self, confidence: f64) -> bool {
        self.p < 1.0 - confidence
    }
}

/// A test of pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Test {
    /// McNemar's, by the exact binomial distribution: never calls luck a difference more often than it says.
    McNemarExact,
    /// McNemar's with the mid-p correction: as often as it says, on average.
    McNemarMidP,
    /// Resampled pairs.
    PairedBootstrap,
}

impl Test {
    /// Its name, as reports write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::McNemarExact => "mcnemar_exact",
            Self::McNemarMidP => "mcnemar_mid_p",
            Self::PairedBootstrap => "paired_bootstrap",
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why two series of scores are not compared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PairedError {
    /// Scores of other samples.
    #[error(
        "there are {challenger} scores of the challenger and {incumbent} of the incumbent; measure both on the same samples"
    )]
    Lengths {
        /// How many of the challenger.
        challenger: usize,
        /// How many of the incumbent.
        incumbent: usize,
    },
    /// Nothing to compare.
    #[error("there are no scores to compare; label at least one sample")]
    Empty,
    /// A score that is no number.
    #[error("the scores of sample {index} are {challenger} and {incumbent}; both must be finite")]
    NotFinite {
        /// The sample, counted from 0.
        index: usize,
        /// The challenger's score.
        challenger: f64,
        /// The incumbent's.
        incumbent: f64,
    },
    /// A confidence that is none.
    #[error("the confidence is {found}; it must be above 0 and below 1")]
    Confidence {
        /// What it is.
        found: f64,
    },
}

/// Compares two models by any metric, on the same samples; `challenger` and `incumbent` are answers as for
/// [`super::measure()`]. Where samples are plainly right or wrong (the accuracy of classification and multi-label) the
/// test is McNemar's, exact; else the metric of both is taken on the same resamples, and wins and losses are by the
/// metric of each sample alone.
///
/// # Errors
///
/// As [`super::measure()`], for either of the two.
pub fn compare(
    metric: Metric,
    task: Task,
    classes: usize,
    challenger: &Matrix,
    incumbent: &Matrix,
    labels: &Matrix,
    settings: Settings,
) -> Result<Comparison, MetricError> {
    let Settings { confidence, seed } = settings;
    if !is_confidence(confidence) {
        return Err(MetricError::Confidence { found: confidence });
    }
    let challenger = Case::new(metric, task, classes, challenger, labels)?;
    let incumbent = Case::new(metric, task, classes, incumbent, labels)?;
    let n = challenger.len();
    let sums = (challenger.sums(), incumbent.sums());
    // Only shares can be undefined, for a model that never names a class: that is as bad as can be.
    let better = challenger.value(&sums.0.totals()).unwrap_or(0.0);
    let worse = incumbent.value(&sums.1.totals()).unwrap_or(0.0);

    let one = |case: &Case<'_>, sums: &Sums| -> Vec<Option<f64>> {
        sums.samples().map(|sample| case.value(&sums.alone(sample))).collect()
    };
    let scores = (one(&challenger, &sums.0), one(&incumbent, &sums.1));
    let pairs = scores.0.iter().zip(&scores.1).filter_map(|(a, b)| Some(((*a)?, (*b)?)));
    let (wins, losses) = count(pairs, metric.direction());
    if challenger.is_share_of_samples() {
        return Ok(mcnemar(wins, losses, n as u64, confidence));
    }
    let (mut left, mut right) = (Vec::new(), Vec::new());
    let resample = |weights: &[u32]| {
        sums.0.weighted(weights, &mut left);
        sums.1.weighted(weights, &mut right);
        Some(challenger.value(&left)? - incumbent.value(&right)?)
    };
    let range = metric.most().unwrap_or(f64::MAX);
    Ok(resampled(better - worse, n, (wins, losses), range, seed, confidence, resample))
}

/// McNemar's test of two models of which on `n` samples the challenger alone is right `wins` times and the incumbent
/// alone `losses` times; the difference is that of their shares of right samples. The p-value is that of the exact
/// binomial distribution, both ways.
///
/// Q. McNemar (1947), "Note on the sampling error of the difference between correlated proportions or percentages",
/// Psychometrika 12, 153-157. The interval: D. G. Bonett and R. M. Price (2012), adjusted Wald.
#[must_use]
pub fn mcnemar(wins: u64, losses: u64, n: u64, confidence: f64) -> Comparison {
    let (low, _) = low_tail(wins.min(losses), wins.saturating_add(losses));
    counted(Test::McNemarExact, 2.0 * low, (wins, losses), n, confidence)
}

/// [`mcnemar`] with the mid-p correction, which counts what was seen half: closer to what the confidence says, where
/// the exact test is too careful.
///
/// M. W. Fagerland, S. Lydersen and P. Laake (2013), "The McNemar test for binary matched-pairs data: mid-p and
/// asymptotic are better than exact conditional", BMC Medical Research Methodology 13:91.
#[must_use]
pub fn mcnemar_mid_p(wins: u64, losses: u64, n: u64, confidence: f64) -> Comparison {
    let (low, last) = low_tail(wins.min(losses), wins.saturating_add(losses));
    counted(Test::McNemarMidP, 2.0 * low - last, (wins, losses), n, confidence)
}

#[expect(clippy::cast_precision_loss, reason = "counts of samples")]
fn counted(test: Test, p: f64, (wins, losses): (u64, u64), n: u64, confidence: f64) -> Comparison {
    let n = n.max(wins.saturating_add(losses));
    let difference = (wins as f64 - losses as f64) / n.max(1) as f64;
    let found = paired_difference(wins, losses, n, confidence);
    let interval = Interval { low: found.low.min(difference), high: found.high.max(difference) };
    Comparison { difference, interval, p: p.clamp(f64::MIN_POSITIVE, 1.0), test, n, wins, losses }
}

/// How likely at most `k` heads are in `n` throws of a fair coin, and how likely exactly `k`.
#[expect(clippy::cast_precision_loss, reason = "counts of samples")]
fn low_tail(k: u64, n: u64) -> (f64, f64) {
    let (k, n) = (k as f64, n as f64);
    let choose = libm::lgamma(n + 1.0) - libm::lgamma(k + 1.0) - libm::lgamma(n - k + 1.0);
    let exactly = libm::exp(choose - n * std::f64::consts::LN_2);
    let (mut sum, mut term, mut heads) = (exactly, exactly, k);
    // Terms fall towards 0 heads; those that no longer change the sum are left out.
    while heads >= 1.0 && term > sum * 1e-17 {
        term *= heads / (n - heads + 1.0);
        sum += term;
        heads -= 1.0;
    }
    (sum, exactly)
}

/// Compares any score of each sample (a loss, say), of two models on the same samples, by their means.
///
/// Pairs are resampled 2,000 times; the interval is between percentiles, and the p-value is how often a resample is as
/// far from the difference as that is from 0 (Efron and Tibshirani, 1993: the distribution moved to where both are
/// equal). It is never below `2^(1 - n)`, the least that `n` signs can prove. One sample proves nothing: its interval
/// is all there is.
///
/// # Errors
///
/// All of [`PairedError`].
pub fn bootstrap(
    challenger: &[f64],
    incumbent: &[f64],
    direction: Direction,
    settings: Settings,
) -> Result<Comparison, PairedError> {
    let Settings { confidence, seed } = settings;
    if !is_confidence(confidence) {
        return Err(PairedError::Confidence { found: confidence });
    }
    if challenger.len() != incumbent.len() {
        let (challenger, incumbent) = (challenger.len(), incumbent.len());
        return Err(PairedError::Lengths { challenger, incumbent });
    }
    let pairs = || challenger.iter().copied().zip(incumbent.iter().copied());
    let broken = pairs().enumerate().find(|(_, (a, b))| !a.is_finite() || !b.is_finite());
    if let Some((index, (challenger, incumbent))) = broken {
        return Err(PairedError::NotFinite { index, challenger, incumbent });
    }
    let n = challenger.len();
    if n == 0 {
        return Err(PairedError::Empty);
    }
    let mut sums = Sums::new(1);
    pairs().for_each(|(a, b)| sums.push(&[a - b]));
    #[expect(clippy::cast_precision_loss, reason = "a count of samples")]
    let mean = |sums: &[f64]| sums.first().map(|sum| sum / n as f64);
    let difference = mean(&sums.totals()).unwrap_or_default();
    let mut totals = Vec::new();
    let resample = |weights: &[u32]| {
        sums.weighted(weights, &mut totals);
        mean(&totals)
    };
    let counts = count(pairs(), direction);
    Ok(resampled(difference, n, counts, f64::MAX, seed, confidence, resample))
}

/// The comparison that resampled differences make.
#[expect(clippy::cast_precision_loss, reason = "counts of samples and resamples")]
fn resampled(
    difference: f64,
    n: usize,
    (wins, losses): (u64, u64),
    range: f64,
    seed: u64,
    confidence: f64,
    resample: impl FnMut(&[u32]) -> Option<f64>,
) -> Comparison {
    let values = distribution(n, RESAMPLES, chance(seed, "paired"), resample);
    // A hair's breadth is allowed for rounding.
    let size = difference.abs() * (1.0 - 1e-12);
    let as_far = values.iter().filter(|value| (*value - difference).abs() >= size).count();
    let least = libm::exp2(1.0 - n as f64);
    let p = ((as_far as f64 + 1.0) / (values.len() as f64 + 1.0)).max(least).min(1.0);
    let found = match percentiles(&values, n, confidence).filter(|_| n > 1) {
        None => Interval { low: -range, high: range },
        // Two that are always right may still differ where nobody looked.
        Some(point) if point.high <= point.low && range <= 1.0 => {
            paired_difference(wins, losses, n as u64, confidence)
        }
        Some(found) => found,
    };
    Comparison {
        difference,
        interval: Interval {
            low: found.low.min(difference).max(-range),
            high: found.high.max(difference).min(range),
        },
        p,
        test: Test::PairedBootstrap,
        n: n as u64,
        wins,
        losses,
    }
}

/// How often the first of a pair is better, and how often the second.
fn count(pairs: impl Iterator<Item = (f64, f64)>, direction: Direction) -> (u64, u64) {
    pairs.fold((0, 0), |(wins, losses), (a, b)| {
        let (a, b) = match direction {
            Direction::Max => (a, b),
            Direction::Min => (b, a),
        };
        (wins + u64::from(a > b), losses + u64::from(b > a))
    })
}

fn is_confidence(confidence: f64) -> bool {
    confidence > 0.0 && confidence < 1.0
}

#[cfg(test)]
mod tests;
