//! Samples with several labels each: the model gives an independent probability for every label, in output
//! `probabilities`; they need not sum to 1.

use super::distribution::{check_each, surprise};
use super::strategy::{Needs, Plan, Strategy};
use super::{SelectorError, View, in_memory_scores};
use std::collections::BTreeMap;

/// How the labels of a sample are taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pooled {
    Mean,
    Max,
}

/// The mean (or, `pool=max`, the highest) over labels of the binary entropy `-p ln p - (1-p) ln(1-p)`; in [0, ln 2].
///
/// B. Settles (2009), section 3.1, entropy, label by label; the mean is what binary relevance makes of it (O. Reyes,
/// C. Morell and S. Ventura (2018), "Effective active learning strategy for multi-label learning", Neurocomputing 273,
/// section 2, review both). `O(nk)` for n candidates and k labels, memory for the batch. The mean finds samples that are
/// unclear as a whole; the highest finds any that has one unclear label, and suits many labels of which few apply.
pub(super) struct MultilabelEntropy(pub(super) Pooled);

impl Strategy for MultilabelEntropy {
    fn needs(&self) -> Needs {
        Needs::output("probabilities")
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, _: usize) -> Result<Plan<'v>, SelectorError> {
        let labels = view.output("probabilities")?.rows.cols();
        Ok(Plan::scores(move |rows| {
            let values = view.read("probabilities", rows.clone())?;
            rows.zip(values.chunks_exact(labels))
                .map(|(index, row)| {
                    check_each(|| view.sample(index), row)?;
                    let each = row.iter().map(|&p| binary_entropy(p));
                    #[expect(clippy::cast_precision_loss, reason = "labels are few")]
                    Ok(match self.0 {
                        Pooled::Mean => each.sum::<f64>() / row.len() as f64,
                        Pooled::Max => each.fold(0.0, f64::max),
                    })
                })
                .collect()
        }))
    }
}

/// `-p ln p - (1-p) ln(1-p)` of a probability, which may be off [0, 1] by a rounding.
pub(super) fn binary_entropy(p: f32) -> f64 {
    let p = f64::from(p).clamp(0.0, 1.0);
    surprise(p) + surprise(1.0 - p)
}

/// Category vector inconsistency and ranking of scores: samples whose labels are unclear, compared with other candidates,
/// and whose predicted label set is unlike those seen so far. The score is `s * v`, in [0, 1].
///
/// O. Reyes, C. Morell and S. Ventura (2018), "Effective active learning strategy for multi-label learning", Neurocomputing 273.
/// * `s`, the ranking: for each label, candidates are ranked by their margin `|p - (1-p)|`; `s` is the Borda count over labels,
///   `mean over labels of (candidates with a greater margin) / (n - 1)`. Candidates of equal margin share their rank, where
///   the paper breaks ties; with one candidate it is 1.
/// * `v`, the inconsistency: the mean over labelled samples of a distance between the predicted label set (`p > 1/2`) and
///   theirs: the normalised variation of information `(2 H(a,b) - H(a) - H(b)) / H(a,b)` of the two label vectors as
///   two-valued variables over the k labels; 0 where `H(a,b)` is 0 and the sets are equal, and 1 where they differ in
///   every label (which information alone cannot tell from being equal).
///
/// small-text's `CategoryVectorInconsistencyAndRanking` works out the entropies but then takes the normalised Hamming
/// distance, and uses positions of sorted candidates as ranks; we follow the paper.
///
/// `O(k n log n)` for the ranking, `O(k)` for each pair of different predicted and labelled sets; memory of `8 (k + 1)`
/// bytes a candidate. It needs the label sets of labelled samples: use [`MultilabelEntropy`] before there are any.
pub(super) struct Cvirs;

