//! Running a model over some of the pool's samples: shared by selection, gate, training's re-check and model choice.

use crate::domain::definition::Definition;
use crate::domain::digest::Digest;
use crate::domain::event::Label;
use crate::domain::ids::SampleId;
use crate::domain::matrix::Matrix;
use crate::engine::EngineError;
use crate::engine::reactor::{Step, StepError};
use crate::inference::{
    self, InferenceError, InstallPolicy, LoadOptions, Predictions, Predictor, Scores,
};
use crate::metrics;
use crate::pool::Pool;
use std::path::Path;

/// What a model says about some samples, and what ran it.
pub(super) struct Scored {
    pub(super) predictions: Predictions,
    /// The provider, as events name it.
    pub(super) provider: String,
    /// The provider, and why no faster one.
    pub(super) why: String,
}

/// Runs the artifact `model` over the samples at `rows`, in pieces, so that an interruption is noticed.
pub(super) fn score(step: &Step, model: Digest, rows: &[usize]) -> Result<Scored, StepError> {
    let path = step.artifacts.path(&model);
    // The digest is checked on every load: a damaged model must not decide what people label.
    step.artifacts.get(&model)?;
    let mut predictor =
        load(&path, &step.definition, &step.pool, step.install).map_err(StepError::permanent)?;
    let report = predictor.provider();
    let provider = report.to_string();
    let reasons: String = report.not_used.iter().map(|reason| format!("; {reason}")).collect();
    let why = format!("{provider}{reasons}");
    let predictions = predict(step, &mut *predictor, rows)?;
    Ok(Scored { predictions, provider, why })
}

fn predict(
    step: &Step,
    predictor: &mut dyn Predictor,
    rows: &[usize],
) -> Result<Predictions, StepError> {
    /// Inference batches between two looks at the interruption flag.
    const BATCHES: usize = 16;
    let piece = step.definition.selector.inference_batch.saturating_mul(BATCHES).max(1);
    let mut scores = Predictions::default();
    let mut values = Vec::new();
    let mut done = 0;
    for rows_of_piece in rows.chunks(piece) {
        if step.is_interrupted() {
            return Err(StepError::Interrupted);
        }
        let inputs = step.pool.features().select_rows(rows_of_piece);
        scores = predictor
            .predict(&inputs)
            .map_err(|error| cannot_score(error, &step.pool, rows_of_piece))?;
        values.extend_from_slice(scores.logits.data());
        done += rows_of_piece.len();
        step.progress(done as u64, rows.len() as u64);
    }
    let logits = Matrix::new(rows.len(), scores.logits.cols(), values)
        .ok_or_else(|| StepError::permanent("the model answered with rows of different widths"))?;
    Ok(Predictions { logits, embedding: None, ..scores })
}

/// The rows of an inference error are those of the piece; people know samples by their ids.
fn cannot_score(error: InferenceError, pool: &Pool, rows: &[usize]) -> StepError {
    if let InferenceError::NonFinite { row, .. } = &error
        && let Some(sample) = rows.get(*row).and_then(|&row| pool.ids().get(row))
    {
        return StepError::permanent(format!("sample {sample} cannot be scored: {error}"));
    }
    StepError::permanent(error)
}

/// Loads a model for this workflow and pool.
pub(super) fn load(
    path: &Path,
    definition: &Definition,
    pool: &Pool,
    install: InstallPolicy,
) -> Result<Box<dyn Predictor>, InferenceError> {
    inference::load(&LoadOptions {
        scores: Scores::PerClass(pool.classes().len()),
        provider: definition.selector.provider,
        runtime: definition.selector.runtime.as_deref().map(Path::new),
        batch: definition.selector.inference_batch,
        install,
        ..LoadOptions::new(path, pool.shape())
    })
}

/// Whether a model file of the user's can serve this workflow: it is loaded and scores one sample.
pub(in crate::engine) fn check_model(
    path: &Path,
    definition: &Definition,
    pool: &Pool,
    install: InstallPolicy,
) -> Result<(), EngineError> {
    let mut predictor = load(path, definition, pool, install)?;
    predictor.predict(&pool.features().select_rows(&[0]))?;
    Ok(())
}

/// The samples at `rows` with their known labels.
pub(super) fn known_labels(step: &Step, rows: &[usize]) -> Result<Vec<u32>, StepError> {
    rows.iter()
        .map(|&row| {
            step.pool.label(row).ok_or_else(|| {
                let sample = step.pool.ids().get(row).map_or("?", SampleId::as_str);
                StepError::permanent(format!(
                    "sample {sample} is held out to measure models, but has no label in the pool"
                ))
            })
        })
        .collect()
}

/// The pool rows and labels of everything that was labelled in the run and passes `keep`, in the order of sample ids.
pub(super) fn bought_labels(
    step: &Step,
    keep: impl Fn(&SampleId) -> bool,
) -> Result<(Vec<usize>, Vec<u32>), StepError> {
    let mut rows = Vec::new();
    let mut labels = Vec::new();
    for (sample, known) in step.run.labels.iter().filter(|(sample, _)| keep(sample)) {
        let row = step.pool.index_of(sample).ok_or_else(|| {
            StepError::permanent(format!("labelled sample {sample} is no longer in the pool"))
        })?;
        let Label::Class(class) = known.label;
        rows.push(row);
        labels.push(class);
    }
    Ok((rows, labels))
}

/// How many predictions are right, and of how many.
pub(super) fn correct(predictions: &Predictions, labels: &[u32]) -> (u64, u64) {
    // Scores are finite and there are classes, so every row has a highest one.
    let predicted: Vec<u32> = predictions.logits.iter_rows().filter_map(metrics::argmax).collect();
    metrics::accuracy(&predicted, labels)
}

/// Accuracy and mean log loss: the metrics `validation.accuracy` and `validation.loss`.
pub(super) fn quality(predictions: &Predictions, labels: &[u32]) -> (f64, f64) {
    let (correct, n) = correct(predictions, labels);
    (metrics::share(correct, n), metrics::log_loss(&predictions.probabilities(), labels))
}
