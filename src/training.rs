//! The training pipeline: from labelled rows to ONNX checkpoints.
//!
//! | part | file | what it owns |
//! |---|---|---|
//! | data loader | `loader` | checks of what comes in, batches, shuffling by seed |
//! | graph | `graph` | the network as plain data: a short list of nodes |
//! | network | `network` | the one file that names burn: runs and updates a graph's weights |
//! | agent | `agent` | the training loop: epochs, evaluation, early stopping, checkpoints, interruption |
//! | export | `export` | the one file that writes ONNX: the same list of nodes, read a second time |
//! | external | [`external`] | a training by a program outside of Gleaner, which leaves ONNX files |
//!
//! Every training starts from scratch: the same labels, settings and seed give bit-identical checkpoints on one machine, on
//! any number of threads, so a training that a crash cut off is simply done again.

mod agent;
mod export;
pub mod external;
mod graph;
mod loader;
mod network;

pub use agent::train;

use crate::domain::definition::TrainerSpec;
use crate::domain::matrix::Matrix;
use std::collections::BTreeMap;

/// What to train, and on what.
#[derive(Debug, Clone, Copy)]
pub struct TrainRequest<'a> {
    /// Graph, optimizer, schedule, length.
    pub spec: &'a TrainerSpec,
    /// The shape of one sample; its product is the width of a row.
    pub shape: &'a [usize],
    /// How many classes there are; at least 2.
    pub classes: usize,
    /// What is learnt from; at least one row.
    pub train: Labelled<'a>,
    /// What early stopping and the best checkpoint are judged by; may be empty.
    pub validation: Labelled<'a>,
    /// Where all chance of this training comes from.
    pub seed: u64,
}

/// Rows with their classes.
#[derive(Debug, Clone, Copy)]
pub struct Labelled<'a> {
    /// One row a sample.
    pub inputs: &'a Matrix,
    /// One class index a row.
    pub labels: &'a [u32],
}

/// How far a training is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Epochs done, from 1.
    pub epoch: usize,
    /// Epochs at the most.
    pub epochs: usize,
    /// Mean cross-entropy of the epoch's batches, in nats.
    pub train_loss: f64,
    /// Mean cross-entropy on the validation rows; `None` without any.
    pub validation_loss: Option<f64>,
    /// Accuracy on the validation rows; `None` without any.
    pub validation_accuracy: Option<f64>,
}

/// A model saved by training.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainedCheckpoint {
    /// Optimizer steps taken when it was saved.
    pub step: u64,
    /// `epoch`, `train.loss`, and with validation rows `validation.loss` and `validation.accuracy`.
    pub metrics: BTreeMap<String, f64>,
    /// The ONNX file: input `input` of shape `[batch, ...shape]`, outputs `logits` and `embedding`, the batch axis open.
    pub onnx: Vec<u8>,
    /// What the trained weights answer for the validation rows, to hold the exported file against.
    pub validation_logits: Matrix,
}

/// Why there is no trained model.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TrainingError {
    /// Nothing to learn from.
    #[error("there are no labelled samples to train on")]
    NoSamples,
    /// Nothing to tell apart.
    #[error("there are {classes} classes to tell apart; at least 2 are needed")]
    Classes {
        /// How many classes there are.
        classes: usize,
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
    /// A label outside the class list.
    #[error("the label of {what} sample {row} is class {label}, but there are {classes} classes")]
    Class {
        /// `train` or `validation`.
        what: &'static str,
        /// Which row, from 0.
        row: usize,
        /// Its label.
        label: u32,
        /// How many classes there are.
        classes: usize,
    },
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
        limit: &'static str,
    },
    /// The loss or a weight is no longer a number.
    #[error(
        "training diverged in epoch {epoch}: the loss is not finite; lower trainer.learning_rate, which is {learning_rate}"
    )]
    Diverged {
        /// In which epoch, from 1.
        epoch: usize,
        /// The first learning rate.
        learning_rate: f64,
    },
    /// Stopped by its watcher.
    #[error("training was interrupted")]
    Interrupted,
}
