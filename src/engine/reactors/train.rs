//! Training: from the labels bought so far to checkpoints that are known to serve what was trained.

use super::labels::{bought, held_out};
use super::scoring::{load, quality};
use crate::domain::chance::Chance;
use crate::domain::command::Command;
use crate::domain::event::{Checkpoint, Trained};
use crate::domain::matrix::Matrix;
use crate::engine::reactor::{Reactor, Step, StepError};
use crate::training::{
    self, Labelled, TaskRequest, TrainRequest, TrainedCheckpoint, TrainingError,
};
use std::ops::ControlFlow;

/// The largest difference allowed between a logit of the trained weights and of the exported file, relative to the
/// largest logit (or 1). Two implementations of the same f32 arithmetic differ by about 1e-6.
const EXPORT_TOLERANCE: f64 = 1e-3;

pub(super) struct Train;

impl Reactor for Train {
    fn perform(&self, step: &Step) -> Result<Command, StepError> {
        let task = step.definition.run.task;
        let train_set = bought(step, |_| true)?;
        let labels = train_set.classes(task);
        let inputs = step.pool.gather(&train_set.rows).map_err(StepError::permanent)?;
        let validation_set = held_out(step, &step.pool.split().validation)?;
        let validation_labels = validation_set.classes(task);
        let validation = step.pool.gather(&validation_set.rows).map_err(StepError::permanent)?;
        let cycle = step.cycle().cycle;
        let seed = step.definition.run.seed;
        let (targets, validation_targets) = (targets(&labels), targets(&validation_labels));
        let train = Labelled { inputs: &inputs, labels: &targets };
        let request = TrainRequest {
            spec: &step.definition.trainer,
            train,
            validation: Labelled { inputs: &validation, labels: &validation_targets },
            seed: Chance { seed, cycle, purpose: "training" }.draw(""),
            resume: None,
        };
        let task = training::built_in(&TaskRequest {
            task: step.definition.run.task,
            spec: &step.definition.trainer,
            shape: step.pool.shape(),
            classes: step.pool.classes().len(),
            train,
        })
        .map_err(StepError::permanent)?;
        for remark in training::remarks(&*task, &request) {
            step.remark(remark);
        }
        let saved = training::train(&*task, &request, &mut |progress| {
            if progress.state.is_some() {
                step.progress(progress.epoch as u64, progress.epochs as u64);
            }
            if step.is_interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .map_err(|error| {
            if error == TrainingError::Interrupted {
                StepError::Interrupted
            } else {
                StepError::permanent(error)
            }
        })?;
        let files: Vec<&[u8]> = saved.iter().map(|checkpoint| checkpoint.onnx.as_slice()).collect();
        let models = step.artifacts.put_all(&files)?;
        let checkpoints = models
            .into_iter()
            .zip(&saved)
            .map(|(model, checkpoint)| {
                let path = step.artifacts.path(&model);
                let metrics =
                    check_export(step, &path, checkpoint, &validation, &validation_labels)?;
                Ok(Checkpoint { model, step: checkpoint.step, metrics })
            })
            .collect::<Result<_, StepError>>()?;
        Ok(Command::RecordTraining(Trained {
            train_set: train_set.digest,
            train_samples: train_set.rows.len() as u64,
            validation_set: validation_set.digest,
            validation_samples: validation_set.rows.len() as u64,
            checkpoints,
        }))
    }
}

/// One class a row, as the trainer takes labels.
fn targets(classes: &[u32]) -> Matrix {
    #[expect(clippy::cast_precision_loss, reason = "the index of a class")]
    let data = classes.iter().map(|&class| class as f32).collect();
    Matrix::new(classes.len(), 1, data).unwrap_or_default()
}

/// Runs the exported file over the validation samples and compares it with the trained weights. The checkpoint's
/// validation metrics are then those of the file, because the file is what will serve.
fn check_export(
    step: &Step,
    path: &std::path::Path,
    checkpoint: &TrainedCheckpoint,
    validation: &Matrix,
    labels: &[u32],
) -> Result<std::collections::BTreeMap<String, f64>, StepError> {
    let mut predictor =
        load(path, &step.definition, &step.pool, step.install).map_err(StepError::permanent)?;
    let predictions = predictor.predict(validation).map_err(StepError::permanent)?;
    let served = &predictions.logits;
    let trained = &checkpoint.validation_answers;
    let difference = served
        .data()
        .iter()
        .zip(trained.data())
        .map(|(served, trained)| f64::from((served - trained).abs()))
        .fold(0.0, f64::max);
    let scale = trained.data().iter().map(|logit| f64::from(logit.abs())).fold(1.0, f64::max);
    if served.rows() != trained.rows() || difference > EXPORT_TOLERANCE * scale {
        return Err(StepError::permanent(format!(
            "the exported model of step {} differs from the trained one by {difference:.2e} (at most {:.2e} is allowed): run `gleaner doctor` and report it",
            checkpoint.step,
            EXPORT_TOLERANCE * scale
        )));
    }
    let mut metrics = checkpoint.metrics.clone();
    let (accuracy, loss) = quality(&predictions, labels);
    metrics.insert("validation.accuracy".to_owned(), accuracy);
    metrics.insert("validation.loss".to_owned(), loss);
    metrics.insert("export.max_difference".to_owned(), difference);
    Ok(metrics)
}
