//! Pools from Parquet files: numeric columns as features, or one column with a list of numbers as an embedding.
//!
//! Every column that is not the label, the id, metadata or seconds is a feature, as in CSV, unless `pool.features_field`
//! names one column with lists. Rows are streamed into one matrix in memory. Beside `audit/export/parquet.rs` the only file that
//! names the library, and without Arrow, whose build would cost more than what is read here.

use super::labels::{ClassList, Labels};
use super::metadata::{self, Extras};
use super::source::{InFile, Raw, Skipped, open, scaled};
use super::{PoolError, shortened};
use crate::domain::definition::PoolSpec;
use crate::domain::ids::SampleId;
use crate::domain::matrix::Matrix;
use crate::domain::nearest::nearest;
use crate::domain::rows::Runs;
use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{FileReader as _, SerializedFileReader};
use ::parquet::record::{Field, Row};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

pub(super) fn read(spec: &PoolSpec, path: &Path) -> Result<Raw, PoolError> {
    // The library asserts what a broken file may break; nothing of it outlives this call.
    catch_unwind(AssertUnwindSafe(|| read_rows(spec, path))).unwrap_or_else(|_| {
        Err(PoolError::bad(
            path.display(),
            "a broken Parquet file: its reader gave up; write it anew",
        ))
    })
}

fn read_rows(spec: &PoolSpec, path: &Path) -> Result<Raw, PoolError> {
    let name = path.display().to_string();
    let broken =
        |error: ParquetError| PoolError::bad(&name, format!("a broken Parquet file: {error}"));
    let file = open(path).map_err(|source| PoolError::read(path, source))?;
    let reader = SerializedFileReader::new(file).map_err(broken)?;
    let schema = reader.metadata().file_metadata().schema().get_fields().to_vec();
    let columns: Vec<&str> = schema.iter().map(|column| column.name()).collect();
    check_columns(spec, &name, &columns)?;
    let mut classes = ClassList::new(&spec.classes);
    let (mut ids, mut data) = (vec![], vec![]);
    let (mut labels, mut numbers) = (Labels::default(), Runs::default());
    let (mut extras, mut skipped) = (Extras::new(spec), Skipped::default());
    let (mut width, mut at) = (None, 0_usize);
    for row in reader.get_row_iter(None).map_err(broken)? {
        let row = row.map_err(broken)?;
        let start = data.len();
        let place = || format!("{name}: row {at}, counted from 0");
        let read = features(spec, &row, &mut data).and_then(|()| {
            let (found, expected) = (data.len() - start, *width.get_or_insert(data.len() - start));
            if found != expected || found == 0 {
                return Err(format!("{found} numbers, but the first sample has {expected}; every sample needs as many, at least one"));
            }
            sample(spec, &row)
        });
        let read = read.map_err(|what| PoolError::bad(place(), what)).and_then(|sample| {
            let at = || (name.clone(), at as u64);
            let index = |label: &String| classes.index_of(label, &spec.label_column, &at);
            let label = sample.label.as_ref().map(index).transpose()?;
            Ok((sample, label))
        });
        match read {
            Ok((sample, label)) => {
                labels.push(label);
                extras.push(sample.metadata, sample.seconds);
                if let Some(id) = sample.id {
                    ids.push(id);
                }
                numbers.push(at..at + 1);
            }
            Err(error) => {
                data.truncate(start);
                skipped.or_fail(spec, || error)?;
            }
        }
        at += 1;
    }
    if numbers.is_empty() {
        return Err(PoolError::bad(&name, "no samples in it; at least one row is expected"));
    }
    let features = Matrix::new(numbers.len(), width.unwrap_or_default(), data).unwrap_or_default();
    let in_file: Vec<usize> = numbers.iter().collect();
    let line = |row: usize| in_file.get(row).map_or(0, |&row| row as u64);
    InFile {
        ids,
        numbers,
        features,
        labels,
        classes,
        targets: None,
        extras,
        rows_in_file: at,
        skipped,
    }
    .by_id(spec, path, line)
}

