//! Uncertainty sampling: label what the model is least sure of.
//!
//! D. D. Lewis and W. A. Gale (1994), "A sequential algorithm for training text classifiers", SIGIR; the three measures as
//! in B. Settles (2009), "Active learning literature survey", section 3.1. Higher scores are more uncertain. For two
//! classes all three rank alike.

use super::SelectorError;
use crate::domain::definition::Strategy;
use crate::domain::ids::SampleId;
use crate::domain::matrix::Matrix;

/// How far from 1 the sum of a row may be: probabilities travel as `f32`.
const SUM_TOLERANCE: f64 = 1e-3;

/// One score for each candidate, finite, never -0.
pub(super) fn scores(
    strategy: Strategy,
    candidates: &[SampleId],
    probabilities: &Matrix,
) -> Result<Vec<f64>, SelectorError> {
    if probabilities.rows() != candidates.len() || probabilities.cols() == 0 {
        return Err(SelectorError::Shape {
            candidates: candidates.len(),
            rows: probabilities.rows(),
            columns: probabilities.cols(),
        });
    }
    let measure = match strategy {
        Strategy::LeastConfidence => least_confidence,
        Strategy::Entropy => entropy,
        // Random never comes here: it asks for no probabilities.
        Strategy::Margin | Strategy::Random => margin,
    };
    let rows = candidates.iter().zip(probabilities.iter_rows());
    rows.map(|(sample, row)| {
        check(sample, row)?;
        Ok(measure(row) + 0.0) // -0 + 0 is 0
    })
    .collect()
}

/// A row must be a distribution.
fn check(sample: &SampleId, row: &[f32]) -> Result<(), SelectorError> {
    let tolerated = -SUM_TOLERANCE..=1.0 + SUM_TOLERANCE;
    let bad = row.iter().position(|&p| !tolerated.contains(&f64::from(p)));
    if let Some((class, &value)) = bad.and_then(|class| Some((class, row.get(class)?))) {
        return Err(SelectorError::NotAProbability { sample: sample.clone(), class, value });
    }
    let sum: f64 = row.iter().copied().map(f64::from).sum();
    if (sum - 1.0).abs() > SUM_TOLERANCE {
        return Err(SelectorError::NotADistribution { sample: sample.clone(), sum });
    }
    Ok(())
}

/// The highest and the second highest probability (0 where there is one class).
fn best_two(row: &[f32]) -> (f64, f64) {
    let (mut first, mut second) = (0.0_f64, 0.0_f64);
    for p in row.iter().copied().map(f64::from) {
        if p > first {
            (first, second) = (p, first);
        } else if p > second {
            second = p;
        }
    }
    (first, second)
}

/// `1 - p(best)`; in [0, 1 - 1/k] for k classes.
fn least_confidence(row: &[f32]) -> f64 {
    1.0 - best_two(row).0
}

/// `1 - (p(best) - p(second))`; in [0, 1]. T. Scheffer, C. Decomain and S. Wrobel (2001), "Active hidden Markov models for
/// information extraction", IDA; turned round so that higher is more uncertain.
fn margin(row: &[f32]) -> f64 {
    let (first, second) = best_two(row);
    1.0 - (first - second)
}

/// `-sum p ln p` in nats, 0 ln 0 being 0; in [0, ln k] for k classes. C. E. Shannon (1948), "A mathematical theory of
/// communication". The logarithm is libm's, the same on every machine.
fn entropy(row: &[f32]) -> f64 {
    row.iter()
        .copied()
        .map(f64::from)
        .filter(|&p| p > 0.0)
        .fold(0.0, |sum, p| sum - p * libm::log(p))
}
