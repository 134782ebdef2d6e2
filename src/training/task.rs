//! What a task adds to the loop that all share: a network, a loss, a check of labels and measures.

use super::graph::{Graph, GraphError};
use super::loader::{Batch, PIECE};
use super::model::Model;
use super::{Labelled, TrainingError};
use crate::domain::chance::Chance;
use crate::domain::matrix::Matrix;
use crate::domain::rows::Rows;
use std::collections::BTreeMap;

/// A task. Five functions say what is learnt; the others are for where it differs from the rest.
pub trait Task: Sync {
    /// The network. Its last operation answers.
    ///
    /// # Errors
    /// [`GraphError`] if its parts do not fit together.
    fn net(&self) -> Result<Graph, GraphError>;

    /// How many numbers the label of one sample is.
    fn label_width(&self) -> usize;

    /// Looks at a label before anything is trained.
    ///
    /// # Errors
    /// What is wrong with it, in words that end the sentence "the label of train sample 3 ...".
    fn check(&self, label: &[f32]) -> Result<(), String>;

    /// The loss of ONE sample: of what the network answers for it and its label. Its gradient by each answer is added to
    /// `gradient`, which comes as zeros.
    fn loss(&self, answer: &[f32], label: &[f32], gradient: &mut [f32]) -> f64;

    /// Measures of answers, one row a sample, against their labels; by name, for example `accuracy`.
    fn measure(&self, answers: &Matrix, labels: &Matrix) -> BTreeMap<String, f64>;

    /// The name of the answers in the ONNX file. Other programs read `logits` as one logit a class.
    fn answer_name(&self) -> &'static str {
        "logits"
    }

    /// Changes a training sample, and its label where it must change along, each time it is looked at. Draw with
    /// `chance`, whose purpose names the epoch, and a key that begins with `row`.
    fn augment(&self, sample: &mut [f32], label: &mut [f32], chance: &Chance<'_>, row: usize) {
        let _ = (sample, label, chance, row);
    }

    /// Looks at all labels before anything is trained.
    ///
    /// # Errors
    /// [`TrainingError`] if nothing can be learnt from them.
    fn check_all(&self, train: &Matrix) -> Result<(), TrainingError> {
        let _ = train;
        Ok(())
    }

    /// What somebody should know about labels that can be trained with, a sentence each.
    fn remarks(&self, train: &Matrix, validation: &Matrix) -> Vec<String> {
        let _ = (train, validation);
        Vec::new()
    }

    /// One step on a batch at this learning rate; answers the mean loss before it.
    fn train(&self, model: &mut Model, batch: &Batch, rate: f64) -> f64 {
        model.step(batch, rate, &|answer, label, gradient| self.loss(answer, label, gradient))
    }

    /// How good the model is on rows with labels, of which there is at least one.
    ///
    /// # Errors
    /// [`TrainingError::Rows`] if they cannot be read.
    fn eval(&self, model: &Model, rows: &Labelled<'_>) -> Result<Evaluation, TrainingError> {
        let answers = answers(model, rows.inputs)?;
        let mut gradient = vec![0.0; answers.cols()];
        let losses = answers.iter_rows().zip(rows.labels.iter_rows()).map(|(answer, label)| {
            gradient.fill(0.0);
            self.loss(answer, label, &mut gradient)
        });
        #[expect(clippy::cast_precision_loss, reason = "a count of samples")]
        let loss = losses.sum::<f64>() / answers.rows().max(1) as f64;
        let metrics = self.measure(&answers, rows.labels);
        Ok(Evaluation { answers, loss, metrics })
    }
}

/// How good a model is.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// What it answers, one row a sample.
    pub answers: Matrix,
    /// The mean loss, which early stopping and the best checkpoint go by; less is better.
    pub loss: f64,
    /// Measures by name.
    pub metrics: BTreeMap<String, f64>,
}

/// What a model answers for rows that may not fit in memory: one row a sample.
///
/// # Errors
/// [`TrainingError::Rows`] if they cannot be read.
pub fn answers(model: &Model, rows: &dyn Rows) -> Result<Matrix, TrainingError> {
    let mut data = Vec::new();
    for first in (0..rows.rows()).step_by(PIECE) {
        data.extend(model.answers(&rows.read(first..first + PIECE)?));
    }
    let cols = data.len().checked_div(rows.rows()).unwrap_or(0);
    Ok(Matrix::new(rows.rows(), cols, data).unwrap_or_default())
}
