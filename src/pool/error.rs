//! Why a pool cannot be used: the file, the line or row, the value, the limit, and the way out.

use super::INFERRED_CLASSES_MAX;
use crate::domain::rows::RowsError;
use std::path::Path;

/// Why a pool cannot be used. Lines count from 1, the header line included.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// The file cannot be opened or read.
    #[error(
        "could not read the pool file {file}; `pool.path` is relative to the workflow file's folder"
    )]
    Read {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Something about a row, in a format without columns, or about the file as a whole; `place` is the file, and where it
    /// has lines or rows, which.
    #[error("{place}: {what}")]
    Bad {
        /// Where.
        place: String,
        /// What is wrong, and the way out.
        what: String,
    },
    /// Features or predictions that could not be read when they were needed.
    #[error(transparent)]
    Rows(#[from] RowsError),
    /// Samples that a run has worked with are no longer what they were.
    #[error(
        "the pool {file} has changed: {what}; a pool may gain samples between cycles, but must keep those it has: put \
         the old file back and resume, or start a new run"
    )]
    Changed {
        /// The file.
        file: String,
        /// What, and the first sample of which it is true.
        what: String,
    },
    /// The reader of this format is not built in.
    #[error("{file}: this build cannot read {format} pools: build with `--features {feature}`")]
    NotBuilt {
        /// The file.
        file: String,
        /// The format.
        format: &'static str,
        /// What to build with.
        feature: &'static str,
    },
    /// No header, or no rows after it.
    #[error("{file}: {what}; a header line and at least one sample are expected")]
    Empty {
        /// The file.
        file: String,
        /// What is missing.
        what: &'static str,
    },
    /// A cell that is no text.
    #[error("{file}:{line}: column {column} is not UTF-8; save the file as UTF-8")]
    NotUtf8 {
        /// The file.
        file: String,
        /// The line.
        line: u64,
        /// The column, from 1.
        column: usize,
    },
    /// A column that the workflow names is missing.
    #[error("{file}:1: there is no column {column:?}, which `{key}` names{hint}")]
    NoColumn {
        /// The file.
        file: String,
        /// The table and the key in the workflow.
        key: &'static str,
        /// Its value.
        column: String,
        /// The nearest column, or what there is.
        hint: String,
    },
    /// An answer that names no class.
    #[error(
        "{file}: {annotator} says {said:?} of sample {sample}, which is none of the classes {classes:?}; correct the cell"
    )]
    Answer {
        /// The file.
        file: String,
        /// The sample.
        sample: String,
        /// The annotator's column.
        annotator: String,
        /// What the cell says.
        said: String,
        /// The classes that there are.
        classes: Vec<String>,
    },
    /// Two columns of one name.
    #[error("{file}:1: there are two columns {column:?}; rename one of them")]
    DuplicateColumn {
        /// The file.
        file: String,
        /// The name.
        column: String,
    },
    /// A row that is shorter or longer than the header.
    #[error(
        "{file}:{line}: {found} cells, but the header has {expected}; complete or remove the row"
    )]
    Ragged {
        /// The file.
        file: String,
        /// The line.
        line: u64,
        /// How many cells there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// A feature that is no finite number.
    #[error(
        "{file}:{line}: column {column:?}: {value:?} is not a finite number that fits 32 bits (after `pool.scale`); \
         correct it, or remove the row"
    )]
    NotANumber {
        /// The file.
        file: String,
        /// The line.
        line: u64,
        /// The column.
        column: String,
        /// The cell.
        value: String,
    },
    /// An empty id.
    #[error(
        "{file}:{line}: the id is empty; every sample needs one, or leave out `pool.id_column`"
    )]
    EmptyId {
        /// The file.
        file: String,
        /// The line.
        line: u64,
    },
    /// Two samples of one id.
    #[error("{file}:{line}: the id {id:?} is taken by line {first}; ids must differ")]
    DuplicateId {
        /// The file.
        file: String,
        /// The second line.
        line: u64,
        /// The id.
        id: String,
        /// The first line.
        first: u64,
    },
    /// A label that is not in the class list.
    #[error("{file}:{line}: the label {value:?} is not in `pool.classes`{hint}")]
    UnknownLabel {
        /// The file.
        file: String,
        /// The line.
        line: u64,
        /// The label.
        value: String,
        /// The nearest class, or what to do.
        hint: String,
    },
    /// A label column that holds something else.
    #[error(
        "{file}:{line}: more than {INFERRED_CLASSES_MAX} different labels in column {column:?}; is it the label \
         column? If so, list them in `pool.classes`"
    )]
    TooManyClasses {
        /// The file.
        file: String,
        /// The line.
        line: u64,
        /// The column.
        column: String,
    },
    /// Nothing to tell apart.
    #[error(
        "{file}: there is nothing to tell apart: the classes are {classes:?}, and at least two are needed; label some \
         samples or set `pool.classes`"
    )]
    TooFewClasses {
        /// The file.
        file: String,
        /// The classes.
        classes: Vec<String>,
    },
    /// The shape asks for another number of values than a row has.
    #[error(
        "{file}:1: there are {columns} feature columns, but `pool.shape` = {shape:?} takes {}; set it to [{columns}], \
         or to sides whose product is {columns}",
        super::product(shape).map_or_else(|| "more than fit in memory".to_owned(), |n| n.to_string())
    )]
    Shape {
        /// The file.
        file: String,
        /// `pool.shape`.
        shape: Vec<usize>,
        /// How many feature columns there are.
        columns: usize,
    },
    /// A class that cannot be in every part of the split.
    #[error(
        "{file}: the class {class:?} has {samples} labelled samples, but the split needs at least {needed}, one for \
         each part; add samples, remove the class, or set `pool.validation` or `pool.test` to 0"
    )]
    TooFewSamples {
        /// The file.
        file: String,
        /// The class.
        class: String,
        /// How many samples it has.
        samples: usize,
        /// How many it needs.
        needed: usize,
    },
}

impl PoolError {
    pub(super) fn bad(place: impl ToString, what: impl Into<String>) -> Self {
        Self::Bad { place: place.to_string(), what: what.into() }
    }

    pub(super) fn read(path: &Path, source: std::io::Error) -> Self {
        Self::Read { file: path.display().to_string(), source }
    }
}
