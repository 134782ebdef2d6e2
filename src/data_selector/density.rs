//! Density-weighted sampling: what is uncertain and like many others.

use super::strategy::{Needs, Plan, Scores, Strategy};
use super::{SelectorError, View};
use rayon::prelude::*;
use std::ops::Range;

/// Rows of one piece of the sum over candidates; pieces are added in their order, so threads change nothing.
const PIECE: usize = 4096;

/// `u(x) * max(0, mean over candidates c of cos(x, c))^beta`, for the scores u of another strategy.
///
/// Settles and Craven (2008), "An analysis of active learning strategies for sequence labeling tasks", EMNLP, section
/// 3.4 (information density); u is entropy and beta is 1 where not set, as there. The mean of cosines to all
/// candidates, x itself included, is the cosine to the mean of unit vectors: `O(n d)` instead of the paper's
/// `O(n^2 d)`, memory for d numbers. A negative mean, which the paper's non-negative word counts never have, counts as 0.
///
/// Needs an embedding, and what the other strategy needs. Use it against outliers, which uncertainty alone loves. Where the
/// pool is one cloud around one direction, all densities are alike and it is the other strategy.
pub(super) struct DensityWeighted {
    pub(super) inner: Box<dyn Strategy>,
    /// As workflows write it.
    pub(super) inner_name: String,
    pub(super) output: String,
    pub(super) beta: f64,
}

impl Strategy for DensityWeighted {
    fn needs(&self) -> Needs {
        self.inner.needs().and_output(&self.output)
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, count: usize) -> Result<Plan<'v>, SelectorError> {
        let Plan::Scores(inner) = self.inner.plan(view, count)? else {
            return Err(SelectorError::Strategy {
                strategy: "density_weighted".to_owned(),
                problem: format!(
                    "{} picks a batch and scores no candidates; wrap a strategy that scores, such as entropy",
                    self.inner_name
                ),
            });
        };
        let mean = self.mean_direction(view)?;
        let scores: Scores<'v> = Box::new(move |range| {
            let uncertain = inner(range.clone())?;
            let rows = self.directions(view, range)?;
            let rows = rows.chunks_exact(mean.len().max(1));
            Ok(uncertain.iter().zip(rows).map(|(u, row)| u * self.density(row, &mean)).collect())
        });
        Ok(Plan::Scores(scores))
    }
}

impl DensityWeighted {
    fn density(&self, direction: &[f64], mean: &[f64]) -> f64 {
        let cosine: f64 = direction.iter().zip(mean).map(|(a, b)| a * b).sum();
        libm::pow(cosine.max(0.0), self.beta)
    }

    /// The embeddings of a range, each of length 1.
    fn directions(&self, view: &View<'_>, range: Range<usize>) -> Result<Vec<f64>, SelectorError> {
        let cols = view.output(&self.output)?.rows.cols();
        let values = view.read(&self.output, range.clone())?;
        view.check_finite(&self.output, range.start, cols, &values)?;
        let mut all: Vec<f64> = values.iter().copied().map(f64::from).collect();
        for (index, row) in range.zip(all.chunks_exact_mut(cols)) {
            let length = row.iter().map(|x| x * x).sum::<f64>().sqrt();
            if length <= 0.0 {
                let (output, sample) = (self.output.clone(), view.sample(index));
                return Err(SelectorError::ZeroVector { output, sample });
            }
            row.iter_mut().for_each(|x| *x /= length);
        }
        Ok(all)
    }

