//! Training: from the labels bought so far to checkpoints that are known to serve what was trained.

use super::backbone::Backbone;
use super::labels::{Known, bought, held_out};
use super::measured::Criterion;
use super::scoring::{load, load_head};
use super::shown::whole;
use crate::domain::chance::Chance;
use crate::domain::command::Command;
use crate::domain::definition::{TrainCommand, TrainerSpec};
use crate::domain::digest::Digest;
use crate::domain::event::{Checkpoint, Trained};
use crate::domain::ids::{Name, SampleId};
use crate::domain::matrix::Matrix;
use crate::engine::reactor::{Reactor, Step, StepError};
use crate::engine::unfinished::Unfinished;
use crate::inference::{InferenceError, Predictions};
use crate::training::external::{ExternalError, ExternalRequest, ExternalSet, train_external};
use crate::training::{
    self, Labelled, Task, TaskRequest, TrainRequest, TrainedCheckpoint, TrainingError,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// The largest difference allowed between an answer of the trained weights and of the exported file, relative to the
/// largest answer (or 1). Two implementations of the same f32 arithmetic differ by about 1e-6.
const EXPORT_TOLERANCE: f64 = 1e-3;

/// A backbone may take seconds for a hundred samples: so many show that the one file answers as its parts do.
const SERVED_WHOLE: usize = 32;

pub(super) struct Train;

impl Reactor for Train {
    fn perform(&self, step: &Step) -> Result<Command, StepError> {
        let mut backbone = backbone(step)?;
        let train = Samples::of(step, bought(step, |_| true)?, backbone.as_mut())?;
        let validation = held_out(step, &step.pool.split().validation)?;
        let validation = Samples::of(step, validation, backbone.as_mut())?;
        let checkpoints = match &step.definition.trainer.external {
            Some(command) => trained_outside(step, command, &train, &validation)?,
            None => trained_here(step, &train, &validation, backbone.as_ref())?,
        };
        Ok(Command::RecordTraining(Trained {
            train_set: train.known.digest,
            train_samples: train.known.rows.len() as u64,
            validation_set: validation.known.digest,
            validation_samples: validation.known.rows.len() as u64,
            checkpoints,
        }))
    }
}

/// What samples go through before a head learns from them.
pub(super) fn backbone(step: &Step) -> Result<Option<Backbone<'_>>, StepError> {
    step.definition.trainer.backbone.as_ref().map(|file| Backbone::new(step, file)).transpose()
}

/// Samples and their labels.
pub(super) struct Samples {
    inputs: Matrix,
    /// What a backbone makes of them, which is learnt from then.
    embeddings: Option<Matrix>,
    pub(super) known: Known,
}

impl Samples {
    pub(super) fn of(
        step: &Step,
        known: Known,
        backbone: Option<&mut Backbone<'_>>,
    ) -> Result<Self, StepError> {
        let inputs = step.pool.gather(&known.rows).map_err(StepError::permanent)?;
        let embeddings = match backbone {
            // Both are in the order of ids, as rows are.
            Some(backbone) => {
                Some(whole(&backbone.embeddings(&known.rows.iter().copied().collect())?)?)
            }
            None => None,
        };
        Ok(Self { inputs, embeddings, known })
    }

    fn named<'a>(&'a self, ids: &'a [SampleId]) -> ExternalSet<'a> {
        ExternalSet { ids, inputs: &self.inputs, labels: &self.known.numbers }
    }

    /// Some of them, by their places.
    pub(super) fn only(&self, places: &[usize]) -> Self {
        Self {
            inputs: self.inputs.select_rows(places),
            embeddings: self.embeddings.as_ref().map(|rows| rows.select_rows(places)),
            known: self.known.only(places),
        }
    }

    /// What is learnt from.
    fn learnt(&self) -> &Matrix {
        self.embeddings.as_ref().unwrap_or(&self.inputs)
    }

