//! The agent: the loop that every task shares.

use super::export;
use super::graph::{Graph, Weights};
use super::loader::{DataLoader, check};
use super::model::Model;
use super::optimizer::learning_rate;
use super::state::{State, Ticket};
use super::task::{Evaluation, Task};
use super::{Progress, TrainRequest, TrainedCheckpoint, TrainingError, settings};
use crate::domain::definition::TrainerSpec;
use crate::domain::matrix::Matrix;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// Trains and answers the checkpoints, in the order of training: the last, the best by validation loss, and as many in
/// between, evenly spread, as `checkpoints` allows.
///
/// `watch` is called after each step and after each epoch, and may break off. After an epoch [`Progress::state`] hands out
/// what [`TrainRequest::resume`] takes.
///
/// # Errors
/// [`TrainingError::Interrupted`] if `watch` broke off, [`TrainingError::Diverged`] if the loss or a weight is no longer a
/// number; [`TrainingError::Rows`] if the inputs can no longer be read; all others say what is wrong with the request,
/// before anything is trained.
pub fn train(
    task: &dyn Task,
    request: &TrainRequest<'_>,
    watch: &mut dyn FnMut(&Progress<'_>) -> ControlFlow<()>,
) -> Result<Vec<TrainedCheckpoint>, TrainingError> {
    settings::check(request.spec)?;
    check(task, request)?;
    Agent::new(task, request)?.run(watch)
}

/// What somebody should know about data that can be trained with, a sentence each: for example a class that no validation
/// sample has.
#[must_use]
pub fn remarks(task: &dyn Task, request: &TrainRequest<'_>) -> Vec<String> {
    task.remarks(request.train.labels, request.validation.labels)
}

/// What may end an epoch before its last batch.
enum Cut {
    Interrupted,
    Diverged,
}

/// A training on its way.
struct Agent<'a> {
    task: &'a dyn Task,
    request: &'a TrainRequest<'a>,
    loader: DataLoader<'a>,
    model: Model,
    ticket: Ticket,
    state: State,
}

impl<'a> Agent<'a> {
    fn new(task: &'a dyn Task, request: &'a TrainRequest<'a>) -> Result<Self, TrainingError> {
        let graph = task.net()?;
        let ticket = Ticket::new(&graph, request);
        let mut model = Model::new(graph, request.spec, request.seed);
        let resumed = request.resume.and_then(|bytes| State::read(bytes, &ticket, &mut model));
        Ok(Self {
            task,
            request,
            loader: DataLoader::new(request.train, request.spec.batch, request.seed),
            model,
            ticket,
            state: resumed.unwrap_or_default(),
        })
    }

