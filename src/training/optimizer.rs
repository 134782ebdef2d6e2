//! How weights follow their gradients, and how fast: optimizers and schedules over plain numbers, so that a training that is
//! taken up again goes on with the same bits.

use super::graph::Weights;
use crate::domain::definition::{OptimizerSpec, ScheduleSpec, TrainerSpec};

/// Adam's defaults: Kingma and Ba, arXiv 1412.6980, algorithm 1.
const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f32 = 1e-8;

/// What an optimizer remembers from step to step.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Optimizer {
    kind: OptimizerSpec,
    /// The weight decay.
    decay: f32,
    /// Steps taken.
    pub(super) steps: u64,
    /// SGD: the momentum; Adam: the mean gradient. As the weights; empty before the first step.
    pub(super) first: Vec<Vec<f32>>,
    /// Adam: the mean squared gradient.
    pub(super) second: Vec<Vec<f32>>,
}

impl Optimizer {
    pub(super) fn new(spec: &TrainerSpec, weights: &Weights) -> Self {
        let zeros = || weights.0.iter().map(|layer| vec![0.0; layer.len()]).collect();
        Self {
            kind: spec.optimizer,
            decay: to_f32(spec.weight_decay),
            steps: 0,
            first: zeros(),
            second: zeros(),
        }
    }

    /// One step at this learning rate.
    pub(super) fn step(&mut self, weights: &mut Weights, gradients: &[Vec<f32>], rate: f64) {
        self.steps += 1;
        let layers = weights.0.iter_mut().zip(gradients).zip(&mut self.first);
        for (((weights, gradients), first), second) in layers.zip(&mut self.second) {
            let (decay, rate32) = (self.decay, to_f32(rate));
            match self.kind {
                OptimizerSpec::Sgd { momentum } => {
                    sgd(weights, gradients, first, (rate32, to_f32(momentum), decay));
                }
                OptimizerSpec::Adam => {
                    adam(weights, gradients, (first, second), self.steps, rate, decay)
                }
                OptimizerSpec::AdamW => {
                    // Loshchilov and Hutter, arXiv 1711.05101, algorithm 2: the decay beside the gradient.
                    weights.iter_mut().for_each(|weight| *weight -= rate32 * decay * *weight);
                    adam(weights, gradients, (first, second), self.steps, rate, 0.0);
                }
            }
        }
    }
}

/// `v = momentum v + g + decay w; w -= rate v` (Sutskever et al. 2013, "On the importance of initialization and momentum in
/// deep learning", equations 1 and 2, with the rate outside).
fn sgd(
    weights: &mut [f32],
    gradients: &[f32],
    velocity: &mut [f32],
    (rate, momentum, decay): (f32, f32, f32),
) {
    for ((weight, gradient), velocity) in weights.iter_mut().zip(gradients).zip(velocity) {
        *velocity = momentum * *velocity + (gradient + decay * *weight);
        *weight -= rate * *velocity;
    }
}

/// `m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; w -= rate m' / (sqrt(v') + epsilon)`, with `m'` and `v'` being `m` and
/// `v` over `1 - b1^t` and `1 - b2^t` (Kingma and Ba, arXiv 1412.6980, algorithm 1).
fn adam(
    weights: &mut [f32],
    gradients: &[f32],
    (first, second): (&mut [f32], &mut [f32]),
    steps: u64,
    rate: f64,
    decay: f32,
) {
    #[expect(clippy::cast_precision_loss, reason = "a count of steps")]
    let t = steps as f64;
    let rate = to_f32(rate / (1.0 - libm::pow(BETA1, t)));
    let correction = to_f32(1.0 / (1.0 - libm::pow(BETA2, t)));
    let (b1, b2) = (to_f32(BETA1), to_f32(BETA2));
    let moments = first.iter_mut().zip(second);
    for ((weight, gradient), (first, second)) in weights.iter_mut().zip(gradients).zip(moments) {
        let gradient = gradient + decay * *weight;
        *first = b1 * *first + (1.0 - b1) * gradient;
        *second = b2 * *second + (1.0 - b2) * gradient * gradient;
        *weight -= rate * *first / ((*second * correction).sqrt() + EPSILON);
    }
}

