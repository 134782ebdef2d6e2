//! Runs trained models: rows in, scores and embeddings out, with a word about who computed them.
//!
//! [`load`] gives a [`Predictor`]; nothing of the library that runs the model shows. Which library that is, and where it
//! comes from, is decided in [`runtime`] and [`install`]; [`doctor()`] explains it. A whole pool goes through a
//! [`pipeline`]. Choosing samples by their scores is not done here.
//!
//! ```no_run
//! use gleaner::domain::matrix::Matrix;
//! use gleaner::inference::{LoadOptions, Scores, load};
//!
//! let mut predictor = load(&LoadOptions {
//!     scores: Scores::PerClass(10),
//!     ..LoadOptions::new("model.onnx".as_ref(), &[8, 8])
//! })?;
//! let blank = Matrix::new(1, 64, vec![0.0; 64]).unwrap_or_default();
//! let predictions = predictor.predict(&blank)?;
//! println!("{:?} by {}", predictions.probabilities().row(0), predictor.provider());
//! # Ok::<(), gleaner::inference::InferenceError>(())
//! ```

pub mod cache;
mod contract;
mod doctor;
mod error;
mod fixed;
pub mod install;
mod onnx;
pub mod pipeline;
mod provider;
mod python;
pub mod runtime;
#[cfg(feature = "tract")]
mod tract;
mod warm_up;

#[cfg(test)]
mod models;
#[cfg(test)]
mod tests;

pub use doctor::{DoctorReport, ProviderState, RuntimeReport, doctor};
pub use error::{InferenceError, Mismatch};
pub use fixed::FixedPredictor;
#[doc(hidden)]
pub use onnx::Bare;
pub use provider::ProviderReport;

use crate::domain::definition::ProviderChoice;
use crate::domain::matrix::Matrix;
use crate::domain::task::Task;
use crate::metrics;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A model, loaded. One per worker, because sharing one behind a lock is slower than loading it twice.
pub trait Predictor: Send {
    /// Who runs the model.
    fn provider(&self) -> &ProviderReport;

    /// The model's outputs, read or not.
    fn outputs(&self) -> &[Output];

    /// Scores every row, in batches of the size given when it was loaded. `inputs` must have as many columns as a sample has values.
    ///
    /// # Errors
    /// [`InferenceError::Width`] if it has not, [`InferenceError::NonFinite`] naming the first row with a NaN or an
    /// infinity in its output, [`InferenceError::Run`] if the runtime fails.
    fn predict(&mut self, inputs: &Matrix) -> Result<Predictions, InferenceError>;

    /// As [`Predictor::predict`], for `rows` rows that lie one after the other in `values`, `batch` at a time.
    ///
    /// # Errors
    /// As [`Predictor::predict`].
    fn predict_values(
        &mut self,
        rows: usize,
        values: &[f32],
        batch: usize,
    ) -> Result<Predictions, InferenceError>;
}

/// What the scores of a model are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutputKind {
    /// Unnormalised; a softmax makes probabilities of them.
    #[default]
    Logits,
    /// Probabilities already.
    Probabilities,
}

/// What a model says about rows. Every number is finite.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Predictions {
    /// One row per sample: one score per class, or whatever [`Scores`] asked for; what they are, `kind` says.
    pub logits: Matrix,
    /// How the scores of one sample are shaped: `[classes]`, or `[classes, height, width]` for each pixel.
    pub score_shape: Vec<usize>,
    /// One row per sample: what the model's last layer saw, if the model gives it.
    pub embedding: Option<Matrix>,
    /// The other outputs that were asked for, by name.
    pub extra: BTreeMap<String, Extra>,
    /// What the scores are.
    pub kind: OutputKind,
}

/// An output beside scores and embedding.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Extra {
    /// One row per sample, laid flat.
    pub values: Matrix,
    /// How a row is shaped; empty for one number.
    pub shape: Vec<usize>,
}

/// An output as a model declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// Its shape without the batch axis, `None` for what is open; `None` as a whole if nothing is declared.
    pub shape: Option<Vec<Option<usize>>>,
}

