//! Losses, each on the answer for ONE sample: so a task of one class a sample and a task of a class a pixel share them.
//!
//! | loss | answer | label |
//! |---|---|---|
//! | cross-entropy, focal, Dice | for each class a logit for each place, class after class | the class of each place |
//! | binary cross-entropy, binary focal | a logit for each class | 1 or 0 for each class |
//! | squared error, Huber | values | values |
//!
//! A classification has one place, a segmentation one a pixel. Every loss is a mean over places (or values), so that it does
//! not grow with the image, and writes its gradient beside.

use libm::{exp, log, log1p, pow};

/// A loss of one sample.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Loss {
    /// `-w_y sum_c q_c ln p_c`, with `p` the softmax of the logits, `q_c = (1 - smoothing) [c = y] + smoothing / classes`
    /// (label smoothing: Szegedy et al., arXiv 1512.00567, section 7) and `y` the label. In nats.
    CrossEntropy {
        /// What each class counts; empty: 1.
        weights: Vec<f64>,
        /// In [0, 1).
        smoothing: f64,
    },
    /// `-w_y (1 - p_y)^gamma ln p_y`, with `p` the softmax of the logits (Lin et al., arXiv 1708.02002, equation 4, there
    /// for two classes).
    Focal {
        /// At least 0; 0 is cross-entropy.
        gamma: f64,
        /// What each class counts; empty: 1.
        weights: Vec<f64>,
    },
    /// `-w_c (t_c ln s_c + (1 - t_c) ln(1 - s_c))`, with `s` the logistic function of the logit.
    BinaryCrossEntropy {
        /// What each class counts; empty: 1.
        weights: Vec<f64>,
    },
    /// `-w_c (1 - p_c)^gamma ln p_c`, with `p_c` being `s_c` where the label is 1, else `1 - s_c` (Lin et al., arXiv
    /// 1708.02002, equation 4).
    BinaryFocal {
        /// At least 0; 0 is binary cross-entropy.
        gamma: f64,
        /// What each class counts; empty: 1.
        weights: Vec<f64>,
    },
    /// `1 - mean_c (2 sum_i p_i g_i + 1) / (sum_i p_i^2 + sum_i g_i^2 + 1)`, with `p_i` the softmax of the logits at place
    /// `i` and `g_i` whether the label there is `c` (Milletari et al., arXiv 1606.04797, section 3; the ones are ours, so
    /// that a class that is not in the image costs nothing where it is not answered either).
    Dice,
    /// The mean of `((answer - label) / scale)^2`.
    Squared {
        /// What counts as a difference of 1; above 0.
        scale: f64,
    },
    /// With `r = (answer - label) / scale`, the mean of `r^2 / 2` up to `delta` and of `delta (|r| - delta / 2)` beyond
    /// (Huber 1964, Annals of Mathematical Statistics 35, 73-101).
    Huber {
        /// Above 0.
        delta: f64,
        /// What counts as a difference of 1; above 0.
        scale: f64,
    },
    /// The sum of several.
    Sum(Vec<Loss>),
}

impl Loss {
    /// The loss of one sample; its gradient by the answer is *added* to `gradient`, which is as long as `answer`.
    #[must_use]
    pub fn of(&self, answer: &[f32], label: &[f32], gradient: &mut [f32]) -> f64 {
        match self {
            Self::CrossEntropy { weights, smoothing } => {
                each_place(answer, label, gradient, |powers, class| {
                    cross_entropy(powers, class, weight(weights, class), *smoothing)
                })
            }
            Self::Focal { gamma, weights } => {
                each_place(answer, label, gradient, |powers, class| {
                    focal(powers, class, weight(weights, class), *gamma)
                })
            }
            Self::Dice => dice(answer, label, gradient),
            Self::BinaryCrossEntropy { weights } => {
                each_value(answer, label, gradient, |place, logit, target| {
                    let w = weight(weights, place);
                    let value = logit.max(0.0) - logit * target + log1p(exp(-logit.abs()));
                    (w * value, w * (logistic(logit) - target))
                })
            }
            Self::BinaryFocal { gamma, weights } => {
                each_value(answer, label, gradient, |place, logit, target| {
                    let side = if target > 0.5 { 1.0 } else { -1.0 };
                    // With z the logit of the right side: ln p = -ln(1 + e^-z), dp/dz = p (1 - p).
                    let z = side * logit;
                    let (p, ln_p) = (logistic(z), z.min(0.0) - log1p(exp(-z.abs())));
                    let rest = pow(1.0 - p, *gamma);
                    let slope = rest * (gamma * p * ln_p - (1.0 - p));
                    let w = weight(weights, place);
                    (-w * rest * ln_p, w * side * slope)
                })
            }
            Self::Squared { scale } => each_value(answer, label, gradient, |_, answer, label| {
                let r = (answer - label) / scale;
                (r * r, 2.0 * r / scale)
            }),
            Self::Huber { delta, scale } => {
                each_value(answer, label, gradient, |_, answer, label| {
                    let r = (answer - label) / scale;
                    if r.abs() <= *delta {
                        (r * r / 2.0, r / scale)
                    } else {
                        (delta * (r.abs() - delta / 2.0), delta * r.signum() / scale)
                    }
                })
            }
            Self::Sum(losses) => losses.iter().map(|loss| loss.of(answer, label, gradient)).sum(),
        }
    }
}

