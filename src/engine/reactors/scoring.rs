//! Running a model over some of the pool's samples: shared by selection, gate, training's re-check and model choice.

use super::backbone::Backbone;
use crate::domain::definition::Definition;
use crate::domain::digest::Digest;
use crate::domain::matrix::Matrix;
use crate::domain::rows::{Rows, Runs, Subset};
use crate::domain::task::Task;
use crate::engine::EngineError;
use crate::engine::reactor::{Step, StepError};
use crate::inference::pipeline::Pipeline;
use crate::inference::{
    self, AUTOMATIC, DEFAULT_BATCH, InferenceError, InstallPolicy, LoadOptions, Predictions,
    Predictor, Scores,
};
use crate::pool::Pool;
use crate::training;
use std::ops::ControlFlow;
use std::path::Path;

/// What ran a model.
pub(super) struct Ran {
    /// The provider, as events name it.
    pub(super) provider: String,
    /// The provider, and why no faster one.
    pub(super) why: String,
}

/// A model, and what is read of its answers.
pub(super) struct Asked<'a> {
    /// The artifact.
    pub(super) model: Digest,
    /// What its scores must look like.
    pub(super) scores: Scores,
    /// The outputs that it must have beside the scores.
    pub(super) outputs: &'a [&'a str],
    /// The shape of what it takes, where that is not a sample of the pool.
    pub(super) shape: Option<&'a [usize]>,
}

impl Asked<'static> {
    /// Asks for one score per class and nothing else.
    pub(super) fn scores(step: &Step, model: Digest) -> Self {
        Self { model, scores: answers(&step.definition, &step.pool), outputs: &[], shape: None }
    }
}

/// What a model of the workflow's task must answer.
pub(super) fn answers(definition: &Definition, pool: &Pool) -> Scores {
    let (task, classes) = (definition.run.task, pool.classes().len());
    match task {
        Task::Classification => Scores::PerClass(classes),
        Task::MultiLabel | Task::Regression | Task::Segmentation => {
            Scores::Values(task.answer_shape(classes, pool.shape()).iter().product())
        }
    }
}

/// Runs the artifact `model` over the samples at `rows` and keeps its scores.
pub(super) fn score(step: &Step, model: Digest, rows: &[usize]) -> Result<Predictions, StepError> {
    let (mut values, mut last) = (Vec::new(), Predictions::default());
    let asked = Asked::scores(step, model);
    let kept: Runs = rows.iter().copied().collect();
    score_rows(step, &asked, &kept, &mut |predictions| {
        values.extend_from_slice(predictions.logits.data());
        last = predictions;
        Ok(())
    })?;
    let logits = Matrix::new(rows.len(), last.logits.cols(), values)
        .ok_or_else(|| StepError::permanent("the model answered with rows of different widths"))?;
    Ok(Predictions { logits, embedding: None, ..last })
}

/// Runs a model over rows of the pool, in pieces that are handed to `sink` one after the other. Of a head on a frozen backbone
/// only the head runs: what the backbone makes of a sample is worked out once, ever.
pub(super) fn score_rows(
    step: &Step,
    asked: &Asked<'_>,
    rows: &Runs,
    sink: &mut dyn FnMut(Predictions) -> Result<(), StepError>,
) -> Result<Ran, StepError> {
    let row_of = |place| rows.get(place);
    if let Some((mut backbone, head)) = parts(step, asked.model)? {
        let embeddings = backbone.embeddings(rows)?;
        let shape = [embeddings.cols()];
        let asked = Asked { model: head, shape: Some(&shape), ..*asked };
        return score_into(step, &asked, &embeddings, &row_of, sink);
    }
    let inputs = Subset::new(step.pool.features(), rows);
    score_into(step, asked, &inputs, &row_of, sink)
}

/// The backbone and the head that `model` is made of, where both are still there by themselves. What its metadata say is
/// believed only where putting both together gives these very bytes: the parts are a shortcut, and must not be another model.
fn parts(step: &Step, model: Digest) -> Result<Option<(Backbone<'_>, Digest)>, StepError> {
    if step.definition.trainer.backbone.is_none() {
        return Ok(None);
    }
    let whole = step.artifacts.get(&model)?;
    let Some(parts) = training::parts_of(&whole) else { return Ok(None) };
    let part = |digest| step.artifacts.get(&digest).ok();
    let Some((backbone, head)) = part(parts.backbone).zip(part(parts.head)) else {
        return Ok(None);
    };
    let is_whole = training::combine(&backbone, &head).is_ok_and(|combined| combined == whole);
    Ok(is_whole.then(|| (Backbone::of(step, parts.backbone), parts.head)))
}