/// What the scores of a model must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scores {
    /// One for each of so many classes.
    PerClass(usize),
    /// So many numbers in any shape, the same for every sample: a value, a score for each class of each pixel.
    Values(usize),
    /// Any shape, the same for every sample: pixels, boxes, values of a regression.
    Free,
    /// None are read: a backbone gives embeddings only.
    Unused,
}

impl Predictions {
    /// What the scores mean for this task: probabilities, or values. The model's own probabilities stay as they are.
    #[must_use]
    pub fn meaning(&self, task: Task, classes: usize) -> Matrix {
        match self.kind {
            OutputKind::Probabilities => self.logits.clone(),
            OutputKind::Logits => metrics::meaning(task, classes, &self.logits),
        }
    }

    /// One row per sample, one probability per class: the softmax of the logits, computed in 64 bits and against the
    /// row's largest logit so that nothing overflows, or the model's own probabilities as they are. For scores that are
    /// one per class.
    #[must_use]
    pub fn probabilities(&self) -> Matrix {
        if self.kind == OutputKind::Probabilities {
            return self.logits.clone();
        }
        metrics::softmax(&self.logits)
    }
}

/// Stands for a batch size that a short warm-up finds.
pub const AUTOMATIC: usize = 0;

/// Rows per call of the runtime where nobody says otherwise: enough for a processor, and little memory.
pub const DEFAULT_BATCH: usize = 256;

/// How a model is to be loaded.
#[derive(Debug, Clone, Copy)]
pub struct LoadOptions<'a> {
    /// The ONNX file: one input of 32-bit floats, an output `logits` or `probabilities` (or a single output, taken as
    /// logits) with the scores, and if the model has one an output `embedding`.
    pub model: &'a Path,
    /// The shape of one sample, without the batch axis.
    pub shape: &'a [usize],
    /// What the scores must look like.
    pub scores: Scores,
    /// The outputs that the model must have. Those that are neither scores nor `embedding` come back as
    /// [`Predictions::extra`].
    pub outputs: &'a [&'a str],
    /// Where it is to run.
    pub provider: ProviderChoice,
    /// Which CUDA device is used, from 0, of those that `CUDA_VISIBLE_DEVICES` leaves.
    pub device: u32,
    /// The runtime library to use, and no other; [`runtime::TRACT`] for the one compiled in.
    pub runtime: Option<&'a Path>,
    /// Rows per call of the runtime in [`Predictor::predict`]; [`AUTOMATIC`] is [`DEFAULT_BATCH`] there, and found by a
    /// warm-up in a [`pipeline`].
    pub batch: usize,
    /// Whether a missing runtime may be installed.
    pub install: InstallPolicy,
}

impl<'a> LoadOptions<'a> {
    /// A model of samples of this shape, with scores of any shape and no wish otherwise.
    #[must_use]
    pub const fn new(model: &'a Path, shape: &'a [usize]) -> Self {
        Self {
            model,
            shape,
            scores: Scores::Free,
            outputs: &[],
            provider: ProviderChoice::Auto,
            device: 0,
            runtime: None,
            batch: DEFAULT_BATCH,
            install: InstallPolicy::Allowed,
        }
    }
}

/// Whether a missing runtime may be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstallPolicy {
    /// It is installed if there is none.
    Allowed,
    /// A missing runtime is an error.
    Forbidden,
}

/// Makes sure that models can be run, so that a later [`load`] has nothing to install. `say` is given one line if a
/// runtime is installed, or if there is none and the one compiled in takes its place.
///
/// # Errors
/// As [`runtime::ensure`].
pub fn prepare(
    runtime: Option<&Path>,
    install: InstallPolicy,
    say: &mut dyn FnMut(&str),
) -> Result<(), InferenceError> {
    choose(runtime, install, say).map(|_| ())
}

/// Loads a model.
///
/// # Errors
/// [`InferenceError::ModelFile`], [`InferenceError::Model`] and [`InferenceError::Mismatch`] about the model,
/// [`InferenceError::Provider`] if the provider asked for by name cannot be used, and those of [`runtime::ensure`].
pub fn load(options: &LoadOptions<'_>) -> Result<Box<dyn Predictor>, InferenceError> {
    match host_for(options)? {
        Some(runtime) => onnx::load(&host(&runtime), options),
        None => load_compiled_in(options),
    }
}