/// The learning rate of a step, the first being 0; see [`ScheduleSpec`] for the formulas. During the warm-up it is the
/// schedule's rate times `(step + 1) / steps of the warm-up`.
pub(super) fn learning_rate(spec: &TrainerSpec, step: u64, steps_per_epoch: u64) -> f64 {
    let per_epoch = steps_per_epoch.max(1);
    let steps = per_epoch.saturating_mul(spec.epochs as u64);
    #[expect(clippy::cast_precision_loss, reason = "counts of steps")]
    let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
    let rate = match spec.schedule {
        ScheduleSpec::Constant => spec.learning_rate,
        ScheduleSpec::Cosine => {
            let progress = share(step, steps);
            spec.learning_rate * 0.5 * (1.0 + libm::cos(std::f64::consts::PI * progress))
        }
        ScheduleSpec::Step { every, factor } => {
            #[expect(clippy::cast_precision_loss, reason = "a count of changes")]
            let changes = (step / per_epoch / (every.max(1) as u64)) as f64;
            spec.learning_rate * libm::pow(factor, changes)
        }
    };
    let warmup = per_epoch.saturating_mul(spec.warmup as u64);
    if step < warmup { rate * share(step + 1, warmup) } else { rate }
}

#[expect(clippy::cast_possible_truncation, reason = "rounds to the nearest f32")]
const fn to_f32(number: f64) -> f32 {
    number as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }

    /// Two steps from 1 with gradients 0.5 and -0.25.
    fn walked(optimizer: OptimizerSpec, weight_decay: f64) -> f64 {
        let spec = TrainerSpec { optimizer, weight_decay, ..TrainerSpec::default() };
        let mut weights = Weights(vec![vec![1.0]]);
        let mut optimizer = Optimizer::new(&spec, &weights);
        for gradient in [0.5, -0.25] {
            optimizer.step(&mut weights, &[vec![gradient]], 0.1);
        }
        f64::from(weights.0[0][0])
    }

    /// The formulas of the papers, worked out in doubles.
    #[test]
    fn optimizers_walk_as_their_papers_say() {
        near(walked(OptimizerSpec::Sgd { momentum: 0.0 }, 0.0), 1.0 - 0.1 * 0.5 + 0.1 * 0.25);
        let (first, second) = (0.5, 0.9 * 0.5 - 0.25);
        near(walked(OptimizerSpec::Sgd { momentum: 0.9 }, 0.0), 1.0 - 0.1 * first - 0.1 * second);
        let decayed = 1.0 - 0.1 * (0.5 + 0.2);
        let sgd = walked(OptimizerSpec::Sgd { momentum: 0.0 }, 0.2);
        near(sgd, decayed - 0.1 * (-0.25 + 0.2 * decayed));
        let (m, v) = (0.9 * 0.1 * 0.5 - 0.1 * 0.25, 0.999 * 0.001 * 0.25 + 0.001 * 0.0625);
        let second = 0.1 * (m / (1.0 - 0.81)) / (v / (1.0 - 0.998_001_f64)).sqrt();
        near(walked(OptimizerSpec::Adam, 0.0), 0.9 - second);
        // Decay beside the gradient takes off rate * decay of the weight, whatever the gradient is.
        near(walked(OptimizerSpec::AdamW, 0.5), (0.95 - 0.1) * 0.95 - second);
    }

    #[test]
    fn schedules_give_the_rates_of_their_formulas() {
        let spec = |schedule, warmup| TrainerSpec {
            schedule,
            warmup,
            epochs: 10,
            learning_rate: 0.8,
            ..TrainerSpec::default()
        };
        let step = ScheduleSpec::Step { every: 3, factor: 0.5 };
        for (schedule, warmup, at, rate) in [
            (ScheduleSpec::Constant, 0, 39, 0.8),
            (ScheduleSpec::Cosine, 0, 0, 0.8),
            (ScheduleSpec::Cosine, 0, 20, 0.4),
            (step, 0, 11, 0.8),
            (step, 0, 12, 0.4),
            (step, 0, 39, 0.1),
            (ScheduleSpec::Constant, 2, 0, 0.1),
            (ScheduleSpec::Constant, 2, 3, 0.4),
            (ScheduleSpec::Constant, 2, 7, 0.8),
            (ScheduleSpec::Constant, 2, 8, 0.8),
            (ScheduleSpec::Cosine, 2, 20, 0.4),
        ] {
            near(learning_rate(&spec(schedule, warmup), at, 4), rate);
        }
    }
}
