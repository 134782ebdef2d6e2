//! A strategy outside Rust: a program that reads files and writes its picks.
//!
//! ```text
//! request.json     count, seed, cycle, classes, candidates, labelled, members, and the file and shape of each output
//! candidates.csv   index,id: a line for each candidate, in the order of the rows of all other files
//! labelled.csv     index,class: a line for each labelled sample, in the order of the rows of labelled-*.npy
//! output-N.npy     an output of the model, f32, a row for each candidate
//! labelled-N.npy   the same for the labelled samples
//! member-N.npy     what each member of a committee says
//! picks.csv        written by the program: a line `id,score` or `id`, then a line for each pick, the best first
//! ```

use super::strategy::{Chosen, Needs, Plan, Strategy};
use super::{SelectorError, View};
use crate::domain::npy;
use crate::domain::rows::Rows;
use crate::domain::strategy::StrategySpec;
use crate::program::{self, Ended, Program};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

/// An hour.
const SECONDS: usize = 3600;
/// Rows that are in memory at a time.
const PIECE: usize = 32 * 1024;

/// `command(run="python pick.py", outputs="probabilities,embedding", seconds=3600)`: whatever the program picks.
///
/// The program is started in the current folder, without a shell, with the path of a temporary folder as its last argument;
/// the words of `run` are separated by blanks, `'...'` and `"..."` keep blanks, and `\` keeps the character behind it (for a
/// shell, say `sh -c '...' sh`). In the folder it finds what the head of this file lists, and leaves `picks.csv`. Where it gives no
/// scores, they are ranks: the last pick's is 1. It must end with 0 within `seconds`; otherwise it is ended, with
/// all that it started ([`crate::program`]), and the selection fails with the end of what it wrote to its error output.
///
/// `outputs` names the outputs that it needs (`probabilities` where nobody says); `labelled:embedding` asks for those of the
/// labelled samples too, and `members` for those of a committee.
///
/// Source: ours. Takes a file of each output, and what the program takes; memory for a piece of rows. That the same input
/// gives the same picks is the program's to keep: all its chance should come from `seed` and `cycle`.
pub(super) struct Command {
    run: String,
    words: Vec<String>,
    outputs: BTreeSet<String>,
    labelled: BTreeSet<String>,
    members: bool,
    limit: Duration,
}

impl Command {
    pub(super) fn new(spec: &StrategySpec) -> Result<Self, SelectorError> {
        let run = spec.text("run").unwrap_or_default().to_owned();
        let words = words(&run).ok_or_else(|| SelectorError::Command {
            command: run.clone(),
            problem: "a quote is not closed, or nothing is to be run".to_owned(),
        })?;
        let seconds = spec.whole("seconds").unwrap_or(SECONDS);
        let limit = Duration::from_secs(u64::try_from(seconds).unwrap_or(u64::MAX));
        let (mut outputs, mut labelled) = (BTreeSet::new(), BTreeSet::new());
        let mut members = false;
        let named = spec.text("outputs").unwrap_or("probabilities").split(',').map(str::trim);
        for name in named.filter(|name| !name.is_empty()) {
            if name == "members" {
                members = true;
            } else if let Some(name) = name.strip_prefix("labelled:") {
                labelled.insert(name.trim().to_owned());
            } else {
                outputs.insert(name.to_owned());
            }
        }
        outputs.extend(labelled.iter().cloned());
        Ok(Self { run, words, outputs, labelled, members, limit })
    }

    fn wrong(&self, problem: String) -> SelectorError {
        SelectorError::Command { command: self.run.clone(), problem }
    }

    /// Writes all that the program may read.
    fn ask(&self, view: &View<'_>, count: usize, folder: &Path) -> Result<(), SelectorError> {
        let io = |error: io::Error| self.wrong(format!("its input cannot be written: {error}"));
        let mut outputs: Vec<Value> = Vec::new();
        let mut write = |kind: &str, name: &str, rows: &dyn Rows, shape: &[usize]| {
            let place = outputs.iter().filter(|known| known["kind"] == kind).count();
            let file = format!("{kind}-{place}.npy");
            outputs.push(json!({ "kind": kind, "name": name, "file": file, "shape": shape }));
            let mut out = BufWriter::new(File::create(folder.join(file)).map_err(io)?);
            let axes: Vec<usize> =
                std::iter::once(rows.rows()).chain(shape.iter().copied()).collect();
            out.write_all(&npy::encode("<f4", &axes)).map_err(io)?;
            for first in (0..rows.rows()).step_by(PIECE) {
                for value in &*rows.read(first..first + PIECE)? {
                    out.write_all(&value.to_le_bytes()).map_err(io)?;
                }
            }
            out.flush().map_err(io)
        };
        for name in &self.outputs {
            let output = view.output(name)?;
            write("output", name, &*output.rows, &output.shape)?;
        }
        for name in &self.labelled {
            let (shape, rows) = (&view.output(name)?.shape, view.labelled(name)?);
            write("labelled", name, rows, shape)?;
        }
        for member in if self.members { view.members.as_slice() } else { &[] } {
            write("member", "members", &*member.rows, &member.shape)?;
        }
        let mut out = BufWriter::new(File::create(folder.join("candidates.csv")).map_err(io)?);
        writeln!(out, "index,id").map_err(io)?;
        for index in 0..view.len() {
            writeln!(out, "{index},{}", csv_field(&view.id(index))).map_err(io)?;
        }
        out.flush().map_err(io)?;
        let mut out = BufWriter::new(File::create(folder.join("labelled.csv")).map_err(io)?);
        writeln!(out, "index,class").map_err(io)?;
        for (index, class) in view.labelled.classes.iter().enumerate() {
            writeln!(out, "{index},{class}").map_err(io)?;
        }
        out.flush().map_err(io)?;
        let request = json!({
            "version": 1,
            "count": count,
            "seed": view.seed,
            "cycle": view.cycle.0,
            "classes": view.classes,
            "candidates": view.len(),
            "labelled": view.labelled.classes.len(),
            "members": view.members.len(),
            "outputs": outputs,
        });
        std::fs::write(folder.join("request.json"), format!("{request:#}\n")).map_err(io)
    }

