//! Contrastive active learning: samples whose predictions are unlike those of their labelled neighbours.

use super::distribution::check;
use super::pairs::{self, Columns};
use super::strategy::{Needs, Plan, Strategy};
use super::{SelectorError, View};
use crate::domain::ids::SampleId;

/// Labelled neighbours, where `neighbours` is not set: the paper's number.
pub(super) const NEIGHBOURS: usize = 10;
/// Lower probabilities count as this, so that one does not make a divergence infinite.
const FLOOR: f64 = 1e-15;

/// `mean over l of KL(p(l) || p(x))`, in nats, over the labelled samples l nearest to x in the embedding.
///
/// Margatina et al. (2021), "Active learning by acquiring contrastive examples", arXiv 2109.03764, algorithm 1: the
/// divergence is that of the candidate's prediction from its neighbour's, as the paper and its code have it, and not the reverse.
/// Distances are Euclidean; of equally near samples the one that stands first among the labelled counts. With fewer labelled
/// samples than `neighbours` (10) all count. Probabilities below 1e-15 count as 1e-15.
///
/// `O(n l d)` for l labelled samples, all threads; memory for what is labelled. Needs `embedding` and `probabilities`, both also
/// of the labelled samples, and at least one of those. Use it where the model's mistakes lie beside what it was taught; with a
/// handful of labels the nearest are far away, and it is near random.
pub(super) struct Contrastive {
    pub(super) output: String,
    pub(super) neighbours: usize,
}

impl Strategy for Contrastive {
    fn needs(&self) -> Needs {
        Needs::nothing().and_labelled(&self.output).and_labelled("probabilities")
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, _: usize) -> Result<Plan<'v>, SelectorError> {
        let cols = view.output(&self.output)?.rows.cols();
        let classes = view.output("probabilities")?.rows.cols();
        let labelled = pairs::labelled(view, &self.output, false)?;
        let columns = Columns::new(labelled.chunks_exact(cols), cols);
        let taught = view.labelled("probabilities")?;
        if columns.rows() == 0 {
            return Err(SelectorError::Missing {
                what: "at least one labelled sample to compare with",
                way_out: "start with `autopilot`, or with a random batch (`selector.seed_batch`)",
            });
        }
        let mut said = Vec::with_capacity(taught.rows());
        for (number, row) in taught.iter_rows().enumerate() {
            check(|| SampleId::from(format!("(labelled, number {number})")), row)?;
            said.push(Said::new(row));
        }
        Ok(Plan::scores(move |range| {
            let points = view.read(&self.output, range.clone())?;
            view.check_finite(&self.output, range.start, cols, &points)?;
            let values = view.read("probabilities", range.clone())?;
            let rows = points.chunks_exact(cols).zip(values.chunks_exact(classes));
            let mut near = Vec::with_capacity(columns.rows());
            let each = range.zip(rows).map(|(index, (point, row))| {
                check(|| view.sample(index), row)?;
                near.clear();
                near.extend(columns.each(point).zip(0_usize..));
                let by_distance =
                    |a: &(f32, usize), b: &(f32, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
                if let Some(last) = self.neighbours.checked_sub(1).filter(|&last| last < near.len())
                {
                    near.select_nth_unstable_by(last, by_distance);
                    near.truncate(self.neighbours);
                }
                near.sort_unstable_by(by_distance);
                let own = Said::new(row);
                let sum: f64 =
                    near.iter().filter_map(|&(_, l)| Some(said.get(l)?.divergence(&own))).sum();
                #[expect(clippy::cast_precision_loss, reason = "a count of neighbours")]
                Ok(sum / near.len() as f64)
            });
            each.collect()
        }))
    }
}

/// A distribution and its logarithms.
struct Said(Vec<(f64, f64)>);

impl Said {
    fn new(row: &[f32]) -> Self {
        let floored = row.iter().map(|&p| f64::from(p).max(FLOOR));
        Self(floored.map(|p| (p, libm::log(p))).collect())
    }

