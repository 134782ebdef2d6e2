//! The labels of a run at any point of its log, as CSV and JSON Lines.
//!
//! One row a labelled sample, in the order of sample ids:
//!
//! | column | what it is |
//! |---|---|
//! | `sample` | its id |
//! | `label` | the name of its class; the names of its classes, a JSON array; a number; or of a mask the SHA-256 of its file |
//! | `cycle`, `arm` | the cycle that bought the label, and on whose behalf |
//! | `annotator` | who said so; `consensus` where the label rests on several answers |
//! | `time` | when the label became what it is, RFC 3339 in UTC |
//!
//! A mask's file lies under its digest among the artifacts: `artifacts/ab/cdef...`, a byte a pixel, row by row, each the
//! index of a class.

use super::{ExportError, UnknownForm, of_csv, rfc3339};
use crate::audit::replay::{Replay, Snapshot, arm};
use crate::domain::event::Event;
use crate::domain::ids::{Name, RunId, SampleId};
use crate::domain::label::Label;
use crate::domain::state::{IllegalEvent, Known, Run};
use crate::domain::time::Timestamp;
use crate::store::Recorded;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::str::FromStr;

/// Who says a label that rests on several answers, as in the log.
const CONSENSUS: &str = "consensus";

/// How labels are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelForm {
    /// A header and a row a label, quoted as RFC 4180 tells.
    Csv,
    /// A JSON object a line.
    Jsonl,
    /// One document for tools that read COCO; masks only, see [`super::coco`].
    Coco,
}

impl LabelForm {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
            Self::Coco => "coco",
        }
    }
}

impl FromStr for LabelForm {
    type Err = UnknownForm;

    fn from_str(name: &str) -> Result<Self, UnknownForm> {
        let found = [Self::Csv, Self::Jsonl, Self::Coco].into_iter().find(|f| f.name() == name);
        found.ok_or_else(|| UnknownForm { found: name.into(), known: "csv, jsonl and coco" })
    }
}

/// The labels that a log adds up to. It holds each of them, and not the events.
#[derive(Debug, Clone)]
pub struct LabelSet {
    replay: Replay,
    said: BTreeMap<SampleId, Said>,
}

/// Who said a label, and when.
#[derive(Debug, Clone)]
struct Said {
    annotator: Name,
    at: Timestamp,
}

/// A label with all that is known of it.
#[derive(Serialize)]
struct Row<'a> {
    sample: &'a str,
    label: Named<'a>,
    cycle: u32,
    arm: &'static str,
    annotator: &'a str,
    time: Option<String>,
}

