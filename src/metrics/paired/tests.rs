//! Tests of pairs against sums over all outcomes, published numbers, and models that are known to differ or not.

use super::*;
use crate::metrics::bootstrap::{number, unit};
use crate::metrics::measure;
use quickcheck::{TestResult, quickcheck};

const SETTINGS: Settings = Settings { confidence: 0.95, seed: 11 };

fn near(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
}

/// 1 against 7 among 21 pairs (airway hyper-responsiveness before and after transplantation): exact 0.0703, mid-p
/// 0.0391, as in Fagerland, Lydersen and Laake (2013).
#[test]
fn mcnemar_matches_a_published_table() {
    near(mcnemar(1, 7, 21, 0.95).p, 0.0703, 5e-5);
    near(mcnemar_mid_p(1, 7, 21, 0.95).p, 0.0391, 5e-5);
    let found = mcnemar(1, 7, 21, 0.95);
    near(found.difference, -6.0 / 21.0, 1e-12);
    assert!(!found.is_real(0.95) && mcnemar_mid_p(1, 7, 21, 0.95).is_real(0.95));
    assert_eq!(
        (found.wins, found.losses, found.test.to_string().as_str()),
        (1, 7, "mcnemar_exact")
    );
}

#[test]
fn models_that_never_differ_are_no_different() {
    let found = mcnemar(0, 0, 50, 0.95);
    near(found.p, 1.0, 0.0);
    assert!(found.interval.low < 0.0 && found.interval.high > 0.0);
    near(mcnemar_mid_p(4, 4, 50, 0.95).p, 1.0, 1e-9);
    near(mcnemar_mid_p(0, 0, 0, 0.95).difference, 0.0, 0.0);
}

#[test]
fn a_million_pairs_are_counted_without_overflow() {
    let found = mcnemar(500_000, 501_000, 2_000_000, 0.95);
    // The normal approximation with a continuity correction is good here.
    let z = (1_000.0_f64 - 1.0) / 1_001_000_f64.sqrt();
    near(found.p, 2.0 * crate::metrics::quantile::normal_cdf(-z), 1e-5);
    assert!(mcnemar(0, 1_000_000, 1_000_000, 0.95).p > 0.0);
}

#[test]
fn a_clear_difference_of_losses_is_real_and_a_small_one_is_not() {
    let incumbent: Vec<f64> = (0..80).map(|i| 1.0 + unit(1, i)).collect();
    let clearly: Vec<f64> = (0..80).map(|i| 0.9 + unit(1, i) + 0.1 * unit(2, i)).collect();
    let hardly: Vec<f64> = (0..80).map(|i| 1.0 + unit(1, i) + 0.4 * (unit(2, i) - 0.49)).collect();
    let real = bootstrap(&clearly, &incumbent, Direction::Min, SETTINGS).unwrap();
    assert!(real.is_real(0.95) && real.interval.high < 0.0 && real.difference < 0.0, "{real:?}");
    assert_eq!((real.wins, real.losses), (80, 0));
    let luck = bootstrap(&hardly, &incumbent, Direction::Min, SETTINGS).unwrap();
    assert!(!luck.is_real(0.95) && luck.interval.low < 0.0 && luck.interval.high > 0.0, "{luck:?}");
    assert_eq!(luck, bootstrap(&hardly, &incumbent, Direction::Min, SETTINGS).unwrap());
}

#[test]
fn a_sample_or_two_prove_nothing() {
    let one = bootstrap(&[1.0], &[0.0], Direction::Max, SETTINGS).unwrap();
    near(one.p, 1.0, 0.0);
    assert!(one.interval.low < -1e300 && one.interval.high > 1e300);
    near(bootstrap(&[1.0, 2.0], &[0.0, 0.5], Direction::Max, SETTINGS).unwrap().p, 0.5, 0.0);
}

#[test]
fn scores_that_are_no_pairs_are_refused() {
    let refused = |a: &[f64], b: &[f64]| bootstrap(a, b, Direction::Max, SETTINGS).unwrap_err();
    assert_eq!(refused(&[], &[]), PairedError::Empty);
    assert_eq!(refused(&[1.0], &[]), PairedError::Lengths { challenger: 1, incumbent: 0 });
    assert!(refused(&[1.0, f64::NAN], &[1.0, 0.0]).to_string().contains("sample 1 are NaN and 0"));
    let unsure = Settings { confidence: 0.0, seed: 0 };
    assert!(bootstrap(&[1.0], &[1.0], Direction::Max, unsure).is_err());
}

