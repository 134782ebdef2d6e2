//! The highest scores of a pool that is seen in pieces: memory depends on the batch, not on the pool.

use super::strategy::{Chosen, Scores};
use super::{SelectorError, View};
use rayon::prelude::*;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// Candidates whose scores one thread works out at a time. Of a pool of 10 classes that is 1.3 MB: it stays in the cache.
const PIECE: usize = 32 * 1024;
/// Pieces under way before their scores are handed on: enough for any number of threads, little beside a pool.
const PIECES: usize = 64;

/// A candidate in the heap; a greater one is better.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Ranked {
    score: f64,
    index: usize,
}

impl Eq for Ranked {}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        // Scores are finite and never -0, so this order is total; of equal scores the lower index is better.
        self.score.total_cmp(&other.score).then(other.index.cmp(&self.index))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The `count` highest of what was offered.
pub(super) struct TopK {
    count: usize,
    heap: BinaryHeap<Reverse<Ranked>>,
}

impl TopK {
    pub(super) fn new(count: usize) -> Self {
        Self { count, heap: BinaryHeap::new() }
    }

    pub(super) fn offer(&mut self, index: usize, score: f64) {
        let offered = Ranked { score: score + 0.0, index }; // -0 + 0 is 0
        if self.heap.len() < self.count {
            self.heap.push(Reverse(offered));
        } else if let Some(mut worst) = self.heap.peek_mut()
            && offered > worst.0
        {
            *worst = Reverse(offered);
        }
    }

    fn merge(&mut self, other: Self) {
        other.heap.into_iter().for_each(|Reverse(ranked)| self.offer(ranked.index, ranked.score));
    }

    /// The best first.
    pub(super) fn into_sorted(self) -> Vec<Chosen> {
        let sorted = self.heap.into_sorted_vec().into_iter();
        sorted
            .map(|Reverse(Ranked { index, score })| Chosen { index, score, probability: None })
            .collect()
    }
}

/// The `count` candidates with the highest scores, best first. `keep` is given every score, in the order of candidates.
///
/// Takes `O(n log count)` time, and memory for `count` candidates and a few pieces, on any number of threads.
///
/// # Errors
/// Those of `scores`, and [`SelectorError::Score`] for a score that is not finite; the lowest candidate's counts.
pub fn top_k(
    view: &View<'_>,
    scores: &Scores<'_>,
    count: usize,
    keep: Option<&mut dyn FnMut(&[f64]) -> Result<(), SelectorError>>,
) -> Result<Vec<Chosen>, SelectorError> {
    let candidates = view.len();
    let pieces: Vec<usize> = (0..candidates.div_ceil(PIECE)).collect();
    let mut best = TopK::new(count);
    let mut keep = keep;
    for window in pieces.chunks(PIECES) {
        let keeping = keep.is_some();
        let found: Vec<Result<(TopK, Vec<f64>), SelectorError>> = window
            .par_iter()
            .map(|piece| {
                let first = piece * PIECE;
                let scores = scores(first..(first + PIECE).min(candidates))?;
                let mut top = TopK::new(count);
                for (index, &score) in (first..).zip(&scores) {
                    if !score.is_finite() {
                        return Err(SelectorError::Score { sample: view.sample(index), score });
                    }
                    top.offer(index, score);
                }
                Ok((top, if keeping { scores } else { Vec::new() }))
            })
            .collect();
        for piece in found {
            let (top, scores) = piece?;
            best.merge(top);
            if let Some(keep) = &mut keep {
                keep(&scores)?;
            }
        }
    }
    Ok(best.into_sorted())
}