    fn mean_direction(&self, view: &View<'_>) -> Result<Vec<f64>, SelectorError> {
        let cols = view.output(&self.output)?.rows.cols();
        let pieces: Vec<usize> = (0..view.len().div_ceil(PIECE)).collect();
        let mut mean = vec![0.0; cols];
        for window in pieces.chunks(64) {
            let sums: Vec<Result<Vec<f64>, SelectorError>> = window
                .par_iter()
                .map(|piece| {
                    let first = piece * PIECE;
                    let rows = self.directions(view, first..(first + PIECE).min(view.len()))?;
                    let mut sum = vec![0.0; cols];
                    rows.chunks_exact(cols).for_each(|row| add(&mut sum, row));
                    Ok(sum)
                })
                .collect();
            for sum in sums {
                add(&mut mean, &sum?);
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a count of candidates")]
        let n = view.len() as f64;
        mean.iter_mut().for_each(|x| *x /= n);
        Ok(mean)
    }
}

fn add(sum: &mut [f64], row: &[f64]) {
    sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{distributions, ids, picks, probabilities, select_by, view};
    use super::super::{Output, SelectorError};
    use crate::domain::matrix::Matrix;
    use quickcheck::quickcheck;

    quickcheck! {
        /// Against the definition: the mean of the cosines to every candidate, one by one.
        fn scores_are_uncertainty_times_mean_similarity(bytes: Vec<(u8, u8, u8)>, at: Vec<(i8, i8)>, batch: u8) -> bool {
            let n = bytes.len().min(at.len());
            if n == 0 {
                return true;
            }
            let at: Vec<f32> = at[..n].iter().flat_map(|&(x, y)| [f32::from(x) + 0.5, f32::from(y)]).collect();
            let embedding = Matrix::new(n, 2, at).expect("n x 2");
            let p = distributions(&bytes[..n]);
            let candidates = ids(n);
            let seen = probabilities(&candidates, &p).with("embedding", Output::flat(&embedding));
            let count = usize::from(batch) % n + 1;
            let entropy = select_by("entropy", &seen, count, 0).expect("scores").1;
            [("density_weighted", 1.0), ("density_weighted(entropy, beta=2)", 2.0)].into_iter().all(|(text, beta)| {
                let scores = select_by(text, &seen, count, 0).expect("scores").1;
                let cos = |i: usize, j: usize| {
                    let dot = |i: usize, j: usize| -> f64 {
                        embedding.row(i).iter().zip(embedding.row(j)).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
                    };
                    dot(i, j) / (dot(i, i) * dot(j, j)).sqrt()
                };
                (0..n).all(|i| {
                    let mean = (0..n).map(|j| cos(i, j)).sum::<f64>() / n as f64;
                    (scores[i] - entropy[i] * mean.max(0.0).powf(beta)).abs() < 1e-9
                })
            })
        }
    }

    #[test]
    fn of_equally_uncertain_samples_the_one_in_the_crowd_is_picked() {
        let p = distributions(&[(4, 4, 4); 4]);
        let at = vec![-1.0, 0.0, 1.0, 0.1, 1.0, 0.0, 1.0, -0.1];
        let embedding = Matrix::new(4, 2, at).expect("4 x 2");
        let candidates = ids(4);
        let seen = probabilities(&candidates, &p).with("embedding", Output::flat(&embedding));
        assert_eq!(picks("density_weighted", &seen, 4), [2, 1, 3, 0]);
        assert_eq!(picks("density_weighted(margin, beta=0.5)", &seen, 4), [2, 1, 3, 0]);
    }

    #[test]
    fn what_has_no_direction_or_no_scores_is_refused() {
        let p = distributions(&[(4, 4, 4); 2]);
        let candidates = ids(2);
        let error = |text: &str, values: [f32; 4]| {
            let embedding = Matrix::new(2, 2, values.to_vec()).expect("2 x 2");
            let seen = probabilities(&candidates, &p).with("embedding", Output::flat(&embedding));
            select_by(text, &seen, 1, 0).expect_err("refused").to_string()
        };
        let zero = error("density_weighted", [1.0, 0.0, 0.0, 0.0]);
        assert!(zero.starts_with("embedding of sample s001 is all zero"), "{zero}");
        let nan = error("density_weighted", [1.0, 0.0, f32::NAN, 0.0]);
        assert!(nan.starts_with("embedding of sample s001 holds NaN"), "{nan}");
        let picked = error("density_weighted(random)", [1.0; 4]);
        assert!(picked.contains("random picks a batch and scores no candidates"), "{picked}");
        let blind = select_by("density_weighted", &view(&candidates), 1, 0);
        assert!(matches!(blind, Err(SelectorError::NoOutput { .. })));
    }

    #[test]
    fn any_number_of_threads_scores_the_same() {
        let n = 9000_usize;
        let at = (0..n * 3).map(|i| ((i * 7919 % 1009) as f32).sqrt() - 9.0).collect();
        let embedding = Matrix::new(n, 3, at).expect("n x 3");
        let bytes: Vec<(u8, u8, u8)> = (0..n)
            .map(|i| (u8::try_from(i % 7).unwrap(), u8::try_from(i % 5).unwrap(), 3))
            .collect();
        let p = distributions(&bytes);
        let candidates: Vec<_> = (0..n).map(|i| format!("s{i:05}").as_str().into()).collect();
        let seen = probabilities(&candidates, &p).with("embedding", Output::flat(&embedding));
        let run = |threads| {
            let pool =
                rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            pool.install(|| select_by("density_weighted", &seen, 50, 0).expect("picks"))
        };
        assert!(run(1) == run(2) && run(1) == run(5));
    }
}
