//! Labels that a model has reason to doubt: confident learning.
//!
//! C. G. Northcutt, L. Jiang and I. L. Chuang, "Confident learning: estimating uncertainty in dataset labels", arXiv
//! 1911.00068. From labels as given and the probabilities of a model **that did not train on them** (cross-validation, or a
//! model of an earlier cycle), it estimates how given and true labels go together:
//!
//! 1. a class's *threshold* is the mean probability of that class over the samples labelled with it: how sure the model
//!    usually is, so that a timid or an overconfident class is judged by its own standard;
//! 2. the *confident joint* counts, for each given and each other class, the samples that reach the other class's
//!    threshold; one that reaches several counts for the most probable of them, one that reaches none does not count;
//! 3. *calibrated*, each row is scaled to the number of labels that were given, and the whole to 1;
//! 4. *suspects* are the samples counted off the diagonal.
//!
//! It assumes that which labels are wrong depends on the class, not on the sample; where some samples are hard for everybody,
//! suspects are hard ones as well as wrong ones. A suspect is a question to an annotator, not a correction.

use super::error::QualityError;
use super::square::Square;
use super::votes::highest;
use crate::domain::ids::SampleId;
use crate::domain::matrix::Matrix;
use crate::metrics::share;
use std::cmp::Ordering;

/// How far from 1 the sum of a row may be: probabilities travel as `f32`.
const SUM_TOLERANCE: f64 = 1e-3;

/// How given and true labels go together, and which labels look wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelNoise<'a> {
    /// For each class, the mean probability of it over the samples labelled with it; `None` where nobody used the label,
    /// and then no sample is held to be of that class.
    pub thresholds: Vec<Option<f64>>,
    /// How often a sample labelled as the row's class is confidently of the column's.
    pub counts: Vec<Vec<u64>>,
    /// The share of all samples labelled as the row's class and truly of the column's; sums to 1 unless there are no
    /// samples. Each row sums to the share of its label.
    pub joint: Square,
    /// How many samples there are.
    pub samples: u64,
    /// Labels that look wrong, by the name of the sample.
    pub suspects: Vec<Suspect<'a>>,
}

/// A label that looks wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Suspect<'a> {
    /// Of which sample.
    pub sample: &'a SampleId,
    /// The class it is labelled with.
    pub given: u32,
    /// The class that the model is confident of instead.
    pub likely: u32,
    /// The model's probability of the given class, in [0, 1].
    pub self_confidence: f64,
    /// `(1 + p(given) - p(the best other class)) / 2`, in [0, 1]; below 1/2 the model would have labelled otherwise.
    pub margin: f64,
}

/// By what suspects are ranked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ranking {
    /// The lowest normalised margin first: best where the model finds one other class likely.
    Margin,
    /// The lowest probability of the given label first: counts doubt that is spread over many classes as well.
    SelfConfidence,
}

impl LabelNoise<'_> {
    /// The estimated share of wrong labels, in [0, 1].
    #[must_use]
    pub fn error_rate(&self) -> f64 {
        if self.samples == 0 { 0.0 } else { (1.0 - self.joint.trace()).clamp(0.0, 1.0) }
    }

    /// The estimated probability that a sample truly of class `truth` is labelled `given`; `None` where no sample is held
    /// to be of that class.
    #[must_use]
    pub fn given_if(&self, given: usize, truth: usize) -> Option<f64> {
        let all: f64 = (0..self.joint.classes()).map(|row| self.joint.at(row, truth)).sum();
        (all > 0.0).then(|| self.joint.at(given, truth) / all)
    }

    /// The estimated probability that a sample labelled `given` is truly of class `truth`; `None` where nobody used the
    /// label.
    #[must_use]
    pub fn truth_if(&self, truth: usize, given: usize) -> Option<f64> {
        let all: f64 = self.joint.row(given).iter().sum();
        (all > 0.0).then(|| self.joint.at(given, truth) / all)
    }
}

impl<'a> LabelNoise<'a> {
    /// The suspects, worst first; equals by the name of their sample.
    #[must_use]
    pub fn ranked(&self, by: Ranking) -> Vec<Suspect<'a>> {
        let worse = |a: &Suspect<'_>, b: &Suspect<'_>| -> Ordering {
            match by {
                Ranking::Margin => a.margin.total_cmp(&b.margin),
                Ranking::SelfConfidence => a.self_confidence.total_cmp(&b.self_confidence),
            }
        };
        let mut ranked = self.suspects.clone();
        // A stable sort: they are in the order of names.
        ranked.sort_by(worse);
        ranked
    }
}

/// Confronts `labels` with what a model that did not train on them makes of the same samples: a row of `probabilities` for
/// each label, in the same order, a column for each class. Any order gives the same result, bit for bit. Takes
/// `O(n log n + nk)` for n samples of k classes.
///
/// # Errors
/// [`QualityError::Classes`] unless there are at least two columns; [`QualityError::RowsDiffer`] unless there are as many
/// rows as labels; [`QualityError::LabelledTwice`] for a sample with two labels; [`QualityError::LabelOutside`] for a label
/// without a column; [`QualityError::NotAProbability`] for NaN or a number outside [0, 1];
/// [`QualityError::NotADistribution`] for a row that does not sum to 1 within 0.001.
pub fn confident<'a>(
    labels: &[(&'a SampleId, u32)],
    probabilities: &Matrix,
) -> Result<LabelNoise<'a>, QualityError> {
    let given = in_order(labels, probabilities)?;
    let classes = probabilities.cols();
    let thresholds = thresholds(&given, classes);
    let mut counts = vec![vec![0; classes]; classes];
    let mut of_label = vec![0_u64; classes];
    let mut suspects = Vec::new();
    for of in &given {
        if let Some(count) = of_label.get_mut(of.class) {
            *count += 1;
        }
        let Some(likely) = of.confidently(&thresholds) else { continue };
        if let Some(count) = counts.get_mut(of.class).and_then(|row| row.get_mut(likely)) {
            *count += 1;
        }
        if likely != of.class {
            suspects.extend(of.suspect(likely));
        }
    }
    let joint = calibrated(&counts, &of_label);
    Ok(LabelNoise { thresholds, counts, joint, samples: given.len() as u64, suspects })
}