    /// Runs the program to its end.
    fn run(&self, folder: &Path) -> Result<(), SelectorError> {
        let program = Program {
            words: &self.words,
            argument: folder,
            folder: None,
            time_max: self.limit,
            memory_max: None,
        };
        let outcome = program::run(&program, &mut |_| ControlFlow::Continue(()))
            .map_err(|error| self.wrong(format!("it cannot be started: {error}")))?;
        let what = match outcome.ended {
            Ended::Exit(status) if status.success() => return Ok(()),
            Ended::Exit(status) => format!("it failed with {status}"),
            Ended::Time => format!(
                "it took longer than {} s and was ended; raise `seconds`",
                self.limit.as_secs()
            ),
            Ended::Memory { .. } | Ended::Stopped => "it was ended".to_owned(), // nobody asks for it
        };
        Err(self.wrong(match outcome.complaints.as_str() {
            "" => format!("{what}, and wrote nothing to its error output"),
            text => format!("{what}; the end of its error output: {text}"),
        }))
    }

    /// Reads what the program picked.
    fn picks(&self, view: &View<'_>, folder: &Path) -> Result<Vec<Chosen>, SelectorError> {
        let text = std::fs::read_to_string(folder.join("picks.csv"))
            .map_err(|error| self.wrong(format!("it leaves no readable picks.csv: {error}")))?;
        let bad =
            |line: usize, what: String| self.wrong(format!("line {line} of picks.csv {what}"));
        let records = csv_records(&text)
            .ok_or_else(|| self.wrong("picks.csv ends inside quotes".to_owned()))?;
        let mut records = records.into_iter();
        let header = records.next().map(|(_, header)| header).unwrap_or_default();
        let scored = match header.iter().map(|field| field.trim()).collect::<Vec<_>>().as_slice() {
            ["id"] => false,
            ["id", "score"] => true,
            _ => return Err(bad(1, "is neither `id,score` nor `id`".to_owned())),
        };
        let mut seen = BTreeSet::new();
        let mut chosen = Vec::new();
        for (line, record) in records {
            let (id, score) = match (record.as_slice(), scored) {
                ([id], false) => (id, None),
                ([id, score], true) => (id, Some(score.trim())),
                (fields, _) => {
                    return Err(bad(
                        line,
                        format!("has {} fields, unlike the first", fields.len()),
                    ));
                }
            };
            let index = view
                .find(id)
                .ok_or_else(|| bad(line, format!("names {id:?}, which is no candidate")))?;
            if !seen.insert(index) {
                return Err(bad(line, format!("names {id:?} again")));
            }
            let score = match score {
                None => 0.0,
                Some(score) => {
                    score.parse().ok().filter(|score: &f64| score.is_finite()).ok_or_else(|| {
                        bad(line, format!("has the score {score:?}; a finite number is expected"))
                    })?
                }
            };
            chosen.push(Chosen { index, score: score + 0.0, probability: None });
        }
        if !scored {
            #[expect(clippy::cast_precision_loss, reason = "a rank in a batch is far below 2^53")]
            chosen.iter_mut().rev().zip(1_u64..).for_each(|(c, rank)| c.score = rank as f64);
        }
        Ok(chosen)
    }
}

impl Strategy for Command {
    fn needs(&self) -> Needs {
        let (outputs, labelled) = (self.outputs.clone(), self.labelled.clone());
        Needs { outputs, labelled, members: self.members, ..Needs::nothing() }
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, count: usize) -> Result<Plan<'v>, SelectorError> {
        let folder = tempfile::Builder::new()
            .prefix("gleaner-command-")
            .tempdir()
            .map_err(|error| self.wrong(format!("its folder cannot be made: {error}")))?;
        self.ask(view, count, folder.path())?;
        self.run(folder.path())?;
        let chosen = self.picks(view, folder.path())?;
        if chosen.len() > count {
            let problem = format!("it picks {} samples where {count} were asked for", chosen.len());
            return Err(self.wrong(problem));
        }
        Ok(Plan::picks(chosen))
    }
}

/// The words of a command line; `None` where a quote is not closed or there is no word.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => word.get_or_insert_default().push(chars.next()?),
            ('\'' | '"', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (c, None) if c.is_whitespace() => words.extend(word.take()),
            (c, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    (quote.is_none() && !words.is_empty()).then_some(words)
}

/// A field of a CSV file, in quotes where it must be.
fn csv_field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// The records of a CSV file, each with the line where it begins, without empty lines; `None` where a quote is not closed.
fn csv_records(text: &str) -> Option<Vec<(usize, Vec<String>)>> {
    let mut records = Vec::new();
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let (mut line, mut begin) = (1, 1);
    let mut chars = text.trim_start_matches('\u{feff}').chars().chain(['\n']).peekable();
    while let Some(c) = chars.next() {
        line += usize::from(c == '\n');
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => field.extend(chars.next()),
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                if field.ends_with('\r') {
                    field.pop();
                }
                fields.push(std::mem::take(&mut field));
                let record = std::mem::take(&mut fields);
                if record.iter().any(|field| !field.is_empty()) {
                    records.push((begin, record));
                }
                begin = line;
            }
            c => field.push(c),
        }
    }
    (!quoted).then_some(records)
}

#[cfg(all(test, unix))]
#[path = "command/tests.rs"]
mod tests;
