//! Herding: cover the pool in a soft sense, each sample by the picked one that is most like it.

use super::pairs::{self, Columns, LANES};
use super::simd::wide;
use super::strategy::{Chosen, Needs, Picks, Plan, Strategy};
use super::{SelectorError, View};
use rayon::prelude::*;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

/// Candidates whose distances make the default bandwidth.
const SPREAD: usize = 1000;
/// Stale gains that are worked out anew together.
const BLOCK: usize = 64;

/// Greedy maximisation of the generalised coverage `sum_x u(x) max_s k(x, s)` over candidates x, where s walks over what is
/// labelled and picked, and `k(x, s) = exp(-|x - s|^2 / bandwidth^2)`.
///
/// * `max_herding`: `u(x) = 1`. Bae, Noh and Sutherland (2024), "Generalized coverage for more robust low-budget active
///   learning", arXiv 2407.12212. `bandwidth` is by default the median distance between up to 1,000 candidates spread evenly
///   over the pool, where the paper sets 1 for features of length 1.
/// * `uncertainty_herding`: u is the margin score. Bae, Oliveira and Sutherland (2025), "Uncertainty herding: one active
///   learning method for all label budgets", arXiv 2412.20644. Of the paper's two adaptations the radius is followed: the
///   bandwidth is the least distance between two labelled samples that differ, and that of `max_herding` while there are no
///   two. Its temperature is followed where the workflow calibrates: probabilities are scaled on the validation split, not
///   on a split of the labelled set.
///
/// Similarities are rounded to multiples of 2^-20 and uncertainties to multiples of 2^-12. Sums of so coarse numbers are
/// exact for up to two million candidates, in any order: so gains may be corrected by what changed instead of summed anew, ties
/// are true ties (the lower index), and no number of threads can matter. The result is that of plain greedy. The
/// exponential is our own polynomial, off by less than 1e-6.
///
/// `O(n^2 d)` for the first gains. Gains never grow, so later ones are only worked out for candidates that may be the best
/// (Minoux 1978), from the samples that are covered better since: at most `O(n^2 d log batch)` in practice, all threads.
/// Memory for two copies of the embeddings; no n x n table. The score is the gain by the number of candidates.
///
/// Needs an embedding, also of the labelled samples (and probabilities, with uncertainty). Use `max_herding` while labels are
/// few, `uncertainty_herding` at any budget. Not for pools of a million: the time is quadratic; filter first.
pub(super) struct Herding {
    pub(super) output: String,
    pub(super) bandwidth: Option<f64>,
    /// Whose scores in [0, 1] weigh the samples.
    pub(super) uncertainty: Option<Box<dyn Strategy>>,
}

impl Strategy for Herding {
    fn needs(&self) -> Needs {
        let inner = self.uncertainty.as_ref().map_or_else(Needs::nothing, |inner| inner.needs());
        inner.and_labelled(&self.output)
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, count: usize) -> Result<Plan<'v>, SelectorError> {
        let (points, cols) = pairs::candidates(view, &self.output, false)?;
        let labelled = pairs::labelled(view, &self.output, false)?;
        let weights = self.weights(view, count)?;
        let (bandwidth, how) = match self.bandwidth {
            Some(bandwidth) => (bandwidth, "as set"),
            None => self.fit(&points, &labelled, cols),
        };
        let kernel = Kernel::new(bandwidth);
        let mut coverage = Coverage::new(&points, cols, kernel, &weights);
        for sample in labelled.chunks_exact(cols) {
            coverage.cover(sample);
        }
        let chosen = greedy(&mut coverage, count);
        let mut remarks = BTreeMap::new();
        remarks.insert("bandwidth".to_owned(), format!("{bandwidth} ({how})"));
        Ok(Plan::Picks(Picks { chosen, remarks }))
    }
}

impl Herding {
    /// How much each candidate counts, in multiples of 2^-12.
    fn weights(&self, view: &View<'_>, count: usize) -> Result<Vec<f64>, SelectorError> {
        let Some(inner) = &self.uncertainty else { return Ok(vec![1.0; view.len()]) };
        let Plan::Scores(scores) = inner.plan(view, count)? else {
            return Err(SelectorError::Strategy {
                strategy: "uncertainty_herding".to_owned(),
                problem: "its uncertainty scores no candidates".to_owned(),
            });
        };
        let scores = scores(0..view.len())?;
        Ok(scores.iter().map(|u| (u * 4096.0).round() / 4096.0).collect())
    }

