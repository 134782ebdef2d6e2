//! A predictor without a model: the same rows always get the same scores. For tests of what is built on predictors.

use super::{InferenceError, Output, Predictions, Predictor, ProviderReport};
use crate::domain::definition::ProviderChoice;
use crate::domain::matrix::Matrix;
use std::collections::BTreeMap;

/// Scores a row by its values alone: class `c` gets the sum of the row's values at places `c`, `c + classes` and so on.
/// The embedding is the row itself.
#[derive(Debug, Clone)]
pub struct FixedPredictor {
    classes: usize,
    report: ProviderReport,
    outputs: [Output; 1],
}

impl FixedPredictor {
    /// A predictor for so many classes; none makes every score row empty.
    #[must_use]
    pub fn new(classes: usize) -> Self {
        let report = ProviderReport {
            requested: ProviderChoice::Cpu,
            used: "FixedPredictor".into(),
            runtime: "gleaner",
            version: env!("CARGO_PKG_VERSION").into(),
            path: None,
            nodes: BTreeMap::new(),
            not_used: Vec::new(),
        };
        let outputs = [Output { name: "logits".into(), shape: Some(vec![Some(classes)]) }];
        Self { classes, report, outputs }
    }
}

impl Predictor for FixedPredictor {
    fn provider(&self) -> &ProviderReport {
        &self.report
    }

    fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    fn predict(&mut self, inputs: &Matrix) -> Result<Predictions, InferenceError> {
        let score = |row: &[f32], class| row.iter().skip(class).step_by(self.classes.max(1)).sum();
        let scores: Vec<f32> = inputs
            .iter_rows()
            .flat_map(|row| (0..self.classes).map(move |class| score(row, class)))
            .collect();
        Ok(Predictions {
            logits: Matrix::new(inputs.rows(), self.classes, scores).unwrap_or_default(),
            score_shape: vec![self.classes],
            embedding: Some(inputs.clone()),
            ..Predictions::default()
        })
    }

    fn predict_values(
        &mut self,
        rows: usize,
        values: &[f32],
        _batch: usize,
    ) -> Result<Predictions, InferenceError> {
        let cols = values.len().checked_div(rows).unwrap_or(0);
        self.predict(&Matrix::new(rows, cols, values.to_vec()).unwrap_or_default())
    }
}
