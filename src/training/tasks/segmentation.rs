//! A class for each pixel of each sample. Shares its losses with the classification: a mask is many labels of one class.

use super::{Basis, TaskRequest};
use crate::domain::chance::Chance;
use crate::domain::matrix::Matrix;
use crate::metrics;
use crate::training::TrainingError;
use crate::training::graph::{Graph, GraphError};
use crate::training::loss::{Loss, class};
use crate::training::task::Task;
use std::collections::BTreeMap;

pub(super) struct Segmentation {
    basis: Basis,
    loss: Loss,
}

impl Segmentation {
    pub(super) fn new(basis: Basis, request: &TaskRequest<'_>) -> Result<Self, TrainingError> {
        let loss = basis.class_loss(request.train.labels)?;
        Ok(Self { basis, loss })
    }
}

impl Task for Segmentation {
    fn net(&self) -> Result<Graph, GraphError> {
        self.basis.net(self.basis.classes)
    }

    fn label_width(&self) -> usize {
        self.basis.label_width
    }

    fn check(&self, label: &[f32]) -> Result<(), String> {
        for (pixel, &label) in label.iter().enumerate() {
            let told = |reason| format!("has a pixel, number {pixel}, that {reason}");
            self.basis.check_class(label).map_err(told)?;
        }
        Ok(())
    }

    fn remarks(&self, train: &Matrix, validation: &Matrix) -> Vec<String> {
        self.basis.missing(train, validation)
    }

    fn augment(&self, sample: &mut [f32], label: &mut [f32], chance: &Chance<'_>, row: usize) {
        self.basis.augment(&mut [sample, label], chance, row);
    }

    fn loss(&self, answer: &[f32], label: &[f32], gradient: &mut [f32]) -> f64 {
        self.loss.of(answer, label, gradient)
    }

    /// `pixel_accuracy`, and `mean_iou`: over the classes that are labelled or answered somewhere, the mean of pixels with
    /// both over pixels with either (Jaccard index).
    fn measure(&self, answers: &Matrix, labels: &Matrix) -> BTreeMap<String, f64> {
        // For each class: pixels with both, answered, labelled.
        let mut counts = vec![[0_u64; 3]; self.basis.classes];
        let mut add = |class: usize, what: usize| {
            if let Some(count) = counts.get_mut(class).and_then(|counts| counts.get_mut(what)) {
                *count += 1;
            }
        };
        let (mut right, mut pixels) = (0, 0);
        for (answer, mask) in answers.iter_rows().zip(labels.iter_rows()) {
            for (pixel, &label) in mask.iter().enumerate() {
                let logits: Vec<f32> =
                    answer.iter().skip(pixel).step_by(mask.len()).copied().collect();
                let answered = metrics::argmax(&logits).map_or(usize::MAX, |class| class as usize);
                let labelled = class(label);
                add(answered, 1);
                add(labelled, 2);
                pixels += 1;
                if answered == labelled {
                    add(labelled, 0);
                    right += 1;
                }
            }
        }
        let either = |[both, answered, labelled]: &[u64; 3]| answered + labelled - both;
        let present: Vec<f64> = counts
            .iter()
            .filter(|counts| either(counts) > 0)
            .map(|counts| metrics::share(counts.first().copied().unwrap_or(0), either(counts)))
            .collect();
        #[expect(clippy::cast_precision_loss, reason = "a count of classes")]
        let mean_iou = present.iter().sum::<f64>() / present.len().max(1) as f64;
        BTreeMap::from([
            ("pixel_accuracy".to_owned(), metrics::share(right, pixels)),
            ("mean_iou".to_owned(), mean_iou),
        ])
    }
}