impl Strategy for Cvirs {
    fn needs(&self) -> Needs {
        Needs::output("probabilities")
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, _: usize) -> Result<Plan<'v>, SelectorError> {
        let rows = &view.output("probabilities")?.rows;
        let (labels, values) = (rows.cols(), rows.read(0..view.len())?);
        for (index, row) in values.chunks_exact(labels).enumerate() {
            check_each(|| view.sample(index), row)?;
        }
        let labelled = label_sets(view, labels)?;
        let clarity = ranking(&values, labels);
        let mut known: BTreeMap<Vec<bool>, f64> = BTreeMap::new();
        let scores = values
            .chunks_exact(labels)
            .zip(clarity)
            .map(|(row, s)| {
                let set: Vec<bool> = row.iter().map(|&p| p > 0.5).collect();
                let v = known.entry(set).or_insert_with_key(|set| inconsistency(set, &labelled));
                s * *v
            })
            .collect();
        Ok(in_memory_scores(scores))
    }
}

/// How often each label set was given.
fn label_sets<'v>(
    view: &'v View<'_>,
    labels: usize,
) -> Result<BTreeMap<&'v [bool], f64>, SelectorError> {
    let mut sets: BTreeMap<&[bool], f64> = BTreeMap::new();
    for set in view.labelled.label_sets.iter() {
        if set.len() != labels {
            let (candidates, labelled) = (labels, set.len());
            let output = "labels".to_owned();
            return Err(SelectorError::Widths { output, candidates, labelled });
        }
        *sets.entry(set).or_default() += 1.0;
    }
    if sets.is_empty() {
        return Err(SelectorError::Missing {
            what: "the label sets of labelled samples",
            way_out: "use multilabel_entropy until there are any",
        });
    }
    Ok(sets)
}

/// The Borda count of each candidate.
fn ranking(values: &[f32], labels: usize) -> Vec<f64> {
    let n = values.len() / labels.max(1);
    #[expect(clippy::cast_precision_loss, reason = "counts of candidates")]
    let (others, of_labels) = (n.saturating_sub(1).max(1) as f64, labels as f64);
    let mut counts = vec![0.0; n];
    for label in 0..labels {
        let margin =
            |row: &[f32]| row.get(label).map_or(0.0, |&p| (2.0 * f64::from(p) - 1.0).abs());
        let margins: Vec<f64> = values.chunks_exact(labels).map(margin).collect();
        let mut sorted = margins.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        for (count, margin) in counts.iter_mut().zip(margins) {
            #[expect(clippy::cast_precision_loss, reason = "counts of candidates")]
            let greater = (n - sorted.partition_point(|&other| other <= margin)) as f64;
            *count += if n == 1 { 1.0 } else { greater / others };
        }
    }
    counts.into_iter().map(|count| count / of_labels).collect()
}

/// The mean distance between a predicted set and the labelled ones.
fn inconsistency(predicted: &[bool], labelled: &BTreeMap<&[bool], f64>) -> f64 {
    let (mut sum, mut samples) = (0.0, 0.0);
    for (set, times) in labelled {
        sum += times * distance(predicted, set);
        samples += times;
    }
    sum / samples
}

fn distance(a: &[bool], b: &[bool]) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "labels are few")]
    let count = |wanted: (bool, bool)| {
        a.iter().zip(b).filter(|&(&a, &b)| (a, b) == wanted).count() as f64 / a.len() as f64
    };
    let (both, only_a) = (count((true, true)), count((true, false)));
    let (only_b, neither) = (count((false, true)), count((false, false)));
    if both == 0.0 && neither == 0.0 {
        return 1.0;
    }
    let joint = [both, only_a, only_b, neither].map(surprise).into_iter().sum::<f64>();
    let of = |p: f64| surprise(p) + surprise(1.0 - p);
    if joint > 0.0 {
        ((2.0 * joint - of(both + only_a) - of(both + only_b)) / joint).clamp(0.0, 1.0)
    } else {
        0.0
    }
}

#[cfg(test)]
#[path = "multilabel/tests.rs"]
mod tests;
