//! Pools from comma-separated values: a header line, then one sample per line.
//!
//! Every column that is not the label, the id, metadata or seconds is a feature. Cells are trimmed; an empty label means
//! "not known yet". In multi-label tasks `pool.classes` names the columns that say 1 or 0 of each class; in regression the label is a
//! number. Rows are streamed into one matrix in memory: a pool that is too large for that is an `.npy` file.

use super::labels::{ClassList, Labels};
use super::metadata::{self, Extras};
use super::source::{InFile, Raw, Skipped, open, scaled};
use super::{PoolError, shortened, targets};
use crate::domain::definition::PoolSpec;
use crate::domain::ids::SampleId;
use crate::domain::matrix::Matrix;
use crate::domain::nearest::nearest;
use crate::domain::rows::Runs;
use crate::domain::task::Task;
use ::csv::{ByteRecord, Reader, ReaderBuilder};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// What each column is for.
struct Columns {
    names: Vec<String>,
    /// One, or in multi-label tasks one for each class.
    labels: Vec<usize>,
    id: Option<usize>,
    seconds: Option<usize>,
    /// In the order of `pool.metadata`.
    metadata: Vec<usize>,
}

impl Columns {
    fn is_feature(&self, index: usize) -> bool {
        !self.labels.contains(&index)
            && ![self.id, self.seconds].contains(&Some(index))
            && !self.metadata.contains(&index)
    }
}

pub(super) fn read(spec: &PoolSpec, path: &Path) -> Result<Raw, PoolError> {
    let file = path.display().to_string();
    let failed =
        |source: ::csv::Error| PoolError::Read { file: file.clone(), source: source.into() };
    let open = open(path).map_err(|source| PoolError::read(path, source))?;
    // `flexible`: a ragged row is ours to report, with the line and both lengths.
    let mut reader =
        ReaderBuilder::new().flexible(true).buffer_capacity(256 * 1024).from_reader(open);
    let columns = columns(spec, &file, &mut reader)?;
    let width = (0..columns.names.len()).filter(|&index| columns.is_feature(index)).count();

    let mut classes = ClassList::new(&spec.classes);
    let (mut ids, mut offsets, mut data) = (vec![], vec![], vec![]);
    let (mut labels, mut targets) = (Labels::default(), vec![]);
    let mut numbers = Runs::default();
    let (mut extras, mut skipped) = (Extras::new(spec), Skipped::default());
    let mut record = ByteRecord::new();
    let mut row = 0;
    while reader.read_byte_record(&mut record).map_err(failed)? {
        let offset = record.position().map_or(0, ::csv::Position::byte);
        let reading = Reading { spec, path, file: &file, columns: &columns, offset };
        let (start, known) = (data.len(), targets.len());
        let said = Said { classes: &mut classes, targets: &mut targets };
        match reading.row(&record, &mut data, said, &mut extras) {
            Ok((id, label)) => {
                labels.push(label);
                if let Some(id) = id {
                    ids.push(id);
                    offsets.push(offset);
                }
                numbers.push(row..row + 1);
            }
            Err(bad) => {
                data.truncate(start);
                targets.truncate(known);
                skipped.or_fail(spec, || reading.error(bad))?;
            }
        }
        row += 1;
    }
    if numbers.is_empty() {
        let what = match skipped.count {
            0 => "no samples after the header line",
            _ => "every sample after the header line is broken",
        };
        return Err(PoolError::Empty { file, what });
    }
    let features = Matrix::new(numbers.len(), width, data).unwrap_or_default();
    let targets = match spec.task {
        Task::Classification => None,
        Task::MultiLabel | Task::Regression | Task::Segmentation => {
            Matrix::new(numbers.len(), columns.labels.len(), targets)
        }
    };
    let line = |row: usize| line_of(path, offsets.get(row).copied().unwrap_or_default());
    InFile { ids, numbers, features, labels, classes, targets, extras, rows_in_file: row, skipped }
        .by_id(spec, path, line)
}

/// Where labels go: names of classes, or numbers.
struct Said<'a> {
    classes: &'a mut ClassList,
    targets: &'a mut Vec<f32>,
}

/// A row that is being read.
struct Reading<'a> {
    spec: &'a PoolSpec,
    path: &'a Path,
    file: &'a str,
    columns: &'a Columns,
    offset: u64,
}

/// What is wrong with a row; its line is found only where somebody is told.
enum Bad {
    Ragged(usize),
    NotUtf8(usize),
    NotANumber(usize, String),
    Label(String),
    EmptyId,
    Other(PoolError),
}

