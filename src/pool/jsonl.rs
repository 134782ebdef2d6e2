//! Pools from JSON, one object a line: a text that is hashed into numbers, or a list of numbers.
//!
//! Only where each line begins is kept in memory, 8 bytes a sample, beside ids and labels: lines are read again when their
//! features are asked for. Empty lines are no samples.

use super::labels::{ClassList, Labels};
use super::metadata::{self, Extras};
use super::shown::Shown;
use super::source::{InFile, Raw, Skipped, Source, Steady, cut, scaled};
use super::{PoolError, text};
use crate::domain::definition::PoolSpec;
use crate::domain::ids::SampleId;
use crate::domain::rows::{Rows, RowsError, Runs};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::io::{BufRead as _, BufReader, Read as _};
use std::ops::Range;
use std::path::Path;

/// A longer line is no sample.
pub(super) const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How a line becomes numbers.
#[derive(Debug, Clone)]
enum Field {
    Text(String, usize),
    Numbers(String, f64),
}

impl Field {
    fn name(&self) -> &str {
        match self {
            Self::Text(name, _) | Self::Numbers(name, _) => name,
        }
    }

    /// Appends the numbers of a line to `row`, or says what is wrong with it.
    fn read(&self, object: &Map<String, Value>, row: &mut Vec<f32>) -> Result<(), String> {
        let value = object.get(self.name()).ok_or_else(|| {
            let known: Vec<&str> = object.keys().map(String::as_str).take(20).collect();
            format!("no field {:?}; there are {}", self.name(), known.join(", "))
        })?;
        match (self, value) {
            (Self::Text(_, width), Value::String(words)) => text::hashed(words, *width, row),
            (Self::Numbers(name, scale), Value::Array(numbers)) => {
                for (place, number) in numbers.iter().enumerate() {
                    let scaled = number.as_f64().and_then(|number| scaled(number, *scale));
                    row.push(scaled.ok_or_else(|| {
                        format!(
                            "field {name:?}, place {place}: {} is not a finite number that fits 32 bits (after `pool.scale`); correct it, or remove the line",
                            super::shortened(&number.to_string())
                        )
                    })?);
                }
            }
            (Self::Text(name, _), other) => {
                return Err(format!("field {name:?} is {}, not a text", kind(other)));
            }
            (Self::Numbers(name, _), other) => {
                return Err(format!("field {name:?} is {}, not a list of numbers", kind(other)));
            }
        }
        Ok(())
    }
}

/// The lines of a file.
struct Lines {
    file: Steady,
    field: Field,
    cols: usize,
    /// Where each line begins, and how long it is.
    places: Vec<(u64, u32)>,
}

impl Rows for Lines {
    fn rows(&self) -> usize {
        self.places.len()
    }

    fn cols(&self) -> usize {
        self.cols
    }

    fn read(&self, range: Range<usize>) -> Result<Cow<'_, [f32]>, RowsError> {
        let range = cut(range, self.places.len());
        let mut values = Vec::with_capacity(range.len() * self.cols);
        let mut line = Vec::new();
        for &(start, length) in self.places.get(range.clone()).unwrap_or_default() {
            line.resize(length as usize, 0);
            let read = self.file.read_at(&mut line, start).map_err(|error| error.to_string());
            let object = read.and_then(|()| object(&line));
            let expected = values.len() + self.cols;
            object
                .and_then(|object| self.field.read(&object, &mut values))
                .map_err(|error| self.file.failed(range.clone(), error))?;
            values.resize(expected, 0.0);
        }
        Ok(Cow::Owned(values))
    }
}

impl Source for Lines {
    fn reorder(&mut self, order: &[usize]) {
        self.places = order.iter().filter_map(|&row| self.places.get(row).copied()).collect();
    }

    fn shown(&self, row: usize) -> Result<Option<Shown>, RowsError> {
        let Field::Text(name, _) = &self.field else { return Ok(None) };
        let Some(&(start, length)) = self.places.get(row) else { return Ok(None) };
        let mut line = vec![0; length as usize];
        let read = self.file.read_at(&mut line, start).map_err(|error| error.to_string());
        let object = read
            .and_then(|()| object(&line))
            .map_err(|error| self.file.failed(row..row + 1, error))?;
        Ok(object.get(name).and_then(Value::as_str).map(Shown::text))
    }
}

/// What a line says beside its features.
struct Sample {
    id: Option<SampleId>,
    label: Option<String>,
    metadata: Vec<Option<Box<str>>>,
    seconds: Option<f32>,
}