    fn run(
        mut self,
        watch: &mut dyn FnMut(&Progress<'_>) -> ControlFlow<()>,
    ) -> Result<Vec<TrainedCheckpoint>, TrainingError> {
        let epochs = self.request.spec.epochs;
        while !self.state.is_done && self.state.epoch < epochs {
            let epoch = self.state.epoch + 1;
            let train_loss = self.epoch(epoch, watch)?;
            let measured = self.measure()?;
            let metrics = named(&measured);
            self.take(epoch, train_loss, measured)?;
            let state = || self.state.write(&self.ticket, &self.model);
            let progress = Progress {
                epoch,
                epochs,
                step: self.state.step,
                steps: self.steps_per_epoch().saturating_mul(epochs as u64),
                train_loss,
                metrics: &metrics,
                state: Some(&state),
            };
            if watch(&progress).is_break() {
                return Err(TrainingError::Interrupted);
            }
        }
        let (task, graph) = (self.task, self.model.graph());
        let kept = self.state.keep(self.request.spec.checkpoints);
        Ok(kept.into_iter().map(|snapshot| snapshot.checkpoint(task, graph)).collect())
    }

    /// One pass over the training rows; answers the mean loss.
    fn epoch(
        &mut self,
        epoch: usize,
        watch: &mut dyn FnMut(&Progress<'_>) -> ControlFlow<()>,
    ) -> Result<f64, TrainingError> {
        let rows = self.request.train.labels.rows();
        let steps_per_epoch = self.steps_per_epoch();
        let spec = self.request.spec;
        let nothing = BTreeMap::new();
        let mut loss = 0.0;
        let ended = self.loader.each(epoch, self.task, &mut |batch| {
            let rate = learning_rate(spec, self.state.step, steps_per_epoch);
            #[expect(clippy::cast_precision_loss, reason = "a batch's size")]
            let weight = batch.inputs.rows() as f64 / rows as f64;
            let before = self.task.train(&mut self.model, batch, rate);
            self.state.step += 1;
            if !before.is_finite() {
                return ControlFlow::Break(Cut::Diverged);
            }
            loss += before * weight;
            let progress = Progress {
                epoch: epoch - 1,
                epochs: spec.epochs,
                step: self.state.step,
                steps: steps_per_epoch.saturating_mul(spec.epochs as u64),
                train_loss: before,
                metrics: &nothing,
                state: None,
            };
            watch(&progress).map_break(|()| Cut::Interrupted)
        });
        match ended? {
            ControlFlow::Continue(()) => Ok(loss),
            ControlFlow::Break(Cut::Interrupted) => Err(TrainingError::Interrupted),
            ControlFlow::Break(Cut::Diverged) => Err(self.diverged(epoch)),
        }
    }

    fn steps_per_epoch(&self) -> u64 {
        self.request.train.labels.rows().div_ceil(self.request.spec.batch.max(1)) as u64
    }

    fn measure(&self) -> Result<Option<Evaluation>, TrainingError> {
        if self.request.validation.labels.rows() == 0 {
            return Ok(None);
        }
        self.task.eval(&self.model, &self.request.validation).map(Some)
    }

    /// Takes note of an epoch: is it the best, does it become a checkpoint, was it the last?
    fn take(
        &mut self,
        epoch: usize,
        train_loss: f64,
        measured: Option<Evaluation>,
    ) -> Result<(), TrainingError> {
        let spec = self.request.spec;
        let loss = measured.as_ref().map(|measured| measured.loss);
        let weights = self.model.weights.clone();
        let snapshot = Snapshot { step: self.state.step, epoch, train_loss, weights, measured };
        // The last step of an epoch may be the one that ruins the weights, so a finite training loss proves too little.
        if !snapshot.is_finite() {
            return Err(self.diverged(epoch));
        }
        let is_better = match (&self.state.best, loss) {
            (Some(best), Some(now)) => now < best.loss(),
            (None, Some(_)) => true,
            (_, None) => false,
        };
        if is_better {
            self.state.best = Some(snapshot.clone());
        }
        let best_epoch = self.state.best.as_ref().map(|best| best.epoch);
        let patience_is_out = best_epoch
            .zip(spec.patience)
            .is_some_and(|(best, patience)| epoch.saturating_sub(best) >= patience);
        self.state.epoch = epoch;
        self.state.is_done = epoch >= spec.epochs || patience_is_out;
        if self.state.is_done || is_spread(epoch, spec) {
            self.state.saved.push(snapshot.clone());
        }
        self.state.last = Some(snapshot);
        Ok(())
    }

    fn diverged(&self, epoch: usize) -> TrainingError {
        let good = self.state.best.as_ref().or(self.state.last.as_ref()).cloned();
        let checkpoint = |good: Snapshot| good.checkpoint(self.task, self.model.graph());
        TrainingError::Diverged {
            epoch,
            step: self.state.step,
            learning_rate: self.request.spec.learning_rate,
            last_good: good.map(checkpoint).map(Box::new),
        }
    }
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

/// What was measured, by the names that checkpoints carry.
fn named(measured: &Option<Evaluation>) -> BTreeMap<String, f64> {
    let mut metrics = BTreeMap::new();
    if let Some(measured) = measured {
        metrics.insert("validation.loss".to_owned(), measured.loss);
        let measures = measured.metrics.iter();
        metrics.extend(measures.map(|(name, value)| (format!("validation.{name}"), *value)));
    }
    metrics
}

/// A moment of the training that may become a checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Snapshot {
    pub(super) step: u64,
    pub(super) epoch: usize,
    pub(super) train_loss: f64,
    pub(super) weights: Weights,
    pub(super) measured: Option<Evaluation>,
}

impl Snapshot {
    /// Whether this is a model at all: every weight is a number, and so is what it makes of the validation rows.
    fn is_finite(&self) -> bool {
        let answers =
            |now: &Evaluation| now.loss.is_finite() && now.answers.first_non_finite().is_none();
        self.weights.is_finite() && self.measured.as_ref().is_none_or(answers)
    }

    pub(super) fn loss(&self) -> f64 {
        self.measured.as_ref().map_or(f64::INFINITY, |measured| measured.loss)
    }

    fn checkpoint(self, task: &dyn Task, graph: &Graph) -> TrainedCheckpoint {
        #[expect(clippy::cast_precision_loss, reason = "a count of epochs")]
        let epoch = self.epoch as f64;
        let mut metrics = named(&self.measured);
        metrics.insert("epoch".to_owned(), epoch);
        metrics.insert("train.loss".to_owned(), self.train_loss);
        TrainedCheckpoint {
            step: self.step,
            metrics,
            onnx: export::onnx(graph, &self.weights, task.answer_name()),
            validation_answers: self.measured.map_or_else(Matrix::default, |now| now.answers),
        }
    }
}
