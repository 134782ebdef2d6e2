//! Every metric against a plain reading of its definition, published numbers, and what intervals promise.

use super::*;
use crate::metrics::bootstrap::{number, unit};
use crate::metrics::{log_loss, wilson};
use quickcheck::{QuickCheck, TestResult, quickcheck};

const SETTINGS: Settings = Settings { confidence: 0.95, seed: 7 };
const ALL: [Metric; 11] = [
    Metric::Accuracy,
    Metric::BalancedAccuracy,
    Metric::MacroF1,
    Metric::MicroF1,
    Metric::Precision(0.5),
    Metric::Recall(0.5),
    Metric::LogLoss,
    Metric::CalibrationError,
    Metric::MeanIou,
    Metric::Rmse,
    Metric::Mae,
];

fn near(found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
}

fn matrix(cols: usize, data: &[f32]) -> Matrix {
    Matrix::new(data.len() / cols.max(1), cols, data.to_vec()).unwrap()
}

/// Probabilities that name these classes with 0.8 among `classes`.
fn named(classes: usize, winners: &[usize]) -> Matrix {
    let rest = 0.2 / (classes - 1) as f32;
    let row =
        |&winner: &usize| (0..classes).map(move |class| if class == winner { 0.8 } else { rest });
    matrix(classes, &winners.iter().flat_map(row).collect::<Vec<f32>>())
}

fn classified(metric: Metric, classes: usize, winners: &[usize], labels: &[f32]) -> Measured {
    measure(
        metric,
        Task::Classification,
        classes,
        &named(classes, winners),
        &matrix(1, labels),
        SETTINGS,
    )
    .unwrap()
}

fn by_class(found: &Measured) -> Vec<Option<f64>> {
    found.per_class.iter().map(|class| Some((*class)?.value)).collect()
}

/// The example of scikit-learn's documentation of `f1_score`: labels 0 1 2 0 1 2, answers 0 2 1 0 0 1.
#[test]
fn three_classes_are_measured_as_in_a_published_example() {
    let (winners, labels) = ([0, 2, 1, 0, 0, 1], [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]);
    let of = |metric| classified(metric, 3, &winners, &labels);
    near(of(Metric::MacroF1).value, 0.266_666_666_666_666_7, 1e-12);
    near(of(Metric::MicroF1).value, 1.0 / 3.0, 1e-12);
    near(of(Metric::Accuracy).value, 1.0 / 3.0, 1e-12);
    near(of(Metric::BalancedAccuracy).value, 1.0 / 3.0, 1e-12);
    near(of(Metric::Precision(0.5)).value, (2.0 / 3.0 + 0.0 + 0.0) / 3.0, 1e-12);
    near(of(Metric::Recall(0.5)).value, 1.0 / 3.0, 1e-12);
    assert_eq!(by_class(&of(Metric::MacroF1)), [Some(0.8), Some(0.0), Some(0.0)]);
    assert_eq!(by_class(&of(Metric::BalancedAccuracy)), [Some(1.0), Some(0.0), Some(0.0)]);
}

#[test]
fn accuracy_keeps_its_wilson_interval() {
    let winners: Vec<usize> = (0..263).map(|i| usize::from(i < 81)).collect();
    for metric in [Metric::Accuracy, Metric::MicroF1] {
        let found = classified(metric, 2, &winners, &[1.0; 263]);
        assert_eq!(found.interval, wilson(81, 263, 0.95));
        assert_eq!((found.n, found.value), (263, 81.0 / 263.0));
    }
}

#[test]
fn precision_and_recall_of_two_classes_are_those_of_the_second() {
    let answers = matrix(2, &[0.1, 0.9, 0.4, 0.6, 0.7, 0.3, 0.2, 0.8]);
    let labels = matrix(1, &[1.0, 0.0, 1.0, 1.0]);
    let of = |metric| measure(metric, Task::Classification, 2, &answers, &labels, SETTINGS);
    let value = |metric| of(metric).unwrap().value;
    near(value(Metric::Precision(0.5)), 2.0 / 3.0, 1e-12);
    near(value(Metric::Recall(0.5)), 2.0 / 3.0, 1e-12);
    near(value(Metric::Precision(0.7)), 1.0, 1e-12);
    near(value(Metric::Recall(0.8)), 2.0 / 3.0, 1e-12); // 0.8 as f32 is not 0.8, and yet reaches it
    near(value(Metric::Recall(0.2)), 1.0, 1e-12);
    assert_eq!(by_class(&of(Metric::Recall(0.5)).unwrap()), [Some(0.0), Some(2.0 / 3.0)]);
    assert_eq!(
        of(Metric::Precision(0.95)),
        Err(MetricError::Undefined { metric: Metric::Precision(0.95), n: 4 })
    );
    let text = of(Metric::Precision(0.95)).unwrap_err().to_string();
    assert!(text.contains("precision@0.95") && text.contains("lower the threshold"), "{text}");
}