fn weight(weights: &[f64], class: usize) -> f64 {
    weights.get(class).copied().unwrap_or(1.0)
}

/// The class that a label is; past all classes where it is none.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked before")]
pub(super) fn class(label: f32) -> usize {
    if (0.0..16_777_216.0).contains(&label) { label as usize } else { usize::MAX }
}

fn logistic(logit: f64) -> f64 {
    let power = exp(-logit.abs());
    if logit >= 0.0 { 1.0 / (1.0 + power) } else { power / (1.0 + power) }
}

/// The logits of one place, turned into what the losses need.
struct Softmax {
    /// The probability of each class; a loss leaves its gradient here.
    values: Vec<f64>,
    /// The logit of the label less the logarithm of all powers' sum: `ln p_y`.
    ln_label: f64,
    /// The sum of `ln p_c` over all classes.
    ln_sum: f64,
}

impl Softmax {
    /// Of the logits at `place`, the highest taken off first.
    fn take(&mut self, answer: &[f32], place: usize, places: usize, label: usize) {
        let logits = answer.iter().skip(place).step_by(places).map(|&logit| f64::from(logit));
        self.values.clear();
        self.values.extend(logits);
        let highest = self.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let at_label = self.values.get(label).copied().unwrap_or(f64::NAN) - highest;
        let (mut sum, mut logits) = (0.0, 0.0);
        for value in &mut self.values {
            *value -= highest;
            logits += *value;
            *value = exp(*value);
            sum += *value;
        }
        self.values.iter_mut().for_each(|value| *value /= sum);
        let ln = log(sum);
        self.ln_label = at_label - ln;
        #[expect(clippy::cast_precision_loss, reason = "a count of classes")]
        let classes = self.values.len() as f64;
        self.ln_sum = logits - classes * ln;
    }
}

/// The mean over all places of a loss of one place, which leaves its gradient in the values.
#[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest f32")]
fn each_place(
    answer: &[f32],
    label: &[f32],
    gradient: &mut [f32],
    mut loss: impl FnMut(&mut Softmax, usize) -> f64,
) -> f64 {
    let places = label.len();
    let mut softmax = Softmax { values: Vec::new(), ln_label: 0.0, ln_sum: 0.0 };
    #[expect(clippy::cast_precision_loss, reason = "a count of places")]
    let share = 1.0 / places.max(1) as f64;
    let mut sum = 0.0;
    for (place, &label) in label.iter().enumerate() {
        let class = class(label);
        softmax.take(answer, place, places, class);
        sum += loss(&mut softmax, class);
        let slots = gradient.iter_mut().skip(place).step_by(places);
        for (slot, value) in slots.zip(&softmax.values) {
            *slot += (value * share) as f32;
        }
    }
    sum * share
}

fn cross_entropy(softmax: &mut Softmax, class: usize, weight: f64, smoothing: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a count of classes")]
    let spread = smoothing / softmax.values.len() as f64;
    for (c, value) in softmax.values.iter_mut().enumerate() {
        let target = if c == class { 1.0 - smoothing + spread } else { spread };
        *value = weight * (*value - target);
    }
    // Not with smoothing 0 times an infinite sum, which would be no number.
    let spread_loss = if smoothing > 0.0 { spread * softmax.ln_sum } else { 0.0 };
    -weight * ((1.0 - smoothing) * softmax.ln_label + spread_loss)
}

fn focal(softmax: &mut Softmax, class: usize, weight: f64, gamma: f64) -> f64 {
    let p = softmax.values.get(class).copied().unwrap_or(f64::NAN);
    let rest = if gamma > 0.0 { pow(1.0 - p, gamma) } else { 1.0 };
    // (1 - p)^(gamma - 1) ln p tends to -(1 - p)^gamma where p tends to 1.
    let bend = if p < 1.0 { gamma * p * softmax.ln_label * rest / (1.0 - p) } else { 0.0 };
    let slope = weight * (bend - rest);
    for (c, value) in softmax.values.iter_mut().enumerate() {
        *value = slope * (if c == class { 1.0 } else { 0.0 } - *value);
    }
    -weight * rest * softmax.ln_label
}

