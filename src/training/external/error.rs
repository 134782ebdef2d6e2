//! Why there is no trained model, and whether trying again may help.

use crate::domain::rows::RowsError;
use std::path::PathBuf;

/// Why an external training gave no model. `last` is the end of what the program said.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ExternalError {
    /// Nothing to run.
    #[error(
        "`trainer.command` is empty; name the program and its arguments, for example [\"python3\", \"train.py\"]"
    )]
    NoCommand,
    /// The program does not exist, or may not be executed.
    #[error("{reason}; check `trainer.command`, and install the program where it is missing")]
    NoProgram {
        /// Which, and why not.
        reason: String,
    },
    /// Nothing to learn from.
    #[error("there are no labelled samples to train on")]
    NoSamples,
    /// Too little to tell apart.
    #[error("there are {classes} classes; the task needs at least {least}")]
    Classes {
        /// How many classes there are.
        classes: usize,
        /// How many are needed.
        least: usize,
    },
    /// Ids, rows and labels do not pair up.
    #[error("{rows} {what} samples have {ids} ids and {labels} labels")]
    Samples {
        /// `train` or `validation`.
        what: &'static str,
        /// How many rows of inputs.
        rows: usize,
        /// How many ids.
        ids: usize,
        /// How many rows of labels.
        labels: usize,
    },
    /// Rows of the wrong width.
    #[error("{what} {part} have {found} numbers each; {expected} are expected")]
    Width {
        /// `train` or `validation`.
        what: &'static str,
        /// `inputs` or `labels`.
        part: &'static str,
        /// The width found.
        found: usize,
        /// The width that shape and task ask for.
        expected: usize,
    },
    /// A label that is none.
    #[error("a label of {what} sample {row} is {value}; {expected} is expected")]
    Label {
        /// `train` or `validation`.
        what: &'static str,
        /// Which row, from 0.
        row: usize,
        /// Its label.
        value: f32,
        /// What a label must be.
        expected: String,
    },
    /// A number nobody can learn from.
    #[error("value {column} of {what} sample {row} is not a finite number")]
    NonFinite {
        /// `train` or `validation`.
        what: &'static str,
        /// Which row, from 0.
        row: usize,
        /// Which value, from 0.
        column: usize,
    },
    /// Samples that cannot be read.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// A file of the request that cannot be written.
    #[error("{} cannot be written: {reason}; is there space on its disk?", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The machine could not start the program, this time.
    #[error("{reason}")]
    Start {
        /// Which program, and why not.
        reason: String,
    },
    /// `watch` broke off.
    #[error("the training was interrupted")]
    Interrupted,
    /// It ended with something else than 0, or by a signal.
    #[error("the training program failed with {status}{}", quoted(last))]
    Failed {
        /// With what.
        status: String,
        /// Its last lines.
        last: String,
    },
    /// It ran for too long, and was ended.
    #[error(
        "the training program took longer than {seconds} s and was ended; raise `trainer.seconds`{}",
        quoted(last)
    )]
    TimedOut {
        /// The limit.
        seconds: u64,
        /// Its last lines.
        last: String,
    },
    /// It took too much memory, and was ended.
    #[error(
        "the training program held {mebibytes} MiB of memory, more than {limit} MiB, and was ended; raise \
         `trainer.memory_mb`{}",
        quoted(last)
    )]
    Memory {
        /// What it and all that it started held together.
        mebibytes: u64,
        /// The limit.
        limit: u64,
        /// Its last lines.
        last: String,
    },
    /// It ended with 0, and what it left is no result.
    #[error("the training program ended well, but {problem}{}", quoted(last))]
    Result {
        /// What is wrong.
        problem: ResultProblem,
        /// Its last lines.
        last: String,
    },
}

impl ExternalError {
    /// Whether the same request may go well another time. A request that cannot be, or a command that is none, stays what it
    /// is; whatever happened to a program that was running may have been chance.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Rows(_)
            | Self::Write { .. }
            | Self::Start { .. }
            | Self::Failed { .. }
            | Self::TimedOut { .. }
            | Self::Memory { .. }
            | Self::Result { .. } => true,
            Self::NoCommand
            | Self::NoProgram { .. }
            | Self::NoSamples
            | Self::Classes { .. }
            | Self::Samples { .. }
            | Self::Width { .. }
            | Self::Label { .. }
            | Self::NonFinite { .. }
            | Self::Interrupted => false,
        }
    }
}

/// What is wrong with what a program left.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResultProblem {
    /// There is no `result.json`.
    #[error("it left no result.json")]
    Absent,
    /// `result.json` or a checkpoint is there, and cannot be read.
    #[error("{file:?} cannot be read: {reason}")]
    Unreadable {
        /// Which file.
        file: String,
        /// Why not.
        reason: String,
    },
    /// It is no JSON: half written, for example.
    #[error(
        "its result.json is no complete JSON: {reason}; write it under another name and rename it, and leave out what is \
         no finite number"
    )]
    NoJson {
        /// What the reader says.
        reason: String,
    },
    /// Another protocol.
    #[error("its result.json is of version {found}; version {} is expected", super::VERSION)]
    Version {
        /// What it says.
        found: String,
    },
    /// JSON of another form.
    #[error("its result.json has another form than agreed: {reason}")]
    Schema {
        /// What the reader says.
        reason: String,
    },
    /// No model.
    #[error("its result.json lists no checkpoint")]
    NoCheckpoints,
    /// Too many models.
    #[error(
        "its result.json lists {found} checkpoints; at most {} are read",
        super::CHECKPOINTS_MAX
    )]
    TooMany {
        /// How many.
        found: usize,
    },
    /// A file elsewhere: by an absolute path, by `..`, or through a link.
    #[error(
        "the checkpoint {file:?} lies outside of the folder that it was given; save it there, and name it relative to it"
    )]
    Outside {
        /// As it is named.
        file: String,
    },
    /// Nothing there, or no file.
    #[error("the checkpoint {file:?} is no file that is there")]
    NoFile {
        /// As it is named.
        file: String,
    },
    /// Nothing in it.
    #[error("the checkpoint {file:?} is empty")]
    Empty {
        /// As it is named.
        file: String,
    },
    /// One model twice.
    #[error("the checkpoint {file:?} is listed twice")]
    Twice {
        /// As it is named the second time.
        file: String,
    },
    /// More than is read.
    #[error("with {file:?} its files have {bytes} bytes; at most {limit} are read")]
    TooLarge {
        /// Which file is one too many.
        file: String,
        /// How many bytes, with the files before it.
        bytes: u64,
        /// How many are read.
        limit: u64,
    },
    /// A claim that is no number.
    #[error(
        "the metric {metric:?} of the checkpoint {file:?} is {value}; a finite number is expected, or nothing"
    )]
    Metric {
        /// Of which checkpoint.
        file: String,
        /// Its name.
        metric: String,
        /// What it says.
        value: String,
    },
}

/// What the program said last, to be appended to a message.
fn quoted(last: &str) -> String {
    match last {
        "" => "; it said nothing".to_owned(),
        last => format!("; its last lines:\n{last}"),
    }
}
