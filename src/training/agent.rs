//! The agent: the loop that every task shares.

use super::export;
use super::graph::{Graph, Weights};
use super::loader::{batches, check};
use super::network::{Network, network};
use super::{Progress, TrainRequest, TrainedCheckpoint, TrainingError};
use crate::domain::definition::{ScheduleSpec, TrainerSpec};
use crate::domain::matrix::Matrix;
use crate::metrics;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Trains from scratch and answers the checkpoints, in the order of training: the last, the best by validation loss, and
/// as many in between, evenly spread, as `checkpoints` allows.
///
/// `watch` is called after each epoch and may break off.
///
/// # Errors
/// [`TrainingError::Interrupted`] if `watch` broke off, [`TrainingError::Diverged`] if the loss or a weight is no longer a
/// number; all others say what is wrong with the request, before anything is trained.
pub fn train(
    request: &TrainRequest<'_>,
    watch: &mut dyn FnMut(&Progress) -> ControlFlow<()>,
) -> Result<Vec<TrainedCheckpoint>, TrainingError> {
    check(request)?;
    let spec = request.spec;
    let graph = Graph::new(&spec.graph, request.shape, request.classes);
    let mut network = network(&graph, spec, request.seed);
    let rows = request.train.labels.len();
    let steps_per_epoch = rows.div_ceil(spec.batch) as u64;
    let steps = steps_per_epoch.saturating_mul(spec.epochs as u64);
    let mut step = 0;
    let mut saved: Vec<Snapshot> = Vec::new();
    let mut best: Option<Snapshot> = None;
    let mut best_epoch = 0;
    for epoch in 1..=spec.epochs {
        let mut loss = 0.0;
        for batch in batches(rows, spec.batch, request.seed, epoch) {
            let inputs = request.train.inputs.select_rows(&batch);
            let labels: Vec<u32> =
                batch.iter().filter_map(|&row| request.train.labels.get(row).copied()).collect();
            let rate = learning_rate(spec, step, steps, steps_per_epoch);
            #[expect(clippy::cast_precision_loss, reason = "a batch's size")]
            let weight = labels.len() as f64 / rows as f64;
            loss += network.step(&inputs, &labels, rate) * weight;
            step += 1;
        }
        let diverged = TrainingError::Diverged { epoch, learning_rate: spec.learning_rate };
        if !loss.is_finite() {
            return Err(diverged);
        }
        let measured = measure(&*network, request);
        let progress = Progress {
            epoch,
            epochs: spec.epochs,
            train_loss: loss,
            validation_loss: measured.as_ref().map(|measured| measured.loss),
            validation_accuracy: measured.as_ref().map(|measured| measured.accuracy),
        };
        if watch(&progress).is_break() {
            return Err(TrainingError::Interrupted);
        }
        // The last step of an epoch may be the one that ruins the weights, so a finite training loss proves too little.
        let snapshot = || {
            Some(Snapshot::new(&*network, step, progress, measured.clone()))
                .filter(Snapshot::is_finite)
                .ok_or_else(|| diverged.clone())
        };
        let better = match (&best, &measured) {
            (Some(best), Some(now)) => now.loss < best.loss(),
            (None, Some(_)) => true,
            (_, None) => false,
        };
        if better {
            best = Some(snapshot()?);
            best_epoch = epoch;
        }
        let patience_is_out =
            best.is_some() && spec.patience.is_some_and(|patience| epoch - best_epoch >= patience);
        let is_last = epoch == spec.epochs || patience_is_out;
        if is_last || is_spread(epoch, spec) {
            saved.push(snapshot()?);
        }
        if is_last {
            break;
        }
    }
    Ok(keep(saved, best, spec.checkpoints)
        .into_iter()
        .map(|snapshot| snapshot.checkpoint(&graph))
        .collect())
}

