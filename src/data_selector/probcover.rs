//! ProbCover: the samples whose balls cover the most of what nothing covers yet.

use super::kmeans::Clusters;
use super::pairs::{self, Columns};
use super::simd::wide;
use super::strategy::{Chosen, Needs, Picks, Plan, Strategy};
use super::{SelectorError, View};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Candidates, spread evenly over the pool, that the default radius is fitted on.
const SPREAD: usize = 2000;

/// Greedy maximum coverage: again and again the candidate whose ball of `radius` (its border included) holds the most
/// candidates that no ball around a labelled or picked sample holds; of equal ones the lower index.
///
/// Yehuda, Dekel, Hacohen and Weinshall (2022), "Active learning through a covering lens", arXiv 2205.11320, algorithm 1.
/// `radius` is by default the paper's: the largest whose balls are pure for 95 % of the samples, a ball being pure where
/// k-means with as many clusters as classes puts all of it in one cluster. A ball is impure from the distance to the nearest
/// sample of another cluster on, so that is a quantile of those distances: exact for the up to 2,000 candidates, spread evenly
/// over the pool, that it is worked out on (the paper: all). Without classes, or with one cluster only, the radius is the 5 %
/// quantile of the distances between those candidates, a rule of ours. The remarks hold the radius.
///
/// The paper keeps the graph of all balls, gigabytes where balls are large. Here no graph is kept: each candidate counts the
/// uncovered in its ball once, and when some become covered, their neighbours are found again and count down. A sample becomes
/// covered once, so that is `O(n^2 d)` all in all, whatever the batch, all threads; memory for three copies of the embeddings.
///
/// Needs an embedding, also of the labelled samples. Use it while labels are few, on embeddings where classes are clumps. With
/// many labels everything is covered, and the remarks say so: then scores are 0 and picks are the lowest ids; take another
/// strategy, or a smaller radius. Under `cosine`, the radius is a distance `1 - cos`.
pub(super) struct ProbCover {
    pub(super) output: String,
    pub(super) radius: Option<f64>,
    pub(super) cosine: bool,
}

impl Strategy for ProbCover {
    fn needs(&self) -> Needs {
        Needs::nothing().and_labelled(&self.output)
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, count: usize) -> Result<Plan<'v>, SelectorError> {
        let (points, cols) = pairs::candidates(view, &self.output, self.cosine)?;
        let labelled = pairs::labelled(view, &self.output, self.cosine)?;
        let rows: Vec<&[f32]> = points.chunks_exact(cols).collect();
        let (squared, how) = match self.radius {
            Some(radius) => (self.squared(radius), "as set"),
            None => fit(&rows, cols, view),
        };
        let within = |columns: &Columns, point: &[f32]| {
            wide(
                #[inline(always)]
                || columns.within(point, squared),
            )
        };

        let known = Columns::new(labelled.chunks_exact(cols), cols);
        let mut covered: Vec<bool> =
            rows.par_iter().map(|row| known.each(row).any(|d| d <= squared)).collect();
        let open = rows.iter().zip(&covered).filter(|&(_, &covered)| !covered);
        let open = Columns::new(open.map(|(&row, _)| row), cols);
        let mut holds: Vec<usize> = rows.par_iter().map(|row| within(&open, row)).collect();
        let mut left = open.rows();
        drop(open);
        let all = Columns::new(rows.iter().copied(), cols);

        let mut remarks = BTreeMap::new();
        let mut taken = vec![false; rows.len()];
        let mut chosen = Vec::with_capacity(count);
        while chosen.len() < count {
            let free = holds.iter().zip(&taken).enumerate().filter(|(_, (_, taken))| !**taken);
            let best = free
                .map(|(index, (&holds, _))| (index, holds))
                .reduce(|best, next| if next.1 > best.1 { next } else { best });
            let Some((index, most)) = best else { break };
            if most == 0 {
                remarks.entry("covered".to_owned()).or_insert_with(|| {
                    format!("everything before pick {}; the rest by id", chosen.len() + 1)
                });
            }
            #[expect(clippy::cast_precision_loss, reason = "a count of candidates")]
            chosen.push(Chosen { index, score: most as f64, probability: None });
            taken.iter_mut().skip(index).take(1).for_each(|taken| *taken = true);
            if most == 0 || chosen.len() == count {
                continue;
            }
            let Some(center) = rows.get(index) else { break };
            let mut fresh = Vec::with_capacity(most);
            let reached = all.each(center).zip(&rows).zip(&mut covered);
            for ((_, &row), covered) in
                reached.filter(|((d, _), covered)| *d <= squared && !**covered)
            {
                *covered = true;
                fresh.push(row);
            }
            left -= fresh.len();
            let fresh = Columns::new(fresh.into_iter(), cols);
            holds.par_iter_mut().zip(&rows).filter(|(holds, _)| **holds > 0).for_each(
                |(holds, row)| {
                    *holds -= within(&fresh, row);
                },
            );
        }
        remarks.insert("radius".to_owned(), format!("{} ({how})", self.radius_of(squared)));
        remarks.insert("uncovered".to_owned(), left.to_string());
        Ok(Plan::Picks(Picks { chosen, remarks }))
    }
}

impl ProbCover {
    /// The squared Euclidean distance that goes with a radius.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the nearest f32 is meant; too large ones become infinite"
    )]
    fn squared(&self, radius: f64) -> f32 {
        if self.cosine { (2.0 * radius) as f32 } else { (radius * radius) as f32 }
    }

    fn radius_of(&self, squared: f32) -> f64 {
        if self.cosine { f64::from(squared) / 2.0 } else { f64::from(squared).sqrt() }
    }
}

/// The default radius, squared, and where it comes from.
fn fit(rows: &[&[f32]], cols: usize, view: &View<'_>) -> (f32, &'static str) {
    let some: Vec<&[f32]> =
        pairs::spread(rows.len(), SPREAD).filter_map(|index| rows.get(index).copied()).collect();
    let columns = Columns::new(some.iter().copied(), cols);
    if view.classes > 1 {
        let chance = view.chance("probcover");
        let clusters = Clusters::find(&some.concat(), cols, view.classes, None, &chance);
        let mut nearest: Vec<f32> = some
            .par_iter()
            .zip(&clusters.of)
            .map(|(row, own)| {
                let others = columns.each(row).zip(&clusters.of);
                others
                    .filter(|(_, other)| *other != own)
                    .map(|(d, _)| d)
                    .fold(f32::INFINITY, f32::min)
            })
            .collect();
        if nearest.iter().all(|d| d.is_finite()) {
            nearest.sort_unstable_by(f32::total_cmp);
            // So many may be impure; the next one is not, if the ball ends just before the other cluster.
            if let Some(end) = nearest.get(nearest.len() / 20) {
                return (end.next_down().max(0.0), "95 % of the balls are pure");
            }
        }
    }
    let mut distances: Vec<f32> =
        some.iter().enumerate().flat_map(|(i, row)| columns.each(row).take(i)).collect();
    let place = distances.len() / 20;
    if distances.is_empty() {
        return (0.0, "one candidate");
    }
    let (_, found, _) = distances.select_nth_unstable_by(place, f32::total_cmp);
    (*found, "the 5 % quantile of distances")
}

#[cfg(test)]
#[path = "probcover/tests.rs"]
mod tests;
