//! Answers of classifiers: the class that wins, how often it is right, and what logits mean as probabilities.
//!
//! Knows no tasks and no intervals.

use crate::domain::matrix::Matrix;

/// The index of the highest value, the lowest index where several are equal; `None` where nothing can be compared (no
/// values, or NaN only). NaN never wins.
#[must_use]
pub fn argmax(row: &[f32]) -> Option<u32> {
    let mut best: Option<(u32, f32)> = None;
    for (index, &value) in (0..).zip(row) {
        if !value.is_nan() && best.is_none_or(|(_, highest)| value > highest) {
            best = Some((index, value));
        }
    }
    best.map(|(index, _)| index)
}

/// How many predictions are right, and of how many labels. A label without a prediction counts as missed.
#[must_use]
pub fn accuracy(predicted: &[u32], labels: &[u32]) -> (u64, u64) {
    let correct = predicted.iter().zip(labels).filter(|(guess, label)| guess == label).count();
    (correct as u64, labels.len() as u64)
}

/// `part / whole`; 0 where there is no whole.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts of samples")]
pub fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The probabilities of each row of logits: `exp(x_i) / sum_j exp(x_j)`, computed in `f64` after the row's highest
/// logit is taken off, so that large logits do not overflow. A row that holds NaN or `+inf` gives a row of NaN: look
/// with [`Matrix::first_non_finite`] before you trust it.
#[must_use]
pub fn softmax(logits: &Matrix) -> Matrix {
    let mut data = Vec::with_capacity(logits.data().len());
    let mut powers = Vec::with_capacity(logits.cols());
    for row in logits.iter_rows() {
        let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        powers.clear();
        powers.extend(row.iter().map(|&x| libm::exp(f64::from(x) - f64::from(highest))));
        let sum: f64 = powers.iter().sum();
        #[expect(clippy::cast_possible_truncation, reason = "a probability fits an f32")]
        data.extend(powers.iter().map(|power| (power / sum) as f32));
    }
    Matrix::new(logits.rows(), logits.cols(), data).unwrap_or_default()
}

/// The probability of each logit for itself: `1 / (1 + exp(-x))`, computed in `f64`. NaN stays NaN.
#[must_use]
pub fn sigmoid(logits: &Matrix) -> Matrix {
    let probability = |&x: &f32| {
        // Of the negative size, so that nothing overflows.
        let power = libm::exp(-f64::from(x.abs()));
        let p = if x < 0.0 { power / (1.0 + power) } else { 1.0 / (1.0 + power) };
        #[expect(clippy::cast_possible_truncation, reason = "a probability fits an f32")]
        {
            p as f32
        }
    };
    let data = logits.data().iter().map(probability).collect();
    Matrix::new(logits.rows(), logits.cols(), data).unwrap_or_default()
}

/// The mean of `-ln p(label)` in nats; probabilities below 1e-15 count as 1e-15, so that one confident mistake does not
/// make the mean infinite. 0 without labels. A label outside the columns, or a missing row, counts as 1e-15 too.
#[must_use]
pub fn log_loss(probabilities: &Matrix, labels: &[u32]) -> f64 {
    if labels.is_empty() {
        return 0.0;
    }
    let sum: f64 = labels
        .iter()
        .enumerate()
        .map(|(row, &label)| {
            let column = usize::try_from(label).unwrap_or(usize::MAX);
            surprise(probabilities.row(row).get(column).copied().map_or(0.0, f64::from))
        })
        .sum();
    #[expect(clippy::cast_precision_loss, reason = "a count of samples")]
    let n = labels.len() as f64;
    sum / n
}

/// `-ln p` in nats, with 1e-15 for smaller probabilities.
pub(super) fn surprise(p: f64) -> f64 {
    // Not `max`, which would turn NaN into a number.
    -libm::log(if p < 1e-15 { 1e-15 } else { p })
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    fn near(found: f64, expected: f64, tolerance: f64) {
        assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
    }

    #[test]
    fn the_highest_value_wins_and_the_first_of_equals() {
        assert_eq!(argmax(&[0.1, 0.7, 0.2]), Some(1));
        assert_eq!(argmax(&[0.4, 0.4, 0.2]), Some(0));
        assert_eq!(argmax(&[f32::NAN, -1.0, f32::NEG_INFINITY]), Some(1));
        assert_eq!(argmax(&[]), None);
        assert_eq!(argmax(&[f32::NAN]), None);
    }

    #[test]
    fn a_label_without_a_prediction_is_missed() {
        assert_eq!(accuracy(&[1, 2, 3], &[1, 2, 0]), (2, 3));
        assert_eq!(accuracy(&[1], &[1, 1]), (1, 2));
        assert_eq!(accuracy(&[], &[]), (0, 0));
    }

    #[test]
    fn large_logits_do_not_overflow() {
        let logits = Matrix::new(2, 2, vec![1000.0, 1000.0, 0.0, 1.0]).expect("2 x 2");
        let found = softmax(&logits);
        assert_eq!(found.row(0), [0.5, 0.5]);
        near(f64::from(found.row(1)[1]), 0.731_058_578_630_004_9, 1e-7);
        let broken = softmax(&Matrix::new(1, 2, vec![f32::NAN, 0.0]).expect("1 x 2"));
        assert!(broken.first_non_finite().is_some());

        let logits = Matrix::new(1, 4, vec![1000.0, -1000.0, 0.0, f32::NAN]).expect("1 x 4");
        let found = sigmoid(&logits);
        assert_eq!(found.data()[..3], [1.0, 0.0, 0.5]);
        assert!(found.data()[3].is_nan());
    }

    #[test]
    fn log_loss_is_the_mean_surprise_in_nats() {
        let p = Matrix::new(2, 2, vec![0.5, 0.5, 0.75, 0.25]).expect("2 x 2");
        near(log_loss(&p, &[0, 1]), (2_f64.ln() + 4_f64.ln()) / 2.0, 1e-12);
        near(log_loss(&p, &[]), 0.0, 0.0);
        let sure = Matrix::new(1, 2, vec![1.0, 0.0]).expect("1 x 2");
        near(log_loss(&sure, &[1]), 34.538_776_394_910_684, 1e-9);
    }

    quickcheck! {
        fn the_sigmoid_is_the_softmax_of_a_logit_beside_zero(x: i16) -> bool {
            let x = f32::from(x) / 500.0;
            let alone = sigmoid(&Matrix::new(1, 1, vec![x]).unwrap());
            let beside = softmax(&Matrix::new(1, 2, vec![0.0, x]).unwrap());
            (alone.row(0)[0] - beside.row(0)[1]).abs() <= 1e-7
        }
    }
}
