//! Pools from comma-separated values: a header line, then one sample per line.
//!
//! Every column that is not the label or the id is a feature. Cells are trimmed; an empty label means "not known yet".
//! Rows are streamed: one row is in memory beside the pool itself.

use super::{ClassList, INFERRED_CLASSES_MAX, PoolError, Raw};
use crate::domain::definition::PoolSpec;
use crate::domain::ids::SampleId;
use crate::domain::matrix::Matrix;
use crate::domain::nearest::nearest;
use ::csv::{ByteRecord, Reader, ReaderBuilder};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

/// What each column is for.
struct Columns {
    names: Vec<String>,
    label: usize,
    id: Option<usize>,
}

pub(super) fn read(spec: &PoolSpec, path: &Path) -> Result<Raw, PoolError> {
    let file = path.display().to_string();
    let failed =
        |source: ::csv::Error| PoolError::Read { file: file.clone(), source: source.into() };
    let open = open(path).map_err(|source| PoolError::Read { file: file.clone(), source })?;
    // `flexible`: a ragged row is ours to report, with the line and both lengths.
    let mut reader =
        ReaderBuilder::new().flexible(true).buffer_capacity(256 * 1024).from_reader(open);
    let columns = columns(spec, &file, &mut reader)?;
    let stem =
        path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());

    let mut classes = ClassList::new(&spec.classes);
    let (mut ids, mut offsets, mut labels, mut data) = (vec![], vec![], vec![], vec![]);
    let mut record = ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(failed)? {
        let offset = record.position().map_or(0, ::csv::Position::byte);
        let line = || line_of(path, offset);
        if record.len() != columns.names.len() {
            let (found, expected) = (record.len(), columns.names.len());
            return Err(PoolError::Ragged { file, line: line(), found, expected });
        }
        for (index, cell) in record.iter().enumerate() {
            let text = std::str::from_utf8(cell)
                .map_err(|_| PoolError::NotUtf8 {
                    file: file.clone(),
                    line: line(),
                    column: index + 1,
                })?
                .trim();
            if index == columns.label {
                labels.push(label(spec, &file, &line, text, &mut classes)?);
            } else if Some(index) == columns.id {
                if text.is_empty() {
                    return Err(PoolError::EmptyId { file, line: line() });
                }
                ids.push(SampleId::from(text));
                offsets.push(offset);
            } else {
                data.push(number(text, spec.scale).ok_or_else(|| PoolError::NotANumber {
                    file: file.clone(),
                    line: line(),
                    column: columns.names.get(index).cloned().unwrap_or_default(),
                    value: shortened(text),
                })?);
            }
        }
        if columns.id.is_none() {
            // The width never depends on the number of rows, so that a file may grow without renaming its samples.
            ids.push(SampleId::from(format!("{stem}-{:04}", ids.len())));
        }
    }
    if ids.is_empty() {
        return Err(PoolError::Empty { file, what: "no samples after the header line" });
    }
    let features = columns.names.len() - 1 - usize::from(columns.id.is_some());
    let features = Matrix::new(ids.len(), features, data).unwrap_or_default();
    let classes = classes.finish(&mut labels);
    Ok(Raw { ids, offsets, features, labels, classes })
}

/// Opens a regular file; a pipe would not give its bytes twice, and a device might never end.
fn open(path: &Path) -> std::io::Result<File> {
    if std::fs::metadata(path)?.is_file() {
        File::open(path)
    } else {
        Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a regular file"))
    }
}

/// The line of the row found at byte `offset`, for an error; 0 if the file cannot be read again. The csv reader's own count
/// is no use: it points before the empty lines that it skips.
pub(super) fn line_of(path: &Path, offset: u64) -> u64 {
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
    let label = find(&names, file, "label_column", &spec.label_column)?;
    let id = match &spec.id_column {
        Some(column) => Some(find(&names, file, "id_column", column)?),
        None => None,
    };
    Ok(Columns { names, label, id })
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

fn label(
    spec: &PoolSpec,
    file: &str,
    line: &dyn Fn() -> u64,
    text: &str,
    classes: &mut ClassList,
) -> Result<Option<u32>, PoolError> {
    if text.is_empty() {
        return Ok(None);
    }
    let Some(index) = classes.index_of(text) else {
        let near = nearest(text, classes.names());
        let hint = near.map_or_else(
            || "; correct it, or add the class".to_owned(),
            |near| format!("; did you mean {near:?}?"),
        );
        return Err(PoolError::UnknownLabel {
            file: file.to_owned(),
            line: line(),
            value: shortened(text),
            hint,
        });
    };
    if spec.classes.is_empty() && usize::try_from(index).is_ok_and(|i| i >= INFERRED_CLASSES_MAX) {
        let column = spec.label_column.clone();
        return Err(PoolError::TooManyClasses { file: file.to_owned(), line: line(), column });
    }
    Ok(Some(index))
}

/// A finite number that is still finite as an `f32` after scaling.
fn number(text: &str, scale: f64) -> Option<f32> {
    #[expect(clippy::cast_possible_truncation, reason = "rounds; what overflows is refused below")]
    let value = (text.parse::<f64>().ok()? * scale) as f32;
    value.is_finite().then_some(value)
}

/// A cell as an error shows it.
fn shortened(text: &str) -> String {
    if text.chars().nth(60).is_none() {
        return text.to_owned();
    }
    text.chars().take(60).chain(['…']).collect()
}
