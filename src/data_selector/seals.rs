//! Only candidates near labelled samples.

use super::inner::{Inner, remark};
use super::strategy::{Needs, Plan, Strategy};
use super::top_k::TopK;
use super::{SelectorError, View};
use crate::domain::rows::Runs;
use crate::domain::strategy::StrategySpec;
use rayon::prelude::*;
use std::collections::BTreeSet;

/// The paper's k.
const NEIGHBOURS: usize = 100;
/// Candidates whose rows are in memory at a time, where they come from a file.
const PIECE: usize = 32 * 1024;

/// `seals(inner, neighbours=k, output=embedding)`: the inner strategy picks among the k nearest candidates of each
/// labelled sample, by Euclidean distance; equal distances in the order of ids.
///
/// Source: C. Coleman et al. (2020), "Similarity search for efficient active learning and search of rare concepts",
/// arXiv:2007.00077, algorithm 1. Two differences, both towards a batch that depends on nothing but its own cycle. The
/// paper fixes each neighbourhood once, over the whole pool, so that labelled neighbours leave gaps; ours is made of today's
/// candidates, so that each has k of them. The paper uses an approximate index; ours is exact. Where the neighbourhoods
/// hold fewer candidates than the batch, k is doubled until they do not (in the paper the candidate pool grows, too, by
/// the neighbours of each pick), and the remark says so.
///
/// `O(L n d)` for L labelled samples, n candidates and d numbers a row, then what the inner strategy takes on at most `L k`
/// candidates; memory for `L k`. Needs the output for candidates and labelled samples, and what the inner strategy needs.
///
/// Use it for rare classes in large pools, and for inner strategies that are dear. Not where labels do not touch some
/// region yet: it is reached only from neighbour to neighbour.
pub(super) struct Seals {
    inner: Inner,
    neighbours: usize,
    output: String,
}

impl Seals {
    pub(super) fn new(spec: &StrategySpec) -> Result<Self, SelectorError> {
        Ok(Self {
            inner: Inner::of(spec, 0, "margin")?,
            neighbours: spec.whole("neighbours").unwrap_or(NEIGHBOURS),
            output: spec.text("output").unwrap_or("embedding").to_owned(),
        })
    }

    /// The k nearest candidates of each labelled sample, together.
    fn neighbourhood(&self, view: &View<'_>, k: usize) -> Result<BTreeSet<usize>, SelectorError> {
        let labelled = view.labelled(&self.output)?;
        let cols = labelled.cols().max(1);
        let mut nearest: Vec<TopK> = labelled.iter_rows().map(|_| TopK::new(k)).collect();
        for first in (0..view.len()).step_by(PIECE) {
            let piece = view.read(&self.output, first..first + PIECE)?;
            view.check_finite(&self.output, first, cols, &piece)?;
            // Each labelled sample sees the candidates in their order, whichever thread it is on.
            nearest.par_iter_mut().enumerate().for_each(|(place, nearest)| {
                let of = labelled.row(place);
                for (index, row) in (first..).zip(piece.chunks_exact(cols)) {
                    nearest.offer(index, -squared_distance(of, row));
                }
            });
        }
        Ok(nearest.into_iter().flat_map(TopK::into_sorted).map(|chosen| chosen.index).collect())
    }
}

/// In `f64`, summed from the first number to the last: the same bits everywhere.
fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).fold(0.0, |sum, (&a, &b)| {
        let difference = f64::from(a) - f64::from(b);
        sum + difference * difference
    })
}

impl Strategy for Seals {
    fn version(&self) -> u32 {
        self.inner.version()
    }

    fn needs(&self) -> Needs {
        self.inner.needs().and_labelled(&self.output)
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, count: usize) -> Result<Plan<'v>, SelectorError> {
        let labelled = view.labelled(&self.output)?;
        if labelled.rows() == 0 {
            return Err(SelectorError::Missing {
                what: "at least one labelled sample, whose neighbours it picks among",
                way_out: "start with `selector.seed_batch` or `selector.seed_per_class`",
            });
        }
        if let Some((row, column)) = labelled.first_non_finite() {
            let value = labelled.row(row).get(column).copied().unwrap_or(f32::NAN);
            return Err(SelectorError::NotFinite {
                output: self.output.clone(),
                sample: format!("number {row} of those with a label").into(),
                value,
            });
        }
        let mut k = self.neighbours;
        let mut near = self.neighbourhood(view, k)?;
        while near.len() < count.min(view.len()) {
            k = k.saturating_mul(2);
            near = self.neighbourhood(view, k)?;
        }
        let grown = match k == self.neighbours {
            true => String::new(),
            false => format!(" ({} held fewer than the batch)", self.neighbours),
        };
        let text = format!(
            "{} of {} candidates are among the {k} nearest of {} labelled samples{grown}",
            near.len(),
            view.len(),
            labelled.rows()
        );
        let kept: Runs = near.into_iter().collect();
        let mut picks = self.inner.pick_among(view, &kept, count)?;
        remark(&mut picks.remarks, "seals", text);
        Ok(Plan::Picks(picks))
    }
}

