//! The highest scores of a pool that is seen in pieces: memory depends on the batch, not on the pool.

use super::strategy::{Chosen, Plan, Scores};
use super::{KeepScores, SelectorError, View};
use rayon::prelude::*;
use std::cmp::Ordering;
use std::sync::atomic::{self, AtomicU64};
use std::sync::{Mutex, PoisonError};

/// Candidates whose scores one thread works out at a time: their scores stay in its cache.
const PIECE: usize = 8 * 1024;
/// Pieces under way before their scores are handed on: enough for any number of threads, little beside a pool.
const PIECES: usize = 128;
/// Scores that are looked at together: almost never does one of them reach the batch.
const GLANCE: usize = 16;

/// A candidate among others; a greater one is better.
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

/// The `count` highest of what was offered, in whatever order.
///
/// What may still be among them is gathered until there is twice as much as asked for, and then cut in one go: each offer
/// takes constant time on average, which a heap does not.
pub(super) struct TopK {
    count: usize,
    gathered: Vec<Ranked>,
    /// The worst of `count` that were offered, once there were so many.
    worst: Option<Ranked>,
}

impl TopK {
    pub(super) const fn new(count: usize) -> Self {
        Self { count, gathered: Vec::new(), worst: None }
    }

    pub(super) fn offer(&mut self, index: usize, score: f64) {
        let offered = Ranked { score: score + 0.0, index }; // -0 + 0 is 0
        if self.worst.is_none_or(|worst| offered > worst) {
            self.gathered.push(offered);
            if self.gathered.len() >= self.count.saturating_mul(2).max(1024) {
                self.cut();
            }
        }
    }

    /// Keeps the `count` best.
    fn cut(&mut self) {
        let Some(last) = self.count.checked_sub(1) else { return self.gathered.clear() };
        if last < self.gathered.len() {
            let (_, worst, _) = self.gathered.select_nth_unstable_by(last, |a, b| b.cmp(a));
            self.worst = Some(*worst);
            self.gathered.truncate(self.count);
        }
    }

    /// The best first.
    pub(super) fn into_sorted(mut self) -> Vec<Chosen> {
        self.cut();
        self.gathered.sort_unstable_by(|a, b| b.cmp(a));
        let sorted = self.gathered.into_iter();
        sorted.map(|Ranked { index, score }| Chosen { index, score, probability: None }).collect()
    }
}

/// A [`TopK`] that many threads offer to. Who offers first changes what is looked at in vain, but not what is left.
struct Shared {
    best: Mutex<TopK>,
    /// The bits of a score that `count` others reach: whatever is lower is out.
    floor: AtomicU64,
}

impl Shared {
    fn new(count: usize) -> Self {
        let floor = AtomicU64::new(f64::NEG_INFINITY.to_bits());
        Self { best: Mutex::new(TopK::new(count)), floor }
    }

    /// Offers the scores of the candidates from `first` on.
    fn offer(&self, view: &View<'_>, first: usize, scores: &[f64]) -> Result<(), SelectorError> {
        // An old floor is a floor as well.
        let floor = f64::from_bits(self.floor.load(atomic::Ordering::Relaxed));
        let mut reach = Vec::new();
        for (start, glance) in (first..).step_by(GLANCE).zip(scores.chunks(GLANCE)) {
            // NaN is not below the floor, and -inf not above -inf. No early exit: so it is done on whole vectors.
            let out = glance
                .iter()
                .fold(true, |out, &score| out & (score < floor) & (score > f64::NEG_INFINITY));
            if out {
                continue;
            }
            for (index, &score) in (start..).zip(glance) {
                if !score.is_finite() {
                    return Err(SelectorError::Score { sample: view.sample(index), score });
                }
                if score >= floor {
                    reach.push((index, score));
                }
            }
        }
        if !reach.is_empty() {
            let mut best = self.best.lock().unwrap_or_else(PoisonError::into_inner);
            reach.into_iter().for_each(|(index, score)| best.offer(index, score));
            if best.worst.is_none() {
                best.cut();
            }
            if let Some(worst) = best.worst {
                // Only written under the lock, and the worst only gets better: so it never falls.
                self.floor.store(worst.score.to_bits(), atomic::Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

/// A plan of scores that are all known already.
pub(super) fn in_memory_scores<'v>(scores: Vec<f64>) -> Plan<'v> {
    Plan::scores(move |rows| Ok(scores.get(rows).unwrap_or_default().to_vec()))
}

/// The `count` candidates with the highest scores, best first. `keep` is given every score, in the order of candidates.
///
/// Takes `O(n)` time for most orders of scores, and memory for `count` candidates and a few pieces, on any number of
/// threads.
///
/// # Errors
/// Those of `scores`, and [`SelectorError::Score`] for a score that is not finite; the lowest candidate's counts.
pub fn top_k(
    view: &View<'_>,
    scores: &Scores<'_>,
    count: usize,
    keep: Option<KeepScores<'_>>,
) -> Result<Vec<Chosen>, SelectorError> {
    let candidates = view.len();
    let pieces: Vec<usize> = (0..candidates.div_ceil(PIECE)).collect();
    let best = Shared::new(count);
    let mut keep = keep;
    for window in pieces.chunks(PIECES) {
        let keeping = keep.is_some();
        let found: Vec<Result<Vec<f64>, SelectorError>> = window
            .par_iter()
            .map(|piece| {
                let first = piece * PIECE;
                let scores = scores(first..(first + PIECE).min(candidates))?;
                best.offer(view, first, &scores)?;
                Ok(if keeping { scores } else { Vec::new() })
            })
            .collect();
        for piece in found {
            let scores = piece?;
            if let Some(keep) = &mut keep {
                keep(&scores)?;
            }
        }
    }
    Ok(best.best.into_inner().unwrap_or_else(PoisonError::into_inner).into_sorted())
}
