//! Two ONNX files as one: a frozen backbone, and the head that was trained on its embeddings.

use thiserror::Error;

/// Why two files cannot become one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CombineError {
    /// No ONNX file.
    #[error("the {which} is no ONNX file: {reason}")]
    Unreadable {
        /// `backbone` or `head`.
        which: &'static str,
        /// Why not.
        reason: String,
    },
}

/// One file.
///
/// # Errors
/// [`CombineError`].
pub fn combine(backbone: &[u8], head: &[u8]) -> Result<Vec<u8>, CombineError> {
    let _ = (backbone, head);
    Err(CombineError::Unreadable { which: "backbone", reason: String::new() })
}
