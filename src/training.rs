//! The training pipeline: from labelled rows to ONNX checkpoints.
//!
//! | part | file | what it owns |
//! |---|---|---|
//! | data loader | `loader`, `augment` | checks of what comes in, batches, shuffling by seed, augmentation |
//! | graph | `graph`, `parts` | the network as plain data: a short list of operations, and parts that tasks share |
//! | loss | `loss` | losses of one sample, with their gradients |
//! | network | `network` | the one file that names burn: runs a graph and finds the slope of its weights |
//! | optimizer | `optimizer` | what becomes of the weights; learning rates |
//! | task | `task`, `tasks` | what a task adds: network, loss, measures |
//! | agent | `agent`, `state` | the training loop: epochs, evaluation, early stopping, checkpoints, interruption, resuming |
//! | export | `export`, `combine` | the files that write ONNX: the same list of operations, read a second time |
//! | external | [`external`] | a training by a program outside of Gleaner, which leaves ONNX files |
//!
//! The same labels, settings and seed give bit-identical checkpoints on one machine, on any number of threads, whether or not
//! the training was interrupted and taken up again on its way.
//!
//! # A task of your own
//!
//! A task says what its network is ([`Graph`], out of [`parts`] or of single operations), what a label looks like, what a
//! mistake costs ([`Loss`], or any function with its gradient) and what is measured. Everything else is there: batches,
//! optimizers, schedules, early stopping, checkpoints, resuming and the ONNX file. Where a task differs from the others it
//! brings its own [`Task::train`], [`Task::eval`] or [`Task::augment`]. To be named by a workflow it also needs a line in
//! `tasks` and in [`crate::domain::task`]. This is `examples/own_task.rs`, all of it:
//!
//! ```ignore
#![doc = include_str!("../examples/own_task.rs")]
//! ```

mod agent;
mod augment;
mod combine;
mod export;
pub mod external;
mod graph;
mod loader;
mod loss;
mod model;
mod network;
mod optimizer;
pub mod parts;
mod settings;
mod state;
mod task;
mod tasks;

pub use agent::{remarks, train};
pub use combine::{CombineError, Parts, combine, parts_of};
pub use graph::{Graph, GraphError, Op, Value};
pub use loader::{Batch, Moments};
pub use loss::Loss;
pub use model::{Model, SampleLoss};
pub use task::{Evaluation, Task, answers};
pub use tasks::{TaskRequest, built_in};

use crate::domain::definition::TrainerSpec;
use crate::domain::matrix::Matrix;
use crate::domain::rows::{Rows, RowsError};
use std::collections::BTreeMap;

/// What a task is trained on, and how.
#[derive(Clone, Copy)]
pub struct TrainRequest<'a> {
    /// Optimizer, schedule, length; graph and loss are the task's business.
    pub spec: &'a TrainerSpec,
    /// What is learnt from; at least one row.
    pub train: Labelled<'a>,
    /// What early stopping and the best checkpoint are judged by; may be empty.
    pub validation: Labelled<'a>,
    /// Where all chance of this training comes from.
    pub seed: u64,
    /// A training to take up again, as [`Progress::state`] gave it. Bytes of another training, of another version of this
    /// library or damaged ones are as good as `None`: the training begins anew, and ends the same.
    pub resume: Option<&'a [u8]>,
}

/// Rows with their labels.
#[derive(Clone, Copy)]
pub struct Labelled<'a> {
    /// One row a sample.
    pub inputs: &'a dyn Rows,
    /// One label a row, as [`crate::domain::task`] says how it looks as numbers.
    pub labels: &'a Matrix,
}

