//! The same number of each predicted class.

use super::inner::{Inner, remark};
use super::strategy::{Chosen, Needs, Picks, Plan, Strategy};
use super::top_k::TopK;
use super::{SelectorError, View};
use crate::domain::strategy::StrategySpec;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Candidates that one thread looks at at a time, and how many such pieces are under way.
const PIECE: usize = 32 * 1024;
const PIECES: usize = 64;

/// `class_balanced(inner)`: the batch is shared out evenly over the classes that the model predicts (its highest
/// probability; the lower class of equal ones), and within a class the inner strategy's (margin's) highest scores are
/// picked.
///
/// Shares are equal up to one: each class in turn gives its next best, again and again, until the batch is full. A class
/// with too few samples gives what it has, and the rest is spread over the others. Where the last turn does not reach every
/// class, those with the fewest labels go first, then the lower ones; so over cycles none is always left out.
///
/// Source: stratified sampling with equal shares, the strata being predicted classes. J. Z. Bengar et al. (2022),
/// "Class-balanced active learning for image classification", arXiv:2110.04543, show that balance helps on imbalanced
/// pools, and reach it by an optimisation over probabilities with a weight to tune; we follow the idea, not that algorithm,
/// because shares can be checked by counting.
///
/// `O(n log count)`, memory for a batch of each class. Needs `probabilities` and what the inner strategy needs; it must
/// score. Use it where some classes are rare and the model already finds them. Not where a rare class is rare for good
/// reason, or where the model's classes are mostly wrong.
pub(super) struct ClassBalanced {
    inner: Inner,
}

impl ClassBalanced {
    pub(super) fn new(spec: &StrategySpec) -> Result<Self, SelectorError> {
        Ok(Self { inner: Inner::of(spec, 0, "margin")? })
    }
}

impl Strategy for ClassBalanced {
    fn version(&self) -> u32 {
        self.inner.version()
    }

    fn needs(&self) -> Needs {
        self.inner.needs().and_output("probabilities")
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, count: usize) -> Result<Plan<'v>, SelectorError> {
        let scores = self.inner.scores(view, count, "class_balanced")?;
        let classes = view.output("probabilities")?.rows.cols();
        let mut best: Vec<TopK> = (0..classes).map(|_| TopK::new(count)).collect();
        let pieces: Vec<usize> = (0..view.len()).step_by(PIECE).collect();
        for window in pieces.chunks(PIECES) {
            let found: Vec<Result<_, SelectorError>> = window
                .par_iter()
                .map(|&first| {
                    let piece = first..(first + PIECE).min(view.len());
                    Ok((first, predicted(view, piece.clone(), classes)?, scores(piece)?))
                })
                .collect();
            for piece in found {
                let (first, predicted, scores) = piece?;
                for (index, (class, score)) in (first..).zip(predicted.into_iter().zip(scores)) {
                    if !score.is_finite() {
                        return Err(SelectorError::Score { sample: view.sample(index), score });
                    }
                    if let Some(best) = best.get_mut(class) {
                        best.offer(index, score);
                    }
                }
            }
        }
        let mut turns: Vec<(usize, usize, std::vec::IntoIter<Chosen>)> = (0..)
            .zip(best)
            .map(|(class, best)| (labels_of(view, class), class, best.into_sorted().into_iter()))
            .collect();
        turns.sort_by_key(|&(labels, class, _)| (labels, class));
        let mut picks = Picks::default();
        let mut taken: BTreeMap<usize, usize> = BTreeMap::new();
        while picks.chosen.len() < count {
            let before = picks.chosen.len();
            for (_, class, best) in &mut turns {
                if picks.chosen.len() < count
                    && let Some(chosen) = best.next()
                {
                    picks.chosen.push(chosen);
                    *taken.entry(*class).or_default() += 1;
                }
            }
            if picks.chosen.len() == before {
                break;
            }
        }
        let shares: Vec<String> = taken.iter().map(|(class, n)| format!("{class}: {n}")).collect();
        remark(&mut picks.remarks, "class_balanced", shares.join(", "));
        Ok(Plan::Picks(picks))
    }
}

/// How many labelled samples are of a class.
fn labels_of(view: &View<'_>, class: usize) -> usize {
    view.labelled.classes.iter().filter(|&&label| usize::try_from(label) == Ok(class)).count()
}

/// The predicted class of each candidate of a piece.
fn predicted(
    view: &View<'_>,
    piece: std::ops::Range<usize>,
    classes: usize,
) -> Result<Vec<usize>, SelectorError> {
    let values = view.read("probabilities", piece.clone())?;
    view.check_finite("probabilities", piece.start, classes, &values)?;
    let highest = |row: &[f32]| {
        let first = (0, f32::NEG_INFINITY);
        (0..).zip(row).fold(first, |best, (class, &p)| if p > best.1 { (class, p) } else { best }).0
    };
    Ok(values.chunks_exact(classes.max(1)).map(highest).collect())
}

#[cfg(test)]
mod tests {
    use crate::data_selector::test_support::{distributions, ids, picks, probabilities, select_by};
    use quickcheck::quickcheck;

    /// One pick at a time, from the class with the fewest picks so far that has any left.
    fn by_hand(scores: &[f64], classes: &[usize], labels: &[u32], batch: usize) -> Vec<usize> {
        let mut chosen: Vec<usize> = vec![];
        while chosen.len() < batch {
            let left = |class| (0..scores.len()).filter(move |&i| classes[i] == class);
            let next = (0..3)
                .filter(|&class| left(class).any(|i| !chosen.contains(&i)))
                .min_by_key(|&class| {
                    let taken = chosen.iter().filter(|&&i| classes[i] == class).count();
                    let labels = labels.iter().filter(|&&l| l as usize == class).count();
                    (taken, labels, class)
                });
            let Some(class) = next else { break };
            let best = left(class)
                .filter(|i| !chosen.contains(i))
                .max_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(b.cmp(&a)));
            chosen.push(best.unwrap());
        }
        chosen
    }

    quickcheck! {
        fn shares_are_even_and_the_best_of_each_class_are_picked(
            bytes: Vec<(u8, u8, u8)>, labels: Vec<u8>, batch: u8
        ) -> bool {
            if bytes.is_empty() {
                return true;
            }
            let (candidates, p) = (ids(bytes.len()), distributions(&bytes));
            let mut view = probabilities(&candidates, &p);
            let labels: Vec<u32> = labels.iter().map(|&l| u32::from(l % 3)).collect();
            view.labelled.classes = labels.clone().into();
            let batch = (usize::from(batch % 12) + 1).min(bytes.len());
            let scores = select_by("margin", &view, 1, 0).unwrap().1;
            let classes: Vec<usize> = p.iter_rows().map(|row| {
                (0..3).find(|&c| row.iter().all(|&other| row[c] >= other)).unwrap()
            }).collect();
            picks("class_balanced", &view, batch) == by_hand(&scores, &classes, &labels, batch)
        }
    }

    #[test]
    fn one_class_only_gives_the_inner_strategys_batch() {
        let (candidates, p) = (ids(3), distributions(&[(9, 1, 1), (9, 5, 1), (9, 7, 1)]));
        let view = probabilities(&candidates, &p);
        let (found, _) = select_by("class_balanced(entropy)", &view, 2, 0).unwrap();
        assert_eq!(found.parameters["class_balanced"], "0: 2");
        assert_eq!(picks("class_balanced(entropy)", &view, 2), picks("entropy", &view, 2));
    }
}