#[test]
fn several_labels_at_once_are_measured_class_by_class() {
    let answers = matrix(2, &[0.9, 0.2, 0.6, 0.7, 0.1, 0.4]);
    let labels = matrix(2, &[1.0, 0.0, 0.0, 1.0, 0.0, 1.0]);
    let of = |metric| measure(metric, Task::MultiLabel, 2, &answers, &labels, SETTINGS).unwrap();
    let exact = of(Metric::Accuracy);
    near(exact.value, 1.0 / 3.0, 1e-12);
    assert_eq!(by_class(&exact), [Some(2.0 / 3.0), Some(2.0 / 3.0)]);
    assert_eq!(exact.interval, wilson(1, 3, 0.95));
    // Class 0: hit 1, given 2, has 1. Class 1: hit 1, given 1, has 2.
    near(of(Metric::MacroF1).value, 2.0 / 3.0, 1e-12);
    near(of(Metric::MicroF1).value, 4.0 / 6.0, 1e-12);
    near(of(Metric::Precision(0.5)).value, 0.75, 1e-12);
    near(of(Metric::Recall(0.5)).value, 0.75, 1e-12);
    let surprises = [0.9_f64, 0.8, 0.4, 0.7, 0.9, 0.4].map(|p| -libm::log(p));
    near(of(Metric::LogLoss).value, surprises.iter().sum::<f64>() / 6.0, 1e-6);
    // Each probability alone in its bin.
    near(of(Metric::CalibrationError).value, (0.1 + 0.2 + 0.6 + 0.3 + 0.1 + 0.6) / 6.0, 1e-6);
}

#[test]
fn where_no_sample_has_any_class_there_is_nothing_to_find() {
    let (answers, labels) = (matrix(2, &[0.1, 0.2]), matrix(2, &[0.0, 0.0]));
    let of = |metric| measure(metric, Task::MultiLabel, 2, &answers, &labels, SETTINGS);
    for metric in [Metric::MacroF1, Metric::MicroF1, Metric::Recall(0.5), Metric::Precision(0.5)] {
        assert_eq!(of(metric), Err(MetricError::Undefined { metric, n: 1 }));
    }
    near(of(Metric::Accuracy).unwrap().value, 1.0, 0.0);
}

#[test]
fn pixels_of_all_images_are_measured_together() {
    // Two images of 4 pixels; the first is given 0 0 1 1, the second 1 1 1 1.
    let one = [0.9, 0.8, 0.3, 0.4, 0.1, 0.2, 0.7, 0.6];
    let two = [0.1, 0.1, 0.1, 0.1, 0.9, 0.9, 0.9, 0.9];
    let answers = matrix(8, &[one, two].concat());
    let labels = matrix(4, &[0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0]);
    let of = |metric| measure(metric, Task::Segmentation, 2, &answers, &labels, SETTINGS).unwrap();
    // Class 0: hit 1, given 2, has 2. Class 1: hit 5, given 6, has 6.
    let iou = of(Metric::MeanIou);
    near(iou.value, (1.0 / 3.0 + 5.0 / 7.0) / 2.0, 1e-12);
    assert_eq!(by_class(&iou), [Some(1.0 / 3.0), Some(5.0 / 7.0)]);
    assert_eq!(iou.n, 2);
    near(of(Metric::Accuracy).value, 0.75, 1e-12);
    near(of(Metric::BalancedAccuracy).value, (0.5 + 5.0 / 6.0) / 2.0, 1e-12);
    near(of(Metric::MacroF1).value, (0.5 + 5.0 / 6.0) / 2.0, 1e-12);
    near(of(Metric::Recall(0.5)).value, 5.0 / 6.0, 1e-12);
    let surprises = [0.9_f64, 0.2, 0.7, 0.6, 0.9, 0.9, 0.9, 0.1].map(|p| -libm::log(p));
    near(of(Metric::LogLoss).value, surprises.iter().sum::<f64>() / 8.0, 1e-6);
}