pub(super) fn read(spec: &PoolSpec, path: &Path) -> Result<Raw, PoolError> {
    let file = Steady::open(path)?;
    let name = path.display().to_string();
    let field = match (&spec.text_field, &spec.features_field) {
        (_, Some(field)) => Field::Numbers(field.clone(), spec.scale),
        (Some(field), None) => Field::Text(field.clone(), spec.width.unwrap_or(text::WIDTH)),
        (None, None) => {
            return Err(PoolError::bad(
                name,
                "neither `pool.text_field` nor `pool.features_field` says which field holds the features",
            ));
        }
    };
    let mut width = None;
    let mut classes = ClassList::new(&spec.classes);
    let (mut ids, mut places, mut lines) = (vec![], vec![], vec![]);
    let (mut labels, mut numbers) = (Labels::default(), Runs::default());
    let (mut extras, mut skipped) = (Extras::new(spec), Skipped::default());
    let mut reader = BufReader::with_capacity(256 * 1024, file.reader());
    let (mut bytes, mut features) = (Vec::new(), Vec::new());
    let (mut start, mut line, mut row) = (0_u64, 0_u64, 0_usize);
    loop {
        bytes.clear();
        let read = (&mut reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes);
        let length = read.map_err(|source| PoolError::read(path, source))? as u64;
        if length == 0 {
            break;
        }
        line += 1;
        let here = start;
        start += length;
        let place = || format!("{name}:{line}");
        if length == LINE_BYTES_MAX && bytes.last() != Some(&b'\n') {
            return Err(PoolError::bad(
                place(),
                format!("a line of {LINE_BYTES_MAX} bytes or more is no sample"),
            ));
        }
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        features.clear();
        let found = object(&bytes).and_then(|object| {
            field.read(&object, &mut features)?;
            let (found, expected) = (features.len(), *width.get_or_insert(features.len()));
            if found != expected || found == 0 {
                return Err(format!(
                    "field {:?} has {found} numbers, but the first sample has {expected}; every sample needs as many, at least one",
                    field.name()
                ));
            }
            sample(spec, &object)
        });
        let labelled = found.map_err(|what| PoolError::bad(place(), what)).and_then(|sample| {
            let index = |label: &String| {
                classes.index_of(label, &spec.label_column, &|| (name.clone(), line))
            };
            let label = sample.label.as_ref().map(index).transpose()?;
            Ok((sample, label))
        });
        match labelled {
            Ok((sample, label)) => {
                labels.push(label);
                extras.push(sample.metadata, sample.seconds);
                if let Some(id) = sample.id {
                    ids.push(id);
                    lines.push(line);
                }
                // At most LINE_BYTES_MAX.
                places.push((here, u32::try_from(length).unwrap_or(u32::MAX)));
                numbers.push(row..row + 1);
            }
            Err(error) => skipped.or_fail(spec, || error)?,
        }
        row += 1;
    }
    if numbers.is_empty() {
        return Err(PoolError::bad(name, "no samples in it; a JSON object a line is expected"));
    }
    let features = Lines { file, field, cols: width.unwrap_or_default(), places };
    let line = |row: usize| lines.get(row).copied().unwrap_or_default();
    InFile {
        ids,
        numbers,
        features,
        labels,
        classes,
        targets: None,
        extras,
        rows_in_file: row,
        skipped,
    }
    .by_id(spec, path, line)
}

fn object(line: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(line) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(format!("{}, but a JSON object is expected on each line", kind(&other))),
        Err(error) => Err(format!("not JSON: {error}; correct the line, or remove it")),
    }
}

fn sample(spec: &PoolSpec, object: &Map<String, Value>) -> Result<Sample, String> {
    let text = |name: &str| match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => {
            Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
        }
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(Value::Bool(value)) => Ok(Some(value.to_string())),
        Some(other @ (Value::Array(_) | Value::Object(_))) => {
            Err(format!("field {name:?} is {}, but a text or a number is expected", kind(other)))
        }
    };
    let id = match &spec.id_column {
        None => None,
        Some(name) => Some(text(name)?.ok_or_else(|| {
            format!(
                "no id in field {name:?}; every sample needs one, or leave out `pool.id_column`"
            )
        })?),
    };
    let seconds = match &spec.seconds_column {
        None => None,
        Some(name) => {
            let text = text(name)?.unwrap_or_default();
            let place = || format!("field {name:?}");
            Some(metadata::seconds(&text, place).map_err(|error| error.to_string())?)
        }
    };
    let metadata = spec
        .metadata
        .iter()
        .map(|name| Ok(text(name)?.map(String::into_boxed_str)))
        .collect::<Result<_, String>>()?;
    let label = text(&spec.label_column)?;
    Ok(Sample { id: id.map(SampleId::from), label, metadata, seconds })
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
