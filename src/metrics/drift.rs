//! Whether samples that arrived later are distributed as those before them, as far as a model sees.
//!
//! S. Rabanser, S. Guennemann and Z. C. Lipton, "Failing loudly: an empirical study of methods for detecting dataset
//! shift", arXiv 1810.11953, section 3: a two-sample test of Kolmogorov and Smirnov on each output of the model, and
//! Bonferroni's correction over the outputs (BBSDs). Why the outputs of a model are enough where classes became more or
//! less frequent: Z. C. Lipton, Y.-X. Wang and A. Smola, "Detecting and correcting for label shift with black box
//! predictors", arXiv 1802.03916.
//!
//! Says whether there is a difference, not what it costs: a model may be as good on other samples as before. Knows neither
//! labels nor which samples are which. The model must have been trained on none of the samples, or on the same share of
//! both sides: of what it was trained on it is surer. And both sides must be drawn evenly: samples that a strategy
//! picked differ from the others by that alone.

use crate::domain::matrix::Matrix;
use std::fmt;

/// The fewest samples on a side. Ten beside ten that lie wholly apart have a p of 2 in 184,756, which is below 0.05 even
/// after the correction for a thousand outputs; of fewer hardly anything could be told.
pub const SAMPLES_LEAST: usize = 10;

/// Up to how many pairs of samples, one of each side, p is exact: it takes a step for each, in all some 10 ms. Beyond, the
/// limit is off by less than 0.003 where p is below 0.1, and by less than 0.025 elsewhere.
const PAIRS_EXACT: usize = 4_000_000;

/// How far the answers for two series of samples are apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drift {
    /// The largest distance of Kolmogorov and Smirnov: the most that the shares of answers up to some value differ by,
    /// in [0, 1].
    pub statistic: f64,
    /// Of which output, counted from 0; the first of equals.
    pub output: usize,
    /// How often a distance this large, in this or any other output, would come about between samples of one and the
    /// same distribution: at most that often, in (0, 1].
    pub p: f64,
    /// How many samples there were before.
    pub before: u64,
    /// How many arrived.
    pub arrived: u64,
}

/// One of the two series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The samples that there were.
    Before,
    /// Those that arrived later.
    Arrived,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Before => "from before",
            Self::Arrived => "that arrived",
        })
    }
}

/// Why two series of answers are not compared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DriftError {
    /// Too few samples.
    #[error(
        "{found} samples {side} are too few to tell drift by; it takes {SAMPLES_LEAST}, so wait for more"
    )]
    Few {
        /// Which series.
        side: Side,
        /// How many there are.
        found: usize,
    },
    /// Answers of two models, most likely.
    #[error(
        "the answer for a sample from before is {before} numbers, and for one that arrived {arrived}; ask the same model \
         for both"
    )]
    Widths {
        /// How many before.
        before: usize,
        /// How many later.
        arrived: usize,
    },
    /// Answers without numbers.
    #[error("the answers are 0 numbers wide; there is nothing to compare")]
    NoOutputs,
    /// An answer that is no number.
    #[error(
        "the answer for sample {row} of those {side} holds {value} in place {column}; the model is broken, do not use it"
    )]
    NotFinite {
        /// Which series.
        side: Side,
        /// The sample, counted from 0.
        row: usize,
        /// Which output, counted from 0.
        column: usize,
        /// What it is.
        value: f32,
    },
}

