//! A run's events and labels, in the forms that other programs read.
//!
//! | what | forms | file |
//! |---|---|---|
//! | events | JSON Lines of CloudEvents, CSV, Parquet (feature `parquet`) | [`events`] |
//! | labels | CSV, JSON Lines | [`labels`] |
//! | labels that are masks | COCO | [`coco`] |
//!
//! Records in, bytes out through any [`std::io::Write`]: whoever has the records hands them in, one after the other. Values
//! are written as they are. In CSV that means that a spreadsheet takes an id that begins with `=` for a formula, unless the
//! column is read as text.

pub mod coco;
pub mod events;
pub mod labels;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(test)]
mod test_support;

use crate::artifacts::ArtifactError;
use crate::domain::ids::SampleId;
use crate::domain::task::Task;
use crate::domain::time::Timestamp;
use chrono::{DateTime, Datelike as _, SecondsFormat};
use std::io;

/// Why something was not exported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The bytes could not be written.
    #[error("could not write")]
    Write(#[from] io::Error),
    /// The form is left out of this build.
    #[error(
        "this build cannot write Parquet: build with `--features parquet`, or choose jsonl or csv"
    )]
    NotBuilt,
    /// The form has no words for labels of this task.
    #[error("COCO has no form for labels of {task}, only for masks: choose csv or jsonl")]
    NoCoco {
        /// The task.
        task: Task,
    },
    /// The file of a mask or of the pool's manifest cannot be read.
    #[error("cannot read {what}")]
    Artifact {
        /// What it is.
        what: String,
        /// Why.
        #[source]
        source: ArtifactError,
    },
    /// The pool's manifest does not tell how high and wide a sample is.
    #[error(
        "the pool's manifest tells no height and width, and a mask has both: choose csv or jsonl"
    )]
    NoSides,
    /// A mask is of another size than the samples of the pool.
    #[error(
        "the mask of sample {sample} has {pixels} pixels, but the pool's samples are {height} high and {width} wide"
    )]
    MaskSize {
        /// Which sample.
        sample: SampleId,
        /// How many pixels its mask has.
        pixels: usize,
        /// How high samples are.
        height: usize,
        /// How wide samples are.
        width: usize,
    },
}

/// A name that no form has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no form: choose one of {known}")]
pub struct UnknownForm {
    found: String,
    known: &'static str,
}

/// An instant in RFC 3339, in UTC, to the microsecond; `None` outside of the years 0 to 9999, which it cannot write.
fn rfc3339(at: Timestamp) -> Option<String> {
    let time = DateTime::from_timestamp_micros(at.0)?;
    (0..=9999).contains(&time.year()).then(|| time.to_rfc3339_opts(SecondsFormat::Micros, true))
}

/// What went wrong below the CSV writer, which would otherwise hide that a pipe is broken or a disk full.
fn of_csv(error: csv::Error) -> io::Error {
    let text = error.to_string();
    if let csv::ErrorKind::Io(error) = error.into_kind() { error } else { io::Error::other(text) }
}
