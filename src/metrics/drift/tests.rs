//! Tests of drift against all splits, SciPy's numbers, and series that are known to differ or not.

use super::*;
use crate::metrics::bootstrap::unit;
use quickcheck::{TestResult, quickcheck};

fn near(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
}

fn column(values: &[f32]) -> Matrix {
    Matrix::new(values.len(), 1, values.to_vec()).unwrap()
}

fn sorted(values: &[f32]) -> Vec<f32> {
    ascending(&column(values), 0)
}

fn walk(before: &[f32], arrived: &[f32]) -> Walk {
    Walk::along(&sorted(before), &sorted(arrived))
}

/// The statistic and the exact p of one output, however few samples.
fn small(before: &[f32], arrived: &[f32]) -> (f64, f64) {
    let (n, m) = (before.len(), arrived.len());
    let walk = walk(before, arrived);
    (walk.apart as f64 / (n * m) as f64, exact(n, m, &walk))
}

#[expect(clippy::cast_possible_truncation, reason = "answers are that coarse")]
fn single(value: f64) -> f32 {
    value as f32
}

/// `rows` answers of `cols` outputs: uniform numbers, each made another by `turn`.
fn uniform(rows: usize, cols: usize, key: u64, turn: impl Fn(f64) -> f64) -> Matrix {
    let data = (0..(rows * cols) as u64).map(|i| single(turn(unit(key, i)))).collect();
    Matrix::new(rows, cols, data).unwrap()
}

/// The definition, and nothing else: at each value the share of each series up to it.
fn distance(before: &[f32], arrived: &[f32]) -> usize {
    let up_to = |values: &[f32], x: f32| values.iter().filter(|value| **value <= x).count();
    let apart =
        |&x: &f32| (up_to(before, x) * arrived.len()).abs_diff(up_to(arrived, x) * before.len());
    before.iter().chain(arrived).map(apart).max().unwrap()
}

/// Of all ways to choose which values were before, the share that is as far apart or farther.
fn by_all_splits(before: &[f32], arrived: &[f32]) -> f64 {
    let all = [before, arrived].concat();
    let (mut far, mut splits) = (0.0, 0.0);
    for chosen in (0..1_u32 << all.len()).filter(|set| set.count_ones() as usize == before.len()) {
        let of = |side: u32| -> Vec<f32> {
            (0..all.len()).filter(|i| chosen >> i & 1 == side).map(|i| all[i]).collect()
        };
        splits += 1.0;
        far += f64::from(u8::from(distance(&of(1), &of(0)) >= distance(before, arrived)));
    }
    far / splits
}

/// `scipy.stats.ks_2samp(before, arrived, method="exact")` of SciPy 1.17.1.
#[test]
fn p_is_that_of_scipy() {
    let normal = [
        0.61, 0.29, 0.06, 0.59, -1.73, -0.74, 0.51, -0.56, 0.39, 1.64, 0.05, -0.06, 0.64, -0.82,
        0.37, 1.77, 1.09, -1.28, 2.36, 1.31, 1.05, -0.32, -0.40, 1.06, -2.47,
    ];
    let found = small(&normal, &[1.2, 0.3, 0.9, 1.9, 2.2, -0.1, 0.7]);
    near(found.0, 0.434_285_714_285_714_3, 1e-15);
    near(found.1, 0.193_756_357_966_591_52, 1e-13);
    let found = small(&[0.1, 0.4, 0.7], &[0.2, 0.5, 0.8, 0.9, 1.1]);
    near(found.0, 0.6, 1e-15);
    near(found.1, 0.464_285_714_285_714_3, 1e-15);

    let even = |n: u32| (0..n).map(move |i| f64::from(i) / f64::from(n));
    let matrix =
        |values: &mut dyn Iterator<Item = f64>| column(&values.map(single).collect::<Vec<_>>());
    for (n, m, moved, statistic, p) in [
        (40, 50, 0, 0.225, 0.182_495_661_143_137_6),
        (100, 100, 1, 0.15, 0.211_170_086_251_275_76),
        (400, 300, 2, 0.098_333_333_333_333_33, 0.068_534_152_861_390_42),
    ] {
        let turn = |x: f64| match moved {
            0 => 0.2013 + 0.9 * x,
            1 => libm::pow(x, 1.5) + 0.0003,
            _ => libm::pow(x + 0.37 / 300.0, 1.3),
        };
        let found = drift(&matrix(&mut even(n)), &matrix(&mut even(m).map(turn))).unwrap();
        near(found.statistic, statistic, 1e-15);
        near(found.p, p, 1e-13);
        assert_eq!((found.output, found.before, found.arrived), (0, n.into(), m.into()));
    }
}

