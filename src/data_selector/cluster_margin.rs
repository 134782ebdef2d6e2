//! Cluster-Margin: the least certain samples, spread over clusters.

use super::diverse_mini_batch::{Kept, kept_count};
use super::pairs::Columns;
use super::strategy::{Chosen, Needs, Picks, Plan, Strategy};
use super::{SelectorError, View};
use std::collections::BTreeMap;

/// Of the uncertain, so many for each pick are clustered, where `keep` is not set.
pub(super) const KEEP: f64 = 10.0;
/// The most candidates that are clustered: their distances, half a matrix of doubles, take 268 MB.
const KEPT_MOST: usize = 8192;

/// The `keep * batch` candidates of the smallest margin are clustered by average linkage; then the clusters, the smallest
/// first, give their least certain sample in turn until the batch is full.
///
/// Citovsky et al. (2021), "Batch active learning at scale", arXiv 2107.14263, algorithm 2, with `keep` = 10. Where we differ:
///
/// * The paper clusters the whole pool once, before the first cycle. That is quadratic, and would be a result kept outside
///   the view. We cluster the kept candidates in each cycle: so a cluster's size is its number of kept candidates, and clusters
///   are finer where much is uncertain.
/// * The paper stops merging at a distance set by hand. `radius` is that distance (Euclidean, the mean over pairs); without
///   it merging stops at as many clusters as picks, so that each gives one.
/// * Of a cluster the paper takes a random sample, we the one of the smallest margin: no chance is needed.
///
/// At most 8,192 candidates are clustered, and the batch where that is larger; then the closest of them are not merged as far.
/// The two clusters of the least mean distance merge, of equal ones the two with the lowest indexes, so ties are no matter
/// of chance. `O(m^2 d)` for m kept, with each cluster's nearest remembered, on one thread; memory `4 m^2` bytes. Needs an
/// embedding and probabilities. Use it for large batches of an uncertain model; it does not look at what is labelled. The
/// score of a pick is its margin score.
pub(super) struct ClusterMargin {
    pub(super) output: String,
    pub(super) keep: f64,
    pub(super) radius: Option<f64>,
    pub(super) uncertainty: Box<dyn Strategy>,
}

impl Strategy for ClusterMargin {
    fn needs(&self) -> Needs {
        self.uncertainty.needs().and_output(&self.output)
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, count: usize) -> Result<Plan<'v>, SelectorError> {
        if count > KEPT_MOST {
            return Err(SelectorError::Strategy {
                strategy: "cluster_margin".to_owned(),
                problem: format!(
                    "a batch of {count} is more than the {KEPT_MOST} candidates that it can cluster; use diverse_mini_batch"
                ),
            });
        }
        let keep = kept_count(self.keep, count).min(KEPT_MOST);
        let kept = Kept::new(&*self.uncertainty, view, &self.output, keep)?;
        let rows: Vec<&[f32]> = kept.points.chunks_exact(kept.cols).collect();
        let until = if self.radius.is_some() { 1 } else { count };
        let of = average_linkage(&rows, kept.cols, until, self.radius.unwrap_or(f64::INFINITY));

        let mut clusters: BTreeMap<usize, Vec<Chosen>> = BTreeMap::new();
        for (&cluster, &best) in of.iter().zip(&kept.best) {
            clusters.entry(cluster).or_default().push(best);
        }
        let mut remarks = BTreeMap::new();
        remarks.insert("kept".to_owned(), rows.len().to_string());
        remarks.insert("clusters".to_owned(), clusters.len().to_string());
        // Stable sorts: equal sizes in the order of their lowest index, equal scores in the order of theirs.
        let mut clusters: Vec<Vec<Chosen>> = clusters.into_values().collect();
        clusters.sort_by_key(Vec::len);
        clusters.iter_mut().for_each(|all| all.sort_by(|a, b| b.score.total_cmp(&a.score)));
        let rounds = clusters.last().map_or(0, Vec::len);
        let turns =
            (0..rounds).flat_map(|round| clusters.iter().filter_map(move |all| all.get(round)));
        let chosen = turns.copied().take(count).collect();
        Ok(Plan::Picks(Picks { chosen, remarks }))
    }
}

