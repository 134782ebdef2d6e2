//! Regression strategies against their definitions, looking at everything each time.

use super::super::test_support::{follows, ids, picks, select_by, view};
use super::super::{Output, SelectorError, View};
use crate::domain::ids::SampleId;
use crate::domain::matrix::Matrix;
use quickcheck::quickcheck;
use std::borrow::Cow;

fn embedded<'a>(candidates: &'a [SampleId], pool: &'a Matrix, labelled: &'a Matrix) -> View<'a> {
    let mut view = view(candidates).with("embedding", Output::flat(pool));
    view.labelled.classes = vec![0; labelled.rows()].into();
    view.labelled.outputs.insert("embedding", Cow::Borrowed(labelled));
    view
}

/// Points on a small grid: distances tie and points repeat.
fn grid(bytes: &[u8]) -> Matrix {
    let points = bytes.iter().flat_map(|b| [f32::from(b % 5), f32::from(b / 5 % 5)]);
    Matrix::new(bytes.len(), 2, points.collect()).unwrap()
}

fn square(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum()
}

fn first_best(of: impl Iterator<Item = (usize, f64)>) -> Option<usize> {
    of.fold(
        None,
        |best: Option<(usize, f64)>, (i, x)| {
            if best.is_none_or(|(_, y)| x > y) { Some((i, x)) } else { best }
        },
    )
    .map(|(i, _)| i)
}

fn by_definition(lcmd: bool, pool: &Matrix, labelled: &Matrix) -> Vec<usize> {
    let mut centres: Vec<&[f32]> = labelled.iter_rows().collect();
    let mut left: Vec<usize> = (0..pool.rows()).collect();
    let mut order = vec![];
    while !left.is_empty() {
        let nearest = |i: usize| {
            let squares = centres.iter().map(|centre| -square(pool.row(i), centre)).enumerate();
            let centre = first_best(squares).unwrap();
            (centre, square(pool.row(i), centres[centre]))
        };
        let of_left =
            |value: &dyn Fn(usize) -> f64| first_best(left.iter().map(|&i| (i, value(i))));
        let pick = if centres.is_empty() && lcmd {
            of_left(&|i| square(pool.row(i), &[0.0, 0.0]))
        } else if centres.is_empty() {
            let mean = |d: usize| {
                let sum: f64 = pool.iter_rows().map(|row| f64::from(row[d])).sum();
                sum / pool.rows() as f64
            };
            of_left(&|i| {
                -(0..2).map(|d| (f64::from(pool.row(i)[d]) - mean(d)).powi(2)).sum::<f64>()
            })
        } else if lcmd {
            let size = |centre: usize| {
                let all = (0..pool.rows()).map(nearest).filter(|&(of, _)| of == centre);
                all.map(|(_, square)| square).sum::<f64>()
            };
            let largest = first_best((0..centres.len()).map(|c| (c, size(c)))).unwrap();
            if size(largest) == 0.0 {
                None // all that is left lies on centres: by id
            } else {
                let of = |i: usize| if nearest(i).0 == largest { nearest(i).1 } else { -1.0 };
                of_left(&of)
            }
        } else {
            of_left(&|i| nearest(i).1)
        };
        let pick = pick.unwrap_or(left[0]);
        left.retain(|&i| i != pick);
        centres.push(pool.row(pick));
        order.push(pick);
    }
    order
}

quickcheck! {
    /// Every batch is a beginning of the order in which all would be picked.
    fn picks_are_those_of_the_definition(pool: Vec<u8>, labelled: Vec<u8>) -> bool {
        let pool = grid(&pool[..pool.len().min(16)]);
        let labelled = grid(&labelled[..labelled.len().min(4)]);
        let candidates = ids(pool.rows());
        let view = embedded(&candidates, &pool, &labelled);
        [("greedy_x", false), ("lcmd", true)].into_iter().all(|(strategy, lcmd)| {
            let order = by_definition(lcmd, &pool, &labelled);
            [1, 3, pool.rows()].into_iter().filter(|&batch| batch > 0 && pool.rows() > 0).all(|batch| {
                let found = picks(strategy, &view, batch);
                // Where all that is left lies on centres any order is as good; ours goes by id.
                found == order[..batch.min(order.len())]
            })
        })
    }

    fn variance_is_its_definition(bytes: Vec<u8>, outputs: u8) -> bool {
        let k = usize::from(outputs % 3) + 1;
        let n = (bytes.len() / (3 * k)).min(10);
        let members: Vec<Matrix> = (0..3)
            .map(|m| {
                let values = bytes[m * n * k..(m + 1) * n * k].iter().map(|&b| f32::from(b % 6));
                Matrix::new(n, k, values.collect()).unwrap()
            })
            .collect();
        let candidates = ids(n);
        let mut view = view(&candidates);
        view.members = members.iter().map(Output::flat).collect();
        let expected: Vec<f64> = (0..n)
            .map(|row| {
                let variance = |output: usize| {
                    let x: Vec<f64> = members.iter().map(|m| m.row(row)[output].into()).collect();
                    let mean = x.iter().sum::<f64>() / 3.0;
                    x.iter().map(|x| x * x).sum::<f64>() / 3.0 - mean * mean
                };
                (0..k).map(variance).sum::<f64>() / k as f64
            })
            .collect();
        follows("ensemble_variance", &view, &expected)
    }
}

/// A far outlier: greedy-X runs after it, LCMD goes where many are badly covered.
#[test]
fn the_largest_cluster_is_not_the_farthest_point() {
    let pool = [10.0, 0.0, 0.0, 7.0, 0.0, 7.5, 0.0, 7.2];
    let pool = Matrix::new(4, 2, pool.to_vec()).unwrap();
    let labelled = Matrix::new(2, 2, vec![2.0, 0.0, 0.0, 1.0]).unwrap();
    let candidates = ids(4);
    let view = embedded(&candidates, &pool, &labelled);
    assert_eq!(picks("greedy_x", &view, 1), [0]);
    assert_eq!(picks("lcmd", &view, 1), [2]);
}

#[test]
fn what_has_no_distance_is_refused() {
    let candidates = ids(2);
    let pool = Matrix::new(2, 2, vec![0.0, 0.0, f32::NAN, 1.0]).unwrap();
    let labelled = Matrix::new(1, 2, vec![0.0, 0.0]).unwrap();
    for strategy in ["greedy_x", "lcmd"] {
        let found = select_by(strategy, &embedded(&candidates, &pool, &labelled), 1, 0);
        let found = found.unwrap_err().to_string();
        assert!(found.contains("embedding of sample s001 holds NaN"), "{found}");
        let good = Matrix::new(2, 2, vec![0.0; 4]).unwrap();
        let narrow = Matrix::new(1, 1, vec![0.0]).unwrap();
        let found = select_by(strategy, &embedded(&candidates, &good, &narrow), 1, 0);
        assert!(matches!(found, Err(SelectorError::Widths { candidates: 2, labelled: 1, .. })));
        let odd = Matrix::new(1, 2, vec![0.0, f32::INFINITY]).unwrap();
        let found = select_by(strategy, &embedded(&candidates, &good, &odd), 1, 0);
        assert!(matches!(found, Err(SelectorError::Strategy { .. })));
        let none = select_by(strategy, &view(&candidates), 1, 0);
        assert!(matches!(none, Err(SelectorError::NoOutput { .. })));
    }
}
