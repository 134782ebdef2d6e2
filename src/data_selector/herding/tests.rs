//! Herding against plain greedy, every gain summed anew for every pick.

use super::super::test_support::{
    distributions, ids, picks, plane, probabilities, select_by, squared, view,
};
use super::super::{Output, SelectorError, View};
use super::Kernel;
use crate::domain::matrix::Matrix;
use quickcheck::quickcheck;
use std::borrow::Cow;

/// Sums the definition for each candidate, before each pick.
fn plain_greedy(
    at: &Matrix,
    labelled: &Matrix,
    u: &[f64],
    bandwidth: f64,
    count: usize,
) -> Vec<usize> {
    let kernel = Kernel::new(bandwidth);
    let k = |a: &[f32], b: &[f32]| f64::from(kernel.of(squared(a, b)));
    let n = at.rows();
    let mut chosen: Vec<usize> = vec![];
    while chosen.len() < count {
        let covered = |x: usize, also: Option<usize>| {
            let picked = chosen.iter().copied().chain(also).map(|s| k(at.row(x), at.row(s)));
            picked.chain(labelled.iter_rows().map(|l| k(at.row(x), l))).fold(0.0, f64::max)
        };
        let value = |s: usize| (0..n).map(|x| u[x] * covered(x, Some(s))).sum::<f64>();
        let mut best = None;
        for s in (0..n).filter(|s| !chosen.contains(s)) {
            let value = value(s);
            if best.is_none_or(|(_, highest)| value > highest) {
                best = Some((s, value));
            }
        }
        chosen.push(best.expect("one is left").0);
    }
    chosen
}

fn with_labelled<'a>(mut seen: View<'a>, at: &'a Matrix, labelled: &'a Matrix) -> View<'a> {
    seen = seen.with("embedding", Output::flat(at));
    seen.labelled.classes = Cow::Owned(vec![0; labelled.rows()]);
    seen.labelled.outputs.insert("embedding", Cow::Borrowed(labelled));
    seen
}

quickcheck! {
    fn picks_are_those_of_plain_greedy(at: Vec<(i8, i8)>, labelled: Vec<(i8, i8)>, bytes: Vec<(u8, u8, u8)>, batch: u8) -> bool {
        let n = at.len().min(bytes.len());
        if n == 0 {
            return true;
        }
        let (at, p) = (plane(&at[..n]), distributions(&bytes[..n]));
        let labelled = plane(&labelled[..labelled.len().min(4)]);
        let candidates = ids(n);
        let seen = with_labelled(probabilities(&candidates, &p), &at, &labelled);
        let count = usize::from(batch) % n + 1;
        let margin = select_by("margin", &seen, 1, 0).expect("scores").1;
        let u: Vec<f64> = margin.iter().map(|u| (u * 4096.0).round() / 4096.0).collect();
        picks("max_herding(bandwidth=5)", &seen, count) == plain_greedy(&at, &labelled, &vec![1.0; n], 5.0, count)
            && picks("uncertainty_herding(bandwidth=2)", &seen, count) == plain_greedy(&at, &labelled, &u, 2.0, count)
    }
}

#[test]
fn the_exponential_is_near_the_true_one_and_never_above_1() {
    let kernel = Kernel::new(1.0);
    for step in 0..200_000_u32 {
        let squared = step as f32 * 1e-4;
        let (found, right) = (f64::from(kernel.of(squared)), (-f64::from(squared)).exp());
        assert!(
            (found - right).abs() < 1.5e-6 && found <= 1.0,
            "{squared}: {found} is not {right}"
        );
    }
    assert_eq!(
        [0.0, 100.0, f32::MAX].map(|d| kernel.of(d).to_bits()),
        [1.0_f32, 0.0, 0.0].map(f32::to_bits)
    );
}

#[test]
fn bandwidths_are_fitted_and_recorded() {
    let at = plane(&[(0, 0), (3, 4), (0, 0), (6, 8)]);
    let p = distributions(&[(4, 4, 4); 4]);
    let candidates = ids(4);
    let remark = |strategy, labelled: &[(i8, i8)]| {
        let labelled = plane(labelled);
        let seen = with_labelled(probabilities(&candidates, &p), &at, &labelled);
        select_by(strategy, &seen, 2, 0).expect("picks").0.parameters["bandwidth"].clone()
    };
    assert_eq!(remark("max_herding", &[(0, 0), (1, 0)]), "5 (the median distance)");
    assert_eq!(remark("uncertainty_herding", &[(1, 1)]), "5 (the median distance)");
    let least = "2 (the least distance between labelled samples)";
    assert_eq!(remark("uncertainty_herding", &[(0, 0), (0, 0), (9, 0), (2, 0)]), least);
    assert_eq!(remark("max_herding(bandwidth=3)", &[]), "3 (as set)");
}

#[test]
fn any_number_of_threads_picks_the_same() {
    let n = 700_usize;
    let values = (0..n * 5).map(|i| ((i * 7919 % 1013) as f32).sqrt()).collect();
    let (at, none) = (Matrix::new(n, 5, values).expect("n x 5"), Matrix::default());
    let candidates: Vec<_> = (0..n).map(|i| format!("s{i:05}").as_str().into()).collect();
    let seen = with_labelled(view(&candidates), &at, &none);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| select_by("max_herding", &seen, 40, 0).expect("picks"))
    };
    assert!(run(1) == run(2) && run(1) == run(5));
}

#[test]
fn equal_samples_go_by_id_and_bad_ones_are_named() {
    let candidates = ids(3);
    let (same, none) = (plane(&[(1, 1); 3]), Matrix::default());
    assert_eq!(picks("max_herding", &with_labelled(view(&candidates), &same, &none), 3), [0, 1, 2]);
    let bad = Matrix::new(3, 1, vec![0.0, f32::NAN, 1.0]).expect("3 x 1");
    let found = select_by("max_herding", &with_labelled(view(&candidates), &bad, &none), 1, 0);
    assert!(
        matches!(found, Err(SelectorError::NotFinite { ref sample, .. }) if sample.as_str() == "s001")
    );
    let wide = Matrix::new(1, 3, vec![0.0; 3]).expect("1 x 3");
    let found = select_by("max_herding", &with_labelled(view(&candidates), &same, &wide), 1, 0);
    assert!(matches!(found, Err(SelectorError::Widths { .. })));
}

/// `cargo test --release --lib -- --ignored --nocapture herding`
#[test]
#[ignore = "a measurement"]
#[expect(clippy::print_stdout, reason = "a measurement")]
fn time_100_of_20000_x_64() {
    let (n, d) = (20_000_usize, 64);
    let values: Vec<f32> = (0..n * d)
        .map(|i| {
            let mut x = i as u64 ^ 0x9e37_79b9;
            let mut unit = || {
                x = x
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (x >> 40) as f32 / 16_777_216.0
            };
            (0..8).map(|_| unit()).sum::<f32>() - 4.0
        })
        .collect();
    let (at, none) = (Matrix::new(n, d, values).expect("n x d"), Matrix::default());
    let candidates: Vec<_> = (0..n).map(|i| format!("s{i:05}").as_str().into()).collect();
    let seen = with_labelled(view(&candidates), &at, &none);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a pool");
    for strategy in ["max_herding", "probcover(radius=5)", "probcover(radius=6)", "probcover"] {
        #[expect(clippy::disallowed_methods, reason = "a measurement")]
        let start = std::time::Instant::now();
        let found = pool.install(|| select_by(strategy, &seen, 100, 0).expect("picks").0);
        println!("{strategy}: {:?}, {:?}", start.elapsed(), found.parameters);
    }
}