    fn labelled(&self) -> Labelled<'_> {
        Labelled { inputs: self.learnt(), labels: &self.known.numbers }
    }
}

/// What a training in this process saved.
fn trained_here(
    step: &Step,
    train: &Samples,
    validation: &Samples,
    backbone: Option<&Backbone<'_>>,
) -> Result<Vec<Checkpoint>, StepError> {
    let saved = train_here(step, train, validation, backbone.map(|backbone| backbone.model))?;
    let files: Vec<&[u8]> = saved.iter().map(|checkpoint| checkpoint.onnx.as_slice()).collect();
    let models = step.artifacts.put_all(&files)?;
    let models = models.into_iter().zip(&saved);
    let checkpoint = |(trained, checkpoint): (Digest, &TrainedCheckpoint)| {
        let (model, served, difference) = match backbone {
            None => {
                let served = serve(step, trained, validation).map_err(StepError::permanent)?;
                let difference = differs(checkpoint, &served.logits)?;
                (trained, served, difference)
            }
            Some(backbone) => served_whole(step, backbone, trained, checkpoint, validation)?,
        };
        let known = checkpoint.metrics.iter();
        let mut metrics: BTreeMap<Name, f64> =
            known.map(|(name, value)| (name.as_str().into(), *value)).collect();
        metrics.extend(measured(step, &served, &validation.known, &[])?);
        metrics.insert("export.max_difference".into(), difference);
        Ok(Checkpoint { model, step: checkpoint.step, metrics })
    };
    models.map(checkpoint).collect()
}

/// The one file of a backbone and a head, what the head answers for the validation samples, and how far both are from the
/// trained weights. The head goes over all of them, the whole file over some.
fn served_whole(
    step: &Step,
    backbone: &Backbone<'_>,
    head: Digest,
    checkpoint: &TrainedCheckpoint,
    validation: &Samples,
) -> Result<(Digest, Predictions, f64), StepError> {
    let bytes = step.artifacts.get(&backbone.model)?;
    let whole = training::combine(&bytes, &checkpoint.onnx).map_err(StepError::permanent)?;
    let model = step.artifacts.put(&whole)?;
    let embeddings = validation.learnt();
    let mut predictor = load_head(&step.artifacts.path(&head), step, embeddings.cols())
        .map_err(StepError::permanent)?;
    let served = predictor.predict(embeddings).map_err(StepError::permanent)?;
    let of_head = differs(checkpoint, &served.logits)?;
    let some: Vec<usize> = (0..validation.inputs.rows().min(SERVED_WHOLE)).collect();
    let answered = load(&step.artifacts.path(&model), &step.definition, &step.pool, step.install)
        .and_then(|mut whole| whole.predict(&validation.inputs.select_rows(&some)))
        .map_err(StepError::permanent)?;
    let trained = checkpoint.validation_answers.select_rows(&some);
    let of_whole = difference(checkpoint.step, &trained, &answered.logits)?;
    Ok((model, served, of_head.max(of_whole)))
}

