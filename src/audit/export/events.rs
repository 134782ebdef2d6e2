//! Events, one after the other: JSON Lines in the CloudEvents form, CSV, Parquet.
//!
//! Each line of JSON is a CloudEvent 1.0 in structured mode. Beside the attributes that CloudEvents defines it has these:
//!
//! | attribute | what it is |
//! |---|---|
//! | `cycle`, `revision`, `position` | the event's place: its cycle, its place in the cycle's log, its place in the store |
//! | `causation` | the job whose result it is; missing where it is none's |
//! | `actor` | who caused it; characters that CloudEvents forbids are U+FFFD |
//! | `workflow` | the workflow digest |
//! | `previoushash`, `hash` | the links of the chain |
//!
//! CSV and Parquet have the same in columns ([`COLUMNS`]), `data` is the event as JSON. What `data` holds is what `gleaner
//! log --json` shows as `event`.

use super::{ExportError, UnknownForm, of_csv, rfc3339};
use crate::domain::event::Event;
use crate::store::Recorded;
use serde::{Serialize, Serializer};
use std::io::{self, Write};
use std::str::FromStr;

/// The columns of the CSV and of the Parquet form. `time` is RFC 3339 in CSV, a timestamp in microseconds UTC in Parquet;
/// `causation` is empty (null) where there is no job.
pub const COLUMNS: [&str; 14] = [
    "position",
    "id",
    "run",
    "cycle",
    "revision",
    "time",
    "name",
    "version",
    "causation",
    "actor",
    "workflow",
    "previous_hash",
    "hash",
    "data",
];

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventForm {
    /// A CloudEvent a line.
    Jsonl,
    /// A header and a row an event, quoted as RFC 4180 tells.
    Csv,
    /// Typed columns.
    Parquet,
}

impl EventForm {
    /// Its name, which is also the ending of its files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }

    /// Whether a terminal can show it.
    #[must_use]
    pub const fn is_text(self) -> bool {
        !matches!(self, Self::Parquet)
    }
}

impl FromStr for EventForm {
    type Err = UnknownForm;

    fn from_str(name: &str) -> Result<Self, UnknownForm> {
        let found = [Self::Jsonl, Self::Csv, Self::Parquet].into_iter().find(|f| f.name() == name);
        found.ok_or_else(|| UnknownForm { found: name.into(), known: "jsonl, csv and parquet" })
    }
}

/// Writes events as they come; holds none of them, in Parquet those of one row group.
///
/// Call [`EventWriter::finish`] at the end: without it the last rows may be missing.
pub struct EventWriter<W: Write + Send>(Sink<W>);

enum Sink<W: Write + Send> {
    Jsonl(W),
    Csv(Box<csv::Writer<W>>),
    #[cfg(feature = "parquet")]
    Parquet(Box<super::parquet::RowGroups<W>>),
}

impl<W: Write + Send> EventWriter<W> {
    /// A file that begins here.
    ///
    /// # Errors
    /// [`ExportError::NotBuilt`] for Parquet without the feature `parquet`; [`ExportError::Write`].
    pub fn new(form: EventForm, out: W) -> Result<Self, ExportError> {
        Ok(Self(match form {
            EventForm::Jsonl => Sink::Jsonl(out),
            EventForm::Csv => {
                let mut csv = csv::Writer::from_writer(out);
                csv.write_record(COLUMNS).map_err(of_csv)?;
                Sink::Csv(Box::new(csv))
            }
            #[cfg(feature = "parquet")]
            EventForm::Parquet => Sink::Parquet(Box::new(super::parquet::RowGroups::new(out)?)),
            #[cfg(not(feature = "parquet"))]
            EventForm::Parquet => return Err(ExportError::NotBuilt),
        }))
    }

    /// Writes the next event.
    ///
    /// # Errors
    /// [`ExportError::Write`].
    pub fn write(&mut self, recorded: &Recorded) -> Result<(), ExportError> {
        match &mut self.0 {
            Sink::Jsonl(out) => {
                serde_json::to_writer(&mut *out, &CloudEvent::of(recorded))
                    .map_err(io::Error::from)?;
                out.write_all(b"\n")?;
            }
            Sink::Csv(csv) => csv.write_record(row(recorded)?).map_err(of_csv)?,
            #[cfg(feature = "parquet")]
            Sink::Parquet(groups) => groups.write(recorded)?,
        }
        Ok(())
    }