/// Loads a model several times, so that a [`pipeline`] can run it on as many threads: `at_most` where the processor runs
/// it, once where a device does, which one session keeps busy.
///
/// # Errors
/// As [`load`].
pub fn load_several(
    options: &LoadOptions<'_>,
    at_most: usize,
) -> Result<Vec<Box<dyn Predictor>>, InferenceError> {
    let first = load(options)?;
    let alike = if first.provider().on_device() { 1 } else { at_most.max(1) };
    let mut predictors = vec![first];
    while predictors.len() < alike {
        predictors.push(load(options)?);
    }
    Ok(predictors)
}

/// What a model gives, without running it and whether or not it fits anything: for refusing early. Of `options` only the
/// model and the runtime count.
///
/// # Errors
/// As [`load`], less what does not fit.
pub fn outputs(options: &LoadOptions<'_>) -> Result<Vec<Output>, InferenceError> {
    match host_for(options)? {
        Some(runtime) => onnx::outputs(&host(&runtime), options.model),
        None => outputs_compiled_in(options.model),
    }
}

/// The runtime's own session for a model, for the bench.
///
/// # Errors
/// As [`load`].
#[doc(hidden)]
pub fn bare(options: &LoadOptions<'_>) -> Result<Bare, InferenceError> {
    match host_for(options)? {
        Some(runtime) => onnx::bare(&host(&runtime), options.model),
        None => Err(not_compiled_in()),
    }
}

fn host_for(options: &LoadOptions<'_>) -> Result<Option<Arc<runtime::Runtime>>, InferenceError> {
    // Before a runtime is looked for, and in the system's words rather than the runtime's.
    if let Err(source) = std::fs::File::open(options.model) {
        return Err(InferenceError::ModelFile { path: options.model.to_owned(), source });
    }
    let mut say = |line: &str| tracing::info!("{line}");
    choose(options.runtime, options.install, &mut say)
}

fn host(runtime: &runtime::Runtime) -> onnx::Host<'_> {
    onnx::Host {
        opened: &runtime.opened,
        version: &runtime.version,
        path: &runtime.path,
        nvidia: &runtime.nvidia,
    }
}

/// This process found no library and has settled for the runtime compiled in: not every model starts another search.
static SETTLED: AtomicBool = AtomicBool::new(false);

/// The library to run models with; `None` for the runtime compiled in.
fn choose(
    asked: Option<&Path>,
    install: InstallPolicy,
    say: &mut dyn FnMut(&str),
) -> Result<Option<Arc<runtime::Runtime>>, InferenceError> {
    let compiled_in = cfg!(feature = "tract");
    if asked == Some(Path::new(runtime::TRACT)) {
        return if compiled_in { Ok(None) } else { Err(not_compiled_in()) };
    }
    if asked.is_none() && SETTLED.load(Ordering::Relaxed) {
        return Ok(None);
    }
    match runtime::ensure(asked, install, say) {
        Ok(runtime) => Ok(Some(runtime)),
        Err(InferenceError::NoRuntime { reason, .. }) if compiled_in => {
            SETTLED.store(true, Ordering::Relaxed);
            say(&format!(
                "models run with tract, which is slower than onnxruntime: none was found, and {reason}"
            ));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn not_compiled_in() -> InferenceError {
    let what = "runtime `tract` was asked for, but this program was built without it; build it with \
                `cargo build --release --features tract`";
    InferenceError::Options { what: what.into() }
}

#[cfg(feature = "tract")]
fn load_compiled_in(options: &LoadOptions<'_>) -> Result<Box<dyn Predictor>, InferenceError> {
    tract::load(options)
}

#[cfg(not(feature = "tract"))]
fn load_compiled_in(_: &LoadOptions<'_>) -> Result<Box<dyn Predictor>, InferenceError> {
    Err(not_compiled_in())
}

#[cfg(feature = "tract")]
fn outputs_compiled_in(model: &Path) -> Result<Vec<Output>, InferenceError> {
    tract::outputs(model)
}

#[cfg(not(feature = "tract"))]
fn outputs_compiled_in(_: &Path) -> Result<Vec<Output>, InferenceError> {
    Err(not_compiled_in())
}
