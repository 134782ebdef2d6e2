//! Uncertainty sampling: label what the model is least sure of.
//!
//! D. D. Lewis and W. A. Gale (1994), "A sequential algorithm for training text classifiers", SIGIR; the measures as in
//! B. Settles (2009), "Active learning literature survey", section 3.1. Higher scores are more uncertain. For two
//! classes all of them rank alike. `O(nk)` for n candidates and k classes, memory for the batch.

use super::strategy::{Needs, Plan, Strategy};
use super::{SelectorError, View};
use crate::domain::ids::SampleId;

/// How far from 1 the sum of a row may be: probabilities travel as `f32`.
const SUM_TOLERANCE: f64 = 1e-3;

/// How uncertain a distribution is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Measure {
    LeastConfidence,
    Margin,
    Entropy,
    Ratio,
}

/// The most uncertain by a measure of the model's probabilities.
pub(super) struct Uncertainty {
    pub(super) measure: Measure,
    pub(super) calibrated: bool,
}

impl Strategy for Uncertainty {
    fn needs(&self) -> Needs {
        Needs { calibrated: self.calibrated, ..Needs::output("probabilities") }
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, _: usize) -> Result<Plan<'v>, SelectorError> {
        let classes = view.output("probabilities")?.rows.cols();
        let measure = match self.measure {
            Measure::LeastConfidence => least_confidence,
            Measure::Margin => margin,
            Measure::Entropy => entropy,
            Measure::Ratio => ratio,
        };
        Ok(Plan::scores(move |rows| {
            let values = view.read("probabilities", rows.clone())?;
            let rows = rows.zip(values.chunks_exact(classes));
            rows.map(|(index, row)| {
                check(|| view.sample(index), row)?;
                Ok(measure(row) + 0.0) // -0 + 0 is 0
            })
            .collect()
        }))
    }
}

/// A row must be a distribution.
pub(super) fn check(sample: impl Fn() -> SampleId, row: &[f32]) -> Result<(), SelectorError> {
    let tolerated = -SUM_TOLERANCE..=1.0 + SUM_TOLERANCE;
    let bad = row.iter().position(|&p| !tolerated.contains(&f64::from(p)));
    if let Some((class, &value)) = bad.and_then(|class| Some((class, row.get(class)?))) {
        return Err(SelectorError::NotAProbability { sample: sample(), class, value });
    }
    let sum: f64 = row.iter().copied().map(f64::from).sum();
    if (sum - 1.0).abs() > SUM_TOLERANCE {
        return Err(SelectorError::NotADistribution { sample: sample(), sum });
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

/// `p(second) / p(best)`; in [0, 1]. B. Settles (2009), section 3.1, as the ratio of confidence.
fn ratio(row: &[f32]) -> f64 {
    let (first, second) = best_two(row);
    second / first
}
