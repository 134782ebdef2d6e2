//! Events in the columns of a Parquet file. Beside `pool/parquet.rs` the only file that names the library.

use super::ExportError;
use super::events::COLUMNS;
use crate::store::Recorded;
use ::parquet::basic::Compression;
use ::parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;
use std::io::{self, Write};
use std::mem::take;
use std::sync::Arc;

/// The types of [`COLUMNS`], in their order.
const SCHEMA: &str = "
message gleaner_event {
    required int64 position;
    required binary id (STRING);
    required binary run (STRING);
    required int64 cycle;
    required int64 revision;
    required int64 time (TIMESTAMP(MICROS, true));
    required binary name (STRING);
    required int64 version;
    optional binary causation (STRING);
    required binary actor (STRING);
    required binary workflow (STRING);
    required binary previous_hash (STRING);
    required binary hash (STRING);
    required binary data (STRING);
}";

/// The rows of a row group, and the bytes of their events, at the most: what is held in memory.
const ROWS_MAX: usize = 65_536;
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// Rows in the making.
pub(super) struct RowGroups<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    rows: Vec<[Cell; COLUMNS.len()]>,
    bytes: usize,
}

enum Cell {
    Number(i64),
    Text(ByteArray),
    Null,
}

impl<W: Write + Send> RowGroups<W> {
    pub(super) fn new(out: W) -> Result<Self, ExportError> {
        let schema = parse_message_type(SCHEMA).map_err(failed)?;
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let writer = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties));
        Ok(Self { writer: writer.map_err(failed)?, rows: Vec::new(), bytes: 0 })
    }

    pub(super) fn write(&mut self, recorded: &Recorded) -> Result<(), ExportError> {
        let data = serde_json::to_string(&recorded.event).map_err(io::Error::from)?;
        self.bytes += data.len();
        // No store has so many events that a place does not fit.
        let number = |place: u64| Cell::Number(i64::try_from(place).unwrap_or(i64::MAX));
        let text = |text: String| Cell::Text(ByteArray::from(text.into_bytes()));
        self.rows.push([
            number(recorded.position.0),
            text(recorded.id.to_string()),
            text(recorded.cycle.run.to_string()),
            number(recorded.cycle.cycle.0.into()),
            number(recorded.revision.0),
            Cell::Number(recorded.recorded.0),
            text(recorded.event.name().to_owned()),
            number(recorded.version.into()),
            recorded.causation.map_or(Cell::Null, |job| text(job.to_string())),
            text(recorded.actor.to_string()),
            text(recorded.workflow.to_string()),
            text(recorded.previous.to_string()),
            text(recorded.hash.to_string()),
            text(data),
        ]);
        if self.rows.len() >= ROWS_MAX || self.bytes >= BYTES_MAX {
            self.end_group().map_err(failed)?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<W, ExportError> {
        self.end_group().map_err(failed)?;
        self.writer.into_inner().map_err(failed)
    }

    fn end_group(&mut self) -> Result<(), ParquetError> {
        let rows = take(&mut self.rows);
        self.bytes = 0;
        if rows.is_empty() {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        let mut place = 0;
        while let Some(mut column) = group.next_column()? {
            let (mut numbers, mut texts, mut levels) = (Vec::new(), Vec::new(), Vec::new());
            for cell in rows.iter().filter_map(|row| row.get(place)) {
                match cell {
                    Cell::Number(number) => numbers.push(*number),
                    Cell::Text(text) => texts.push(text.clone()), // shares the bytes
                    Cell::Null => {}
                }
                levels.push(i16::from(!matches!(cell, Cell::Null)));
            }
            if numbers.is_empty() {
                column.typed::<ByteArrayType>().write_batch(&texts, Some(&levels), None)?;
            } else {
                column.typed::<Int64Type>().write_batch(&numbers, Some(&levels), None)?;
            }
            column.close()?;
            place += 1;
        }
        group.close().map(drop)
    }
}

fn failed(error: ParquetError) -> ExportError {
    ExportError::Write(io::Error::other(error))
}

#[cfg(test)]
mod tests {
    use super::super::events::{EventForm, EventWriter};
    use super::super::test_support::{awkward, log};
    use super::*;
    use ::parquet::file::reader::{FileReader as _, SerializedFileReader};
    use ::parquet::record::{Field, Row};
    use std::fs::File;

    /// What is read back of these events.
    fn read_back(records: &[Recorded]) -> Vec<Row> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let out = File::create(file.path()).unwrap();
        let mut writer = EventWriter::new(EventForm::Parquet, out).unwrap();
        records.iter().for_each(|recorded| writer.write(recorded).unwrap());
        writer.finish().unwrap();
        let reader = SerializedFileReader::new(File::open(file.path()).unwrap()).unwrap();
        reader.get_row_iter(None).unwrap().map(Result::unwrap).collect()
    }

    fn cell(row: &Row, column: &str) -> Field {
        row.get_column_iter().find(|(name, _)| *name == column).unwrap().1.clone()
    }

    #[test]
    fn events_come_back_with_their_types() {
        let records = [log(), vec![awkward()]].concat();
        let rows = read_back(&records);
        assert_eq!(rows.len(), records.len());
        for (row, recorded) in rows.iter().zip(&records) {
            let names: Vec<&str> = row.get_column_iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, COLUMNS);
            assert_eq!(cell(row, "time"), Field::TimestampMicros(recorded.recorded.0));
            assert_eq!(cell(row, "cycle"), Field::Long(1));
            assert_eq!(cell(row, "hash"), Field::Str(recorded.hash.to_string()));
            assert_eq!(cell(row, "actor"), Field::Str(recorded.actor.to_string()));
            let data = serde_json::to_string(&recorded.event).unwrap();
            assert_eq!(cell(row, "data"), Field::Str(data));
            let job = recorded.causation.map_or(Field::Null, |job| Field::Str(job.to_string()));
            assert_eq!(cell(row, "causation"), job);
        }
        assert!(read_back(&[]).is_empty());
    }

    #[test]
    fn more_rows_than_a_group_holds_come_back_in_order() {
        let recorded = log().remove(0);
        let mut out = EventWriter::new(EventForm::Parquet, Vec::new()).unwrap();
        for _ in 0..ROWS_MAX + 1 {
            out.write(&recorded).unwrap();
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), out.finish().unwrap()).unwrap();
        let reader = SerializedFileReader::new(File::open(file.path()).unwrap()).unwrap();
        let rows: Vec<i64> =
            reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
        assert_eq!(rows, [ROWS_MAX as i64, 1]);
    }
}
