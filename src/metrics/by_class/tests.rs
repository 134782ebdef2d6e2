//! Tests of classes against counts by hand, and of what their intervals promise.

use super::*;
use crate::metrics::bootstrap::unit;
use crate::metrics::{Measured, Settings, measure, wilson};
use quickcheck::{TestResult, quickcheck};

const SETTINGS: Settings = Settings { confidence: 0.95, seed: 7 };

fn near(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
}

fn matrix(cols: usize, data: &[f32]) -> Matrix {
    Matrix::new(data.len() / cols.max(1), cols, data.to_vec()).unwrap()
}

/// Probabilities of three classes, that of the winner first of all.
fn three(winner: usize, p: f32) -> [f32; 3] {
    [0, 1, 2].map(|class| if class == winner { p } else { (1.0 - p) / 2.0 })
}

/// Answers that name `winners`, and labels.
fn classified(pairs: &[(usize, usize)]) -> (Matrix, Matrix) {
    let answers: Vec<f32> = pairs.iter().flat_map(|(winner, _)| three(*winner, 0.8)).collect();
    let labels: Vec<f32> = pairs.iter().map(|(_, label)| *label as f32).collect();
    (matrix(3, &answers), matrix(1, &labels))
}

fn of(metric: Metric, task: Task, (answers, labels): &(Matrix, Matrix)) -> Measured {
    measure(metric, task, 3, answers, labels, SETTINGS).unwrap()
}

fn counted(metric: Metric, pairs: &[(usize, usize)]) -> Vec<Option<ClassMeasured>> {
    of(metric, Task::Classification, &classified(pairs)).per_class
}

#[test]
fn shares_of_samples_have_the_interval_of_their_counts() {
    // Class 0: 20 labels, 15 found, 21 given. Class 1: 10 labels, 4 found, 9 given. Class 2: given once, never right.
    let of = |winner, label, times| std::iter::repeat_n((winner, label), times);
    let pairs: Vec<_> = of(0, 0, 15)
        .chain(of(1, 0, 5))
        .chain(of(1, 1, 4))
        .chain(of(0, 1, 6))
        .chain(of(2, 0, 1))
        .collect();
    let check = |metric, expected: [Option<(u64, u64)>; 3]| {
        for (found, expected) in counted(metric, &pairs).into_iter().zip(expected) {
            assert_eq!(found.map(|found| found.n), expected.map(|(_, n)| n), "{metric}");
            if let (Some(found), Some((right, n))) = (found, expected) {
                assert_eq!(found.interval, wilson(right, n, 0.95), "{metric}");
            }
        }
    };
    for metric in [Metric::BalancedAccuracy, Metric::Accuracy, Metric::Recall(0.5)] {
        check(metric, [Some((15, 21)), Some((4, 10)), None]);
    }
    check(Metric::Precision(0.5), [Some((15, 21)), Some((4, 9)), Some((0, 1))]);

    // F1 of class 0: 15 of 27 samples that have it or are given it.
    for metric in [Metric::MacroF1, Metric::MicroF1] {
        let found = counted(metric, &pairs)[0].unwrap();
        let shares = wilson(15, 27, 0.95);
        near(found.value, 30.0 / 42.0, 1e-12);
        near(found.interval.low, 2.0 * shares.low / (1.0 + shares.low), 1e-12);
        near(found.interval.high, 2.0 * shares.high / (1.0 + shares.high), 1e-12);
        assert_eq!(found.n, 27);
    }
}

#[test]
fn a_label_of_several_is_right_or_wrong_on_every_sample() {
    let answers = matrix(3, &[0.9, 0.2, 0.1, 0.6, 0.7, 0.1, 0.1, 0.4, 0.1, 0.9, 0.9, 0.1]);
    let labels = matrix(3, &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0]);
    let of = |metric| of(metric, Task::MultiLabel, &(answers.clone(), labels.clone())).per_class;
    for (class, right) in of(Metric::Accuracy).into_iter().zip([3, 3, 4]) {
        let class = class.unwrap();
        assert_eq!((class.interval, class.n), (wilson(right, 4, 0.95), 4));
    }
    let recalls = of(Metric::Recall(0.5));
    assert_eq!(recalls[1].unwrap().interval, wilson(2, 3, 0.95));
    assert_eq!(recalls[2], None);
    assert!(of(Metric::LogLoss).iter().all(|class| class.unwrap().n == 4));
}

