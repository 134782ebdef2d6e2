//! Any number of classes for each sample.

use super::{Basis, TaskRequest, misfit, missing_in};
use crate::domain::chance::Chance;
use crate::domain::definition::LossSpec;
use crate::domain::matrix::Matrix;
use crate::metrics;
use crate::training::TrainingError;
use crate::training::graph::{Graph, GraphError};
use crate::training::loss::Loss;
use crate::training::task::Task;
use std::collections::{BTreeMap, BTreeSet};

pub(super) struct MultiLabel {
    basis: Basis,
    loss: Loss,
}

impl MultiLabel {
    pub(super) fn new(basis: Basis, request: &TaskRequest<'_>) -> Result<Self, TrainingError> {
        basis.without_smoothing()?;
        let weights = basis.weights(present(request.train.labels))?;
        let loss = match request.spec.loss {
            None | Some(LossSpec::BinaryCrossEntropy) => Loss::BinaryCrossEntropy { weights },
            Some(LossSpec::Focal { gamma }) => Loss::BinaryFocal { gamma, weights },
            Some(other) => return Err(misfit(other, "binary cross-entropy or focal")),
        };
        Ok(Self { basis, loss })
    }
}

/// Every class that a label has, once for each label.
fn present(labels: &Matrix) -> impl Iterator<Item = usize> + '_ {
    let classes = |row: &'_ [f32]| {
        let has = row.iter().enumerate().filter(|(_, has)| **has > 0.5);
        has.map(|(class, _)| class).collect::<Vec<usize>>()
    };
    labels.iter_rows().flat_map(classes)
}

impl Task for MultiLabel {
    fn net(&self) -> Result<Graph, GraphError> {
        self.basis.net(self.basis.classes)
    }

    fn label_width(&self) -> usize {
        self.basis.label_width
    }

    fn check(&self, label: &[f32]) -> Result<(), String> {
        let bad = label.iter().find(|&&has| has.to_bits() != 0 && (has - 1.0).abs() > 0.0);
        bad.map_or(Ok(()), |bad| Err(format!("has {bad} for a class, but needs 1 or 0")))
    }

    fn remarks(&self, train: &Matrix, validation: &Matrix) -> Vec<String> {
        let sets = [("train", train), ("validation", validation)];
        let sets = sets.iter().filter(|(_, labels)| labels.rows() > 0);
        sets.filter_map(|(what, labels)| {
            let found: BTreeSet<usize> = present(labels).collect();
            missing_in(what, &found, self.basis.classes)
        })
        .collect()
    }

    fn augment(&self, sample: &mut [f32], _: &mut [f32], chance: &Chance<'_>, row: usize) {
        self.basis.augment(&mut [sample], chance, row);
    }

    fn loss(&self, answer: &[f32], label: &[f32], gradient: &mut [f32]) -> f64 {
        self.loss.of(answer, label, gradient)
    }

    /// With a class answered where its logit is above 0: `micro_f1`, `2 right / (answered + labelled)` over all classes, 1
    /// where there are neither; and `subset_accuracy`, the share of samples with every class right.
    fn measure(&self, answers: &Matrix, labels: &Matrix) -> BTreeMap<String, f64> {
        let (mut right, mut either, mut whole) = (0, 0, 0);
        for (answer, label) in answers.iter_rows().zip(labels.iter_rows()) {
            let mut all = true;
            for (&logit, &has) in answer.iter().zip(label) {
                let (answered, has) = (logit > 0.0, has > 0.5);
                right += u64::from(answered && has);
                either += u64::from(answered) + u64::from(has);
                all &= answered == has;
            }
            whole += u64::from(all);
        }
        let micro_f1 = if either == 0 { 1.0 } else { metrics::share(2 * right, either) };
        BTreeMap::from([
            ("micro_f1".to_owned(), micro_f1),
            ("subset_accuracy".to_owned(), metrics::share(whole, answers.rows() as u64)),
        ])
    }
}
