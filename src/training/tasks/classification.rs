//! One of several classes for each sample.

use super::{Basis, TaskRequest};
use crate::domain::chance::Chance;
use crate::domain::matrix::Matrix;
use crate::metrics;
use crate::training::TrainingError;
use crate::training::graph::{Graph, GraphError};
use crate::training::loss::{Loss, class};
use crate::training::task::Task;
use std::collections::BTreeMap;

pub(super) struct Classification {
    basis: Basis,
    loss: Loss,
}

impl Classification {
    pub(super) fn new(basis: Basis, request: &TaskRequest<'_>) -> Result<Self, TrainingError> {
        let loss = basis.class_loss(request.train.labels)?;
        Ok(Self { basis, loss })
    }
}

impl Task for Classification {
    fn net(&self) -> Result<Graph, GraphError> {
        self.basis.net(self.basis.classes)
    }

    fn label_width(&self) -> usize {
        1
    }

    fn check(&self, label: &[f32]) -> Result<(), String> {
        label.iter().try_for_each(|&label| self.basis.check_class(label))
    }

    fn remarks(&self, train: &Matrix, validation: &Matrix) -> Vec<String> {
        self.basis.missing(train, validation)
    }

    fn augment(&self, sample: &mut [f32], _: &mut [f32], chance: &Chance<'_>, row: usize) {
        self.basis.augment(&mut [sample], chance, row);
    }

    fn loss(&self, answer: &[f32], label: &[f32], gradient: &mut [f32]) -> f64 {
        self.loss.of(answer, label, gradient)
    }

    fn measure(&self, answers: &Matrix, labels: &Matrix) -> BTreeMap<String, f64> {
        let classes = |label: usize| u32::try_from(label).unwrap_or(u32::MAX);
        let labels: Vec<u32> = labels.data().iter().map(|&label| classes(class(label))).collect();
        let predicted: Vec<u32> =
            answers.iter_rows().map(|row| metrics::argmax(row).unwrap_or(u32::MAX)).collect();
        let (correct, n) = metrics::accuracy(&predicted, &labels);
        BTreeMap::from([("accuracy".to_owned(), metrics::share(correct, n))])
    }
}
