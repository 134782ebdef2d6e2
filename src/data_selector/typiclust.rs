//! TypiClust: typical samples of clusters that nobody has looked at.

use super::kmeans::Clusters;
use super::pairs::{self, Columns};
use super::strategy::{Chosen, Needs, Plan, Strategy};
use super::{SelectorError, View};
use std::cmp::Reverse;

/// Smaller clusters are left out, as in the authors' program: most are outliers.
const CLUSTER_MIN: usize = 5;
/// Added to the mean distance, as in the authors' program, so that equal samples have a typicality, too.
const SOFTENING: f64 = 1e-5;

/// The most typical sample of each of the largest clusters without a label.
///
/// G. Hacohen, A. Dekel and D. Weinshall (2022), "Active learning on a budget: opposite strategies suit high and low budgets",
/// arXiv 2202.02794, section 3 (TPC_RP; its representation is whatever embedding the workflow gives). All samples, labelled
/// ones too, are clustered by k-means into as many clusters as there will be labels, at most `clusters_max` (500). Clusters go
/// in the order of (labelled samples in it, fewest first; size, largest first), and round again where there are more picks
/// than clusters. Of each the sample with the highest typicality is picked,
///
/// ```text
/// typicality(x) = 1 / (mean |x - x_i| over the K nearest neighbours in the cluster + 1e-5)
/// ```
///
/// with K = min(`neighbours` (20), half of the cluster's samples without a label). As in the authors' program, neighbours are
/// those without a label, and clusters of fewer than 5 samples are left out unless there is nothing else. Their program takes
/// the mean of squared distances; this follows the paper (equation 4) and takes that of distances.
///
/// `O(n d clusters)` for each round of k-means, and `O(m^2 d)` for a cluster of m; memory for one more copy of the
/// embeddings. Needs an embedding, also of the labelled samples. Use it while labels are few, from the very first; uncertainty
/// overtakes it later.
pub(super) struct TypiClust {
    pub(super) output: String,
    pub(super) neighbours: usize,
    pub(super) clusters_max: usize,
}

impl Strategy for TypiClust {
    fn needs(&self) -> Needs {
        Needs::output(&self.output).and_labelled(&self.output)
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, count: usize) -> Result<Plan<'v>, SelectorError> {
        let (points, cols) = pairs::candidates(view, &self.output, false)?;
        let labelled = pairs::labelled(view, &self.output, false)?;
        let candidates = view.len();
        let known = labelled.len() / cols;
        let all: Vec<f32> = points.iter().chain(labelled.iter()).copied().collect();
        let k = (known + count).min(self.clusters_max);
        let clusters = Clusters::find(&all, cols, k, None, &view.chance("typiclust"));
        // Of each cluster: how many are labelled, how many there are, and who may be picked.
        let mut members: Vec<(usize, usize, Vec<usize>)> =
            clusters.sizes.iter().map(|&size| (0, size, Vec::new())).collect();
        for (index, &cluster) in clusters.of.iter().enumerate() {
            let Some((labelled, _, free)) = members.get_mut(cluster) else { continue };
            if index < candidates {
                free.push(index);
            } else {
                *labelled += 1;
            }
        }
        let mut order: Vec<usize> = (0..members.len()).collect();
        order.sort_by_key(|&cluster| {
            let (labelled, size, _) = members.get(cluster).cloned().unwrap_or_default();
            (size < CLUSTER_MIN, labelled, Reverse(size), cluster)
        });
        let large = order.iter().filter(|&&c| clusters.sizes.get(c) >= Some(&CLUSTER_MIN)).count();
        let mut chosen = Vec::with_capacity(count);
        // The large ones round after round; the small ones when those are used up.
        let (large, small) = order.split_at(large);
        for group in [large, small] {
            while chosen.len() < count {
                let before = chosen.len();
                for &cluster in group {
                    let Some((_, _, free)) = members.get_mut(cluster) else { continue };
                    if chosen.len() < count && !free.is_empty() {
                        let pick = self.most_typical(&points, cols, free);
                        free.retain(|&index| index != pick.index);
                        chosen.push(pick);
                    }
                }
                if chosen.len() == before {
                    break;
                }
            }
        }
        Ok(Plan::picks(chosen))
    }
}

impl TypiClust {
    /// The member with the highest typicality, the first of equals.
    fn most_typical(&self, points: &[f32], cols: usize, members: &[usize]) -> Chosen {
        let point = |index: usize| points.get(index * cols..(index + 1) * cols).unwrap_or_default();
        let columns = Columns::new(members.iter().map(|&index| point(index)), cols);
        let k = self.neighbours.min(members.len() / 2);
        let mut best = Chosen { index: 0, score: f64::NEG_INFINITY, probability: None };
        let mut distances: Vec<f32> = Vec::with_capacity(members.len());
        for (place, &index) in members.iter().enumerate() {
            distances.clear();
            let others = columns.each(point(index)).enumerate();
            distances.extend(others.filter(|(other, _)| *other != place).map(|(_, d)| d));
            let score = typicality(&mut distances, k);
            if score > best.score {
                best = Chosen { index, score, probability: None };
            }
        }
        best
    }
}

/// By the squared distances to all others, of which the `k` least count.
fn typicality(squared: &mut [f32], k: usize) -> f64 {
    let k = k.min(squared.len());
    if k == 0 {
        return 1.0 / SOFTENING;
    }
    let nearest = if k < squared.len() {
        squared.select_nth_unstable_by(k, f32::total_cmp).0
    } else {
        squared
    };
    nearest.sort_unstable_by(f32::total_cmp); // sums depend on the order
    let sum = nearest.iter().fold(0.0, |sum, &d| sum + f64::from(d).sqrt());
    #[expect(clippy::cast_precision_loss, reason = "a count of neighbours")]
    let mean = sum / k as f64;
    1.0 / (mean + SOFTENING)
}
