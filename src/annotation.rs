//! Annotators: who says what a sample is. One file per kind.
//!
//! An annotator answers with labels; it does not decide which samples are asked, and it does not keep what it said.

mod oracle;

pub use oracle::{AnnotationError, oracle};