    fn fit(&self, points: &[f32], labelled: &[f32], cols: usize) -> (f64, &'static str) {
        if self.uncertainty.is_some() {
            let columns = Columns::new(labelled.chunks_exact(cols), cols);
            let least = labelled
                .par_chunks_exact(cols)
                .map(|row| columns.each(row).filter(|&d| d > 0.0).fold(f32::INFINITY, f32::min))
                .reduce(|| f32::INFINITY, f32::min);
            if least.is_finite() {
                return (f64::from(least).sqrt(), "the least distance between labelled samples");
            }
        }
        let rows: Vec<&[f32]> = points.chunks_exact(cols).collect();
        let some: Vec<&[f32]> = pairs::spread(rows.len(), SPREAD)
            .filter_map(|index| rows.get(index).copied())
            .collect();
        let columns = Columns::new(some.iter().copied(), cols);
        let mut distances: Vec<f32> =
            some.iter().flat_map(|row| columns.each(row)).filter(|&d| d > 0.0).collect();
        let middle = distances.len() / 2;
        if distances.is_empty() {
            return (1.0, "all candidates are equal");
        }
        let (_, median, _) = distances.select_nth_unstable_by(middle, f32::total_cmp);
        (f64::from(*median).sqrt(), "the median distance")
    }
}

/// `exp(-d / bandwidth^2)` of a squared distance d, rounded to a multiple of 2^-20.
#[derive(Clone, Copy)]
struct Kernel {
    /// `log2(e) / bandwidth^2`.
    scale: f32,
}

impl Kernel {
    fn new(bandwidth: f64) -> Self {
        let scale = std::f64::consts::LOG2_E / (bandwidth * bandwidth);
        #[expect(clippy::cast_possible_truncation, reason = "clamped to what an f32 holds")]
        Self { scale: scale.clamp(f64::from(f32::MIN_POSITIVE), f64::from(f32::MAX)) as f32 }
    }

    /// `2^-x` is `2^-n 2^f` with a whole n and f in [-1/2, 1/2]; the latter is the Taylor polynomial of `e^(f ln 2)` of
    /// degree 6. Only sums and products, in one order: no library's exponential, none that differs between machines.
    #[inline(always)]
    fn of(self, squared: f32) -> f32 {
        /// Adding it to a small number rounds that to a whole one, which then stands in the lowest bits.
        const ROUND: f32 = 12_582_912.0;
        // Below 2^-30 all is 0 after rounding.
        let x = -(squared * self.scale).min(30.0);
        let rounded = x + ROUND;
        let f = x - (rounded - ROUND);
        let mut p = 1.540_353e-4_f32;
        for c in
            [1.333_355_8e-3, 9.618_129e-3, 5.550_411e-2, 2.402_265e-1, std::f32::consts::LN_2, 1.0]
        {
            p = p * f + c;
        }
        let power = f32::from_bits((rounded.to_bits() << 23).wrapping_add(127 << 23));
        ((p * power).min(1.0) + 8.0) - 8.0
    }
}

/// Samples that a pick covers better than before, and how well before and after.
struct Change {
    columns: Columns,
    before: Vec<f32>,
    after: Vec<f32>,
    weights: Vec<f64>,
}

impl Change {
    /// How much less a candidate would add.
    #[inline(always)]
    fn lost(&self, kernel: Kernel, point: &[f32]) -> f64 {
        let mut sums = [0.0_f64; LANES];
        let lanes = self.before.as_chunks::<LANES>().0.iter();
        let lanes = lanes.zip(self.after.as_chunks::<LANES>().0);
        let lanes = lanes.zip(self.weights.as_chunks::<LANES>().0);
        for (distances, ((before, after), weights)) in self.columns.distances(point).zip(lanes) {
            let mut losses = [0.0_f32; LANES];
            let each = losses.iter_mut().zip(&distances).zip(before.iter().zip(after));
            for ((loss, &squared), (before, after)) in each {
                let k = kernel.of(squared);
                *loss = (k - before).max(0.0) - (k - after).max(0.0);
            }
            for ((sum, &loss), weight) in sums.iter_mut().zip(&losses).zip(weights) {
                *sum += f64::from(loss) * weight;
            }
        }
        sums.iter().sum()
    }
}

/// How well each candidate is covered.
struct Coverage<'p> {
    points: &'p [f32],
    cols: usize,
    kernel: Kernel,
    columns: Columns,
    /// For each candidate, its similarity to the most similar pick; 1 in the lanes past the last, where nothing is gained.
    covered: Vec<f32>,
    weights: Vec<f64>,
    /// The latest changes, the oldest first; never more samples than candidates, for then a new sum is no dearer.
    changes: VecDeque<Change>,
    changed: usize,
    /// How many covers there were.
    now: usize,
}

impl<'p> Coverage<'p> {
    fn new(points: &'p [f32], cols: usize, kernel: Kernel, weights: &[f64]) -> Self {
        let columns = Columns::new(points.chunks_exact(cols), cols);
        let lanes = columns.rows().div_ceil(LANES) * LANES;
        let mut covered = vec![0.0; columns.rows()];
        covered.resize(lanes, 1.0);
        let mut weights = weights.to_vec();
        weights.resize(lanes, 0.0);
        let changes = VecDeque::new();
        Self { points, cols, kernel, columns, covered, weights, changes, changed: 0, now: 0 }
    }