/// How far a training is.
#[derive(Clone, Copy)]
pub struct Progress<'a> {
    /// Epochs done.
    pub epoch: usize,
    /// Epochs at the most.
    pub epochs: usize,
    /// Steps done.
    pub step: u64,
    /// Steps at the most.
    pub steps: u64,
    /// The mean loss: of the epoch at the end of one, of the batch within.
    pub train_loss: f64,
    /// At the end of an epoch, with validation rows: `validation.loss` and the task's measures.
    pub metrics: &'a BTreeMap<String, f64>,
    /// At the end of an epoch: makes what [`TrainRequest::resume`] takes, about as large as four models and those that
    /// became checkpoints.
    pub state: Option<&'a dyn Fn() -> Vec<u8>>,
}

/// A model saved by training.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainedCheckpoint {
    /// Optimizer steps taken when it was saved.
    pub step: u64,
    /// `epoch`, `train.loss`, and with validation rows `validation.loss` and the task's measures, for example
    /// `validation.accuracy`.
    pub metrics: BTreeMap<String, f64>,
    /// The ONNX file: input `input` of shape `[batch, ...shape]`, outputs `logits` (of a regression `values`) and, where there
    /// is a linear layer, `embedding`, the batch axis open.
    pub onnx: Vec<u8>,
    /// What the trained weights answer for the validation rows, to hold the exported file against.
    pub validation_answers: Matrix,
}

/// Why there is no trained model.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrainingError {
    /// Nothing to learn from.
    #[error("there are no labelled samples to train on")]
    NoSamples,
    /// Nothing to tell apart.
    #[error("there are {classes} classes to tell apart; at least {least} are needed")]
    Classes {
        /// How many classes there are.
        classes: usize,
        /// The fewest that the task makes sense with.
        least: usize,
    },
    /// Samples without values.
    #[error("a sample of shape {shape:?} has no values to learn from")]
    Shape {
        /// The shape.
        shape: Vec<usize>,
    },
    /// Rows of the wrong width.
    #[error("{what} samples have {found} values, the shape {shape:?} asks for {expected}")]
    Width {
        /// `train` or `validation`.
        what: &'static str,
        /// The width found.
        found: usize,
        /// The width the shape asks for.
        expected: usize,
        /// The shape.
        shape: Vec<usize>,
    },
    /// Rows and labels do not pair up.
    #[error("{rows} {what} samples have {labels} labels")]
    Labels {
        /// `train` or `validation`.
        what: &'static str,
        /// How many rows.
        rows: usize,
        /// How many labels.
        labels: usize,
    },
    /// Labels of the wrong width.
    #[error("a label of {what} samples has {found} numbers, the task asks for {expected}")]
    LabelWidth {
        /// `train` or `validation`.
        what: &'static str,
        /// The width found.
        found: usize,
        /// The width that the task asks for.
        expected: usize,
    },
    /// A label that makes no sense.
    #[error("the label of {what} sample {row} {reason}")]
    Label {
        /// `train` or `validation`.
        what: &'static str,
        /// Which row, from 0.
        row: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// Rows that can no longer be read.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// A network whose parts do not fit together, or do not fit the samples.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A number nobody can learn from.
    #[error("value {column} of {what} sample {row} is not a finite number")]
    NonFinite {
        /// `train` or `validation`.
        what: &'static str,
        /// Which row, from 0.
        row: usize,
        /// Which value, from 0.
        column: usize,
    },
    /// A setting that makes no sense.
    #[error("trainer.{key} is {value}; it must be {limit}")]
    Setting {
        /// Which.
        key: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        limit: String,
    },
    /// The loss or a weight is no longer a number.
    #[error(
        "training diverged in epoch {epoch} at step {step}: the loss or a weight is not finite; lower trainer.learning_rate, which is {learning_rate}"
    )]
    Diverged {
        /// In which epoch, from 1.
        epoch: usize,
        /// At which step, from 1.
        step: u64,
        /// The learning rate of the settings.
        learning_rate: f64,
        /// The best model before that, or without validation the newest; `None` in the first epoch.
        last_good: Option<Box<TrainedCheckpoint>>,
    },
    /// Stopped by its watcher.
    #[error("training was interrupted")]
    Interrupted,
}
