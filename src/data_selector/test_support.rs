//! Small views for tests: ids, distributions, embeddings with awkward cases, and one call that selects.

use super::{Output, SelectRequest, Selection, SelectorError, View, build, select};
use crate::domain::ids::{CycleNumber, SampleId};
use crate::domain::matrix::Matrix;
use std::borrow::Cow;

pub(super) fn ids(n: usize) -> Vec<SampleId> {
    (0..n).map(|i| SampleId::from(format!("s{i:03}"))).collect()
}

/// Distributions over 3 classes from arbitrary bytes; bytes repeat, so scores tie.
pub(super) fn distributions(bytes: &[(u8, u8, u8)]) -> Matrix {
    let rows = bytes.iter().flat_map(|&(a, b, c)| {
        let sum = f32::from(a) + f32::from(b) + f32::from(c) + 3.0;
        [a, b, c].map(|x| (f32::from(x) + 1.0) / sum)
    });
    Matrix::new(bytes.len(), 3, rows.collect()).expect("3 columns")
}

/// Candidates of whom nothing is known.
pub(super) fn view(candidates: &[SampleId]) -> View<'_> {
    View::new(candidates, 7, CycleNumber(3))
}

/// Candidates with the probabilities of a model.
pub(super) fn probabilities<'a>(candidates: &'a [SampleId], p: &'a Matrix) -> View<'a> {
    let mut view = view(candidates).with("probabilities", Output::flat(p));
    view.classes = p.cols();
    view
}

/// Selects by a strategy as workflows write it; answers the selection and all scores.
pub(super) fn select_by(
    strategy: &str,
    view: &View<'_>,
    batch: usize,
    audit: usize,
) -> Result<(Selection, Vec<f64>), SelectorError> {
    let built = build(&strategy.parse().expect("a strategy's name"))?;
    let mut scores = Vec::new();
    let mut keep = |piece: &[f64]| {
        scores.extend_from_slice(piece);
        Ok(())
    };
    let request = SelectRequest { strategy: &*built, name: strategy, view, batch, audit };
    let selection = select(&request, Some(&mut keep))?;
    Ok((selection, scores))
}

/// Whether a strategy scores as expected, to within rounding, and picks by its scores: the best first, equal ones by id,
/// whatever the size of the batch. Of no candidates nothing is expected.
pub(super) fn follows(strategy: &str, view: &View<'_>, expected: &[f64]) -> bool {
    let n = view.len();
    [1, n / 2, n].into_iter().filter(|&batch| batch > 0 && n > 0).all(|batch| {
        let (selection, scores) = select_by(strategy, view, batch, 0).expect("scores");
        let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-9 * (1.0 + b.abs());
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
        scores.len() == n
            && scores.iter().zip(expected).all(near)
            && selection.picks.len() == batch
            && selection.picks.iter().zip(order).all(|(pick, i)| pick.sample == view.sample(i))
    })
}

/// The indexes of the candidates that a strategy picks, in its order.
pub(super) fn picks(strategy: &str, view: &View<'_>, batch: usize) -> Vec<usize> {
    let (selection, _) = select_by(strategy, view, batch, 0).expect("picks");
    let index = |sample: &SampleId| (0..view.len()).find(|&i| *view.id(i) == *sample.as_str());
    selection.picks.iter().filter_map(|pick| index(&pick.sample)).collect()
}

/// Points in the plane from arbitrary bytes, on a small grid, so that many coincide and distances tie.
pub(super) fn plane(at: &[(i8, i8)]) -> Matrix {
    let values = at.iter().flat_map(|&(x, y)| [f32::from(x % 16), f32::from(y % 16)]).collect();
    Matrix::new(at.len(), 2, values).expect("n x 2")
}

/// Adds an embedding of the candidates and of labelled samples, all of class 0.
pub(super) fn embedded<'a>(view: View<'a>, at: &'a Matrix, labelled: &'a Matrix) -> View<'a> {
    let mut view = view.with("embedding", Output::flat(at));
    view.labelled.classes = Cow::Owned(vec![0; labelled.rows()]);
    view.labelled.outputs.insert("embedding", Cow::Borrowed(labelled));
    view
}

/// The squared distance, summed in order.
pub(super) fn squared(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).fold(0.0, |sum, (x, y)| sum + (x - y) * (x - y))
}
