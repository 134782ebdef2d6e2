//! Whether a trainer's settings make sense, whoever wrote them.

use super::TrainingError;
use crate::domain::definition::{
    ClassWeights, GraphSpec, LossSpec, OptimizerSpec, ScheduleSpec, TrainerSpec,
};

/// The first setting that makes no sense.
pub(super) fn check(spec: &TrainerSpec) -> Result<(), TrainingError> {
    let positive = "at least 1";
    let least = |least: bool, value: usize| (least && value == 0, value.to_string());
    let widths = |widths: &[usize]| (widths.contains(&0), format!("{widths:?}"));
    let not = |holds: bool, value: String| (!holds, value);
    let (hidden, channels): (&[usize], &[usize]) = match &spec.graph {
        GraphSpec::Softmax => (&[], &[]),
        GraphSpec::Mlp(hidden) => (hidden, &[]),
        GraphSpec::Cnn(channels) | GraphSpec::Unet(channels) => (&[], channels),
    };
    let needs_channels = matches!(spec.graph, GraphSpec::Cnn(_) | GraphSpec::Unet(_));
    let momentum = match spec.optimizer {
        OptimizerSpec::Adam | OptimizerSpec::AdamW => 0.0,
        OptimizerSpec::Sgd { momentum } => momentum,
    };
    let (every, factor) = match spec.schedule {
        ScheduleSpec::Constant | ScheduleSpec::Cosine => (1, 1.0),
        ScheduleSpec::Step { every, factor } => (every, factor),
    };
    let (gamma, delta) = match spec.loss {
        Some(LossSpec::Focal { gamma }) => (gamma, 1.0),
        Some(LossSpec::Huber { delta }) => (0.0, delta),
        Some(
            LossSpec::CrossEntropy
            | LossSpec::BinaryCrossEntropy
            | LossSpec::Dice
            | LossSpec::DiceCrossEntropy
            | LossSpec::Mse,
        )
        | None => (0.0, 1.0),
    };
    let weights: &[f64] = match &spec.class_weights {
        ClassWeights::Equal | ClassWeights::Balanced => &[1.0],
        ClassWeights::Given(weights) => weights,
    };
    let are_weights = weights.iter().all(|weight| weight.is_finite() && *weight >= 0.0)
        && weights.iter().any(|weight| *weight > 0.0);
    let number = |number: f64, holds: bool| not(number.is_finite() && holds, number.to_string());
    let rate = spec.learning_rate;
    let decay = spec.weight_decay;
    let smoothing = spec.label_smoothing;
    let none = needs_channels && channels.is_empty();
    let settings: [((bool, String), &'static str, &'static str); 17] = [
        (widths(hidden), "hidden", "widths of at least 1"),
        (widths(channels), "channels", "numbers of at least 1"),
        (not(!none, "[]".to_owned()), "channels", "a list of at least one number"),
        (number(momentum, (0.0..1.0).contains(&momentum)), "momentum", "from 0 to below 1"),
        (least(true, every), "step_every", positive),
        (number(factor, factor > 0.0 && factor <= 1.0), "step_factor", "above 0, at most 1"),
        (least(true, spec.patience.unwrap_or(1)), "patience", positive),
        (least(true, spec.epochs), "epochs", positive),
        (least(true, spec.batch), "batch", positive),
        (least(true, spec.checkpoints), "checkpoints", positive),
        (number(rate, rate > 0.0), "learning_rate", "a number above 0"),
        (number(decay, decay >= 0.0), "weight_decay", "a number of at least 0"),
        (number(gamma, (0.0..=100.0).contains(&gamma)), "focal_gamma", "from 0 to 100"),
        (number(delta, delta > 0.0), "huber_delta", "a number above 0"),
        (
            number(smoothing, (0.0..1.0).contains(&smoothing)),
            "label_smoothing",
            "from 0 to below 1",
        ),
        (
            not(are_weights, format!("{weights:?}")),
            "class_weights",
            "numbers of at least 0, not all 0",
        ),
        (
            not(spec.warmup < spec.epochs.max(1), spec.warmup.to_string()),
            "warmup",
            "fewer epochs than trainer.epochs",
        ),
    ];
    for ((is_bad, value), key, limit) in settings {
        if is_bad {
            return Err(TrainingError::Setting { key, value, limit: limit.to_owned() });
        }
    }
    Ok(())
}
