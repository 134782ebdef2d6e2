//! A training outside of Gleaner: a program that is given a folder with what to learn from, and leaves ONNX files in it.
//!
//! | part | file | what it owns |
//! |---|---|---|
//! | request | `request` | checks of what is asked for, and the files that the program reads |
//! | result | `result` | what the program left: checked, and read into memory |
//! | errors | `error` | why there is no trained model, and whether trying again may help |
//!
//! ```text
//! request.json           version, task, classes, shape, seed, settings, limits, and the files below
//! train-inputs.npy       f32 [n, ...shape]              validation-inputs.npy
//! train-labels.npy       i64 or f32, by task            validation-labels.npy
//! train-samples.csv      index,id                       validation-samples.csv
//! previous.onnx          the production model, where there is one
//! result.json            written by the program: its checkpoints, each an ONNX file in this folder, and what it claims of them
//! ```
//!
//! `workflows/external/README.md` is the protocol for whoever writes such a program. The claims are only claims: whoever
//! calls this loads each file and measures it.

mod error;
mod request;
mod result;

pub use error::{ExternalError, ResultProblem};

use crate::domain::definition::TrainCommand;
use crate::domain::ids::SampleId;
use crate::domain::matrix::Matrix;
use crate::domain::rows::Rows;
use crate::domain::task::Task;
use crate::program::{self, Ended, Outcome, Program, StartError};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

/// The version of the protocol: of `request.json`, of `result.json`, and of the lines between.
pub const VERSION: u64 = 1;
/// The most checkpoints of one training.
pub const CHECKPOINTS_MAX: usize = 1000;
/// The most bytes of all checkpoints of one training together: 2 GiB, which is also the most that one ONNX file can have.
pub const MODEL_BYTES_MAX: u64 = 2 << 30;

/// What to train, on what, and by which program.
#[derive(Clone, Copy)]
pub struct ExternalRequest<'a> {
    /// The program, its limits and its settings.
    pub command: &'a TrainCommand,
    /// What is learnt.
    pub task: Task,
    /// The names of the classes, by index; empty for a regression.
    pub classes: &'a [String],
    /// The shape of one sample; its product is the width of a row.
    pub shape: &'a [usize],
    /// Where all chance of this training should come from.
    pub seed: u64,
    /// What is learnt from; at least one row.
    pub train: ExternalSet<'a>,
    /// What early stopping and the best checkpoint may be judged by; may be empty.
    pub validation: ExternalSet<'a>,
    /// The ONNX file of the production model, which is copied for the program; `None`: there is none yet.
    pub previous: Option<&'a Path>,
    /// Where the folder of this training is made. It is removed at the end, and stays behind only where the process is killed.
    pub folder: &'a Path,
    /// The folder in which the program runs, and from which a program like `./train` is looked for; `None`: the current one.
    pub workplace: Option<&'a Path>,
}

/// Samples with their labels.
#[derive(Clone, Copy)]
pub struct ExternalSet<'a> {
    /// The name of each sample.
    pub ids: &'a [SampleId],
    /// One row a sample; read in pieces.
    pub inputs: &'a dyn Rows,
    /// One row a sample, of [`Task::label_width`] numbers.
    pub labels: &'a Matrix,
}

/// How far the program says it is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ExternalProgress {
    /// How many lines of progress there were: the same number again means that nothing new was said.
    pub lines: u64,
    /// `epoch` of the last such line, from 1.
    pub epoch: Option<u64>,
    /// `epochs` of it.
    pub epochs: Option<u64>,
    /// All other numbers of it, for example `loss`.
    pub numbers: BTreeMap<String, f64>,
    /// `message` of it, for people.
    pub message: Option<String>,
}

/// A model that the program left.
#[derive(Debug, Clone, PartialEq)]
pub struct ExternalCheckpoint {
    /// The ONNX file; not empty, and nothing else was checked.
    pub onnx: Vec<u8>,
    /// Steps taken when it was saved, as the program counts them.
    pub step: u64,
    /// What the program claims to have measured: finite numbers by name, for example `validation.accuracy`.
    pub claimed: BTreeMap<String, f64>,
}

/// Runs the program, and answers its checkpoints in the order of `result.json`; at least one.
///
/// `watch` is called with each line of progress and at least every 100 ms without one, and may break off: then the program is
/// ended with all that it started, as it is at its limits ([`crate::program`]). Lines that are no JSON objects are the
/// program's talk: their end is quoted where it fails.
///
/// # Errors
/// [`ExternalError::Interrupted`] if `watch` broke off; [`ExternalError::is_retryable`] tells what may go well another time from
/// what is wrong with the request or the command.
pub fn train_external(
    request: &ExternalRequest<'_>,
    watch: &mut dyn FnMut(&ExternalProgress) -> ControlFlow<()>,
) -> Result<Vec<ExternalCheckpoint>, ExternalError> {
    let command = request.command;
    if command.command.first().is_none_or(String::is_empty) {
        return Err(ExternalError::NoCommand);
    }
    request::check(request)?;
    let folder = tempfile::Builder::new()
        .prefix("gleaner-train-")
        .tempdir_in(request.folder)
        .map_err(|error| request::not_written(request.folder, &error))?;
    request::write(request, folder.path())?;
    let program = Program {
        words: &command.command,
        argument: folder.path(),
        folder: request.workplace,
        time_max: Duration::from_secs(command.seconds),
        memory_max: command.memory_mb.map(|mebibytes| mebibytes.saturating_mul(1 << 20)),
    };
    let mut progress = ExternalProgress::default();
    let outcome = program::run(&program, &mut |line| {
        if let Some(Ok(Value::Object(told))) = line.map(serde_json::from_str) {
            progress = heard(&told, progress.lines + 1);
        }
        watch(&progress)
    })?;
    let last = last_words(&outcome);
    match outcome.ended {
        Ended::Exit(status) if status.success() => result::read(folder.path(), &last),
        Ended::Exit(status) => Err(ExternalError::Failed { status: status.to_string(), last }),
        Ended::Time => Err(ExternalError::TimedOut { seconds: command.seconds, last }),
        Ended::Memory { bytes } => Err(ExternalError::Memory {
            mebibytes: bytes >> 20,
            limit: command.memory_mb.unwrap_or_default(),
            last,
        }),
        Ended::Stopped => Err(ExternalError::Interrupted),
    }
}

/// What a line of progress says; what it says of other types is left out.
fn heard(told: &Map<String, Value>, lines: u64) -> ExternalProgress {
    let whole = |key: &str| told.get(key).and_then(Value::as_u64);
    let numbers = told
        .iter()
        .filter(|(key, _)| !["epoch", "epochs"].contains(&key.as_str()))
        .filter_map(|(key, value)| Some((key.clone(), value.as_f64()?)));
    ExternalProgress {
        lines,
        epoch: whole("epoch"),
        epochs: whole("epochs"),
        numbers: numbers.collect(),
        message: told.get("message").and_then(Value::as_str).map(str::to_owned),
    }
}

/// The end of all that the program said, its error output last.
fn last_words(outcome: &Outcome) -> String {
    match (outcome.output.as_str(), outcome.complaints.as_str()) {
        (output, "") => output.to_owned(),
        ("", complaints) => complaints.to_owned(),
        (output, complaints) => format!("{output}\n{complaints}"),
    }
}

impl From<StartError> for ExternalError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::NoProgram { .. } => Self::NoProgram { reason: error.to_string() },
            StartError::Machine { .. } => Self::Start { reason: error.to_string() },
        }
    }
}

#[cfg(unix)]
#[cfg(test)]
#[path = "external/tests.rs"]
mod tests;
