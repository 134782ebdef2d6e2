//! Diverse mini-batches: k-means over what is uncertain, weighted by how uncertain it is.

use super::kmeans::Clusters;
use super::pairs::Columns;
use super::strategy::{Chosen, Needs, Picks, Plan, Strategy};
use super::{SelectorError, View, top_k};
use crate::domain::rows::{Rows, Runs, Subset};
use std::collections::BTreeMap;

/// Of the uncertain, so many for each pick are clustered, where `keep` is not set.
pub(super) const KEEP: f64 = 10.0;

/// The `keep * batch` candidates of the highest margin score are clustered by k-means with `batch` centres, each sample
/// weighing as much as its score; the sample nearest to each centre is picked.
///
/// Zhdanov (2019), "Diverse mini-batch active learning", arXiv 1901.05954, algorithm 2 (weighted k-means), with the paper's
/// factor of 10. Starts are drawn by weighted k-means++; ties go to the lower centre and the lower index. Where two centres
/// have the same nearest sample the later one takes the next nearest, and where there are fewer different samples than
/// centres the rest goes by score: the paper leaves both open.
///
/// `O(n k + m batch d)` a round for the m = `keep * batch` kept, at most 100 rounds, all threads; memory for the kept. Needs an
/// embedding and probabilities. Use it for batches of tens to thousands, where the most uncertain are near duplicates. The
/// score of a pick is its margin score.
pub(super) struct DiverseMiniBatch {
    pub(super) output: String,
    pub(super) keep: f64,
    pub(super) uncertainty: Box<dyn Strategy>,
}

impl Strategy for DiverseMiniBatch {
    fn needs(&self) -> Needs {
        self.uncertainty.needs().and_output(&self.output)
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, count: usize) -> Result<Plan<'v>, SelectorError> {
        let kept = Kept::new(&*self.uncertainty, view, &self.output, kept_count(self.keep, count))?;
        let rows: Vec<&[f32]> = kept.points.chunks_exact(kept.cols).collect();
        let scores: Vec<f64> = kept.best.iter().map(|best| best.score).collect();
        let chance = view.chance("diverse_mini_batch");
        let clusters = Clusters::find(&kept.points, kept.cols, count, Some(&scores), &chance);

        let columns = Columns::new(rows.iter().copied(), kept.cols);
        let mut free: Vec<Option<&Chosen>> = kept.best.iter().map(Some).collect();
        let mut chosen = Vec::with_capacity(count);
        for centre in clusters.centres.chunks_exact(kept.cols) {
            let open = columns.each(centre).zip(&mut free).filter(|(_, free)| free.is_some());
            let nearest = open.reduce(|best, next| if next.0 < best.0 { next } else { best });
            chosen.extend(nearest.and_then(|(_, free)| free.take()));
        }
        let mut rest: Vec<&Chosen> = free.into_iter().flatten().collect();
        rest.sort_by(|a, b| b.score.total_cmp(&a.score)); // stable: equal ones stay in the order of ids
        chosen.extend(rest.into_iter().take(count - chosen.len()));
        let chosen = chosen.into_iter().copied().collect();
        let remarks = BTreeMap::from([("kept".to_owned(), rows.len().to_string())]);
        Ok(Plan::Picks(Picks { chosen, remarks }))
    }
}

/// `factor * count`, rounded up; at least `count`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a count of candidates; saturates"
)]
pub(super) fn kept_count(factor: f64, count: usize) -> usize {
    ((factor * count as f64).ceil() as usize).max(count)
}

/// The most uncertain candidates, ascending by index, and their embeddings.
pub(super) struct Kept {
    pub(super) best: Vec<Chosen>,
    pub(super) points: Vec<f32>,
    pub(super) cols: usize,
}

impl Kept {
    pub(super) fn new(
        uncertainty: &dyn Strategy,
        view: &View<'_>,
        output: &str,
        keep: usize,
    ) -> Result<Self, SelectorError> {
        let Plan::Scores(scores) = uncertainty.plan(view, keep)? else {
            return Err(SelectorError::Missing {
                what: "scores of uncertainty",
                way_out: "name a strategy that scores candidates",
            });
        };
        let mut best = top_k(view, &scores, keep, None)?;
        best.sort_unstable_by_key(|best| best.index);
        let runs: Runs = best.iter().map(|best| best.index).collect();
        let rows = &*view.output(output)?.rows;
        let cols = rows.cols();
        let points = Subset::new(rows, &runs).read(0..best.len())?.into_owned();
        for (row, best) in points.chunks_exact(cols).zip(&best) {
            view.check_finite(output, best.index, cols, row)?;
        }
        Ok(Self { best, points, cols })
    }
}

#[cfg(test)]
#[path = "diverse_mini_batch/tests.rs"]
mod tests;