/// Whether an epoch is one of those evenly spread over the training, for the checkpoints beside the best and the last.
const fn is_spread(epoch: usize, spec: &TrainerSpec) -> bool {
    let between = spec.checkpoints.saturating_sub(2);
    let part = between.saturating_add(1);
    // Epoch e is the k-th of them if it is the first with e / epochs >= k / part.
    between > 0
        && epoch < spec.epochs
        && (epoch.saturating_mul(part)) / spec.epochs
            > ((epoch - 1).saturating_mul(part)) / spec.epochs
}

/// The checkpoints to answer with: with room for one only, the best (the last, if nothing was measured).
fn keep(mut saved: Vec<Snapshot>, best: Option<Snapshot>, most: usize) -> Vec<Snapshot> {
    if let Some(best) = best {
        if most == 1 {
            return vec![best];
        }
        saved.retain(|snapshot| snapshot.step != best.step);
        saved.push(best);
        saved.sort_by_key(|snapshot| snapshot.step);
    } else if most == 1 {
        saved.drain(..saved.len().saturating_sub(1));
    }
    saved
}

/// The learning rate of a step; see [`ScheduleSpec`] for the formulas.
fn learning_rate(spec: &TrainerSpec, step: u64, steps: u64, steps_per_epoch: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts of steps")]
    let progress = step as f64 / steps.max(1) as f64;
    match spec.schedule {
        ScheduleSpec::Constant => spec.learning_rate,
        ScheduleSpec::Cosine => {
            spec.learning_rate * 0.5 * (1.0 + libm::cos(std::f64::consts::PI * progress))
        }
        ScheduleSpec::Step { every, factor } => {
            let changes = step / steps_per_epoch.max(1) / (every.max(1) as u64);
            let changes = i32::try_from(changes).unwrap_or(i32::MAX);
            spec.learning_rate * factor.powi(changes)
        }
    }
}

/// The validation rows, measured.
#[derive(Clone)]
struct Measured {
    logits: Matrix,
    loss: f64,
    accuracy: f64,
}

fn measure(network: &dyn Network, request: &TrainRequest<'_>) -> Option<Measured> {
    let labels = request.validation.labels;
    if labels.is_empty() {
        return None;
    }
    let logits = network.logits(request.validation.inputs);
    let predicted: Vec<u32> =
        logits.iter_rows().map(|row| metrics::argmax(row).unwrap_or(u32::MAX)).collect();
    let (correct, n) = metrics::accuracy(&predicted, labels);
    let loss = metrics::log_loss(&metrics::softmax(&logits), labels);
    Some(Measured { logits, loss, accuracy: metrics::share(correct, n) })
}

/// A moment of the training that may become a checkpoint.
struct Snapshot {
    step: u64,
    weights: Weights,
    progress: Progress,
    measured: Option<Measured>,
}

impl Snapshot {
    fn new(
        network: &dyn Network,
        step: u64,
        progress: Progress,
        measured: Option<Measured>,
    ) -> Self {
        Self { step, weights: network.weights(), progress, measured }
    }

    /// Whether this is a model at all: every weight is a number, and so is what it makes of the validation rows.
    fn is_finite(&self) -> bool {
        self.weights.is_finite() && self.measured.as_ref().is_none_or(|now| now.loss.is_finite())
    }

    fn loss(&self) -> f64 {
        self.measured.as_ref().map_or(f64::INFINITY, |measured| measured.loss)
    }

    fn checkpoint(self, graph: &Graph) -> TrainedCheckpoint {
        #[expect(clippy::cast_precision_loss, reason = "a count of epochs")]
        let epoch = self.progress.epoch as f64;
        let mut metrics = BTreeMap::from([
            ("epoch".to_owned(), epoch),
            ("train.loss".to_owned(), self.progress.train_loss),
        ]);
        let mut validation_logits = Matrix::default();
        if let Some(measured) = self.measured {
            metrics.insert("validation.loss".to_owned(), measured.loss);
            metrics.insert("validation.accuracy".to_owned(), measured.accuracy);
            validation_logits = measured.logits;
        }
        let onnx = export::onnx(graph, &self.weights);
        TrainedCheckpoint { step: self.step, metrics, onnx, validation_logits }
    }
}