/// Compares what a model answers for samples `before` with what it answers for those that `arrived`: a row a sample, as
/// [`super::meaning`] gives them (probabilities, or values). Their order changes nothing, nor does which is which.
///
/// The statistic is `max over x of |share of before <= x - share of arrived <= x|`, the largest of all outputs. Its p is
/// that of its output, times the number of outputs, at most 1.
///
/// Up to 4,000,000 pairs of samples p is exact, ties included: of all ways to split these values into two series of these
/// sizes, the share that is at least as far apart. J. L. Hodges (1958), "The significance probability of the Smirnov
/// two-sample test", Arkiv foer Matematik 3, 469-486, for the walk over all splits; G. Schroeer and D. Trenkler (1995),
/// "Exact and randomization distributions of Kolmogorov-Smirnov tests two or three samples", Computational Statistics and
/// Data Analysis 20, 185-202, for ties. Beyond, it is Kolmogorov's limit at `(sqrt(e) + 0.12 + 0.11 / sqrt(e)) * statistic`
/// with `e = n m / (n + m)`: M. A. Stephens (1970), "Use of the Kolmogorov-Smirnov, Cramer-von Mises and related
/// statistics without extensive tables", Journal of the Royal Statistical Society B 32, 115-122. The limit knows no ties;
/// with them p is too large rather than too small.
///
/// Outputs are counted as if each were a test of its own, so that many that say the same (a pixel each, say) hide a small
/// drift: compare means of them instead.
///
/// # Errors
///
/// All of [`DriftError`]: what does not fit is named with its place.
pub fn drift(before: &Matrix, arrived: &Matrix) -> Result<Drift, DriftError> {
    let outputs = before.cols();
    if outputs != arrived.cols() {
        return Err(DriftError::Widths { before: outputs, arrived: arrived.cols() });
    }
    if outputs == 0 {
        return Err(DriftError::NoOutputs);
    }
    check(Side::Before, before)?;
    check(Side::Arrived, arrived)?;

    let (n, m) = (before.rows(), arrived.rows());
    let mut farthest = Walk::default();
    let mut output = 0;
    for index in 0..outputs {
        let walk = Walk::along(&ascending(before, index), &ascending(arrived, index));
        if walk.apart > farthest.apart || index == 0 {
            (farthest, output) = (walk, index);
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of samples")]
    let (statistic, outputs) = (farthest.apart as f64 / (n as f64 * m as f64), outputs as f64);
    let p = match n.checked_mul(m) {
        Some(pairs) if pairs <= PAIRS_EXACT => exact(n, m, &farthest),
        _ => limit(n, m, statistic),
    };
    let p = (p * outputs).clamp(f64::MIN_POSITIVE, 1.0);
    Ok(Drift { statistic, output, p, before: n as u64, arrived: m as u64 })
}

fn check(side: Side, answers: &Matrix) -> Result<(), DriftError> {
    if answers.rows() < SAMPLES_LEAST {
        return Err(DriftError::Few { side, found: answers.rows() });
    }
    if let Some((row, column)) = answers.first_non_finite() {
        let value = answers.row(row).get(column).copied().unwrap_or(f32::NAN);
        return Err(DriftError::NotFinite { side, row, column, value });
    }
    Ok(())
}

/// One output of all samples, the lowest first.
fn ascending(answers: &Matrix, output: usize) -> Vec<f32> {
    let mut values: Vec<f32> =
        answers.data().iter().skip(output).step_by(answers.cols().max(1)).copied().collect();
    values.sort_unstable_by(f32::total_cmp);
    values
}

/// Two series in one row, the lowest value first.
#[derive(Debug, Default)]
struct Walk {
    /// The largest distance of their shares, in units of one by the number of pairs, so that nothing is rounded.
    apart: u128,
    /// After how many values, of both together, one ends that others do not share.
    ends: Vec<bool>,
}

impl Walk {
    /// For series that ascend.
    fn along(before: &[f32], arrived: &[f32]) -> Self {
        let (n, m) = (before.len(), arrived.len());
        let mut walk = Self { apart: 0, ends: vec![false; n + m + 1] };
        let (mut i, mut j) = (0, 0);
        while let Some(at) = lower(before.get(i), arrived.get(j)) {
            i += before.iter().skip(i).take_while(|value| **value <= at).count();
            j += arrived.iter().skip(j).take_while(|value| **value <= at).count();
            let apart = (i as u128 * m as u128).abs_diff(j as u128 * n as u128);
            walk.apart = walk.apart.max(apart);
            if let Some(end) = walk.ends.get_mut(i + j) {
                *end = true;
            }
        }
        walk
    }
}

/// The lower of two numbers, or the only one.
fn lower(a: Option<&f32>, b: Option<&f32>) -> Option<f32> {
    a.into_iter().chain(b).copied().reduce(f32::min)
}

/// The share of all splits into `n` and `m` values that are somewhere as far apart as this one.
///
/// A split is a path of `n` steps one way and `m` the other. Of the paths to a place the share that came from each side
/// is known, and so is, step by step, the share that has been too far away. Only sums of what is not negative: small
/// shares keep their digits.
#[expect(clippy::cast_precision_loss, reason = "counts of samples")]
fn exact(n: usize, m: usize, walk: &Walk) -> f64 {
    let apart = usize::try_from(walk.apart).unwrap_or(usize::MAX);
    let mut far = vec![0.0; m + 1];
    for i in 0..=n {
        let mut last = 0.0;
        for ((j, share), &is_end) in far.iter_mut().enumerate().zip(walk.ends.iter().skip(i)) {
            // Between equal values nobody looks.
            if is_end && (i * m).abs_diff(j * n) >= apart {
                *share = 1.0;
            } else if i + j > 0 {
                *share = (i as f64 * *share + j as f64 * last) / (i + j) as f64;
            }
            last = *share;
        }
    }
    far.last().copied().unwrap_or(1.0)
}

/// How often a statistic is at least this large, for many samples.
#[expect(clippy::cast_precision_loss, reason = "counts of samples")]
fn limit(n: usize, m: usize, statistic: f64) -> f64 {
    let (n, m) = (n as f64, m as f64);
    let root = (n * m / (n + m)).sqrt();
    kolmogorov((root + 0.12 + 0.11 / root) * statistic)
}

/// The share of Kolmogorov's distribution above `x`: `2 sum over k of (-1)^(k - 1) exp(-2 k^2 x^2)`; for small `x`, where
/// that converges slowly, `1 - sqrt(2 pi) / x * sum over k of exp(-(2 k - 1)^2 pi^2 / (8 x^2))`. Three terms of
/// either are exact to 16 digits where they meet.
///
/// A. Kolmogorov (1933); both series are in W. Feller (1948), "On the Kolmogorov-Smirnov limit theorems for empirical
/// distributions", Annals of Mathematical Statistics 19, 177-189.
fn kolmogorov(x: f64) -> f64 {
    use std::f64::consts::PI;
    if x < 0.04 {
        return 1.0;
    }
    let sum = |terms: [f64; 3]| terms.iter().sum::<f64>();
    if x < 1.18 {
        let term = |odd: f64| libm::exp(-odd * odd * PI * PI / (8.0 * x * x));
        return 1.0 - (2.0 * PI).sqrt() / x * sum([1.0, 3.0, 5.0].map(term));
    }
    let term = |k: f64| libm::exp(-2.0 * k * k * x * x);
    2.0 * (term(1.0) - term(2.0) + term(3.0))
}

#[cfg(test)]
mod tests;