/// Every column that the workflow names must be there.
fn check_columns(spec: &PoolSpec, file: &str, columns: &[&str]) -> Result<(), PoolError> {
    let named = [
        ("pool.label_column", Some(&spec.label_column)),
        ("pool.id_column", spec.id_column.as_ref()),
        ("pool.seconds_column", spec.seconds_column.as_ref()),
        ("pool.features_field", spec.features_field.as_ref()),
    ];
    let metadata = spec.metadata.iter().map(|column| ("pool.metadata", Some(column)));
    for (key, column) in named.into_iter().chain(metadata) {
        if let Some(column) = column
            && !columns.contains(&column.as_str())
        {
            let hint = nearest(column, columns.iter().copied()).map_or_else(
                || format!("; there are {}", shortened(&columns.join(", "))),
                |near| format!("; did you mean {near:?}?"),
            );
            return Err(PoolError::NoColumn {
                file: file.to_owned(),
                key,
                column: column.clone(),
                hint,
            });
        }
    }
    Ok(())
}

fn is_feature(spec: &PoolSpec, column: &String) -> bool {
    *column != spec.label_column
        && ![&spec.id_column, &spec.seconds_column].contains(&&Some(column.clone()))
        && !spec.metadata.contains(column)
}

fn features(spec: &PoolSpec, row: &Row, data: &mut Vec<f32>) -> Result<(), String> {
    let mut push = |column: &str, field: &Field| -> Result<(), String> {
        let value = number(field).and_then(|number| scaled(number, spec.scale));
        data.push(value.ok_or_else(|| {
            format!(
                "column {column:?}: {} is not a finite number that fits 32 bits (after `pool.scale`); correct it, or remove the row",
                shortened(&field.to_string())
            )
        })?);
        Ok(())
    };
    for (column, field) in row.get_column_iter() {
        match (&spec.features_field, field) {
            (Some(wanted), Field::ListInternal(list)) if wanted == column => {
                list.elements().iter().try_for_each(|element| push(column, element))?;
            }
            (Some(wanted), _) if wanted == column => {
                return Err(format!("column {column:?} holds no list of numbers"));
            }
            (Some(_), _) => {}
            (None, field) if is_feature(spec, column) => push(column, field)?,
            (None, _) => {}
        }
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "features are rounded to 32 bits anyway")]
#[expect(clippy::wildcard_enum_match_arm, reason = "whatever else the format has is no number")]
fn number(field: &Field) -> Option<f64> {
    match field {
        Field::Bool(value) => Some(f64::from(u8::from(*value))),
        Field::Byte(value) => Some(f64::from(*value)),
        Field::Short(value) => Some(f64::from(*value)),
        Field::Int(value) => Some(f64::from(*value)),
        Field::Long(value) => Some(*value as f64),
        Field::UByte(value) => Some(f64::from(*value)),
        Field::UShort(value) => Some(f64::from(*value)),
        Field::UInt(value) => Some(f64::from(*value)),
        Field::ULong(value) => Some(*value as f64),
        Field::Float16(value) => Some(f64::from(*value)),
        Field::Float(value) => Some(f64::from(*value)),
        Field::Double(value) => Some(*value),
        _ => None,
    }
}

/// What a row says beside its features.
struct Sample {
    id: Option<SampleId>,
    label: Option<String>,
    metadata: Vec<Option<Box<str>>>,
    seconds: Option<f32>,
}

fn sample(spec: &PoolSpec, row: &Row) -> Result<Sample, String> {
    let text = |name: &String| {
        let field = row.get_column_iter().find(|(column, _)| *column == name);
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "whatever else the format has reads as it is shown"
        )]
        let text = match field?.1 {
            Field::Null => return None,
            Field::Str(text) => text.trim().to_owned(),
            other => other.to_string(),
        };
        Some(text).filter(|text| !text.is_empty())
    };
    let id = match &spec.id_column {
        None => None,
        Some(name) => Some(
            text(name)
                .ok_or("the id is empty; every sample needs one, or leave out `pool.id_column`")?,
        ),
    };
    let seconds = match &spec.seconds_column {
        None => None,
        Some(name) => {
            let seconds = text(name).unwrap_or_default();
            let place = || format!("column {name:?}");
            Some(metadata::seconds(&seconds, place).map_err(|error| error.to_string())?)
        }
    };
    let metadata = spec.metadata.iter().map(|name| text(name).map(String::into_boxed_str));
    let (label, metadata) = (text(&spec.label_column), metadata.collect());
    Ok(Sample { id: id.map(SampleId::from), label, metadata, seconds })
}