/// What a program saved: each file is loaded and measured here, and what the program claims of it is kept beside that.
fn trained_outside(
    step: &Step,
    command: &TrainCommand,
    train: &Samples,
    validation: &Samples,
) -> Result<Vec<Checkpoint>, StepError> {
    let io = |error: std::io::Error| StepError::Retryable(Box::new(error));
    let folder = step.artifacts.state().join("training");
    let folder = folder.join(step.cycle().to_string().replace('/', "-"));
    // What a try left behind whose process was killed.
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(io)?;
    }
    std::fs::create_dir_all(&folder).map_err(io)?;
    let ids = |known: &Known| -> Vec<SampleId> {
        known.rows.iter().map(|&row| step.pool.sample(row)).collect()
    };
    let (train_ids, validation_ids) = (ids(&train.known), ids(&validation.known));
    let previous = step.run.production.map(|model| step.artifacts.path(&model));
    let seed = step.definition.run.seed;
    let request = ExternalRequest {
        command,
        task: step.definition.run.task,
        classes: step.pool.classes(),
        shape: step.pool.shape(),
        seed: Chance { seed, cycle: step.cycle().cycle, purpose: "training" }.draw(""),
        train: train.named(&train_ids),
        validation: validation.named(&validation_ids),
        previous: previous.as_deref(),
        folder: &folder,
        workplace: Some(&step.folder),
    };
    let mut said = 0;
    let saved = train_external(&request, &mut |progress| {
        if progress.lines > said {
            said = progress.lines;
            step.progress(progress.epoch.unwrap_or(said), progress.epochs.unwrap_or(0));
            if let Some(message) = &progress.message {
                step.remark(message.clone());
            }
        }
        if step.is_interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    // Empty by now, however it ended.
    drop(std::fs::remove_dir(&folder));
    let saved = saved.map_err(|error| {
        if matches!(error, ExternalError::Interrupted) {
            StepError::Interrupted
        } else if error.is_retryable() {
            StepError::Retryable(Box::new(error))
        } else {
            StepError::permanent(error)
        }
    })?;
    let files: Vec<&[u8]> = saved.iter().map(|checkpoint| checkpoint.onnx.as_slice()).collect();
    let models = step.artifacts.put_all(&files)?;
    let mut checkpoints: Vec<Checkpoint> = Vec::with_capacity(saved.len());
    for (model, checkpoint) in models.into_iter().zip(&saved) {
        // Another try may leave a better file.
        let served = serve(step, model, validation)
            .map_err(|error| StepError::Retryable(Box::new(error)))?;
        let claimed: Vec<&str> = checkpoint.claimed.keys().map(String::as_str).collect();
        let mut metrics = measured(step, &served, &validation.known, &claimed)?;
        for (name, &claim) in &checkpoint.claimed {
            if let Some(&found) = metrics.get(name.as_str())
                && (claim - found).abs() > command.tolerance
            {
                step.remark(format!(
                    "model {} of step {}: the program claims {name} {claim}, measured here it is {found}",
                    model.short(),
                    checkpoint.step
                ));
            }
            metrics.insert(format!("claimed.{name}").into(), claim);
        }
        if checkpoints.iter().all(|known| known.model != model) {
            checkpoints.push(Checkpoint { model, step: checkpoint.step, metrics });
        }
    }
    Ok(checkpoints)
}

/// Trains in this process, from where a crash cut an earlier try off.
fn train_here(
    step: &Step,
    train: &Samples,
    validation: &Samples,
    backbone: Option<Digest>,
) -> Result<Vec<TrainedCheckpoint>, StepError> {
    let (spec, seed) = (&step.definition.trainer, step.definition.run.seed);
    let mut unfinished = Unfinished::of(&step.artifacts, step.cycle());
    let kept = unfinished.read();
    let chance = Chance { seed, cycle: step.cycle().cycle, purpose: "training" };
    let request = TrainRequest {
        spec,
        train: train.labelled(),
        validation: validation.labelled(),
        // Another backbone is another training: what was kept of one is not taken up by the other.
        seed: chance.draw(&backbone.map_or_else(String::new, |model| model.to_string())),
        resume: kept.as_deref(),
    };
    let task = task(step, spec, train).map_err(StepError::permanent)?;
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
            gave_up(step, &unfinished, error)
        }
    })?;
    unfinished.remove();
    Ok(saved)
}

/// The workflow's task, for these samples.
fn task(step: &Step, spec: &TrainerSpec, train: &Samples) -> Result<Box<dyn Task>, TrainingError> {
    let shape = match &train.embeddings {
        Some(embeddings) => vec![embeddings.cols()],
        None => step.pool.shape().to_vec(),
    };
    training::built_in(&TaskRequest {
        task: step.definition.run.task,
        spec,
        shape: &shape,
        classes: step.pool.classes().len(),
        train: train.labelled(),
    })
}