#[test]
fn series_that_lie_apart_have_the_least_p_there_is() {
    let (low, high) = ([1.0; 10], [2.0; 10]);
    let found = drift(&column(&low), &column(&high)).unwrap();
    near(found.statistic, 1.0, 0.0);
    // All equal on either side: any other split has both values on both sides.
    near(found.p * 184_756.0, 2.0, 1e-9);
    let far = drift(&uniform(1_500, 3, 1, |x| x), &uniform(1_500, 3, 2, |x| x + 5.0)).unwrap();
    assert!(far.p > 0.0 && far.p < 1e-300, "{far:?}");
    let same = uniform(700, 3, 1, |x| x);
    let found = drift(&same, &same).unwrap();
    near(found.statistic, 0.0, 0.0);
    near(found.p, 1.0, 0.0);
}

/// Where the exact walk ends, the limit is near: at the p that decide nearer than where nothing is doubted.
#[test]
fn the_limit_takes_over_without_a_leap() {
    // How many samples, and the largest divisor of both: all distances are its multiples.
    for (n, m, step) in
        [(2_000, 2_000, 2_000), (1_000, 4_000, 1_000), (1_999, 2_000, 1), (10, 400_000, 10)]
    {
        for tenths in 3..=20 {
            let root = ((n * m) as f64 / (n + m) as f64).sqrt();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
            let steps = (f64::from(tenths) / 10.0 / root * (n * m / step) as f64) as usize;
            let walk = Walk { apart: (steps * step) as u128, ends: vec![true; n + m + 1] };
            let exact = exact(n, m, &walk);
            let found = limit(n, m, walk.apart as f64 / (n * m) as f64);
            near(found, exact, if exact < 0.1 { 0.003 } else { 0.025 });
        }
    }
}

/// The usual critical values, and the two series where they meet.
#[test]
fn kolmogorovs_distribution_matches_tables() {
    for (x, p) in
        [(1.223_847_9, 0.1), (1.358_098_6, 0.05), (1.627_623_6, 0.01), (1.949_474_6, 0.001)]
    {
        near(kolmogorov(x) / p, 1.0, 1e-5);
    }
    near(kolmogorov(1.18), kolmogorov(1.18 - 1e-15), 1e-14);
    near(kolmogorov(0.5), 0.963_945_243_664_875_1, 1e-14);
    near(kolmogorov(0.0), 1.0, 0.0);
    near(kolmogorov(0.039), kolmogorov(0.041), 0.0);
    near(kolmogorov(40.0), 0.0, 0.0);
}

/// The p of 1,000 trials.
fn trials(trial: impl Fn(u64) -> Drift) -> Vec<f64> {
    (0..1_000).map(|key| trial(key).p).collect()
}

/// How many of them are at most `level`.
fn share_up_to(level: f64, trials: &[f64]) -> f64 {
    trials.iter().filter(|p| **p <= level).count() as f64 / trials.len() as f64
}

/// Without drift, p is at most `level` that often, give or take three standard errors.
#[test]
fn without_drift_p_is_as_even_as_it_says() {
    let check = |n, m, cols, turn: &dyn Fn(f64) -> f64, slack: f64| {
        let of = |rows, key| uniform(rows, cols, key, turn);
        let found = trials(|key| drift(&of(n, 2 * key), &of(m, 2 * key + 1)).unwrap());
        for level in [0.01_f64, 0.05, 0.1, 0.25, 0.5] {
            let share = share_up_to(level, &found);
            let error = 3.0 * (level * (1.0 - level) / 1_000.0).sqrt();
            assert!(share <= level + error, "{n} {m} {cols}: {share} of {level}");
            assert!(share >= (1.0 - slack) * level - error, "{n} {m} {cols}: {share} of {level}");
        }
    };
    // Exact; exact and coarse by ties; the limit. Three outputs that know nothing of each other share a level of 0.5
    // a little too carefully.
    check(60, 47, 1, &|x| x, 0.1);
    check(60, 47, 1, &|x| (x * 6.0).floor(), 0.3);
    check(60, 47, 3, &|x| x, 0.25);
    check(2_001, 2_001, 1, &|x| x, 0.1);
}

