//! Several answers of one model that answers differently each time.

use super::{InferenceError, Predictions, Predictor};
use crate::domain::matrix::Matrix;

/// Runs a model so many times over the same rows: the members of a committee, for a model that was exported with its
/// dropout switched on (ONNX `Dropout` with `training_mode`), so that each run drops other units (Gal and Ghahramani
/// 2016, 1506.02142).
///
/// Which units are dropped, onnxruntime decides: by the node's `seed`, or by one of its own where there is none, and by
/// how often the session has run before. Runs hence differ between processes, batch sizes and numbers of sessions: the
/// answers are what can be kept and read again, not the runs. A model without dropout gives equal members.
///
/// # Errors
/// As [`Predictor::predict`].
pub fn passes(
    predictor: &mut dyn Predictor,
    inputs: &Matrix,
    passes: usize,
) -> Result<Vec<Predictions>, InferenceError> {
    (0..passes).map(|_| predictor.predict(inputs)).collect()
}