#[test]
fn values_are_measured_in_their_own_unit() {
    let answers = matrix(1, &[2.5, 0.0, 2.0, 8.0]);
    let labels = matrix(1, &[3.0, -0.5, 2.0, 7.0]);
    let of = |metric| measure(metric, Task::Regression, 0, &answers, &labels, SETTINGS).unwrap();
    near(of(Metric::Mae).value, 0.5, 1e-12);
    near(of(Metric::Rmse).value, 0.375_f64.sqrt(), 1e-12);
    assert_eq!(by_class(&of(Metric::Rmse)), []);
    let found = of(Metric::Mae).interval;
    assert!(
        0.0 <= found.low && found.low < 0.5 && 0.5 < found.high && found.high <= 1.0,
        "{found:?}"
    );
}

#[test]
fn log_loss_by_class_tells_which_class_surprises() {
    let answers = matrix(2, &[0.5, 0.5, 0.75, 0.25, 0.9, 0.1]);
    let labels = matrix(1, &[0.0, 1.0, 0.0]);
    let found =
        measure(Metric::LogLoss, Task::Classification, 2, &answers, &labels, SETTINGS).unwrap();
    near(found.value, log_loss(&answers, &[0, 1, 0]), 1e-12);
    near(by_class(&found)[1].unwrap(), 4_f64.ln(), 1e-12);
}

#[test]
fn a_class_that_never_occurs_is_named_and_leaves_the_interval_open() {
    let winners = [0; 40];
    let found = classified(Metric::BalancedAccuracy, 2, &winners, &[0.0; 40]);
    near(found.value, 1.0, 0.0);
    assert_eq!(by_class(&found), [Some(1.0), None]);
    assert!(found.interval.low <= 0.5, "{found:?}: the other class may be all wrong");
    let found = classified(Metric::MacroF1, 3, &winners, &[0.0; 40]);
    assert_eq!(by_class(&found), [Some(1.0), None, None]);
}

/// The gate must not pass a model because a handful of samples happened to be right.
#[test]
fn a_few_samples_all_right_prove_little() {
    let low = |metric| {
        classified(metric, 2, &[0, 1, 0, 1, 0, 1], &[0.0, 1.0, 0.0, 1.0, 0.0, 1.0]).interval.low
    };
    assert!(low(Metric::MacroF1) < 0.8, "{}", low(Metric::MacroF1));
    assert!(low(Metric::BalancedAccuracy) < 0.7, "{}", low(Metric::BalancedAccuracy));
    assert!(low(Metric::Precision(0.5)) < 0.5, "{}", low(Metric::Precision(0.5)));

    let answers = matrix(4, &[0.9, 0.1, 0.1, 0.9].repeat(3));
    let labels = matrix(2, &[0.0, 1.0].repeat(3));
    for metric in [Metric::MeanIou, Metric::Accuracy] {
        let found = measure(metric, Task::Segmentation, 2, &answers, &labels, SETTINGS).unwrap();
        near(found.value, 1.0, 0.0);
        assert!(found.interval.low < 0.7, "{found:?}");
    }
    let one = matrix(1, &[2.0]);
    let found = measure(Metric::Rmse, Task::Regression, 0, &one, &one, SETTINGS).unwrap();
    assert_eq!(found.interval, Interval { low: 0.0, high: f64::MAX });
    // Sums of equal losses differ by their rounding, and that is no spread.
    let found = classified(Metric::LogLoss, 3, &[0; 13], &[0.0; 13]);
    assert_eq!(found.interval, Interval { low: 0.0, high: f64::MAX });
}