#[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest f32")]
fn dice(answer: &[f32], label: &[f32], gradient: &mut [f32]) -> f64 {
    let places = label.len();
    let classes = answer.len().checked_div(places).unwrap_or(0);
    // For each class: the sum over places of p g, of p^2 and of g^2.
    let mut sums = vec![[0.0; 3]; classes];
    let mut softmax = Softmax { values: Vec::new(), ln_label: 0.0, ln_sum: 0.0 };
    let mut probabilities = Vec::with_capacity(answer.len());
    for (place, &label) in label.iter().enumerate() {
        let class = class(label);
        softmax.take(answer, place, places, class);
        for (c, (sum, &p)) in sums.iter_mut().zip(&softmax.values).enumerate() {
            let g = if c == class { 1.0 } else { 0.0 };
            let [both, answered, labelled] = sum;
            *both += p * g;
            *answered += p * p;
            *labelled += g;
        }
        probabilities.extend_from_slice(&softmax.values);
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of classes")]
    let count = classes.max(1) as f64;
    let overlap =
        |[both, answered, labelled]: &[f64; 3]| (2.0 * both + 1.0, answered + labelled + 1.0);
    for (place, (row, &label)) in probabilities.chunks(classes.max(1)).zip(label).enumerate() {
        let class = class(label);
        // The gradient by each probability, then through the softmax.
        let slope = |c: usize, sum: &[f64; 3], p: f64| {
            let (above, below) = overlap(sum);
            let g = if c == class { 1.0 } else { 0.0 };
            -2.0 * (g * below - above * p) / (below * below) / count
        };
        let slopes =
            || sums.iter().zip(row).enumerate().map(|(c, (sum, &p))| (slope(c, sum, p), p));
        let mean: f64 = slopes().map(|(slope, p)| slope * p).sum();
        let slots = gradient.iter_mut().skip(place).step_by(places);
        for (slot, (slope, p)) in slots.zip(slopes()) {
            *slot += (p * (slope - mean)) as f32;
        }
    }
    let overlaps = sums.iter().map(overlap).map(|(above, below)| above / below);
    1.0 - overlaps.sum::<f64>() / count
}

/// The mean over all values of a loss of one value, which answers with its slope.
#[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest f32")]
fn each_value(
    answer: &[f32],
    label: &[f32],
    gradient: &mut [f32],
    loss: impl Fn(usize, f64, f64) -> (f64, f64),
) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a count of values")]
    let share = 1.0 / answer.len().max(1) as f64;
    let mut sum = 0.0;
    let pairs = answer.iter().zip(label).zip(gradient);
    for (place, ((&answer, &label), slot)) in pairs.enumerate() {
        let (value, slope) = loss(place, f64::from(answer), f64::from(label));
        sum += value;
        *slot += (slope * share) as f32;
    }
    sum * share
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }

    fn value(loss: &Loss, answer: &[f32], label: &[f32]) -> f64 {
        loss.of(answer, label, &mut vec![0.0; answer.len()])
    }

    fn plain() -> Loss {
        Loss::CrossEntropy { weights: vec![], smoothing: 0.0 }
    }

    /// Every loss, with answers and labels it takes: three classes at one place, and two classes at three places.
    fn every() -> Vec<(Loss, Vec<f32>, Vec<f32>)> {
        let weights = vec![0.5, 2.0, 1.0];
        let classes = [
            plain(),
            Loss::CrossEntropy { weights: weights.clone(), smoothing: 0.1 },
            Loss::Focal { gamma: 2.0, weights: weights.clone() },
            Loss::Focal { gamma: 0.5, weights: vec![] },
            Loss::Focal { gamma: 0.0, weights: vec![] },
            Loss::Dice,
            Loss::Sum(vec![Loss::Dice, plain()]),
        ];
        let values = [
            Loss::BinaryCrossEntropy { weights: vec![] },
            Loss::BinaryCrossEntropy { weights: weights.clone() },
            Loss::BinaryFocal { gamma: 2.0, weights: weights.clone() },
            Loss::BinaryFocal { gamma: 0.0, weights: vec![] },
        ];
        let regression = [
            Loss::Squared { scale: 1.0 },
            Loss::Squared { scale: 2.5 },
            Loss::Huber { delta: 1.0, scale: 1.0 },
            Loss::Huber { delta: 0.2, scale: 3.0 },
        ];
        let mut all = Vec::new();
        for loss in classes {
            all.push((loss.clone(), vec![0.3, -1.2, 2.0], vec![1.0]));
            all.push((loss, vec![0.3, -1.2, 2.0, 0.9, 0.1, -0.4], vec![1.0, 0.0, 1.0]));
        }
        for loss in values {
            all.push((loss, vec![0.3, -1.2, 2.0], vec![1.0, 0.0, 0.0]));
        }
        for loss in regression {
            all.push((loss, vec![0.3, -1.2, 2.0], vec![0.5, 2.0, 1.9]));
        }
        all
    }

    #[test]
    fn every_gradient_is_the_slope_of_its_loss() {
        for (loss, answer, label) in every() {
            let mut gradient = vec![0.0; answer.len()];
            let _ = loss.of(&answer, &label, &mut gradient);
            for place in 0..answer.len() {
                let moved = |by: f32| {
                    let mut answer = answer.clone();
                    answer[place] += by;
                    (value(&loss, &answer, &label), f64::from(answer[place]))
                };
                let ((high, to), (low, from)) = (moved(1e-3), moved(-1e-3));
                let slope = (high - low) / (to - from);
                let found = f64::from(gradient[place]);
                assert!(
                    (found - slope).abs() < 1e-5,
                    "{loss:?} at {place}: {found} is not {slope}"
                );
            }
        }
    }

    #[test]
    fn losses_have_the_values_of_their_formulas() {
        // Softmax of (ln 1, ln 2, ln 5) is (1/8, 2/8, 5/8).
        let answer = [1.0_f32, 2.0, 5.0].map(f32::ln);
        near(value(&plain(), &answer, &[2.0]), -(5.0_f64 / 8.0).ln());
        let smooth = Loss::CrossEntropy { weights: vec![1.0, 1.0, 3.0], smoothing: 0.3 };
        let logs = [1.0_f64, 2.0, 5.0].map(|power| (power / 8.0).ln());
        near(
            value(&smooth, &answer, &[2.0]),
            -3.0 * (0.7 * logs[2] + 0.1 * logs.iter().sum::<f64>()),
        );
        let focal = Loss::Focal { gamma: 2.0, weights: vec![] };
        near(value(&focal, &answer, &[2.0]), -(3.0_f64 / 8.0).powi(2) * (5.0_f64 / 8.0).ln());
        // The logistic function of ln 3 is 3/4.
        let logits = [3.0_f32.ln(), -(3.0_f32.ln())];
        let binary = Loss::BinaryCrossEntropy { weights: vec![] };
        near(value(&binary, &logits, &[1.0, 0.0]), -(0.75_f64).ln());
        near(value(&binary, &logits, &[0.0, 0.0]), -(0.25_f64.ln() + 0.75_f64.ln()) / 2.0);
        let focal = Loss::BinaryFocal { gamma: 1.0, weights: vec![] };
        near(
            value(&focal, &logits, &[1.0, 1.0]),
            -(0.25 * 0.75_f64.ln() + 0.75 * 0.25_f64.ln()) / 2.0,
        );
        near(value(&Loss::Squared { scale: 2.0 }, &[1.0, 5.0], &[3.0, 5.0]), 0.5);
        let huber = Loss::Huber { delta: 1.0, scale: 1.0 };
        near(value(&huber, &[0.5, 4.0], &[0.0, 0.0]), (0.125 + 3.5) / 2.0);
        // Two places, sure and right: full overlap. Sure and wrong: none but the ones.
        near(value(&Loss::Dice, &[50.0, -50.0, -50.0, 50.0], &[0.0, 1.0]), 0.0);
        near(value(&Loss::Dice, &[-50.0, 50.0, 50.0, -50.0], &[0.0, 1.0]), 1.0 - 1.0 / 3.0);
    }

    #[test]
    fn a_mask_costs_the_mean_of_its_pixels() {
        let mask = value(&plain(), &[0.3, -1.2, 0.9, 0.1], &[1.0, 0.0]);
        let pixels = value(&plain(), &[0.3, 0.9], &[1.0]) + value(&plain(), &[-1.2, 0.1], &[0.0]);
        near(mask, pixels / 2.0);
    }

    #[test]
    fn large_answers_stay_numbers() {
        for (loss, answer, label) in every() {
            for factor in [1e4, 1e6] {
                let answer: Vec<f32> = answer.iter().map(|x| x * factor).collect();
                let mut gradient = vec![0.0; answer.len()];
                let value = loss.of(&answer, &label, &mut gradient);
                assert!(value.is_finite() && gradient.iter().all(|x| x.is_finite()), "{loss:?}");
            }
        }
    }

    #[test]
    fn an_answer_that_is_no_number_costs_no_number() {
        for (loss, mut answer, label) in every() {
            answer[1] = f32::NAN;
            assert!(value(&loss, &answer, &label).is_nan(), "{loss:?}");
        }
    }
}