/// Runs a model over `inputs`, in pieces that are handed to `sink` one after the other. `row_of` tells which row of the pool an
/// input is.
pub(super) fn score_into(
    step: &Step,
    asked: &Asked<'_>,
    inputs: &dyn Rows,
    row_of: &dyn Fn(usize) -> Option<usize>,
    sink: &mut dyn FnMut(Predictions) -> Result<(), StepError>,
) -> Result<Ran, StepError> {
    let path = step.artifacts.path(&asked.model);
    // The digest is checked on every load: a damaged model must not decide what people label.
    step.artifacts.get(&asked.model)?;
    let options = LoadOptions {
        scores: asked.scores,
        outputs: asked.outputs,
        ..options(&path, &step.definition, &step.pool, step.install)
    };
    let options = LoadOptions { shape: asked.shape.unwrap_or(options.shape), ..options };
    let mut predictors = inference::load_several(&options, sessions(inputs.rows(), options.batch))
        .map_err(StepError::permanent)?;
    let ran = predictors.first().map(|predictor| {
        let report = predictor.provider();
        let provider = report.to_string();
        let reasons: String = report.not_used.iter().map(|reason| format!("; {reason}")).collect();
        Ran { why: format!("{provider}{reasons}"), provider }
    });
    let stop = || step.is_interrupted();
    let pipeline = Pipeline { source: inputs, batch: options.batch, readers: 0, stop: &stop };
    let mut refused = None;
    let ended = pipeline.run(&mut predictors, &mut |first, predictions| {
        let done = first.saturating_add(predictions.logits.rows());
        if let Err(error) = sink(predictions) {
            refused = Some(error);
            return ControlFlow::Break(());
        }
        step.progress(done as u64, inputs.rows() as u64);
        ControlFlow::Continue(())
    });
    let ended = ended.map_err(|error| cannot_score(error, &step.pool, row_of))?;
    match (refused, ended) {
        (Some(error), _) => Err(error),
        (None, ControlFlow::Break(())) => Err(StepError::Interrupted),
        (None, ControlFlow::Continue(())) => {
            ran.ok_or_else(|| StepError::permanent("no model was loaded"))
        }
    }
}

/// On how many threads so many rows are worth running: loading a model again costs as much as some batches.
fn sessions(rows: usize, batch: usize) -> usize {
    /// Batches that a session should find to do.
    const BATCHES: usize = 4;
    let batch = if batch == AUTOMATIC { DEFAULT_BATCH } else { batch };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    rows.div_ceil(batch).div_ceil(BATCHES).clamp(1, cores)
}

/// The rows of an inference error are places in the list; people know samples by their ids.
fn cannot_score(
    error: InferenceError,
    pool: &Pool,
    row_of: &dyn Fn(usize) -> Option<usize>,
) -> StepError {
    if let InferenceError::NonFinite { row, .. } | InferenceError::NotProbabilities { row, .. } =
        &error
        && let Some(row) = row_of(*row)
    {
        let sample = pool.id(row);
        return StepError::permanent(format!("sample {sample} cannot be scored: {error}"));
    }
    StepError::permanent(error)
}

/// How this workflow loads a model of its pool.
fn options<'a>(
    path: &'a Path,
    definition: &'a Definition,
    pool: &'a Pool,
    install: InstallPolicy,
) -> LoadOptions<'a> {
    LoadOptions {
        scores: answers(definition, pool),
        provider: definition.selector.provider,
        device: definition.selector.device,
        runtime: definition.selector.runtime.as_deref().map(Path::new),
        batch: definition.selector.inference_batch,
        install,
        ..LoadOptions::new(path, pool.shape())
    }
}

/// Loads a head that takes embeddings of this width.
pub(super) fn load_head(
    path: &Path,
    step: &Step,
    width: usize,
) -> Result<Box<dyn Predictor>, InferenceError> {
    let options = options(path, &step.definition, &step.pool, step.install);
    inference::load(&LoadOptions { shape: &[width], ..options })
}

/// Loads a model for this workflow and pool.
pub(super) fn load(
    path: &Path,
    definition: &Definition,
    pool: &Pool,
    install: InstallPolicy,
) -> Result<Box<dyn Predictor>, InferenceError> {
    inference::load(&options(path, definition, pool, install))
}

/// Whether a model file of the user's can serve this workflow: it is loaded and scores one sample, and has these outputs.
pub(in crate::engine) fn check_model(
    path: &Path,
    definition: &Definition,
    pool: &Pool,
    install: InstallPolicy,
    outputs: &[&str],
) -> Result<(), EngineError> {
    let options = LoadOptions { outputs, ..options(path, definition, pool, install) };
    inference::load(&options)?.predict(&pool.gather(&[0])?)?;
    Ok(())
}

/// Whether a model file of the user's gives embeddings of this pool's samples.
pub(in crate::engine) fn check_backbone(
    path: &Path,
    definition: &Definition,
    pool: &Pool,
    install: InstallPolicy,
) -> Result<(), EngineError> {
    let options = LoadOptions {
        scores: Scores::Unused,
        outputs: &["embedding"],
        ..options(path, definition, pool, install)
    };
    inference::load(&options)?.predict(&pool.gather(&[0])?)?;
    Ok(())
}