    /// Writes what is left, and gives back what was written to; it is not flushed.
    ///
    /// # Errors
    /// [`ExportError::Write`].
    pub fn finish(self) -> Result<W, ExportError> {
        match self.0 {
            Sink::Jsonl(out) => Ok(out),
            Sink::Csv(csv) => Ok(csv.into_inner().map_err(|error| error.into_error())?),
            #[cfg(feature = "parquet")]
            Sink::Parquet(groups) => groups.finish(),
        }
    }
}

/// An event as a row of [`COLUMNS`].
fn row(recorded: &Recorded) -> io::Result<[String; COLUMNS.len()]> {
    Ok([
        recorded.position.to_string(),
        recorded.id.to_string(),
        recorded.cycle.run.to_string(),
        recorded.cycle.cycle.to_string(),
        recorded.revision.to_string(),
        rfc3339(recorded.recorded).unwrap_or_default(),
        recorded.event.name().to_owned(),
        recorded.version.to_string(),
        recorded.causation.map(|job| job.to_string()).unwrap_or_default(),
        recorded.actor.to_string(),
        recorded.workflow.to_string(),
        recorded.previous.to_string(),
        recorded.hash.to_string(),
        serde_json::to_string(&recorded.event)?,
    ])
}

/// An event in the JSON form of CloudEvents 1.0.
#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: String,
    source: String,
    r#type: String,
    subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    datacontenttype: &'static str,
    cycle: Integer,
    revision: Integer,
    position: Integer,
    #[serde(skip_serializing_if = "Option::is_none")]
    causation: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    actor: String,
    workflow: String,
    previoushash: String,
    hash: String,
    data: &'a Event,
}

impl<'a> CloudEvent<'a> {
    fn of(recorded: &'a Recorded) -> Self {
        let (cycle, revision) = (recorded.cycle.cycle, recorded.revision);
        Self {
            specversion: "1.0",
            id: recorded.id.to_string(),
            source: format!("/gleaner/runs/{}", recorded.cycle.run),
            r#type: format!("gleaner.{}.v{}", recorded.event.name(), recorded.version),
            subject: format!("cycle/{cycle}/revision/{revision}"),
            time: rfc3339(recorded.recorded),
            datacontenttype: "application/json",
            cycle: Integer(cycle.0.into()),
            revision: Integer(revision.0),
            position: Integer(recorded.position.0),
            causation: recorded.causation.map(|job| job.to_string()),
            actor: recorded.actor.chars().map(allowed).collect(),
            workflow: recorded.workflow.to_string(),
            previoushash: recorded.previous.to_string(),
            hash: recorded.hash.to_string(),
            data: &recorded.event,
        }
    }
}

/// A whole number. CloudEvents has those of 32 bits; a larger one is written as text, which it allows for any attribute.
struct Integer(u64);

impl Serialize for Integer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match i32::try_from(self.0) {
            Ok(number) => serializer.serialize_i32(number),
            Err(_) => serializer.collect_str(&self.0),
        }
    }
}