#[test]
fn what_does_not_fit_is_named() {
    let two = named(2, &[0, 1]);
    let labels = matrix(1, &[0.0, 1.0]);
    let of = |metric, task, classes, answers: &Matrix, labels: &Matrix| {
        measure(metric, task, classes, answers, labels, SETTINGS).unwrap_err().to_string()
    };
    let plain = |answers: &Matrix, labels: &Matrix| {
        of(Metric::MacroF1, Task::Classification, 2, answers, labels)
    };
    for (found, expected) in [
        (
            of(Metric::Rmse, Task::Classification, 2, &two, &labels),
            "rmse does not measure classification; what does is accuracy",
        ),
        (
            of(Metric::Accuracy, Task::Classification, 1, &two, &labels),
            "at least 2 classes, and there are 1",
        ),
        (plain(&two, &matrix(1, &[0.0])), "2 answers for 1 labels"),
        (
            plain(&Matrix::new(0, 2, vec![]).unwrap(), &Matrix::new(0, 1, vec![]).unwrap()),
            "without samples",
        ),
        (plain(&matrix(3, &[0.2; 6]), &labels), "is 3 numbers, and the task makes it 2"),
        (plain(&two, &matrix(2, &[0.0; 4])), "the label of a sample is 2 numbers"),
        (plain(&matrix(2, &[0.5, 0.5, f32::NAN, 0.5]), &labels), "sample 1 holds NaN in place 0"),
        (
            plain(&matrix(2, &[0.5, 0.5, 0.5, 7.0]), &labels),
            "holds 7 in place 1, which is no probability",
        ),
        (plain(&two, &matrix(1, &[0.0, 2.0])), "one of 2 classes"),
        (plain(&two, &matrix(1, &[0.0, 0.5])), "sample 1 holds 0.5"),
        (plain(&two, &matrix(1, &[f32::NAN, 0.0])), "sample 0 holds NaN"),
        (
            of(Metric::LogLoss, Task::MultiLabel, 2, &two, &matrix(2, &[0.0, 1.0, 1.0, 0.5])),
            "must be 0 or 1",
        ),
        (
            of(Metric::Mae, Task::Regression, 0, &labels, &matrix(1, &[0.0, f32::INFINITY])),
            "must be a finite number",
        ),
        (
            of(Metric::MeanIou, Task::Segmentation, 2, &two, &Matrix::new(2, 0, vec![]).unwrap()),
            "is 0 numbers",
        ),
    ] {
        assert!(found.contains(expected), "{found}");
    }
    let unsure = Settings { confidence: 1.0, seed: 0 };
    let found = measure(Metric::Accuracy, Task::Classification, 2, &two, &labels, unsure);
    assert_eq!(found, Err(MetricError::Confidence { found: 1.0 }));
}

/// Samples of 3 classes, the first the most common, of which a model knows some better than others.
fn drawn(n: usize, key: u64) -> (Matrix, Matrix) {
    let (mut answers, mut labels) = (Vec::new(), Vec::new());
    for i in 0..n as u64 {
        let u = unit(key, 3 * i);
        let label = if u < 0.6 {
            0
        } else if u < 0.9 {
            1
        } else {
            2
        };
        let right = unit(key, 3 * i + 1) < [0.9, 0.8, 0.6][label];
        let winner =
            if right { label } else { (label + 1 + usize::from(unit(key, 3 * i + 2) < 0.5)) % 3 };
        // Confidence between 0.4 and 1, so that losses differ.
        let p = 0.4 + 0.6 * f32::from((number(key ^ 0xF0F0, i) >> 48) as u16) / 65_536.0;
        answers.extend((0..3).map(|class| if class == winner { p } else { (1.0 - p) / 2.0 }));
        labels.push(label as f32);
    }
    (matrix(3, &answers), matrix(1, &labels))
}

/// What 95 % promises, held against values that are known because the population is.
#[test]
fn intervals_hold_the_truth_as_often_as_they_say() {
    let everybody = drawn(200_000, 99);
    // Of 200, 190 are promised, give or take 3. Bins of few samples make the calibration error too high.
    for (metric, least) in [
        (Metric::BalancedAccuracy, 182),
        (Metric::MacroF1, 182),
        (Metric::Recall(0.5), 182),
        (Metric::LogLoss, 182),
        (Metric::CalibrationError, 170),
    ] {
        // The value of the population alone: the interval of so many is not needed.
        let case = Case::new(metric, Task::Classification, 3, &everybody.0, &everybody.1).unwrap();
        let truth = case.value(&case.sums().totals()).unwrap();
        let holds = |trial: u64| {
            let (answers, labels) = drawn(120, number(5, trial));
            let found =
                measure(metric, Task::Classification, 3, &answers, &labels, SETTINGS).unwrap();
            found.interval.low <= truth && truth <= found.interval.high
        };
        let held = (0..200).filter(|&trial| holds(trial)).count();
        assert!(held >= least, "{metric}: {held} of 200 hold {truth}");
    }
}

