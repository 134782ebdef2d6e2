//! Regression: what members of an ensemble disagree about, and what is far from all that is labelled.

use super::strategy::{Chosen, Needs, Plan, Strategy};
use super::{SelectorError, View};
use rayon::prelude::*;

/// Candidates whose distances one thread works out at a time.
const PIECE: usize = 4 * 1024;

/// The mean over outputs of the variance over members (of the population) of the predicted values.
///
/// R. Burbidge, J. J. Rowland and R. D. King (2007), "Active learning for regression based on query by committee", IDEAL. For
/// n candidates, m members and k outputs `O(nmk)`, memory for the batch. It needs members; their values should have
/// comparable units, since those with large ones count more. Use it where the ensemble's spread tells its error; with
/// members that were all trained alike it may not, and `greedy_x` or `lcmd` are safer.
pub(super) struct EnsembleVariance;

impl Strategy for EnsembleVariance {
    fn needs(&self) -> Needs {
        Needs::members()
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, _: usize) -> Result<Plan<'v>, SelectorError> {
        let outputs = view.members.first().map_or(0, |member| member.rows.cols());
        #[expect(clippy::cast_precision_loss, reason = "members and outputs are few")]
        let (members, of_outputs) = (view.members.len() as f64, outputs as f64);
        Ok(Plan::scores(move |rows| {
            let mut read = Vec::with_capacity(view.members.len());
            for member in &view.members {
                let values = member.rows.read(rows.clone())?;
                view.check_finite("a committee's member", rows.start, outputs, &values)?;
                read.push(values);
            }
            let mut each: Vec<_> = read.iter().map(|v| v.chunks_exact(outputs.max(1))).collect();
            Ok(rows
                .map(|_| {
                    let said: Vec<&[f32]> = each.iter_mut().filter_map(Iterator::next).collect();
                    let variance = |output: usize| {
                        let of = |row: &&[f32]| row.get(output).copied().map_or(0.0, f64::from);
                        let mean = said.iter().map(of).sum::<f64>() / members;
                        let squares = |row| (of(row) - mean) * (of(row) - mean);
                        said.iter().map(squares).sum::<f64>() / members
                    };
                    (0..outputs).map(variance).sum::<f64>() / of_outputs
                })
                .collect())
        }))
    }
}

/// The candidate farthest from all that is labelled or picked already, again and again: GSx.
///
/// D. Wu, C.-T. Lin and J. Huang (2019), "Active learning for regression using greedy sampling", arXiv 1808.04245, section 2.
/// Euclidean distance in `output` (`embedding`; the paper uses the inputs, scaled). With nothing labelled the first is the
/// candidate nearest to the mean of all, as in the paper. With l labelled samples of d numbers `O(nd(l + count))`, 16 bytes a
/// candidate beside the embeddings. A pick's score is its distance. Needs no model but one that embeds; use it early, and
/// where outliers are wanted rather than feared.
pub(super) struct GreedyX {
    pub(super) output: String,
}

impl Strategy for GreedyX {
    fn needs(&self) -> Needs {
        Needs::default().and_labelled(&self.output)
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, count: usize) -> Result<Plan<'v>, SelectorError> {
        let mut space = Space::new(view, &self.output)?;
        let mut chosen = Vec::with_capacity(count);
        while chosen.len() < count {
            let best =
                if space.centres == 0 { space.nearest_to_mean() } else { space.farthest(None) };
            let Some(pick) = best else { break };
            space.pick(pick.index);
            chosen.push(pick);
        }
        Ok(Plan::picks(chosen))
    }
}

/// The farthest candidate of the largest cluster, again and again: LCMD.
///
/// D. Holzmüller, V. Zaverkin, J. Kästner and I. Steinwart (2023), "A framework and benchmark for deep batch active learning
/// for regression", arXiv 2203.09410, section 4.2.6. Labelled samples and picks are centres; each candidate belongs to its
/// nearest centre, the earlier of equal ones; the size of a cluster is the sum of squared distances to its centre; of the largest
/// cluster (the earlier centre's, of equal ones) the candidate farthest from the centre is picked. With no centre yet the first
/// is the candidate with the greatest norm, as in the paper. Distances are Euclidean in `output` (`embedding`): the paper's
/// kernels are other embeddings, which a model may give. `O(nd(l + count))` and memory as [`GreedyX`], of which it is
/// the version that does not run after outliers: use it for batches of any size.
pub(super) struct Lcmd {
    pub(super) output: String,
}

impl Strategy for Lcmd {
    fn needs(&self) -> Needs {
        Needs::default().and_labelled(&self.output)
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, count: usize) -> Result<Plan<'v>, SelectorError> {
        let mut space = Space::new(view, &self.output)?;
        let mut chosen = Vec::with_capacity(count);
        while chosen.len() < count {
            let best = match space.largest_cluster() {
                None => space.greatest_norm(),
                // Where even the largest has no extent, all that is left lies on centres: by id.
                Some(cluster) => {
                    let farthest = space.farthest(Some(cluster)).filter(|far| far.score > 0.0);
                    farthest.or_else(|| space.farthest(None))
                }
            };
            let Some(pick) = best else { break };
            space.pick(pick.index);
            chosen.push(pick);
        }
        Ok(Plan::picks(chosen))
    }
}