    fn point(&self, index: usize) -> &'p [f32] {
        self.points.get(index * self.cols..(index + 1) * self.cols).unwrap_or_default()
    }

    /// What a pick would add, all candidates looked at.
    fn gain(&self, point: &[f32]) -> f64 {
        wide(
            #[inline(always)]
            || {
                let mut sums = [0.0_f64; LANES];
                let lanes = self.covered.as_chunks::<LANES>().0.iter();
                let lanes = lanes.zip(self.weights.as_chunks::<LANES>().0);
                for (distances, (covered, weights)) in self.columns.distances(point).zip(lanes) {
                    let mut gains = [0.0_f32; LANES];
                    for ((gain, &squared), covered) in gains.iter_mut().zip(&distances).zip(covered)
                    {
                        *gain = (self.kernel.of(squared) - covered).max(0.0);
                    }
                    for ((sum, &gain), weight) in sums.iter_mut().zip(&gains).zip(weights) {
                        *sum += f64::from(gain) * weight;
                    }
                }
                sums.iter().sum()
            },
        )
    }

    /// What it would add now, if it was `gain` after the first `since` covers.
    fn refreshed(&self, point: &[f32], gain: f64, since: usize) -> f64 {
        let passed = self.now - since;
        if passed > self.changes.len() {
            return self.gain(point);
        }
        let changes = self.changes.iter().skip(self.changes.len() - passed);
        let lost = changes.map(|change| {
            wide(
                #[inline(always)]
                || change.lost(self.kernel, point),
            )
        });
        gain - lost.sum::<f64>()
    }

    /// Covers what is like this point.
    fn cover(&mut self, point: &[f32]) {
        let kernel = self.kernel;
        let similar: Vec<f32> =
            self.columns.each(point).map(|squared| kernel.of(squared)).collect();
        let better = similar.iter().zip(&self.covered).enumerate();
        let better: Vec<usize> =
            better.filter(|(_, (k, covered))| k > covered).map(|(index, _)| index).collect();
        let columns = Columns::new(better.iter().map(|&index| self.point(index)), self.cols);
        // Lanes past the last weigh nothing.
        let padded = better.len().div_ceil(LANES) * LANES;
        let mut change = Change {
            columns,
            before: Vec::with_capacity(padded),
            after: Vec::with_capacity(padded),
            weights: Vec::with_capacity(padded),
        };
        for index in better {
            let (Some(covered), Some(&after), Some(&weight)) =
                (self.covered.get_mut(index), similar.get(index), self.weights.get(index))
            else {
                continue;
            };
            change.before.push(*covered);
            change.after.push(after);
            change.weights.push(weight);
            *covered = after;
        }
        change.before.resize(padded, 1.0);
        change.after.resize(padded, 1.0);
        change.weights.resize(padded, 0.0);
        self.now += 1;
        self.changed += change.columns.rows();
        self.changes.push_back(change);
        while self.changed > self.columns.rows()
            && let Some(oldest) = self.changes.pop_front()
        {
            self.changed -= oldest.columns.rows();
        }
    }
}

/// A candidate whose gain was worked out when there were so many covers; a greater one is better.
#[derive(Clone, Copy)]
struct Waiting {
    gain: f64,
    index: usize,
    since: usize,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        self.gain.total_cmp(&other.gain).then(other.index.cmp(&self.index))
    }
}

/// The candidate of the highest gain, again and again; of equal gains the lower index.
fn greedy(coverage: &mut Coverage<'_>, count: usize) -> Vec<Chosen> {
    let rows = coverage.columns.rows();
    let since = coverage.now;
    let first = (0..rows).into_par_iter();
    let first: Vec<Waiting> = first
        .map(|index| Waiting { gain: coverage.gain(coverage.point(index)), index, since })
        .collect();
    let mut heap = BinaryHeap::from(first);
    let mut chosen = Vec::with_capacity(count);
    while chosen.len() < count {
        let mut stale = Vec::with_capacity(BLOCK);
        while stale.len() < BLOCK && heap.peek().is_some_and(|top| top.since < coverage.now) {
            stale.extend(heap.pop());
        }
        if stale.is_empty() {
            // Up to date, and no other can have more: a stale gain only falls.
            let Some(Waiting { gain, index, .. }) = heap.pop() else { break };
            #[expect(clippy::cast_precision_loss, reason = "a count of candidates")]
            let score = gain / rows as f64;
            chosen.push(Chosen { index, score, probability: None });
            if chosen.len() < count {
                coverage.cover(coverage.point(index));
            }
            continue;
        }
        let now = coverage.now;
        let anew: Vec<Waiting> = stale
            .par_iter()
            .map(|&Waiting { gain, index, since }| {
                let gain = coverage.refreshed(coverage.point(index), gain, since);
                Waiting { gain, index, since: now }
            })
            .collect();
        heap.extend(anew);
    }
    chosen
}

#[cfg(test)]
#[path = "herding/tests.rs"]
mod tests;