/// A label, in the words of whoever gave it.
#[derive(Serialize)]
#[serde(untagged)]
enum Named<'a> {
    Class(&'a str),
    Classes(Vec<&'a str>),
    Value(f64),
    Mask(String),
}

impl LabelSet {
    /// Of a run of which nothing has happened yet.
    #[must_use]
    pub fn new(run: RunId) -> Self {
        Self { replay: Replay::new(run), said: BTreeMap::new() }
    }

    /// Takes the next event of the run.
    ///
    /// # Errors
    /// [`IllegalEvent`] for one that cannot follow; nothing has changed then.
    pub fn take(&mut self, recorded: &Recorded) -> Result<(), IllegalEvent> {
        self.replay.take(recorded.cycle.cycle, recorded.revision, &recorded.event)?;
        if let Event::Annotated(annotated) = &recorded.event {
            self.said.extend(annotated.labels.iter().map(|label| {
                let said = Said { annotator: label.annotator.clone(), at: label.at };
                (label.sample.clone(), said)
            }));
        } else if let Event::Relabelled(relabelled) = &recorded.event {
            // One that was asked again and stands is still what the first annotator said.
            let changed = relabelled.labels.iter().filter(|label| label.before != label.after);
            self.said.extend(changed.map(|label| {
                let said = Said { annotator: CONSENSUS.into(), at: recorded.recorded };
                (label.sample.clone(), said)
            }));
        }
        Ok(())
    }

    /// The run at this point.
    #[must_use]
    pub const fn run(&self) -> &Run {
        self.replay.run()
    }

    /// Where in the log this is, and the digest of the labels.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.replay.snapshot()
    }

    /// The class list, in index order.
    pub(super) fn classes(&self) -> &[String] {
        self.run().started.as_ref().map_or(&[], |started| started.classes.as_slice())
    }

    /// Writes them as CSV.
    ///
    /// # Errors
    /// [`ExportError::Write`].
    pub fn write_csv(&self, out: impl Write) -> Result<(), ExportError> {
        let mut csv = csv::Writer::from_writer(out);
        let header = ["sample", "label", "cycle", "arm", "annotator", "time"];
        csv.write_record(header).map_err(of_csv)?;
        for row in self.rows() {
            let label = match row.label {
                Named::Class(name) => name.to_owned(),
                Named::Classes(names) => serde_json::to_string(&names).map_err(io::Error::from)?,
                Named::Value(number) => format!("{number:?}"),
                Named::Mask(digest) => digest,
            };
            let (cycle, time) = (row.cycle.to_string(), row.time.unwrap_or_default());
            csv.write_record([row.sample, &label, &cycle, row.arm, row.annotator, &time])
                .map_err(of_csv)?;
        }
        csv.flush()?;
        Ok(())
    }

    /// Writes them as JSON Lines.
    ///
    /// # Errors
    /// [`ExportError::Write`].
    pub fn write_jsonl(&self, mut out: impl Write) -> Result<(), ExportError> {
        for row in self.rows() {
            serde_json::to_writer(&mut out, &row).map_err(io::Error::from)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.run().labels.iter().filter_map(|(sample, known)| self.row(sample, known))
    }

    /// A line; `None` for a label that was erased.
    fn row<'a>(&'a self, sample: &'a SampleId, known: &Known) -> Option<Row<'a>> {
        let classes = self.classes();
        // What the state took in is in its class list.
        let name = |class: usize| classes.get(class).map_or("", String::as_str);
        let said = self.said.get(sample);
        Some(Row {
            sample: sample.as_str(),
            label: match known.label {
                Label::Class(class) => Named::Class(name(class as usize)),
                Label::Classes(set) => Named::Classes(
                    (0..classes.len()).filter(|&at| set.holds(at)).map(name).collect(),
                ),
                Label::Value(value) => Named::Value(value.get()),
                Label::Mask(digest) => Named::Mask(digest.to_string()),
                Label::Erased(_) => return None,
            },
            cycle: known.cycle.0,
            arm: arm(known.arm),
            annotator: said.map_or("", |said| said.annotator.as_str()),
            time: said.and_then(|said| rfc3339(said.at)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{labelled, records};
    use super::*;
    use crate::domain::digest::Digest;
    use crate::domain::event::{Relabel, Relabelled};
    use crate::domain::label::{ClassSet, Value};
    use serde_json::json;

    fn csv(set: &LabelSet) -> Vec<Vec<String>> {
        let mut bytes = Vec::new();
        set.write_csv(&mut bytes).unwrap();
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        let rows = reader.records().map(Result::unwrap);
        rows.map(|row| row.iter().map(str::to_owned).collect()).collect()
    }

    fn jsonl(set: &LabelSet) -> Vec<serde_json::Value> {
        let mut bytes = Vec::new();
        set.write_jsonl(&mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn each_kind_of_label_is_told_by_the_names_of_its_classes() {
        let names = ["cat, \"big\"", "dög", "c"];
        let awkward = "a,\"b\"\nç";
        for (label, cell, value) in [
            (Label::Class(0), "cat, \"big\"", json!("cat, \"big\"")),
            (Label::Classes(ClassSet::of([0, 1])), r#"["cat, \"big\"","dög"]"#, json!(names[..2])),
            (Label::Classes(ClassSet::of([])), "[]", json!([])),
            (Label::Value(Value::new(1e300).unwrap()), "1e300", json!(1e300)),
            (Label::Value(Value::new(0.1 + 0.2).unwrap()), "0.30000000000000004", json!(0.1 + 0.2)),
            (
                Label::Mask(Digest::of(b"")),
                &Digest::of(b"").to_string(),
                json!(Digest::of(b"").to_string()),
            ),
        ] {
            let set = labelled(&names, &[(awkward, label)]);
            let time = "1970-01-01T00:00:09.000000Z";
            assert_eq!(csv(&set), [[awkward, cell, "1", "strategy", "änn", time]]);
            let expected = json!({
                "sample": awkward, "label": value, "cycle": 1, "arm": "strategy", "annotator": "änn", "time": time
            });
            assert_eq!(jsonl(&set), [expected]);
        }
    }

    #[test]
    fn a_label_that_was_changed_is_what_the_answers_came_to() {
        let labels = [("s1", Label::Class(0)), ("s2", Label::Class(1)), ("s3", Label::Class(0))];
        let (last, mut set) = records(&["a", "b"], &labels[..2], &["s3"]);
        let relabel = |sample: &str, before, after| Relabel {
            sample: sample.into(),
            before: Label::Class(before),
            after: Label::Class(after),
        };
        let event = Relabelled { labels: vec![relabel("s1", 0, 1), relabel("s2", 1, 1)] };
        let revision = last.revision.next();
        set.take(&Recorded { revision, event: Event::Relabelled(event), ..last }).unwrap();
        let rows = csv(&set);
        let short = |row: &Vec<String>| (row[0].clone(), row[1].clone(), row[4].clone());
        let told: Vec<_> = rows.iter().map(short).collect();
        let said = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
        assert_eq!(told, [said("s1", "b", CONSENSUS), said("s2", "b", "änn")]);
    }

    #[test]
    fn a_log_that_does_not_fit_is_refused() {
        let (last, mut set) = records(&["a", "b"], &[("s1", Label::Class(0))], &["s3"]);
        let before = set.snapshot();
        assert!(set.take(&last).is_err());
        assert_eq!(set.snapshot(), before);
    }
}