/// Images of 4 pixels: a class rests on the images that tell of it, and its pixels are not thought to be independent.
#[test]
fn a_class_of_pixels_rests_on_images() {
    let image = |winners: [usize; 4]| -> Vec<f32> {
        (0..3).flat_map(|class| winners.map(|winner| three(winner, 0.8)[class])).collect()
    };
    let zero = image([0, 0, 1, 1]);
    let answers = matrix(12, &[zero.clone(), zero, image([0; 4])].concat());
    let labels = matrix(4, &[0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    let of = |metric| of(metric, Task::Segmentation, &(answers.clone(), labels.clone())).per_class;
    let counts = |metric| of(metric).iter().map(|c| c.map(|c| c.n)).collect::<Vec<_>>();
    for metric in [Metric::Recall(0.5), Metric::Precision(0.5), Metric::MeanIou, Metric::LogLoss] {
        assert_eq!(counts(metric), [Some(3), Some(2), None], "{metric}");
    }
    // All of class 1 is found: no resample tells otherwise, and two images prove little.
    let found = of(Metric::Recall(0.5))[1].unwrap();
    assert_eq!((found.value.to_bits(), found.interval), (1_f64.to_bits(), wilson(2, 2, 0.95)));
    let found = of(Metric::MeanIou)[0].unwrap();
    near(found.value, 8.0 / 9.0, 1e-12);
    assert!(found.interval.low < 0.8 && found.interval.high > 8.0 / 9.0, "{found:?}");
}

#[test]
fn a_loss_of_one_sample_has_no_end() {
    let found = counted(Metric::LogLoss, &[(0, 0), (0, 0), (1, 1), (1, 0), (2, 0)]);
    assert_eq!(found[2], None);
    let one = found[1].unwrap();
    near(one.value, -libm::log(0.8), 1e-6);
    assert_eq!((one.interval, one.n), (Interval { low: 0.0, high: f64::MAX }, 1));
    let four = found[0].unwrap();
    assert_eq!(four.n, 4);
    assert!(four.interval.low < four.value && four.interval.high < 10.0, "{four:?}");
}

#[test]
fn what_is_not_made_of_classes_has_none() {
    let (answers, labels) = classified(&[(0, 0), (1, 1), (2, 0)]);
    assert_eq!(
        by_class(Metric::CalibrationError, Task::Classification, 3, &answers, &labels),
        Ok(vec![])
    );
    let one = matrix(1, &[1.0, 2.0]);
    assert_eq!(by_class(Metric::Mae, Task::Regression, 0, &one, &one), Ok(vec![]));
    let never = Metric::Precision(0.95);
    assert_eq!(
        by_class(never, Task::Classification, 3, &answers, &labels),
        Err(MetricError::Undefined { metric: never, n: 3 })
    );
}

/// Samples of three classes, half of them of the first; a model knows some better than others, with confidence of its own.
fn drawn(n: usize, key: u64) -> (Matrix, Matrix) {
    let (mut answers, mut labels) = (Vec::new(), Vec::new());
    for i in 0..n as u64 {
        let of = |part: u64| unit(key, 4 * i + part);
        let label = [0.5, 0.8].iter().filter(|up_to| of(0) >= **up_to).count();
        let winner = if of(1) < [0.9, 0.8, 0.6][label] { label } else { (label + 1) % 3 };
        #[expect(clippy::cast_possible_truncation, reason = "a probability")]
        answers.extend(three(winner, (0.4 + 0.6 * of(2)) as f32));
        labels.push(label as f32);
    }
    (matrix(3, &answers), matrix(1, &labels))
}

/// Images of 6 pixels, some harder than others.
fn images(n: usize, key: u64) -> (Matrix, Matrix) {
    let (mut answers, mut labels) = (Vec::new(), Vec::new());
    for i in 0..n as u64 {
        let of = |part: u64| unit(key, 16 * i + part);
        let edge = [0.2, 0.4, 0.6, 0.8].iter().filter(|up_to| of(0) >= **up_to).count() + 1;
        let right = 0.4 + 0.6 * of(1);
        let classes: Vec<usize> = (0..6).map(|pixel| usize::from(pixel >= edge)).collect();
        let winners: Vec<usize> = classes
            .iter()
            .zip(2..)
            .map(|(class, part)| if of(part) < right { *class } else { (class + 1) % 3 })
            .collect();
        answers.extend((0..3).flat_map(|class| winners.iter().map(move |w| three(*w, 0.8)[class])));
        labels.extend(classes.iter().map(|class| *class as f32));
    }
    (matrix(18, &answers), matrix(6, &labels))
}

/// What 95 % promises, held against values that are known because the population is.
#[test]
fn intervals_hold_the_truth_as_often_as_they_say() {
    type Draw = fn(usize, u64) -> (Matrix, Matrix);
    let cases: [(Task, Draw, usize, &[Metric]); 2] = [
        (
            Task::Classification,
            drawn,
            120,
            &[Metric::Recall(0.5), Metric::Precision(0.5), Metric::MacroF1, Metric::LogLoss],
        ),
        // The third class is given but never there: its recall is none, its intersection 0.
        (Task::Segmentation, images, 60, &[Metric::Recall(0.5), Metric::MeanIou]),
    ];
    for (task, draw, n, metrics) in cases {
        let everybody = draw(100_000, 99);
        for &metric in metrics {
            let truth = by_class(metric, task, 3, &everybody.0, &everybody.1).unwrap();
            let mut held = [0; 3];
            for trial in 0..200 {
                let found = of(metric, task, &draw(n, 1_000 + trial)).per_class;
                for ((held, found), truth) in held.iter_mut().zip(found).zip(&truth) {
                    let Interval { low, high } = found.map_or(ANYTHING, |found| found.interval);
                    *held += u32::from(truth.is_none_or(|truth| low <= truth && truth <= high));
                }
            }
            // Of 200, 190 are promised, give or take 3.
            assert!(held.iter().all(|held| *held >= 181), "{metric} {task}: {held:?} of 200");
        }
    }
}

quickcheck! {
    fn each_class_is_what_its_own_samples_say(pairs: Vec<(u8, u8)>) -> TestResult {
        if pairs.is_empty() {
            return TestResult::discard();
        }
        let pairs: Vec<(usize, usize)> =
            pairs.iter().map(|(w, l)| (usize::from(w % 3), usize::from(l % 3))).collect();
        let (answers, labels) = classified(&pairs);
        for metric in [Metric::Accuracy, Metric::MacroF1, Metric::Precision(0.5), Metric::LogLoss] {
            let found = counted(metric, &pairs);
            let plain = by_class(metric, Task::Classification, 3, &answers, &labels).unwrap();
            assert_eq!(found, counted(metric, &pairs), "{metric}");
            assert_eq!(found.iter().map(|c| c.map(|c| c.value)).collect::<Vec<_>>(), plain);
            for (class, found) in found.iter().enumerate() {
                let rests = |&&(winner, label): &&(usize, usize)| {
                    (label == class && !matches!(metric, Metric::Precision(_)))
                        || (winner == class && matches!(metric, Metric::MacroF1 | Metric::Precision(_)))
                };
                let n = pairs.iter().filter(rests).count();
                assert_eq!(found.map_or(0, |found| found.n), n as u64, "{metric} {class}");
                if let Some(ClassMeasured { value, interval: Interval { low, high }, .. }) = *found {
                    assert!(0.0 <= low && low <= value && value <= high, "{metric} {low} {value} {high}");
                    assert!(high <= metric.most().unwrap_or(f64::MAX));
                }
            }
        }
        TestResult::passed()
    }
}