/// Two models that are equally good differ by luck; a test at 95 % may call one in twenty real.
#[test]
fn equals_are_seldom_called_different() {
    let called = (0..400).filter(|&trial| {
        let key = number(3, trial);
        let score = |side: u64| {
            (0..40).map(|i| unit(key, i) + unit(key ^ side, 1_000 + i)).collect::<Vec<f64>>()
        };
        bootstrap(&score(1), &score(2), Direction::Max, SETTINGS).unwrap().is_real(0.95)
    });
    let called = called.count();
    assert!((4..=36).contains(&called), "{called} of 400");
}

#[test]
fn two_models_are_compared_by_any_metric() {
    let n = 300;
    let (mut good, mut bad, mut labels) = (Vec::new(), Vec::new(), Vec::new());
    for i in 0..n {
        let label = i % 3;
        labels.push(label as f32);
        for (answers, rate) in [(&mut good, 0.95), (&mut bad, 0.7)] {
            let winner =
                if unit(u64::from(rate > 0.8), i) < rate { label } else { (label + 1) % 3 };
            answers.extend((0..3).map(|class| if class == winner { 0.8 } else { 0.1 }));
        }
    }
    let n = usize::try_from(n).unwrap();
    let (good, bad) = (Matrix::new(n, 3, good).unwrap(), Matrix::new(n, 3, bad).unwrap());
    let labels = Matrix::new(n, 1, labels).unwrap();
    let of =
        |metric, a, b| compare(metric, Task::Classification, 3, a, b, &labels, SETTINGS).unwrap();
    let counted = of(Metric::Accuracy, &good, &bad);
    assert_eq!(counted.test, Test::McNemarExact);
    for metric in [Metric::Accuracy, Metric::MacroF1, Metric::LogLoss, Metric::Recall(0.5)] {
        let found = of(metric, &good, &bad);
        let better =
            found.difference * if metric.direction() == Direction::Max { 1.0 } else { -1.0 };
        assert!(better > 0.0 && found.is_real(0.99), "{metric}: {found:?}");
        assert!(found.interval.low <= found.difference && found.difference <= found.interval.high);
        assert_eq!(
            (found.wins, found.losses, found.n),
            (counted.wins, counted.losses, 300),
            "{metric}"
        );
        let same = of(metric, &good, &good);
        assert!(
            metric == Metric::LogLoss || same.interval.high > same.interval.low,
            "{metric}: {same:?}"
        );
        assert!(!same.is_real(0.5) && same.wins + same.losses == 0, "{metric}: {same:?}");
    }
    let value = |answers| {
        measure(Metric::MacroF1, Task::Classification, 3, answers, &labels, SETTINGS).unwrap().value
    };
    near(of(Metric::MacroF1, &good, &bad).difference, value(&good) - value(&bad), 1e-12);
    let other = Matrix::new(1, 3, vec![0.2; 3]).unwrap();
    assert!(
        compare(Metric::MacroF1, Task::Classification, 3, &good, &other, &labels, SETTINGS)
            .is_err()
    );
}

quickcheck! {
    fn mcnemar_is_the_sum_over_all_outcomes(a: u8, b: u8) -> bool {
        let (wins, losses) = (u64::from(a % 20), u64::from(b % 20));
        let (n, fewer) = (wins + losses, wins.min(losses));
        let choose = |k: u64| (0..k).fold(1.0, |c, i| c * (n - i) as f64 / (i + 1) as f64);
        let heads = |k: u64| choose(k) / 2_f64.powi(i32::try_from(n).unwrap());
        let exact = (2.0 * (0..=fewer).map(heads).sum::<f64>()).min(1.0);
        let mid = (2.0 * (0..fewer).map(heads).sum::<f64>() + heads(fewer)).min(1.0);
        (mcnemar(wins, losses, n, 0.95).p - exact).abs() < 1e-9
            && (mcnemar_mid_p(wins, losses, n, 0.95).p - mid).abs() < 1e-9
    }

    fn swapping_the_models_turns_the_difference(pairs: Vec<(i8, i8)>, seed: u64) -> TestResult {
        if pairs.len() < 2 {
            return TestResult::discard();
        }
        let (a, b): (Vec<f64>, Vec<f64>) = pairs.iter().map(|&(a, b)| (f64::from(a), f64::from(b))).unzip();
        let settings = Settings { confidence: 0.9, seed };
        let there = bootstrap(&a, &b, Direction::Max, settings).unwrap();
        let back = bootstrap(&b, &a, Direction::Max, settings).unwrap();
        let close = |x: f64, y: f64| (x - y).abs() < 1e-9;
        TestResult::from_bool(
            close(there.difference, -back.difference)
                && close(there.interval.low, -back.interval.high)
                && (there.wins, there.losses) == (back.losses, back.wins)
                && there.interval.low <= there.difference && there.difference <= there.interval.high
                && there.p > 0.0 && there.p <= 1.0,
        )
    }
}
