//! A number for each sample.
//!
//! The network learns around 0 and 1, and its last operation brings that to the mean and deviation of the training values: so
//! one learning rate fits prices and probabilities, and who is served reads values.

use super::{Basis, TaskRequest, misfit};
use crate::domain::chance::Chance;
use crate::domain::definition::LossSpec;
use crate::domain::matrix::Matrix;
use crate::training::graph::{Graph, GraphError};
use crate::training::loader::Moments;
use crate::training::loss::Loss;
use crate::training::task::Task;
use crate::training::{TrainingError, parts};
use std::collections::BTreeMap;

pub(super) struct Regression {
    basis: Basis,
    loss: Loss,
    /// Of the training values.
    values: Moments,
}

impl Regression {
    pub(super) fn new(basis: Basis, request: &TaskRequest<'_>) -> Result<Self, TrainingError> {
        basis.without_smoothing()?;
        basis.without_weights("a regression")?;
        let labels = request.train.labels;
        let found = labels.cols();
        if found != 1 {
            return Err(TrainingError::LabelWidth { what: "train", found, expected: 1 });
        }
        let values = Moments::of(labels, &[1])?;
        let deviation = values.deviation.first().copied().unwrap_or(0.0);
        let scale = if deviation > 0.0 { deviation } else { 1.0 };
        let loss = match request.spec.loss {
            None | Some(LossSpec::Mse) => Loss::Squared { scale },
            Some(LossSpec::Huber { delta }) => Loss::Huber { delta, scale },
            Some(other) => return Err(misfit(other, "mse or huber")),
        };
        Ok(Self { basis, loss, values })
    }
}

impl Task for Regression {
    fn net(&self) -> Result<Graph, GraphError> {
        let mut graph = self.basis.net(1)?;
        parts::restore(&mut graph, &self.values)?;
        Ok(graph)
    }

    fn label_width(&self) -> usize {
        1
    }

    fn check(&self, label: &[f32]) -> Result<(), String> {
        let bad = label.iter().find(|value| !value.is_finite());
        bad.map_or(Ok(()), |bad| Err(format!("is {bad}, which is no finite number")))
    }

    fn answer_name(&self) -> &'static str {
        "values"
    }

    fn augment(&self, sample: &mut [f32], _: &mut [f32], chance: &Chance<'_>, row: usize) {
        self.basis.augment(&mut [sample], chance, row);
    }

    fn loss(&self, answer: &[f32], label: &[f32], gradient: &mut [f32]) -> f64 {
        self.loss.of(answer, label, gradient)
    }

    /// `rmse`, the root of the mean squared difference, and `mae`, the mean of the absolute one, in the labels' unit.
    fn measure(&self, answers: &Matrix, labels: &Matrix) -> BTreeMap<String, f64> {
        let pairs = answers.data().iter().zip(labels.data());
        let off: Vec<f64> =
            pairs.map(|(&answer, &label)| f64::from(answer) - f64::from(label)).collect();
        #[expect(clippy::cast_precision_loss, reason = "a count of samples")]
        let n = off.len().max(1) as f64;
        let squared: f64 = off.iter().map(|off| off * off).sum();
        let absolute: f64 = off.iter().map(|off| off.abs()).sum();
        BTreeMap::from([
            ("rmse".to_owned(), (squared / n).sqrt()),
            ("mae".to_owned(), absolute / n),
        ])
    }
}
