//! Runs trained models: rows in, scores and embeddings out, with a word about who computed them.
//!
//! [`load`] gives a [`Predictor`]; nothing of the library that runs the model shows. Which library that is, and where it
//! comes from, is decided in [`runtime`] and [`install`]; [`doctor()`] explains it. Choosing samples by their scores is not
//! done here.
//!
//! ```no_run
//! use gleaner::domain::{definition::ProviderChoice, matrix::Matrix};
//! use gleaner::inference::{InstallPolicy, LoadOptions, load};
//!
//! let mut predictor = load(&LoadOptions {
//!     model: "model.onnx".as_ref(),
//!     shape: &[8, 8],
//!     classes: 10,
//!     provider: ProviderChoice::Auto,
//!     runtime: None,
//!     batch: 256,
//!     install: InstallPolicy::Allowed,
//! })?;
//! let blank = Matrix::new(1, 64, vec![0.0; 64]).unwrap_or_default();
//! let predictions = predictor.predict(&blank)?;
//! println!("{:?} by {}", predictions.probabilities().row(0), predictor.provider());
//! # Ok::<(), gleaner::inference::InferenceError>(())
//! ```

mod contract;
mod doctor;
mod error;
mod fixed;
pub mod install;
mod onnx;
mod provider;
mod python;
pub mod runtime;
#[cfg(feature = "tract")]
mod tract;

#[cfg(test)]
mod models;
#[cfg(test)]
mod tests;

pub use doctor::{DoctorReport, ProviderState, RuntimeReport, doctor};
pub use error::{InferenceError, Mismatch};
pub use fixed::FixedPredictor;
pub use provider::ProviderReport;

use crate::domain::definition::ProviderChoice;
use crate::domain::matrix::Matrix;
use crate::metrics;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A model, loaded. One per worker, because sharing one behind a lock is slower than loading it twice.
pub trait Predictor: Send {
    /// Who runs the model.
    fn provider(&self) -> &ProviderReport;

    /// Scores every row, in batches. `inputs` must have as many columns as a sample has values.
    ///
    /// # Errors
    /// [`InferenceError::Width`] if it has not, [`InferenceError::NonFinite`] naming the first row with a NaN or an
    /// infinity in its output, [`InferenceError::Run`] if the runtime fails.
    fn predict(&mut self, inputs: &Matrix) -> Result<Predictions, InferenceError>;
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
    /// One row per sample, one score per class; what they are, `kind` says.
    pub logits: Matrix,
    /// One row per sample: what the model's last layer saw, if the model gives it.
    pub embedding: Option<Matrix>,
    /// What the scores are.
    pub kind: OutputKind,
}

impl Predictions {
    /// One row per sample, one probability per class: the softmax of the logits, computed in 64 bits and against the
    /// row's largest logit so that nothing overflows, or the model's own probabilities as they are.
    #[must_use]
    pub fn probabilities(&self) -> Matrix {
        if self.kind == OutputKind::Probabilities {
            return self.logits.clone();
        }
        metrics::softmax(&self.logits)
    }
}

/// How a model is to be loaded.
#[derive(Debug, Clone, Copy)]
pub struct LoadOptions<'a> {
    /// The ONNX file: one input of 32-bit floats, an output `logits` or `probabilities` (or a single output, taken as
    /// logits) with one number per class, and if the model has one an output `embedding`.
    pub model: &'a Path,
    /// The shape of one sample, without the batch axis.
    pub shape: &'a [usize],
    /// How many classes there are.
    pub classes: usize,
    /// Where it is to run.
    pub provider: ProviderChoice,
    /// The runtime library to use, and no other; [`runtime::TRACT`] for the one compiled in.
    pub runtime: Option<&'a Path>,
    /// Rows per call of the runtime; at least 1.
    pub batch: usize,
    /// Whether a missing runtime may be installed.
    pub install: InstallPolicy,
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
    // Before a runtime is looked for, and in the system's words rather than the runtime's.
    if let Err(source) = std::fs::File::open(options.model) {
        return Err(InferenceError::ModelFile { path: options.model.to_owned(), source });
    }
    let mut say = |line: &str| tracing::info!("{line}");
    match choose(options.runtime, options.install, &mut say)? {
        Some(runtime) => onnx::load(
            &onnx::Host {
                opened: &runtime.opened,
                version: &runtime.version,
                path: &runtime.path,
                nvidia: &runtime.nvidia,
            },
            options,
        ),
        None => load_compiled_in(options),
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
