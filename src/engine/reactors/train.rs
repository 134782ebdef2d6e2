//! Training: from the labels bought so far to checkpoints that are known to serve what was trained.

use super::labels::{Known, bought, held_out};
use super::measured::Criterion;
use super::scoring::load;
use crate::domain::chance::Chance;
use crate::domain::command::Command;
use crate::domain::event::{Checkpoint, Trained};
use crate::domain::matrix::Matrix;
use crate::engine::reactor::{Reactor, Step, StepError};
use crate::engine::unfinished::Unfinished;
use crate::inference::Predictions;
use crate::training::{
    self, Labelled, TaskRequest, TrainRequest, TrainedCheckpoint, TrainingError,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;

/// The largest difference allowed between an answer of the trained weights and of the exported file, relative to the
/// largest answer (or 1). Two implementations of the same f32 arithmetic differ by about 1e-6.
const EXPORT_TOLERANCE: f64 = 1e-3;

pub(super) struct Train;

impl Reactor for Train {
    fn perform(&self, step: &Step) -> Result<Command, StepError> {
        let train = Samples::of(step, bought(step, |_| true)?)?;
        let validation = Samples::of(step, held_out(step, &step.pool.split().validation)?)?;
        let saved = train_here(step, &train, &validation)?;
        let files: Vec<&[u8]> = saved.iter().map(|checkpoint| checkpoint.onnx.as_slice()).collect();
        let models = step.artifacts.put_all(&files)?;
        let checkpoints = models
            .into_iter()
            .zip(&saved)
            .map(|(model, checkpoint)| {
                let served = serve(step, &step.artifacts.path(&model), &validation)?;
                let mut metrics = checkpoint.metrics.clone();
                metrics.extend(measured(step, &served, &validation.known)?);
                let difference = difference(checkpoint, &served)?;
                metrics.insert("export.max_difference".to_owned(), difference);
                Ok(Checkpoint { model, step: checkpoint.step, metrics })
            })
            .collect::<Result<_, StepError>>()?;
        Ok(Command::RecordTraining(Trained {
            train_set: train.known.digest,
            train_samples: train.known.rows.len() as u64,
            validation_set: validation.known.digest,
            validation_samples: validation.known.rows.len() as u64,
            checkpoints,
        }))
    }
}

/// Samples and their labels.
struct Samples {
    inputs: Matrix,
    known: Known,
}

impl Samples {
    fn of(step: &Step, known: Known) -> Result<Self, StepError> {
        let inputs = step.pool.gather(&known.rows).map_err(StepError::permanent)?;
        Ok(Self { inputs, known })
    }

    fn labelled(&self) -> Labelled<'_> {
        Labelled { inputs: &self.inputs, labels: &self.known.numbers }
    }
}

/// Trains in this process, from where a crash cut an earlier try off.
fn train_here(
    step: &Step,
    train: &Samples,
    validation: &Samples,
) -> Result<Vec<TrainedCheckpoint>, StepError> {
    let (spec, seed) = (&step.definition.trainer, step.definition.run.seed);
    let mut unfinished = Unfinished::of(&step.artifacts, step.cycle());
    let kept = unfinished.read();
    let request = TrainRequest {
        spec,
        train: train.labelled(),
        validation: validation.labelled(),
        seed: Chance { seed, cycle: step.cycle().cycle, purpose: "training" }.draw(""),
        resume: kept.as_deref(),
    };
    let task = training::built_in(&TaskRequest {
        task: step.definition.run.task,
        spec,
        shape: step.pool.shape(),
        classes: step.pool.classes().len(),
        train: request.train,
    })
    .map_err(StepError::permanent)?;
    for remark in training::remarks(&*task, &request) {
        step.remark(remark);
    }
    let saved = training::train(&*task, &request, &mut |progress| {
        if let Some(state) = progress.state {
            step.progress(progress.epoch as u64, progress.epochs as u64);
            unfinished.keep(state);
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
    unfinished.remove();
    Ok(saved)
}

/// What a model's file answers for the validation samples, which must be finite numbers in the task's shape.
fn serve(step: &Step, path: &Path, validation: &Samples) -> Result<Predictions, StepError> {
    let mut predictor =
        load(path, &step.definition, &step.pool, step.install).map_err(StepError::permanent)?;
    predictor.predict(&validation.inputs).map_err(StepError::permanent)
}

/// What the workflow goes by, measured by the file, because the file is what will serve.
fn measured(
    step: &Step,
    served: &Predictions,
    validation: &Known,
) -> Result<BTreeMap<String, f64>, StepError> {
    let (selector, kpi) = (&step.definition.model_selector, &step.definition.kpi);
    let mut names =
        BTreeSet::from([selector.criterion.clone(), format!("validation.{}", kpi.metric)]);
    names.extend(selector.tie_break.clone());
    let answers = served.meaning(step.definition.run.task, step.pool.classes().len());
    names
        .into_iter()
        .map(|name| {
            let value = Criterion::of(&name)?.value(step, &answers, validation)?;
            Ok((name, value))
        })
        .collect()
}

/// How far the exported file is from the trained weights.
fn difference(checkpoint: &TrainedCheckpoint, served: &Predictions) -> Result<f64, StepError> {
    let (served, trained) = (&served.logits, &checkpoint.validation_answers);
    let apart = served.data().iter().zip(trained.data());
    let difference = apart.map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
    let scale = trained.data().iter().map(|answer| f64::from(answer.abs())).fold(1.0, f64::max);
    if served.rows() != trained.rows() || difference > EXPORT_TOLERANCE * scale {
        return Err(StepError::permanent(format!(
            "the exported model of step {} differs from the trained one by {difference:.2e} (at most {:.2e} is allowed): run `gleaner doctor` and report it",
            checkpoint.step,
            EXPORT_TOLERANCE * scale
        )));
    }
    Ok(difference)
}