/// A plain reading of the definitions, one class after the other.
fn by_definition(
    metric: Metric,
    classes: usize,
    winners: &[usize],
    labels: &[usize],
) -> Option<f64> {
    let count = |keep: &dyn Fn(usize, usize) -> bool| {
        winners.iter().zip(labels).filter(|(w, l)| keep(**w, **l)).count() as f64
    };
    let shares: Vec<f64> = (0..classes)
        .filter_map(|class| {
            let hits = count(&|w, l| w == class && l == class);
            let (given, has) = (count(&|w, _| w == class), count(&|_, l| l == class));
            let either = count(&|w, l| w == class || l == class);
            let (part, whole) = if metric == Metric::MacroF1 {
                (2.0 * hits, has + given)
            } else if metric == Metric::MeanIou {
                (hits, either)
            } else {
                (hits, if matches!(metric, Metric::Precision(_)) { given } else { has })
            };
            (whole > 0.0).then(|| part / whole)
        })
        .collect();
    (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
}

quickcheck! {
    fn means_over_classes_are_what_their_definitions_say(pairs: Vec<(u8, u8)>) -> TestResult {
        if pairs.is_empty() {
            return TestResult::discard();
        }
        let (winners, labels): (Vec<usize>, Vec<usize>) =
            pairs.iter().map(|(w, l)| (usize::from(w % 4), usize::from(l % 4))).unzip();
        let numbers: Vec<f32> = labels.iter().map(|&label| label as f32).collect();
        let agrees = [Metric::BalancedAccuracy, Metric::Recall(0.5), Metric::Precision(0.5), Metric::MacroF1, Metric::MeanIou]
            .into_iter()
            .all(|metric| {
                let found = if metric == Metric::MeanIou {
                    // One image with a pixel for each sample.
                    let answers = named(4, &winners);
                    let turned: Vec<f32> = (0..4).flat_map(|c| answers.iter_rows().map(move |row| row[c])).collect();
                    let cols = turned.len();
                    measure(metric, Task::Segmentation, 4, &matrix(cols, &turned), &matrix(numbers.len(), &numbers), SETTINGS).unwrap().value
                } else {
                    classified(metric, 4, &winners, &numbers).value
                };
                (found - by_definition(metric, 4, &winners, &labels).unwrap()).abs() < 1e-12
            });
        TestResult::from_bool(agrees)
    }
}

#[test]
fn every_measure_is_repeatable_and_inside_its_interval() {
    // Few, because each measures everything.
    QuickCheck::new().tests(20).quickcheck(repeatable as fn(Vec<(u8, u8, u8)>, u64) -> TestResult);
}

fn repeatable(rows: Vec<(u8, u8, u8)>, seed: u64) -> TestResult {
    if rows.is_empty() {
        return TestResult::discard();
    }
    let share = |x: u8| f32::from(x) / 255.0;
    let settings = Settings { confidence: 0.9, seed };
    for task in [Task::Classification, Task::MultiLabel, Task::Regression, Task::Segmentation] {
        let width = |matrix_cols: [usize; 4]| matrix_cols[task as usize];
        let answers: Vec<f32> = rows
            .iter()
            .flat_map(|&(a, b, _)| {
                let pixels = [share(a), share(b), 1.0 - share(a), 1.0 - share(b)];
                pixels[..width([2, 2, 1, 4])].to_vec()
            })
            .collect();
        let labels: Vec<f32> = rows
            .iter()
            .flat_map(|&(_, _, l)| {
                [f32::from(l % 2), f32::from(l / 2 % 2)][..width([1, 2, 1, 2])].to_vec()
            })
            .collect();
        let (answers, labels) =
            (matrix(width([2, 2, 1, 4]), &answers), matrix(width([1, 2, 1, 2]), &labels));
        for metric in ALL.into_iter().filter(|metric| metric.fits(task)) {
            let once = measure(metric, task, 2, &answers, &labels, settings);
            assert_eq!(
                once,
                measure(metric, task, 2, &answers, &labels, settings),
                "{metric} {task:?}"
            );
            match once {
                Ok(Measured { value, interval: Interval { low, high }, n, .. }) => {
                    assert!(
                        0.0 <= low && low <= value && value <= high,
                        "{metric} {task:?} {low} {value} {high}"
                    );
                    assert!(high <= metric.most().unwrap_or(f64::MAX) && n == rows.len() as u64);
                }
                Err(MetricError::Undefined { .. }) => {
                    assert!(metric.threshold().is_some() || task == Task::MultiLabel, "{metric}");
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
    TestResult::passed()
}