    /// `KL(self || other) = sum p ln(p / q)`.
    fn divergence(&self, other: &Self) -> f64 {
        self.0.iter().zip(&other.0).map(|((p, log_p), (_, log_q))| p * (log_p - log_q)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{distributions, ids, picks, probabilities, select_by};
    use super::super::{Output, SelectorError, View};
    use crate::domain::matrix::Matrix;
    use quickcheck::quickcheck;
    use std::borrow::Cow;

    fn plane(at: &[(i8, i8)]) -> Matrix {
        let values = at.iter().flat_map(|&(x, y)| [f32::from(x % 16), f32::from(y % 16)]).collect();
        Matrix::new(at.len(), 2, values).expect("n x 2")
    }

    fn taught<'a>(seen: View<'a>, at: &'a Matrix, labelled: &'a Matrix, p: &'a Matrix) -> View<'a> {
        let mut seen = seen.with("embedding", Output::flat(at));
        seen.labelled.classes = Cow::Owned(vec![0; labelled.rows()]);
        seen.labelled.outputs.insert("embedding", Cow::Borrowed(labelled));
        seen.labelled.outputs.insert("probabilities", Cow::Borrowed(p));
        seen
    }

    quickcheck! {
        /// Against the definition: sort all labelled samples by distance, take the first, average.
        fn scores_are_mean_divergences_from_neighbours(at: Vec<(i8, i8)>, bytes: Vec<(u8, u8, u8)>, labelled: usize, k: u8) -> bool {
            let n = at.len().min(bytes.len());
            if n < 2 {
                return true;
            }
            let l = labelled % (n - 1) + 1;
            let (near, p_near) = (plane(&at[..l]), distributions(&bytes[..l]));
            let (at, p) = (plane(&at[l..n]), distributions(&bytes[l..n]));
            let candidates = ids(n - l);
            let seen = taught(probabilities(&candidates, &p), &at, &near, &p_near);
            let k = usize::from(k % 6) + 1;
            let scores = select_by(&format!("contrastive(neighbours={k})"), &seen, 1, 0).expect("scores").1;
            (0..n - l).all(|i| {
                let squared = |j: usize| -> f32 {
                    at.row(i).iter().zip(near.row(j)).map(|(x, y)| (x - y) * (x - y)).sum()
                };
                let mut order: Vec<usize> = (0..l).collect();
                order.sort_by(|&a, &b| squared(a).total_cmp(&squared(b)));
                order.truncate(k);
                let kl = |j: usize| -> f64 {
                    let both = p_near.row(j).iter().zip(p.row(i));
                    both.map(|(&a, &b)| f64::from(a) * (f64::from(a) / f64::from(b)).ln()).sum()
                };
                let mean = order.iter().map(|&j| kl(j)).sum::<f64>() / order.len() as f64;
                (scores[i] - mean).abs() < 1e-9
            })
        }
    }

    #[test]
    fn the_divergence_is_from_the_neighbour_to_the_candidate() {
        let at = plane(&[(0, 0)]);
        let p = Matrix::new(1, 2, vec![0.5, 0.5]).expect("1 x 2");
        let p_near = Matrix::new(1, 2, vec![1.0, 0.0]).expect("1 x 2");
        let candidates = ids(1);
        let seen = taught(probabilities(&candidates, &p), &at, &at, &p_near);
        let score = select_by("contrastive", &seen, 1, 0).expect("scores").1[0];
        assert!((score - 2_f64.ln()).abs() < 1e-12, "{score}; the other way round it were 17");
    }

    #[test]
    fn nothing_labelled_points_to_a_way_to_start_and_bad_input_is_named() {
        let at = plane(&[(0, 0), (1, 1)]);
        let p = distributions(&[(1, 2, 3), (3, 2, 1)]);
        let none = Matrix::default();
        let candidates = ids(2);
        let seen = taught(probabilities(&candidates, &p), &at, &none, &none);
        let text = select_by("contrastive", &seen, 1, 0).expect_err("nothing labelled").to_string();
        assert!(
            text.contains("at least one labelled sample") && text.contains("autopilot"),
            "{text}"
        );
        let wide = Matrix::new(2, 3, vec![0.0; 6]).expect("2 x 3");
        let seen = taught(probabilities(&candidates, &p), &at, &wide, &p);
        assert!(matches!(select_by("contrastive", &seen, 1, 0), Err(SelectorError::Widths { .. })));
        let bad = Matrix::new(2, 2, vec![0.0, 0.0, f32::NAN, 0.0]).expect("2 x 2");
        let seen = taught(probabilities(&candidates, &p), &bad, &at, &p);
        let found = select_by("contrastive", &seen, 1, 0);
        assert!(
            matches!(found, Err(SelectorError::NotFinite { ref sample, .. }) if sample.as_str() == "s001")
        );
        let seen = taught(probabilities(&candidates, &p), &at, &at, &p);
        assert_eq!(picks("contrastive", &seen, 2), [0, 1], "equal scores go by id");
    }
}