/// Where a candidate stands among the centres.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The squared distance to the nearest centre.
    square: f64,
    /// Its number; `None` before there is one.
    centre: Option<usize>,
    picked: bool,
}

/// The candidates' vectors and their nearest centres. Squares are summed in `f64`, where those of `f32` cannot overflow, and in the
/// order of dimensions.
struct Space<'v> {
    values: std::borrow::Cow<'v, [f32]>,
    cols: usize,
    places: Vec<Place>,
    centres: usize,
}

impl<'v> Space<'v> {
    fn new(view: &'v View<'v>, output: &str) -> Result<Self, SelectorError> {
        let labelled = view.labelled(output)?;
        if let Some((row, column)) = labelled.first_non_finite() {
            return Err(SelectorError::Strategy {
                strategy: output.to_owned(),
                problem: format!("column {column} of labelled sample number {row} is not finite"),
            });
        }
        let (values, cols) = view.matrix(output)?;
        let far = Place { square: f64::INFINITY, centre: None, picked: false };
        let mut space = Self { values, cols, places: vec![far; view.len()], centres: 0 };
        labelled.iter_rows().for_each(|row| space.add_centre(row));
        Ok(space)
    }

    fn rows(&self) -> impl Iterator<Item = &[f32]> {
        self.values.chunks_exact(self.cols)
    }

    /// Each candidate for itself, so threads change nothing.
    fn add_centre(&mut self, centre: &[f32]) {
        let number = self.centres;
        let rows = self.values.par_chunks(self.cols * PIECE);
        self.places.par_chunks_mut(PIECE).zip(rows).for_each(|(places, rows)| {
            for (place, row) in places.iter_mut().zip(rows.chunks_exact(self.cols)) {
                let square = square_distance(row, centre);
                if square < place.square {
                    (place.square, place.centre) = (square, Some(number));
                }
            }
        });
        self.centres += 1;
    }

    fn pick(&mut self, index: usize) {
        let row = self.values.chunks_exact(self.cols).nth(index).map(<[f32]>::to_vec);
        if let Some(place) = self.places.get_mut(index) {
            place.picked = true;
        }
        if let Some(row) = row {
            self.add_centre(&row);
        }
    }

    /// The candidate left with the highest value, the first of equal ones.
    fn best(&self, values: impl Iterator<Item = f64>) -> Option<(usize, f64)> {
        let left = values.zip(&self.places).enumerate().filter(|(_, (_, place))| !place.picked);
        left.fold(None, |best, (index, (value, _))| match best {
            Some((_, highest)) if value <= highest => best,
            _ => Some((index, value)),
        })
    }

    /// The candidate left that is farthest from its centre, among all or in a cluster.
    fn farthest(&self, cluster: Option<usize>) -> Option<Chosen> {
        let inside = |place: &Place| cluster.is_none() || place.centre == cluster;
        let squares =
            self.places.iter().map(|p| if inside(p) { p.square } else { f64::NEG_INFINITY });
        let (index, square) = self.best(squares)?;
        (square >= 0.0).then_some(Chosen { index, score: square.sqrt(), probability: None })
    }

    fn greatest_norm(&self) -> Option<Chosen> {
        let origin = vec![0.0; self.cols];
        let (index, square) = self.best(self.rows().map(|row| square_distance(row, &origin)))?;
        Some(Chosen { index, score: square.sqrt(), probability: None })
    }

    fn nearest_to_mean(&self) -> Option<Chosen> {
        let mut mean = vec![0.0; self.cols];
        for row in self.rows() {
            mean.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
        }
        #[expect(clippy::cast_precision_loss, reason = "a count of candidates")]
        let n = self.places.len() as f64;
        mean.iter_mut().for_each(|sum| *sum /= n);
        let square = |row: &[f32]| {
            let off = row.iter().zip(&mean).map(|(&x, mean)| f64::from(x) - mean);
            off.map(|off| off * off).sum::<f64>()
        };
        let (index, negative) = self.best(self.rows().map(|row| -square(row)))?;
        Some(Chosen { index, score: (-negative).sqrt(), probability: None })
    }

    /// The cluster with the greatest sum of squared distances; `None` before there is a centre.
    fn largest_cluster(&self) -> Option<usize> {
        let mut sizes = vec![0.0; self.centres];
        for place in &self.places {
            if let Some(size) = place.centre.and_then(|centre| sizes.get_mut(centre)) {
                *size += place.square;
            }
        }
        let sizes = sizes.into_iter().enumerate();
        sizes
            .fold(None, |best: Option<(usize, f64)>, (centre, size)| match best {
                Some((_, largest)) if size <= largest => best,
                _ => Some((centre, size)),
            })
            .map(|(centre, _)| centre)
    }
}

fn square_distance(a: &[f32], b: &[f32]) -> f64 {
    let off = a.iter().zip(b).map(|(&a, &b)| f64::from(a) - f64::from(b));
    off.map(|off| off * off).sum()
}

#[cfg(test)]
#[path = "regression/tests.rs"]
mod tests;