/// Clusters by average linkage: for each point, the lowest index in its cluster. Merging stops at `until` clusters, and where
/// the next two are farther apart than `radius`.
///
/// The mean of two clusters' distances is kept as the sum over their pairs: sums of merged clusters are sums.
fn average_linkage(points: &[&[f32]], cols: usize, until: usize, radius: f64) -> Vec<usize> {
    let mut linkage = Linkage::new(points, cols);
    let mut of: Vec<usize> = (0..points.len()).collect();
    for _ in until..points.len() {
        let Some((low, Near { mean, high })) = linkage.closest() else { break };
        if mean > radius {
            break;
        }
        of.iter_mut().filter(|cluster| **cluster == high).for_each(|cluster| *cluster = low);
        linkage.merge(low, high);
    }
    of
}

/// The nearest of the clusters with a higher number.
#[derive(Clone, Copy)]
struct Near {
    mean: f64,
    high: usize,
}

struct Linkage {
    /// Row `high` holds the sums of distances to all lower clusters.
    sums: Vec<Vec<f64>>,
    /// 0 for what was merged into another.
    sizes: Vec<f64>,
    near: Vec<Option<Near>>,
}

#[expect(
    clippy::indexing_slicing,
    reason = "clusters are numbered below the number of points, and low < high"
)]
impl Linkage {
    fn new(points: &[&[f32]], cols: usize) -> Self {
        let columns = Columns::new(points.iter().copied(), cols);
        let rows = points.iter().enumerate();
        let sums = rows.map(|(high, point)| {
            columns.each(point).take(high).map(|squared| f64::from(squared).sqrt()).collect()
        });
        let (sums, n) = (sums.collect(), points.len());
        let mut linkage = Self { sums, sizes: vec![1.0; n], near: vec![None; n] };
        (0..n).for_each(|low| linkage.look_around(low));
        linkage
    }

    fn mean(&self, low: usize, high: usize) -> f64 {
        self.sums[high][low] / (self.sizes[low] * self.sizes[high])
    }

    /// Finds the nearest of a cluster anew; of equal ones the lowest.
    fn look_around(&mut self, low: usize) {
        let mut best: Option<Near> = None;
        for high in (low + 1..self.sizes.len()).filter(|&high| self.sizes[high] > 0.0) {
            let mean = self.mean(low, high);
            if best.is_none_or(|best| mean < best.mean) {
                best = Some(Near { mean, high });
            }
        }
        self.near[low] = best;
    }

    fn closest(&self) -> Option<(usize, Near)> {
        let all = self.near.iter().enumerate().filter_map(|(low, near)| Some((low, (*near)?)));
        all.reduce(|best, next| if next.1.mean < best.1.mean { next } else { best })
    }

    fn merge(&mut self, low: usize, high: usize) {
        let n = self.sizes.len();
        for other in (0..n).filter(|&other| other != low && other != high) {
            if self.sizes[other] <= 0.0 {
                continue;
            }
            let more = self.sums[other.max(high)][other.min(high)];
            self.sums[other.max(low)][other.min(low)] += more;
        }
        self.sizes[low] += self.sizes[high];
        self.sizes[high] = 0.0;
        self.near[high] = None;
        self.look_around(low);
        for other in (0..high).filter(|&other| other != low) {
            let Some(near) = self.near[other] else { continue };
            if near.high == low || near.high == high {
                self.look_around(other);
            } else if other < low {
                // Only its distance to the merged cluster is another.
                let mean = self.mean(other, low);
                if mean < near.mean || (mean <= near.mean && low < near.high) {
                    self.near[other] = Some(Near { mean, high: low });
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "cluster_margin/tests.rs"]
mod tests;