/// The character, if an attribute may hold it: no control characters, and no code points that stand for none.
fn allowed(c: char) -> char {
    let code = u32::from(c);
    let stands_for_none = (0xFDD0..=0xFDEF).contains(&code) || code & 0xFFFE == 0xFFFE;
    if c.is_control() || stands_for_none { char::REPLACEMENT_CHARACTER } else { c }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{awkward, log};
    use super::*;
    use crate::domain::ids::{Position, Revision};
    use crate::domain::time::Timestamp;
    use chrono::DateTime;
    use serde_json::Value;

    fn written(form: EventForm, records: &[Recorded]) -> Vec<u8> {
        let mut writer = EventWriter::new(form, Vec::new()).unwrap();
        records.iter().for_each(|recorded| writer.write(recorded).unwrap());
        writer.finish().unwrap()
    }

    /// What the specification of CloudEvents 1.0 asks of an event in JSON.
    #[track_caller]
    fn check_cloud_event(line: &str) -> Value {
        let event: Value = serde_json::from_str(line).unwrap();
        let attributes = event.as_object().unwrap();
        for name in ["id", "source", "specversion", "type"] {
            assert!(attributes[name].as_str().is_some_and(|text| !text.is_empty()), "{name}");
        }
        assert_eq!(attributes["specversion"], "1.0");
        for (name, value) in attributes.iter().filter(|(name, _)| *name != "data") {
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            assert!(name.chars().all(fits) && name.len() <= 20, "{name}");
            match value {
                Value::Number(number) => {
                    let range = i64::from(i32::MIN)..=i64::from(i32::MAX);
                    assert!(number.as_i64().is_some_and(|n| range.contains(&n)), "{name}");
                }
                Value::String(text) => {
                    assert!(text.chars().all(|c| allowed(c) == c), "{name}: {text:?}");
                }
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
                    panic!("{name} is {value}, which is no type that it has")
                }
            }
        }
        let uri = |c: char| c.is_ascii_alphanumeric() || "/-._~".contains(c);
        assert!(attributes["source"].as_str().unwrap().chars().all(uri));
        if let Some(time) = attributes.get("time") {
            DateTime::parse_from_rfc3339(time.as_str().unwrap()).unwrap();
        }
        event
    }

    #[test]
    fn each_line_is_a_cloud_event() {
        let records = log();
        let bytes = written(EventForm::Jsonl, &records);
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text.lines().count(), records.len());
        for (line, recorded) in text.lines().zip(&records) {
            let event = check_cloud_event(line);
            assert_eq!(event["id"], recorded.id.to_string());
            assert_eq!(event["hash"], recorded.hash.to_string());
            assert_eq!(event["data"], serde_json::to_value(&recorded.event).unwrap());
        }
        let first = check_cloud_event(text.lines().next().unwrap());
        assert_eq!(first["type"], "gleaner.RunStarted.v1");
        assert_eq!(first["subject"], "cycle/1/revision/0");
        assert_eq!(first["source"], "/gleaner/runs/00000000-0000-0000-0000-000000000007");
        assert_eq!(first["time"], "1970-01-01T00:00:00.000000Z");
        assert!(first.get("causation").is_none());
    }

    #[test]
    fn what_cloud_events_has_no_words_for_is_written_as_it_allows() {
        let mut recorded = awkward();
        recorded.actor = "a\nb\u{7f}\u{fdd0}\u{1ffff}é".into();
        recorded.position = Position(1 << 40);
        recorded.revision = Revision(u64::MAX);
        recorded.recorded = Timestamp(i64::MAX);
        let text = String::from_utf8(written(EventForm::Jsonl, &[recorded.clone()])).unwrap();
        let event = check_cloud_event(&text);
        assert_eq!(event["actor"], "a\u{fffd}b\u{fffd}\u{fffd}\u{fffd}é");
        assert_eq!(event["position"], "1099511627776");
        assert_eq!(event["revision"], u64::MAX.to_string());
        assert!(event.get("time").is_none());
        recorded.actor = "".into();
        let text = String::from_utf8(written(EventForm::Jsonl, &[recorded])).unwrap();
        assert!(check_cloud_event(&text).get("actor").is_none());
    }

    #[test]
    fn awkward_values_come_back_from_csv() {
        let recorded = awkward();
        let bytes = written(EventForm::Csv, std::slice::from_ref(&recorded));
        let mut csv = csv::Reader::from_reader(bytes.as_slice());
        assert_eq!(csv.headers().unwrap(), COLUMNS.as_slice());
        let rows: Vec<csv::StringRecord> = csv.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 1);
        let cell = |column: &str| {
            let place = COLUMNS.iter().position(|name| *name == column).unwrap();
            rows[0][place].to_owned()
        };
        assert_eq!(cell("actor"), *recorded.actor);
        let data: Value = serde_json::from_str(&cell("data")).unwrap();
        let picks = &data["BatchSelected"]["picks"];
        assert_eq!(picks[0]["sample"], "a,\"b\"\r\nç=1");
        // No JSON has a number that is none.
        assert_eq!((&picks[0]["score"], &picks[1]["score"]), (&Value::Null, &Value::Null));
        assert_eq!(cell("causation"), recorded.causation.unwrap().to_string());
    }

    #[test]
    fn a_form_is_named_by_its_ending() {
        for form in [EventForm::Jsonl, EventForm::Csv, EventForm::Parquet] {
            assert_eq!(form.name().parse(), Ok(form));
        }
        let told = "xlsx".parse::<EventForm>().unwrap_err().to_string();
        assert_eq!(told, "\"xlsx\" is no form: choose one of jsonl, csv and parquet");
    }

    #[cfg(not(feature = "parquet"))]
    #[test]
    fn a_build_without_parquet_says_what_to_build_with() {
        let refused = EventWriter::new(EventForm::Parquet, Vec::new()).map(drop).unwrap_err();
        assert!(refused.to_string().contains("--features parquet"), "{refused}");
    }
}
