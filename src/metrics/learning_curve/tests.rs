//! Curves that are known, read back; and what cannot be told, said.

use super::*;
use crate::metrics::bootstrap::number;
use quickcheck::quickcheck;

const SETTINGS: Settings = Settings { confidence: 0.9, seed: 5 };

/// Points on `1 - (a (n / 10)^-b + c)` without noise.
fn on_curve(labels: &[usize], (a, b, c): (f64, f64, f64), measured: u64) -> Vec<Point> {
    let value = |n: usize| 1.0 - (a * (n as f64 / 10.0).powf(-b) + c);
    labels.iter().map(|&labels| Point { labels, value: value(labels), measured }).collect()
}

#[test]
fn a_known_curve_is_found_again() {
    let points = on_curve(&[10, 20, 40, 80, 160, 320], (0.5, 0.8, 0.03), 1_000_000);
    let curve = Curve::fit(&points, Direction::Max).unwrap();
    assert!((curve.asymptote() - 0.97).abs() < 0.003, "{}", curve.asymptote());
    for point in &points {
        assert!((curve.value_at(point.labels as f64) - point.value).abs() < 0.002);
    }
    // 1 - 0.9 = 0.5 (n / 10)^-0.8 + 0.03
    let expected = 10.0 * (0.5_f64 / 0.07).powf(1.0 / 0.8);
    let found = curve.labels_to(0.9, SETTINGS).unwrap();
    assert!((found.labels / expected - 1.0).abs() < 0.02, "{found:?} is not {expected}");
    assert!(
        found.low <= expected && expected <= found.high.unwrap() && found.reached > 0.99,
        "{found:?}"
    );
}

#[test]
fn losses_fall_the_same_way() {
    let points: Vec<Point> = [10, 30, 90, 270, 810]
        .map(|labels| Point {
            labels,
            value: 3.0 * (labels as f64).powf(-0.5) + 0.2,
            measured: 500,
        })
        .to_vec();
    let curve = Curve::fit(&points, Direction::Min).unwrap();
    let found = curve.labels_to(0.3, SETTINGS).unwrap();
    assert!((found.labels / 900.0 - 1.0).abs() < 0.05 && found.low < 900.0, "{found:?}");
    assert!(matches!(curve.labels_to(0.1, SETTINGS), Err(CannotTell::BeyondAsymptote { .. })));
}

#[test]
fn what_the_points_do_not_tell_is_not_told() {
    let fit = |points: &[Point]| Curve::fit(points, Direction::Max);
    let good = on_curve(&[10, 20, 40, 80], (0.4, 0.7, 0.05), 400);
    assert_eq!(fit(&good[..2]), Err(CannotTell::FewPoints { found: 2 }));
    assert_eq!(fit(&[good[0], good[1], good[1]]), Err(CannotTell::FewPoints { found: 2 }));
    let level = [10, 20, 40].map(|labels| Point { labels, value: 0.8, measured: 100 });
    assert_eq!(fit(&level), Err(CannotTell::NoSlope { points: 3 }));
    let worse = [10, 20, 40].map(|labels| Point {
        labels,
        value: 0.9 - labels as f64 / 100.0,
        measured: 100,
    });
    assert_eq!(fit(&worse), Err(CannotTell::NoSlope { points: 3 }));
    for broken in [
        Point { labels: 0, ..good[0] },
        Point { measured: 0, ..good[0] },
        Point { value: 1.5, ..good[0] },
        Point { value: f64::NAN, ..good[0] },
    ] {
        assert!(matches!(fit(&[broken, good[1], good[2], good[3]]), Err(CannotTell::Point { .. })));
    }
    let curve = fit(&good).unwrap();
    let refused = curve.labels_to(0.99, SETTINGS).unwrap_err();
    assert!(refused.to_string().contains("does not reach 0.99"), "{refused}");
    assert!(matches!(curve.labels_to(f64::NAN, SETTINGS), Err(CannotTell::Question { .. })));
}

#[test]
fn noise_leaves_the_far_end_open() {
    // Measured on 30 samples each: whether 0.94 is ever reached is anybody's guess.
    let points = on_curve(&[10, 20, 40, 80], (0.4, 0.6, 0.03), 30);
    let curve = Curve::fit(&points, Direction::Max).unwrap();
    match curve.labels_to(0.94, SETTINGS) {
        Ok(found) => assert!(found.high.is_none_or(|high| high > 10.0 * found.labels), "{found:?}"),
        Err(error) => assert!(matches!(error, CannotTell::Unsure { .. }), "{error}"),
    }
}

/// A target amid the points, under the noise that the interval allows for.
#[test]
fn the_interval_holds_the_truth_as_often_as_it_says() {
    let labels = [20, 40, 80, 160, 320, 640];
    let exact = on_curve(&labels, (0.45, 0.6, 0.04), 300);
    let truth = 10.0 * (0.45_f64 / 0.11).powf(1.0 / 0.6);
    let mut held = 0;
    for trial in 0..100 {
        let moved: Vec<Point> = exact
            .iter()
            .enumerate()
            .map(|(i, point)| {
                let key = number(trial, i as u64);
                let right = (0..300).filter(|&draw| unit(key, draw) < point.value).count();
                Point { value: right as f64 / 300.0, ..*point }
            })
            .collect();
        let found =
            Curve::fit(&moved, Direction::Max).and_then(|curve| curve.labels_to(0.85, SETTINGS));
        held += u32::from(
            found.is_ok_and(|f| f.low <= truth && f.high.is_none_or(|high| truth <= high)),
        );
    }
    assert!(held >= 82, "{held} of 100 intervals of 90 % hold {truth}");
}

quickcheck! {
    fn a_curve_never_falls_and_answers_are_ordered(values: Vec<u8>, target: u8) -> bool {
        let points: Vec<Point> = values
            .iter()
            .take(8)
            .zip(1..)
            .map(|(&value, i)| Point { labels: 10 * i, value: f64::from(value) / 255.0, measured: 50 })
            .collect();
        let Ok(curve) = Curve::fit(&points, Direction::Max) else { return true };
        let rising = (1..20).all(|i| curve.value_at(f64::from(i)) <= curve.value_at(f64::from(i + 1)));
        let answer = curve.labels_to(f64::from(target) / 255.0, SETTINGS);
        rising && answer == curve.labels_to(f64::from(target) / 255.0, SETTINGS)
            && answer.is_ok_and(|found| {
                1.0 <= found.low && found.low <= found.labels
                    && found.high.is_none_or(|high| found.labels <= high) && found.reached >= 0.5
            }) | curve.labels_to(f64::from(target) / 255.0, SETTINGS).is_err()
    }
}