impl Reading<'_> {
    fn row(
        &self,
        record: &ByteRecord,
        data: &mut Vec<f32>,
        said: Said<'_>,
        extras: &mut Extras,
    ) -> Result<(Option<SampleId>, Option<u32>), Bad> {
        let columns = self.columns;
        if record.len() != columns.names.len() {
            return Err(Bad::Ragged(record.len()));
        }
        let mut cells = Vec::with_capacity(record.len());
        for (index, cell) in record.iter().enumerate() {
            let text = std::str::from_utf8(cell).map_err(|_| Bad::NotUtf8(index))?.trim();
            if columns.is_feature(index) {
                let number = text.parse().ok().and_then(|number| scaled(number, self.spec.scale));
                data.push(number.ok_or_else(|| Bad::NotANumber(index, shortened(text)))?);
            }
            cells.push(text);
        }
        let cell = |index: usize| cells.get(index).copied().unwrap_or_default();
        let id = columns.id.map(cell);
        if id == Some("") {
            return Err(Bad::EmptyId);
        }
        let place = || format!("{}:{}", self.file, self.line());
        let seconds = columns.seconds.map(|index| metadata::seconds(cell(index), place));
        let seconds = seconds.transpose().map_err(Bad::Other)?;
        // The label comes last: one of a row that is left out makes no class.
        let place = || (self.file.to_owned(), self.line());
        let label = match (self.spec.task, columns.labels.as_slice()) {
            (Task::Classification, &[column]) if cell(column).is_empty() => None,
            (Task::Classification, &[column]) => {
                let (text, name) = (cell(column), &self.spec.label_column);
                Some(said.classes.index_of(text, name, &place).map_err(Bad::Other)?)
            }
            (task, labels) => {
                let mut numbers = Vec::with_capacity(labels.len());
                for &index in labels {
                    let text = cell(index);
                    let number = match text {
                        "" => Some(f32::NAN),
                        text => text.parse().ok().and_then(|number| scaled(number, 1.0)),
                    };
                    numbers.push(number.ok_or_else(|| Bad::NotANumber(index, shortened(text)))?);
                }
                targets::check(task, labels.len(), &numbers).map_err(Bad::Label)?;
                said.targets.extend(numbers);
                None
            }
        };
        extras.push(columns.metadata.iter().map(|&index| metadata::cell(cell(index))), seconds);
        Ok((id.map(SampleId::from), label))
    }

    fn line(&self) -> u64 {
        line_of(self.path, self.offset)
    }

    fn error(&self, bad: Bad) -> PoolError {
        let (file, line) = (self.file.to_owned(), self.line());
        match bad {
            Bad::Ragged(found) => {
                PoolError::Ragged { file, line, found, expected: self.columns.names.len() }
            }
            Bad::NotUtf8(index) => PoolError::NotUtf8 { file, line, column: index + 1 },
            Bad::NotANumber(index, value) => {
                let column = self.columns.names.get(index).cloned().unwrap_or_default();
                PoolError::NotANumber { file, line, column, value }
            }
            Bad::Label(what) => PoolError::bad(format!("{file}:{line}"), what),
            Bad::EmptyId => PoolError::EmptyId { file, line },
            Bad::Other(error) => error,
        }
    }
}

/// The line of the row found at byte `offset`, for an error; 0 if the file cannot be read again. The csv reader's own count
/// is no use: it points before the empty lines that it skips.
fn line_of(path: &Path, offset: u64) -> u64 {
    let Ok(file) = open(path) else { return 0 };
    let mut line = 1;
    for (place, byte) in (0_u64..).zip(BufReader::new(file).bytes()) {
        match byte {
            Ok(b'\n') => line += 1,
            Ok(b'\r') => {}
            Ok(_) if place < offset => {}
            Ok(_) | Err(_) => break,
        }
    }
    line
}

fn columns(spec: &PoolSpec, file: &str, reader: &mut Reader<File>) -> Result<Columns, PoolError> {
    let header = reader
        .byte_headers()
        .map_err(|source| PoolError::Read { file: file.to_owned(), source: source.into() })?;
    let mut names = Vec::with_capacity(header.len());
    for (index, cell) in header.iter().enumerate() {
        let name = std::str::from_utf8(cell).map_err(|_| PoolError::NotUtf8 {
            file: file.to_owned(),
            line: 1,
            column: index + 1,
        })?;
        names.push(name.trim().to_owned());
    }
    if names.is_empty() {
        return Err(PoolError::Empty { file: file.to_owned(), what: "the file is empty" });
    }
    let labels = match spec.task {
        Task::MultiLabel => spec
            .classes
            .iter()
            .map(|class| find(&names, file, "pool.classes", class))
            .collect::<Result<_, _>>()?,
        Task::Classification | Task::Regression | Task::Segmentation => {
            vec![find(&names, file, "pool.label_column", &spec.label_column)?]
        }
    };
    let id = match &spec.id_column {
        Some(column) => Some(find(&names, file, "pool.id_column", column)?),
        None => None,
    };
    let seconds = match &spec.seconds_column {
        Some(column) => Some(find(&names, file, "pool.seconds_column", column)?),
        None => None,
    };
    let metadata = spec
        .metadata
        .iter()
        .map(|column| find(&names, file, "pool.metadata", column))
        .collect::<Result<_, _>>()?;
    Ok(Columns { names, labels, id, seconds, metadata })
}

fn find(names: &[String], file: &str, key: &'static str, wanted: &str) -> Result<usize, PoolError> {
    let mut found = names.iter().enumerate().filter(|(_, name)| *name == wanted);
    match (found.next(), found.next()) {
        (Some((index, _)), None) => Ok(index),
        (Some(_), Some(_)) => {
            Err(PoolError::DuplicateColumn { file: file.to_owned(), column: wanted.to_owned() })
        }
        (None, _) => {
            let known = names.iter().map(String::as_str);
            let hint = nearest(wanted, known).map_or_else(
                || match names {
                    [only] => format!(
                        "; the only column is {:?}: is it comma-separated?",
                        shortened(only)
                    ),
                    [first, .., last] => format!(
                        "; the {} columns are {:?} to {:?}",
                        names.len(),
                        shortened(first),
                        shortened(last)
                    ),
                    [] => String::new(),
                },
                |near| format!("; did you mean {near:?}?"),
            );
            Err(PoolError::NoColumn { file: file.to_owned(), key, column: wanted.to_owned(), hint })
        }
    }
}
