//! The data loader: what comes in is checked once, then handed out in batches whose order derives from the seed.

use super::{Labelled, TrainRequest, TrainingError};
use crate::domain::chance::Chance;
use crate::domain::definition::{GraphSpec, OptimizerSpec, ScheduleSpec};
use crate::domain::ids::CycleNumber;

/// Whether a request can be trained at all.
pub(super) fn check(request: &TrainRequest<'_>) -> Result<(), TrainingError> {
    let spec = request.spec;
    let positive = "at least 1";
    let widths: &[usize] = match &spec.graph {
        GraphSpec::Softmax => &[],
        GraphSpec::Mlp(widths) => widths,
    };
    let momentum = match spec.optimizer {
        OptimizerSpec::Adam => 0.0,
        OptimizerSpec::Sgd { momentum } => momentum,
    };
    let (every, factor) = match spec.schedule {
        ScheduleSpec::Constant | ScheduleSpec::Cosine => (1, 1.0),
        ScheduleSpec::Step { every, factor } => (every, factor),
    };
    let settings: [(bool, &'static str, String, &'static str); 10] = [
        (!widths.contains(&0), "hidden", format!("{widths:?}"), "widths of at least 1"),
        ((0.0..1.0).contains(&momentum), "momentum", momentum.to_string(), "from 0 to below 1"),
        (every > 0, "step_every", every.to_string(), positive),
        (factor > 0.0 && factor <= 1.0, "step_factor", factor.to_string(), "above 0, at most 1"),
        (spec.patience != Some(0), "patience", "0".to_owned(), positive),
        (spec.epochs > 0, "epochs", spec.epochs.to_string(), positive),
        (spec.batch > 0, "batch", spec.batch.to_string(), positive),
        (spec.checkpoints > 0, "checkpoints", spec.checkpoints.to_string(), positive),
        (
            spec.learning_rate.is_finite() && spec.learning_rate > 0.0,
            "learning_rate",
            spec.learning_rate.to_string(),
            "a number above 0",
        ),
        (
            spec.weight_decay.is_finite() && spec.weight_decay >= 0.0,
            "weight_decay",
            spec.weight_decay.to_string(),
            "a number of at least 0",
        ),
    ];
    for (holds, key, value, limit) in settings {
        if !holds {
            return Err(TrainingError::Setting { key, value, limit });
        }
    }
    if request.classes < 2 {
        return Err(TrainingError::Classes { classes: request.classes });
    }
    if request.shape.contains(&0) {
        return Err(TrainingError::Shape { shape: request.shape.to_vec() });
    }
    if request.train.labels.is_empty() {
        return Err(TrainingError::NoSamples);
    }
    check_rows("train", &request.train, request)?;
    check_rows("validation", &request.validation, request)
}

fn check_rows(
    what: &'static str,
    rows: &Labelled<'_>,
    request: &TrainRequest<'_>,
) -> Result<(), TrainingError> {
    let (inputs, labels) = (rows.inputs, rows.labels);
    if inputs.rows() != labels.len() {
        return Err(TrainingError::Labels { what, rows: inputs.rows(), labels: labels.len() });
    }
    // More values than can be counted are more than any row has.
    let expected =
        request.shape.iter().fold(1, |product: usize, &side| product.saturating_mul(side));
    if !labels.is_empty() && inputs.cols() != expected {
        let shape = request.shape.to_vec();
        return Err(TrainingError::Width { what, found: inputs.cols(), expected, shape });
    }
    let classes = request.classes;
    if let Some((row, &label)) =
        labels.iter().enumerate().find(|(_, label)| **label as usize >= classes)
    {
        return Err(TrainingError::Class { what, row, label, classes });
    }
    match inputs.first_non_finite() {
        Some((row, column)) => Err(TrainingError::NonFinite { what, row, column }),
        None => Ok(()),
    }
}

/// The row numbers of each batch of an epoch, every row once, in an order that derives from (seed, epoch, row).
pub(super) fn batches(rows: usize, size: usize, seed: u64, epoch: usize) -> Vec<Vec<usize>> {
    let purpose = format!("order of epoch {epoch}");
    let chance = Chance { seed, cycle: CycleNumber(0), purpose: &purpose };
    let mut order: Vec<(u64, usize)> =
        (0..rows).map(|row| (chance.draw(&row.to_string()), row)).collect();
    order.sort_unstable();
    order.chunks(size.max(1)).map(|batch| batch.iter().map(|(_, row)| *row).collect()).collect()
}