/// A training beside the real one, to learn something about labels: nothing of it is kept, and nobody is told of its
/// progress. `None` where it came to nothing, which is told in a remark: the run goes on without.
pub(super) fn train_aside(
    step: &Step,
    purpose: &'static str,
    spec: &TrainerSpec,
    train: &Samples,
    validation: &Samples,
) -> Result<Option<Vec<TrainedCheckpoint>>, StepError> {
    let chance = Chance { seed: step.definition.run.seed, cycle: step.cycle().cycle, purpose };
    let request = TrainRequest {
        spec,
        train: train.labelled(),
        validation: validation.labelled(),
        seed: chance.draw(""),
        resume: None,
    };
    let trained = task(step, spec, train).and_then(|task| {
        training::train(&*task, &request, &mut |_| {
            if step.is_interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
    });
    match trained {
        Ok(saved) => Ok(Some(saved)),
        Err(TrainingError::Interrupted) => Err(StepError::Interrupted),
        Err(error) => {
            step.remark(format!("no {purpose} in this cycle: {error}"));
            Ok(None)
        }
    }
}

/// What to say of a training that came to nothing. The last model before it diverged is kept for whoever looks into it; it
/// is no checkpoint.
fn gave_up(step: &Step, unfinished: &Unfinished, error: TrainingError) -> StepError {
    unfinished.remove();
    let TrainingError::Diverged { last_good: Some(good), .. } = &error else {
        return StepError::permanent(error);
    };
    match step.artifacts.put(&good.onnx) {
        Ok(model) => StepError::permanent(format!(
            "{error}; the last good model, of step {}, is the artifact {model}",
            good.step
        )),
        Err(failed) => failed.into(),
    }
}

/// What a model's file answers for the validation samples, which must be finite numbers in the task's shape.
fn serve(step: &Step, model: Digest, validation: &Samples) -> Result<Predictions, InferenceError> {
    let path = step.artifacts.path(&model);
    load(&path, &step.definition, &step.pool, step.install)?.predict(&validation.inputs)
}

/// What the workflow goes by, and whatever else is asked for and known, measured by the file, because the file is what will serve.
fn measured(
    step: &Step,
    served: &Predictions,
    validation: &Known,
    also: &[&str],
) -> Result<BTreeMap<Name, f64>, StepError> {
    let (selector, kpi) = (&step.definition.model_selector, &step.definition.kpi);
    let answers = served.meaning(step.definition.run.task, step.pool.classes().len());
    let value = |name: &str| Criterion::of(name)?.value(step, &answers, validation);
    let mut needed =
        BTreeSet::from([selector.criterion.clone(), format!("validation.{}", kpi.metric)]);
    needed.extend(selector.tie_break.clone());
    let mut metrics = BTreeMap::new();
    for name in needed {
        let value = value(&name)?;
        metrics.insert(name.into(), value);
    }
    for &name in also {
        // A name that means nothing here, or nothing in this task, is left to whoever uses it.
        if let Ok(value) = value(name) {
            metrics.insert(name.into(), value);
        }
    }
    Ok(metrics)
}

/// How far the exported file is from the trained weights.
fn differs(checkpoint: &TrainedCheckpoint, served: &Matrix) -> Result<f64, StepError> {
    difference(checkpoint.step, &checkpoint.validation_answers, served)
}

fn difference(of_step: u64, trained: &Matrix, served: &Matrix) -> Result<f64, StepError> {
    let apart = served.data().iter().zip(trained.data());
    let difference = apart.map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
    let scale = trained.data().iter().map(|answer| f64::from(answer.abs())).fold(1.0, f64::max);
    if served.rows() != trained.rows() || difference > EXPORT_TOLERANCE * scale {
        return Err(StepError::permanent(format!(
            "the exported model of step {of_step} differs from the trained one by {difference:.2e} (at most {:.2e} is allowed): run `gleaner doctor` and report it",
            EXPORT_TOLERANCE * scale
        )));
    }
    Ok(difference)
}

#[cfg(test)]
mod tests;
