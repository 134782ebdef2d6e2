//! Temperature scaling: makes the probabilities of a model say how often it is right.
//!
//! C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger (2017), "On calibration of modern neural networks", arXiv 1706.04599,
//! section 4.2: all logits are divided by one temperature T > 0, the one with the least mean negative log-likelihood on a
//! validation split. No prediction changes, only how sure it is; but the ranking of samples by `entropy` or
//! `least_confidence` does change, and so does that by `margin` for more than two classes.
//!
//! The mean negative log-likelihood is convex in 1/T, so its slope rises, and the one place where that is 0 is found by
//! halving the range of ln T a fixed number of times: the same bits on every machine, without a step size to choose.
//! `O(nk)` for each of about 50 halvings of n samples and k classes, memory for one row.

use super::SelectorError;
use crate::domain::matrix::Matrix;

/// The range of temperatures. A model that is right about every validation sample would be made ever surer, until all
/// candidates had probability 1 and could not be told apart; one that is no better than chance would be made ever less so.
const TEMPERATURES: (f64, f64) = (0.1, 10.0);
/// Halvings of ln T: enough for the last bit of T.
const HALVINGS: usize = 52;

/// The temperature at which a model's logits for labelled samples are most likely; between 0.1 and 10. It is 1 where every
/// temperature is as good as any other, as with one class or with logits that are all equal.
///
/// Logits need only be right up to a constant in each row, so a model that gives probabilities gives [`logits_of`] them.
///
/// # Errors
/// [`SelectorError::Missing`] for no samples, [`SelectorError::Labels`] for another number of labels,
/// [`SelectorError::Strategy`] for a logit that is not finite or a label that is none of the classes.
pub fn fit_temperature(logits: &Matrix, labels: &[u32]) -> Result<f64, SelectorError> {
    if logits.rows() == 0 {
        return Err(SelectorError::Missing {
            what: "a validation split with labels, to fit its temperature on",
            way_out: "give the pool one, or leave out `temperature=fit`",
        });
    }
    if logits.rows() != labels.len() {
        let (candidates, labels) = (logits.rows(), labels.len());
        return Err(SelectorError::Labels { candidates, labels });
    }
    let refuse =
        |problem| Err(SelectorError::Strategy { strategy: "temperature=fit".to_owned(), problem });
    if let Some((row, class)) = logits.first_non_finite() {
        return refuse(format!(
            "the logit of class number {class} of validation sample number {row} is not finite"
        ));
    }
    let classes = logits.cols();
    if let Some((row, label)) = labels
        .iter()
        .enumerate()
        .find(|(_, label)| usize::try_from(**label).map_or(true, |l| l >= classes))
    {
        return refuse(format!(
            "validation sample number {row} has class number {label}, but the model knows {classes} classes"
        ));
    }
    let (low, high) = TEMPERATURES;
    let (at_low, at_high) = (slope(logits, labels, low), slope(logits, labels, high));
    if at_low == 0.0 && at_high == 0.0 {
        return Ok(1.0);
    }
    // The slope in 1/T falls as T rises: below the best T it is positive, above it negative.
    if at_low <= 0.0 {
        return Ok(low);
    }
    if at_high >= 0.0 {
        return Ok(high);
    }
    let (mut low, mut high) = (libm::log(low), libm::log(high));
    for _ in 0..HALVINGS {
        let middle = low + (high - low) / 2.0;
        if slope(logits, labels, libm::exp(middle)) > 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok(libm::exp(low + (high - low) / 2.0))
}

/// The probabilities of logits at a temperature: `exp(z/T) / sum of exp(z/T)`, worked out in `f64` from the highest logit
/// down, so that nothing overflows.
#[must_use]
pub fn at_temperature(logits: &Matrix, temperature: f64) -> Matrix {
    let mut data = Vec::with_capacity(logits.data().len());
    let mut weights = Vec::with_capacity(logits.cols());
    for row in logits.iter_rows() {
        let sum = weigh(row, temperature, &mut weights);
        #[expect(clippy::cast_possible_truncation, reason = "probabilities travel as f32")]
        data.extend(weights.iter().map(|weight| (weight / sum) as f32));
    }
    Matrix::new(logits.rows(), logits.cols(), data).unwrap_or_default()
}

/// The logits of a model that gives probabilities: `ln p`, but at least that of the least normal `f32`, -87.3, which also
/// stands for probabilities of 0: a label that the model held impossible then costs 87 nats, and not infinitely many.
#[must_use]
pub fn logits_of(probabilities: &Matrix) -> Matrix {
    #[expect(clippy::cast_possible_truncation, reason = "logits travel as f32")]
    let logit = |p: f32| libm::log(f64::from(p).max(f64::from(f32::MIN_POSITIVE))) as f32;
    let data = probabilities.data().iter().map(|&p| logit(p)).collect();
    Matrix::new(probabilities.rows(), probabilities.cols(), data).unwrap_or_default()
}

/// The sum of `exp((z - highest z) / T)`, each of which is left in `weights`.
fn weigh(row: &[f32], temperature: f64, weights: &mut Vec<f64>) -> f64 {
    let highest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    weights.clear();
    weights.extend(row.iter().map(|&z| libm::exp((f64::from(z) - highest) / temperature)));
    weights.iter().sum()
}

/// The slope of the negative log-likelihood in 1/T: the sum over samples of the expected logit less that of the label.
fn slope(logits: &Matrix, labels: &[u32], temperature: f64) -> f64 {
    let mut weights = Vec::with_capacity(logits.cols());
    let rows = logits.iter_rows().zip(labels);
    rows.map(|(row, &label)| {
        let sum = weigh(row, temperature, &mut weights);
        let of_label = usize::try_from(label).ok().and_then(|label| row.get(label));
        let of_label = of_label.map_or(0.0, |&z| f64::from(z));
        row.iter().zip(&weights).map(|(&z, w)| (f64::from(z) - of_label) * w).sum::<f64>() / sum
    })
    .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    fn likelihood(logits: &Matrix, labels: &[u32], temperature: f64) -> f64 {
        let rows = logits.iter_rows().zip(labels);
        rows.map(|(row, &label)| {
            let z: Vec<f64> = row.iter().map(|&z| f64::from(z) / temperature).collect();
            let highest = z.iter().copied().fold(f64::MIN, f64::max);
            let sum: f64 = z.iter().map(|z| (z - highest).exp()).sum();
            z[label as usize] - highest - sum.ln()
        })
        .sum()
    }

    quickcheck! {
        /// No temperature of a fine grid is more likely than the one that was found.
        fn no_temperature_is_more_likely(values: Vec<(i8, i8, i8, u8)>) -> bool {
            let n = values.len();
            let data = values.iter().flat_map(|v| [v.0, v.1, v.2].map(|z| f32::from(z) / 16.0));
            let logits = Matrix::new(n, 3, data.collect()).unwrap();
            let labels: Vec<u32> = values.iter().map(|v| u32::from(v.3 % 3)).collect();
            let Ok(best) = fit_temperature(&logits, &labels) else { return n == 0 };
            let most = likelihood(&logits, &labels, best);
            (0.1..=10.0).contains(&best)
                && (0..=100).all(|step| {
                    let temperature = 0.1 * 100_f64.powf(f64::from(step) / 100.0);
                    likelihood(&logits, &labels, temperature) <= most + 1e-9 * (1.0 + most.abs())
                })
        }
    }

    /// Of 10 samples with logits (ln 9 * 2, 0) 9 are of the first class: at T = 2 the model says 0.9.
    #[test]
    fn a_model_that_is_too_sure_is_made_to_say_how_often_it_is_right() {
        let sure = 2.0 * 9_f32.ln();
        let logits = Matrix::new(10, 2, [sure, 0.0].repeat(10)).unwrap();
        let labels = [0, 0, 0, 0, 1, 0, 0, 0, 0, 0];
        let temperature = fit_temperature(&logits, &labels).unwrap();
        assert!((temperature - 2.0).abs() < 1e-6, "{temperature}");
        let p = at_temperature(&logits, temperature);
        assert!((p.row(3)[0] - 0.9).abs() < 1e-6, "{:?}", p.row(3));
        // Probabilities are as good as logits.
        let again = logits_of(&at_temperature(&logits, 1.0));
        let again = fit_temperature(&again, &labels).unwrap();
        assert!((again - 2.0).abs() < 1e-5, "{again}");
    }

    #[test]
    fn temperatures_stay_in_their_range() {
        let logits = Matrix::new(2, 2, vec![1.0, 0.0, 0.0, 1.0]).unwrap();
        assert_eq!(fit_temperature(&logits, &[0, 1]), Ok(0.1), "always right");
        assert_eq!(fit_temperature(&logits, &[1, 0]), Ok(10.0), "always wrong");
        let equal = Matrix::new(2, 2, vec![3.0; 4]).unwrap();
        assert_eq!(fit_temperature(&equal, &[0, 1]), Ok(1.0), "nothing to tell them by");
        let one_class = Matrix::new(2, 1, vec![5.0, -5.0]).unwrap();
        assert_eq!(fit_temperature(&one_class, &[0, 0]), Ok(1.0), "nothing to be wrong about");
        let one_seen = Matrix::new(2, 2, vec![1.0, 0.0, 2.0, 0.0]).unwrap();
        assert_eq!(fit_temperature(&one_seen, &[0, 0]), Ok(0.1), "only one class is seen");
    }

    #[test]
    fn huge_logits_and_impossible_classes_stay_numbers() {
        let logits = Matrix::new(2, 2, vec![3e38, -3e38, 0.0, 1.0]).unwrap();
        for temperature in [0.1, 1.0, 10.0] {
            assert_eq!(at_temperature(&logits, temperature).row(0), [1.0, 0.0]);
        }
        assert!(fit_temperature(&logits, &[1, 0]).is_ok());
        let impossible = logits_of(&Matrix::new(1, 2, vec![1.0, 0.0]).unwrap());
        assert!(impossible.row(0)[0].abs() < f32::MIN_POSITIVE);
        assert!((impossible.row(0)[1] + 87.33655).abs() < 1e-4, "{impossible:?}");
        assert_eq!(fit_temperature(&impossible, &[1]), Ok(10.0));
    }

    #[test]
    fn what_cannot_be_fitted_is_refused() {
        let refusal = |data: Vec<f32>, labels: &[u32]| {
            let logits = Matrix::new(data.len() / 2, 2, data).unwrap();
            fit_temperature(&logits, labels).unwrap_err().to_string()
        };
        for (data, labels, text) in [
            (vec![], &[][..], "needs a validation split with labels"),
            (vec![0.0, 1.0], &[0, 1], "1 candidates, but 2 labels"),
            (
                vec![0.0, 1.0, 0.0, f32::NAN],
                &[0, 1],
                "class number 1 of validation sample number 1",
            ),
            (vec![0.0, 1.0], &[2], "has class number 2, but the model knows 2 classes"),
        ] {
            let found = refusal(data, labels);
            assert!(found.contains(text), "{found}");
        }
    }
}