#[cfg(test)]
mod tests {
    use crate::data_selector::test_support::{distributions, ids, picks, probabilities, select_by};
    use crate::data_selector::{Output, SelectorError};
    use crate::domain::matrix::Matrix;
    use quickcheck::quickcheck;
    use std::borrow::Cow;

    fn points(bytes: &[(u8, u8)]) -> Matrix {
        let values = bytes.iter().flat_map(|&(a, b)| [f32::from(a % 8), f32::from(b % 8)]);
        Matrix::new(bytes.len(), 2, values.collect()).unwrap()
    }

    quickcheck! {
        /// By hand: sort all candidates by distance to each labelled sample, keep the first k of each, then by margin.
        fn it_picks_among_the_nearest_of_each_labelled_sample(
            bytes: Vec<(u8, u8, u8)>, labelled: Vec<(u8, u8)>, batch: u8, k: u8
        ) -> bool {
            if bytes.is_empty() || labelled.is_empty() {
                return true;
            }
            let (candidates, p) = (ids(bytes.len()), distributions(&bytes));
            let embedding = points(&bytes.iter().map(|&(a, b, _)| (a, b)).collect::<Vec<_>>());
            let known = points(&labelled);
            let mut view = probabilities(&candidates, &p).with("embedding", Output::flat(&embedding));
            view.labelled.classes = vec![0; labelled.len()].into();
            view.labelled.outputs.insert("embedding", Cow::Borrowed(&known));
            let batch = (usize::from(batch % 6) + 1).min(bytes.len());
            let k = usize::from(k % 5) + 1;
            let near = |k: usize| -> Vec<usize> {
                let mut near: Vec<usize> = known.iter_rows().flat_map(|of| {
                    let distance = |i: usize| -> f32 {
                        let row = embedding.row(i);
                        (row[0] - of[0]).powi(2) + (row[1] - of[1]).powi(2)
                    };
                    let mut all: Vec<usize> = (0..bytes.len()).collect();
                    all.sort_by(|&a, &b| distance(a).total_cmp(&distance(b)).then(a.cmp(&b)));
                    all.truncate(k);
                    all
                }).collect();
                near.sort_unstable();
                near.dedup();
                near
            };
            let mut grown = k;
            while near(grown).len() < batch {
                grown *= 2;
            }
            let margin = select_by("margin", &view, 1, 0).unwrap().1;
            let mut expected = near(grown);
            expected.sort_by(|&a, &b| margin[b].total_cmp(&margin[a]).then(a.cmp(&b)));
            expected.truncate(batch);
            picks(&format!("seals(margin, neighbours={k})"), &view, batch) == expected
        }
    }

    #[test]
    fn embeddings_that_are_missing_broken_or_of_another_width_are_refused() {
        let (candidates, p) = (ids(2), distributions(&[(1, 2, 3), (3, 2, 1)]));
        let try_with = |embedding: &Matrix, known: &Matrix| {
            let mut view =
                probabilities(&candidates, &p).with("embedding", Output::flat(embedding));
            view.labelled.classes = vec![0; known.rows()].into();
            view.labelled.outputs.insert("embedding", Cow::Borrowed(known));
            select_by("seals(margin)", &view, 1, 0).map(|(found, _)| found)
        };
        let fine = points(&[(0, 0), (1, 1)]);
        let holes = Matrix::new(2, 2, vec![0.0, 0.0, f32::NAN, 0.0]).unwrap();
        let wide = Matrix::new(1, 3, vec![0.0; 3]).unwrap();
        let found = try_with(&fine, &points(&[(0, 0)])).unwrap();
        assert_eq!(
            found.parameters["seals"],
            "2 of 2 candidates are among the 100 nearest of 1 labelled samples"
        );
        assert!(matches!(
            try_with(&holes, &fine).unwrap_err(),
            SelectorError::NotFinite { sample, .. } if sample == "s001".into()
        ));
        assert!(matches!(try_with(&fine, &holes), Err(SelectorError::NotFinite { .. })));
        assert!(matches!(try_with(&fine, &wide), Err(SelectorError::Widths { .. })));
        assert!(matches!(try_with(&fine, &points(&[])), Err(SelectorError::Missing { .. })));
        let blind = select_by("seals(margin)", &probabilities(&candidates, &p), 1, 0);
        assert!(matches!(blind, Err(SelectorError::NoOutput { .. })));
    }
}
