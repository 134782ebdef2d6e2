//! Why a model could not be loaded or run, in words that name the thing, the value and the way out.
//!
//! This type stands on its own: the runtime's own error type cannot even be made before a runtime is open.

use super::runtime::Rejected;
use crate::domain::rows::RowsError;
use std::fmt::Write as _;
use std::path::PathBuf;

/// Why inference failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InferenceError {
    /// The model file cannot be opened.
    #[error("could not open the model {}", path.display())]
    ModelFile {
        /// The model.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The runtime cannot make sense of the model file.
    #[error(
        "{} is no ONNX model that this runtime can load (truncated, damaged, or made of operators it lacks): {reason}",
        path.display()
    )]
    Model {
        /// The model.
        path: PathBuf,
        /// What the runtime said.
        reason: String,
    },
    /// The model does not take or give what the workflow needs.
    #[error("the model {} does not fit: {mismatch}", path.display())]
    Mismatch {
        /// The model.
        path: PathBuf,
        /// What does not fit.
        #[source]
        mismatch: Mismatch,
    },
    /// The rows to score have the wrong number of values.
    #[error(
        "rows of {found} values cannot be scored by a model that takes {expected} values a sample"
    )]
    Width {
        /// Values a row has.
        found: usize,
        /// Values a sample has.
        expected: usize,
    },
    /// An output is NaN or infinite.
    #[error(
        "`{output}` of row {row} is {value} at place {place}, {}",
        if *input_finite {
            "though the row itself is finite: its values lie far outside of what the model was trained on, or the \
             model is broken, for instance by a diverged training"
        } else {
            "because the row itself holds NaN or an infinity"
        }
    )]
    NonFinite {
        /// The output's name.
        output: String,
        /// The row of the inputs, from 0.
        row: usize,
        /// The place in that row's output, from 0.
        place: usize,
        /// What it holds.
        value: f32,
        /// Whether the row that went in was finite.
        input_finite: bool,
    },
    /// An output called `probabilities` holds something else.
    #[error(
        "the model's probabilities of row {row} are none: they lie outside 0 to 1 or sum to {sum} instead of 1; \
         an output of unnormalised scores is called `logits`"
    )]
    NotProbabilities {
        /// The row of the inputs, from 0.
        row: usize,
        /// What the row sums to.
        sum: f64,
    },
    /// The runtime failed while it ran the model.
    #[error("the runtime failed at rows {first}..{end}: {reason}")]
    Run {
        /// The first row of the batch.
        first: usize,
        /// The row after its last.
        end: usize,
        /// What the runtime said.
        reason: String,
    },
    /// The rows to score could not be read.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// The load options make no sense.
    #[error("{what}")]
    Options {
        /// What makes no sense.
        what: String,
    },
    /// The provider that was asked for by name cannot be used.
    #[error(
        "{wanted} was asked for but cannot be used: {reason}; provider `auto` takes the fastest that works"
    )]
    Provider {
        /// The provider.
        wanted: &'static str,
        /// What is missing.
        reason: String,
    },
    /// The runtime library that was asked for by path cannot be used. Nothing else is tried then.
    #[error("the runtime {}, given by {origin}, cannot be used: {reason}", path.display())]
    Runtime {
        /// The library.
        path: PathBuf,
        /// Who gave the path.
        origin: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A process uses one runtime library and has chosen another.
    #[error(
        "this process already runs models with {}, so {} needs a process of its own",
        used.display(),
        asked.display()
    )]
    RuntimeInUse {
        /// The library in use.
        used: PathBuf,
        /// The library that was asked for.
        asked: PathBuf,
    },
    /// There is no runtime library, and none could be installed.
    #[error(
        "no onnxruntime library (1.24 or newer) was found, and none was installed: {reason}. Two ways out: run \
         `gleaner runtime install` where Python's pip and its package index can be reached, or set ORT_DYLIB_PATH to \
         an existing libonnxruntime{}",
        listed(tried)
    )]
    NoRuntime {
        /// What was tried, in order, and why it was not used.
        tried: Vec<Rejected>,
        /// Why none was installed.
        reason: String,
    },
    /// The pinned runtime could not be installed.
    #[error("could not install {package}: {reason}")]
    Install {
        /// Package and version.
        package: String,
        /// What failed.
        reason: String,
    },
}

impl InferenceError {
    /// The same error about the rows as the caller numbers them: `place` gives the number of a row.
    pub(super) fn renumbered(mut self, place: impl Fn(usize) -> usize) -> Self {
        match &mut self {
            Self::NonFinite { row, .. } | Self::NotProbabilities { row, .. } => *row = place(*row),
            Self::Run { first, end, .. } => {
                *end = place(end.saturating_sub(1)).saturating_add(1);
                *first = place(*first);
            }
            Self::ModelFile { .. }
            | Self::Model { .. }
            | Self::Mismatch { .. }
            | Self::Width { .. }
            | Self::Rows(_)
            | Self::Options { .. }
            | Self::Provider { .. }
            | Self::Runtime { .. }
            | Self::RuntimeInUse { .. }
            | Self::NoRuntime { .. }
            | Self::Install { .. } => {}
        }
        self
    }

    /// Whether the same call may succeed later with nothing repaired by hand: the network or the device was in the way.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Run { .. } | Self::Install { .. } | Self::NoRuntime { .. })
    }
}

/// What about a model does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// Not exactly one input.
    #[error("it has {} inputs ({}) where exactly one is needed", names.len(), names.join(", "))]
    Inputs {
        /// Their names.
        names: Vec<String>,
    },
    /// An input or output of another element type.
    #[error("`{tensor}` holds {found} where 32-bit floats are needed")]
    Element {
        /// Which input or output.
        tensor: String,
        /// Its element type.
        found: String,
    },
    /// The input has another shape.
    #[error("its input `{input}` has shape {found}, but samples have shape {expected}")]
    InputShape {
        /// The input's name.
        input: String,
        /// Its shape, `?` for what is open.
        found: String,
        /// The shape of a batch of samples.
        expected: String,
    },
    /// The input wants batches of one size.
    #[error(
        "its input `{input}` takes batches of exactly {size}; export it with an open batch axis (or one of size 1)"
    )]
    FixedBatch {
        /// The input's name.
        input: String,
        /// The batch size.
        size: usize,
    },
    /// It is not clear which output holds the scores.
    #[error(
        "it has outputs {}, none of them called `logits` or `probabilities`",
        names.join(", ")
    )]
    NoScores {
        /// Their names.
        names: Vec<String>,
    },
    /// The scores have another shape.
    #[error(
        "its output `{output}` has shape {found}, but {expected} is needed: one score per class"
    )]
    ScoreShape {
        /// The output's name.
        output: String,
        /// Its shape, `?` for what is open.
        found: String,
        /// What is needed.
        expected: String,
    },
    /// An output that is needed is not there.
    #[error(
        "the workflow needs output `{wanted}`, but the model has {}",
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    )]
    NoOutput {
        /// Its name.
        wanted: String,
        /// The names of those that are there.
        names: Vec<String>,
    },
    /// An output does not have one row per sample, or rows of different shapes.
    #[error(
        "its output `{output}` has shape {found}, which is not one row of the same shape per sample"
    )]
    OutputShape {
        /// The output's name.
        output: String,
        /// Its shape.
        found: String,
    },
}

fn listed(tried: &[Rejected]) -> String {
    let mut text = String::new();
    for rejected in tried {
        // Writing to a string does not fail.
        let _ = write!(text, "\n  tried {rejected}");
    }
    text
}
