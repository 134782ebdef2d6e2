//! Multi-label strategies against their definitions, written out.
#![expect(clippy::float_cmp, reason = "the very same numbers are meant")]

use super::super::test_support::{follows, ids, probabilities, select_by};
use super::super::{SelectorError, View};
use crate::domain::ids::SampleId;
use crate::domain::matrix::Matrix;
use quickcheck::quickcheck;

fn h(p: f64) -> f64 {
    if p > 0.0 && p < 1.0 { -p * p.ln() - (1.0 - p) * (1.0 - p).ln() } else { 0.0 }
}

fn seen<'a>(candidates: &'a [SampleId], p: &'a Matrix, sets: &[Vec<bool>]) -> View<'a> {
    let mut view = probabilities(candidates, p);
    view.labelled.label_sets = sets.to_vec().into();
    view
}

/// Entropies of label vectors, by counting values one by one.
fn distance(a: &[bool], b: &[bool]) -> f64 {
    let entropy = |values: Vec<u8>| -> f64 {
        let n = values.len() as f64;
        let share = |v: u8| values.iter().filter(|&&x| x == v).count() as f64 / n;
        (0..4).map(share).filter(|&p| p > 0.0).map(|p| -p * p.ln()).sum()
    };
    if a.iter().zip(b).all(|(a, b)| a != b) {
        return 1.0;
    }
    let joint = entropy(a.iter().zip(b).map(|(&a, &b)| u8::from(a) * 2 + u8::from(b)).collect());
    let each = |set: &[bool]| entropy(set.iter().map(|&x| u8::from(x)).collect());
    if joint == 0.0 { 0.0 } else { (2.0 * joint - each(a) - each(b)) / joint }
}

fn cvirs(p: &Matrix, sets: &[Vec<bool>]) -> Vec<f64> {
    let (n, k) = (p.rows(), p.cols());
    let margin = |i: usize, label: usize| (2.0 * f64::from(p.row(i)[label]) - 1.0).abs();
    (0..n)
        .map(|i| {
            let rank = |label: usize| {
                let greater = (0..n).filter(|&j| margin(j, label) > margin(i, label)).count();
                if n == 1 { 1.0 } else { greater as f64 / (n - 1) as f64 }
            };
            let s = (0..k).map(rank).sum::<f64>() / k as f64;
            let predicted: Vec<bool> = p.row(i).iter().map(|&p| p > 0.5).collect();
            let v =
                sets.iter().map(|set| distance(&predicted, set)).sum::<f64>() / sets.len() as f64;
            s * v
        })
        .collect()
}

quickcheck! {
    fn each_score_is_its_definition(bytes: Vec<u8>, labels: u8, sets: Vec<u8>) -> bool {
        let k = usize::from(labels % 4) + 1;
        let n = (bytes.len() / k).min(14);
        let p: Vec<f32> = bytes.iter().take(n * k).map(|b| f32::from(b % 5) / 4.0).collect();
        let p = Matrix::new(n, k, p).unwrap();
        let mut sets: Vec<Vec<bool>> =
            sets.iter().map(|bits| (0..k).map(|bit| bits >> bit & 1 == 1).collect()).collect();
        sets.push(vec![true; k]);
        let candidates = ids(n);
        let view = seen(&candidates, &p, &sets);
        let each = |pool: fn(&[f64]) -> f64| -> Vec<f64> {
            let row = |row: &[f32]| pool(&row.iter().map(|&p| h(p.into())).collect::<Vec<_>>());
            p.iter_rows().map(row).collect()
        };
        let mean = each(|all| all.iter().sum::<f64>() / all.len() as f64);
        let max = each(|all| all.iter().copied().fold(0.0, f64::max));
        follows("multilabel_entropy", &view, &mean)
            && follows("multilabel_entropy(pool=mean)", &view, &mean)
            && follows("multilabel_entropy(pool=max)", &view, &max)
            && follows("cvirs", &view, &cvirs(&p, &sets))
    }
}

#[test]
fn a_label_set_is_unlike_its_opposite_though_it_tells_it() {
    assert_eq!(super::distance(&[true, false], &[false, true]), 1.0);
    assert_eq!(super::distance(&[true, false], &[true, false]), 0.0);
    assert_eq!(super::distance(&[true, true], &[true, true]), 0.0);
}

#[test]
fn what_cannot_be_scored_is_refused() {
    let candidates = ids(2);
    let p = Matrix::new(2, 2, vec![0.9, 0.8, 0.5, 1.5]).unwrap();
    for strategy in ["multilabel_entropy", "cvirs"] {
        let found = select_by(strategy, &seen(&candidates, &p, &[vec![true, false]]), 1, 0);
        let found = found.unwrap_err().to_string();
        assert!(found.contains("sample s001 the probability 1.5 for class number 1"), "{found}");
    }
    let p = Matrix::new(2, 2, vec![0.9, 0.8, 0.5, 0.5]).unwrap();
    let refusal = |sets: &[Vec<bool>]| select_by("cvirs", &seen(&candidates, &p, sets), 1, 0);
    assert!(matches!(refusal(&[]), Err(SelectorError::Missing { .. })));
    assert!(matches!(refusal(&[vec![true]]), Err(SelectorError::Widths { labelled: 1, .. })));
}