#[test]
fn a_shift_of_one_output_is_found_and_named() {
    let trial = |shift: f64| {
        move |key: u64| {
            let before = uniform(200, 4, 2 * key, |x| x);
            let mut arrived = uniform(150, 4, 2 * key + 1, |x| x).data().to_vec();
            arrived.iter_mut().skip(2).step_by(4).for_each(|x| *x = single(f64::from(*x) + shift));
            drift(&before, &Matrix::new(150, 4, arrived).unwrap()).unwrap()
        }
    };
    let found = |shift| share_up_to(0.05, &trials(trial(shift)));
    assert!((0..100).all(|key| trial(0.3)(key).output == 2));
    let (clear, slight, none) = (found(0.3), found(0.15), found(0.0));
    assert!(clear > 0.99 && slight > 0.4 && none < 0.07, "{clear} {slight} {none}");
}

#[test]
fn what_does_not_fit_is_named() {
    let fine = uniform(12, 2, 1, |x| x);
    let mut broken = fine.data().to_vec();
    broken[7] = f32::NAN;
    let broken = Matrix::new(12, 2, broken).unwrap();
    let error = |a: &Matrix, b: &Matrix| drift(a, b).unwrap_err().to_string();
    let few = uniform(9, 2, 1, |x| x);
    for (found, expected) in [
        (error(&few, &fine), "9 samples from before are too few to tell drift by; it takes 10"),
        (error(&fine, &few), "9 samples that arrived are too few"),
        (
            error(&fine, &uniform(12, 3, 1, |x| x)),
            "from before is 2 numbers, and for one that arrived 3",
        ),
        (error(&fine, &broken), "sample 3 of those that arrived holds NaN in place 1"),
        (error(&broken, &fine), "sample 3 of those from before holds NaN in place 1"),
    ] {
        assert!(found.contains(expected), "{found}");
    }
    let none = Matrix::new(usize::MAX, 0, vec![]).unwrap();
    assert_eq!(drift(&none, &none), Err(DriftError::NoOutputs));
}

quickcheck! {
    fn exact_p_is_the_share_of_all_splits(before: Vec<u8>, arrived: Vec<u8>, kinds: u8) -> TestResult {
        // Few kinds of values make many ties.
        let of = |values: &[u8]| -> Vec<f32> {
            values.iter().take(6).map(|value| f32::from(value % (kinds % 32 + 2))).collect()
        };
        let (before, arrived) = (of(&before), of(&arrived));
        if before.is_empty() || arrived.is_empty() {
            return TestResult::discard();
        }
        let (statistic, p) = small(&before, &arrived);
        near(statistic, distance(&before, &arrived) as f64 / (before.len() * arrived.len()) as f64, 1e-15);
        near(p, by_all_splits(&before, &arrived), 1e-12);
        TestResult::passed()
    }

    fn neither_the_order_of_samples_nor_of_series_changes_a_bit(values: Vec<i8>, cut: u8, turn: usize) -> TestResult {
        let values: Vec<f32> = values.iter().map(|value| f32::from(*value) / 8.0).collect();
        let rows = values.len() / 2;
        if rows < 2 * SAMPLES_LEAST {
            return TestResult::discard();
        }
        let all = Matrix::new(rows, 2, values[..2 * rows].to_vec()).unwrap();
        let cut = SAMPLES_LEAST + usize::from(cut) % (rows - 2 * SAMPLES_LEAST + 1);
        let (one, two): (Vec<usize>, Vec<usize>) = ((0..cut).collect(), (cut..rows).collect());
        let of = |indexes: &[usize]| all.select_rows(indexes);
        let found = drift(&of(&one), &of(&two)).unwrap();
        let swapped = drift(&of(&two), &of(&one)).unwrap();
        let (mut one, mut two) = (one, two);
        one.reverse();
        let by = turn % two.len();
        two.rotate_left(by);
        let turned = drift(&of(&one), &of(&two)).unwrap();
        TestResult::from_bool(
            found == turned
                && found == Drift { before: found.before, arrived: found.arrived, ..swapped }
                && (found.before, found.arrived) == (swapped.arrived, swapped.before)
                && found.p > 0.0 && found.p <= 1.0 && (0.0..=1.0).contains(&found.statistic),
        )
    }
}