/// A sample with its label and its row. Invariant: the class is below the row's length.
struct Given<'a, 'p> {
    sample: &'a SampleId,
    class: usize,
    row: &'p [f32],
}

/// Labels and rows by the name of the sample, checked.
fn in_order<'a, 'p>(
    labels: &[(&'a SampleId, u32)],
    probabilities: &'p Matrix,
) -> Result<Vec<Given<'a, 'p>>, QualityError> {
    let classes = probabilities.cols();
    let max = highest(classes)?;
    if labels.len() != probabilities.rows() {
        return Err(QualityError::RowsDiffer { labels: labels.len(), rows: probabilities.rows() });
    }
    let given = |(&(sample, class), row): (&(&'a SampleId, u32), &'p [f32])| {
        check(sample, row)?;
        let index = usize::try_from(class).ok().filter(|&index| index < classes);
        let outside = || QualityError::LabelOutside { sample: sample.clone(), class, max };
        Ok(Given { sample, class: index.ok_or_else(outside)?, row })
    };
    let mut all: Vec<Given<'a, 'p>> =
        labels.iter().zip(probabilities.iter_rows()).map(given).collect::<Result<_, _>>()?;
    all.sort_by_key(|of| of.sample);
    match all.iter().zip(all.iter().skip(1)).find(|(one, next)| one.sample == next.sample) {
        Some((twice, _)) => Err(QualityError::LabelledTwice { sample: twice.sample.clone() }),
        None => Ok(all),
    }
}

fn check(sample: &SampleId, row: &[f32]) -> Result<(), QualityError> {
    // The range leaves NaN out.
    if let Some((class, &value)) =
        row.iter().enumerate().find(|(_, value)| !(0.0..=1.0).contains(*value))
    {
        return Err(QualityError::NotAProbability { sample: sample.clone(), class, value });
    }
    let sum: f64 = row.iter().copied().map(f64::from).sum();
    if (sum - 1.0).abs() > SUM_TOLERANCE {
        let sample = sample.clone();
        return Err(QualityError::NotADistribution { sample, sum, tolerance: SUM_TOLERANCE });
    }
    Ok(())
}

/// For each class, the mean probability of it over the samples labelled with it. Sums of `f32` are exact in `f64` for as
/// many equal numbers as anybody has, so that samples which are all alike reach their mean.
fn thresholds(given: &[Given<'_, '_>], classes: usize) -> Vec<Option<f64>> {
    let mut sums = vec![(0.0, 0_u64); classes];
    for of in given {
        if let Some((sum, count)) = sums.get_mut(of.class) {
            *sum += of.probability(of.class);
            *count += 1;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of samples")]
    let mean = |(sum, count): (f64, u64)| (count > 0).then(|| sum / count as f64);
    sums.into_iter().map(mean).collect()
}

impl<'a> Given<'a, '_> {
    fn probability(&self, class: usize) -> f64 {
        self.row.get(class).copied().map_or(0.0, f64::from)
    }

    /// The most probable of the classes whose threshold it reaches, the lowest of equals.
    fn confidently(&self, thresholds: &[Option<f64>]) -> Option<usize> {
        let mut best: Option<(usize, f64)> = None;
        for (class, (&p, threshold)) in self.row.iter().zip(thresholds).enumerate() {
            let p = f64::from(p);
            let reached = threshold.is_some_and(|threshold| p >= threshold);
            if reached && best.is_none_or(|(_, highest)| p > highest) {
                best = Some((class, p));
            }
        }
        best.map(|(class, _)| class)
    }

    fn suspect(&self, likely: usize) -> Option<Suspect<'a>> {
        let other = |(class, &p): (usize, &f32)| (class != self.class).then_some(f64::from(p));
        let best_other = self.row.iter().enumerate().filter_map(other).fold(0.0, f64::max);
        let self_confidence = self.probability(self.class);
        Some(Suspect {
            sample: self.sample,
            given: u32::try_from(self.class).ok()?,
            likely: u32::try_from(likely).ok()?,
            self_confidence,
            margin: (1.0 + self_confidence - best_other) / 2.0,
        })
    }
}

/// The confident joint, scaled so that each row has its label's share of all samples. No row of a label that was used is
/// empty: the sample with the highest probability of its label reaches the mean.
fn calibrated(counts: &[Vec<u64>], of_label: &[u64]) -> Square {
    let all: u64 = of_label.iter().sum();
    Square::of(counts.len(), |given, truth| {
        let labelled = share(of_label.get(given).copied().unwrap_or(0), all);
        let row = counts.get(given).map_or(&[][..], Vec::as_slice);
        labelled * share(row.get(truth).copied().unwrap_or(0), row.iter().sum())
    })
}

#[cfg(test)]
mod tests;
