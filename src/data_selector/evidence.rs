//! What a selection consumed, as one file, so that the batch can be picked again without the model: the evidence.
//!
//! A zip of `.npy` arrays, nothing compressed, which `numpy.load` opens (a `.npz`):
//!
//! | entry | what it holds |
//! |---|---|
//! | `selection.json` | strategy, seed, cycle, sizes, names and shapes: [`About`] |
//! | `ids.jsonl` | the candidates, one JSON string a line |
//! | `scores.npy` | the score of each candidate (`f64`; NaN for the audit arm), if the strategy scores each |
//! | `outputs/NAME.npy` | an output of the model, a row for each candidate, as `keep` says in `f32` or `f16` |
//! | `members/N.npy` | what a member of the committee says |
//! | `labelled/NAME.npy`, `labelled/classes.npy` | the same for the labelled samples, and their classes |
//! | `labelled/label_sets.npy` | in multi-label tasks: a flag for each class of each labelled sample |
//! | `seconds.npy` | seconds of annotation |
//! | `queries/N.npy` | the candidates that a query of the strategy answered, in its order |
//!
//! Only what the strategy needs is in it. The bytes are the same for the same selection: no times, no order by chance.

use super::strategy::{Needs, Plan, Strategy};
use super::view::{Answer, Labelled, Output, Queries, View};
use super::{KeepScores, SelectRequest, Selection, SelectorError, build, select};
use crate::domain::definition::Keep;
use crate::domain::ids::{CycleNumber, SampleId};
use crate::domain::matrix::Matrix;
use crate::domain::npy;
use crate::domain::rows::{Rows, RowsError};
use crate::domain::strategy::StrategySpec;
use half::f16;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::ops::Range;
use std::sync::Mutex;
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

/// The format that is written now.
const FORMAT: u32 = 1;
/// Rows that are written at a time.
const PIECE: usize = 64 * 1024;

/// What evidence says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// The format's version.
    pub format: u32,
    /// The strategy as workflows write it.
    pub strategy: StrategySpec,
    /// The version of its definition.
    pub version: u32,
    /// The run's seed.
    pub seed: u64,
    /// The cycle that picked.
    pub cycle: CycleNumber,
    /// How many were to be picked, both arms together.
    pub batch: usize,
    /// How many of them by the audit arm.
    pub audit: usize,
    /// How many classes there are.
    pub classes: usize,
    /// What was kept.
    pub keep: Keep,
    /// The outputs and the shapes of their rows.
    pub outputs: BTreeMap<String, Vec<usize>>,
    /// The shapes of the members' rows.
    pub members: Vec<Vec<usize>>,
    /// The outputs kept for the labelled samples.
    pub labelled: Vec<String>,
    /// The queries that were asked, and how many samples with a label each answered beside candidates.
    pub queries: Vec<(String, usize)>,
}

/// Writes evidence while a selection goes on.
pub struct EvidenceWriter<W: Write> {
    zip: ZipWriter<StreamWriter<W>>,
    scores: bool,
}

impl<W: Write> EvidenceWriter<W> {
    /// A file with nothing in it yet.
    pub fn new(out: W) -> Self {
        Self { zip: ZipWriter::new_stream(out), scores: false }
    }

    /// Picks a batch and writes what it consumed, as `keep` says. The strategy must be the one that `name` builds.
    ///
    /// # Errors
    /// Those of [`select`], and [`SelectorError::Keep`] if it cannot be written.
    pub fn select(
        &mut self,
        request: &SelectRequest<'_>,
        spec: &StrategySpec,
        keep: Keep,
    ) -> Result<Selection, SelectorError> {
        let view = request.view;
        let heard = Heard::default();
        let selection = {
            let mut give = |scores: &[f64]| {
                if !self.scores {
                    self.start("scores.npy", "<f8", &[view.len()])?;
                    self.scores = true;
                }
                let bytes: Vec<u8> = scores.iter().flat_map(|score| score.to_le_bytes()).collect();
                self.write(&bytes)
            };
            let listening = view.queries.map(|inner| Listening { inner, heard: &heard });
            match &listening {
                Some(listening) => {
                    let view = view.asking(listening);
                    select(&SelectRequest { view: &view, ..*request }, listener(keep, &mut give))?
                }
                None => select(request, listener(keep, &mut give))?,
            }
        };
        let needs = request.strategy.needs();
        let whole = match keep {
            Keep::F32 | Keep::F16 => true,
            Keep::Scores => !self.scores,
            Keep::Nothing => false,
        };
        let shown = if whole { needs.clone() } else { Needs::default() };
        let queries = heard.0.into_inner().unwrap_or_default();
        self.about(request, spec, keep, &shown, if whole { &queries } else { &[] })?;
        self.ids(view)?;
        if whole {
            self.view(view, &needs, keep)?;
            for (number, (_, answer)) in queries.iter().enumerate() {
                let places = &answer.candidates;
                self.start(&format!("queries/{number}.npy"), "<u8", &[places.len()])?;
                let places = places.iter().flat_map(|&place| (place as u64).to_le_bytes());
                self.write(&places.collect::<Vec<u8>>())?;
            }
        }
        Ok(selection)
    }

    /// Ends the file and gives back what it was written to.
    ///
    /// # Errors
    /// [`SelectorError::Keep`].
    pub fn finish(self) -> Result<W, SelectorError> {
        let stream = self.zip.finish().map_err(|error| cannot(&error))?;
        Ok(stream.into_inner())
    }

    fn about(
        &mut self,
        request: &SelectRequest<'_>,
        spec: &StrategySpec,
        keep: Keep,
        needs: &Needs,
        queries: &[(String, Answer)],
    ) -> Result<(), SelectorError> {
        let view = request.view;
        let shape = |name: &String| Ok((name.clone(), view.output(name)?.shape.clone()));
        let members = if needs.members { view.members.as_slice() } else { &[] };
        let about = About {
            format: FORMAT,
            strategy: spec.clone(),
            version: request.strategy.version(),
            seed: view.seed,
            cycle: view.cycle,
            batch: request.batch,
            audit: request.audit,
            classes: view.classes,
            keep,
            outputs: needs
                .outputs
                .iter()
                .chain(&needs.labelled)
                .map(shape)
                .collect::<Result<_, SelectorError>>()?,
            members: members.iter().map(|member| member.shape.clone()).collect(),
            labelled: needs.labelled.iter().cloned().collect(),
            queries: queries.iter().map(|(sql, answer)| (sql.clone(), answer.labelled)).collect(),
        };
        let json = serde_json::to_vec_pretty(&about).map_err(|error| cannot(&error))?;
        self.entry("selection.json")?;
        self.write(&json)
    }

    fn ids(&mut self, view: &View<'_>) -> Result<(), SelectorError> {
        self.entry("ids.jsonl")?;
        for first in (0..view.len()).step_by(PIECE) {
            let mut lines = Vec::new();
            for index in first..(first + PIECE).min(view.len()) {
                serde_json::to_writer(&mut lines, &*view.id(index))
                    .map_err(|error| cannot(&error))?;
                lines.push(b'\n');
            }
            self.write(&lines)?;
        }
        Ok(())
    }

    fn view(&mut self, view: &View<'_>, needs: &Needs, keep: Keep) -> Result<(), SelectorError> {
        for name in needs.outputs.union(&needs.labelled) {
            self.rows(&format!("outputs/{name}.npy"), &*view.output(name)?.rows, keep)?;
        }
        if needs.members {
            for (number, member) in view.members.iter().enumerate() {
                self.rows(&format!("members/{number}.npy"), &*member.rows, keep)?;
            }
        }
        for name in &needs.labelled {
            self.rows(&format!("labelled/{name}.npy"), view.labelled(name)?, keep)?;
        }
        let classes = &view.labelled.classes;
        self.start("labelled/classes.npy", "<u4", &[classes.len()])?;
        self.write(&classes.iter().flat_map(|class| class.to_le_bytes()).collect::<Vec<u8>>())?;
        let sets = &view.labelled.label_sets;
        if let Some(first) = sets.first() {
            self.start("labelled/label_sets.npy", "|b1", &[sets.len(), first.len()])?;
            self.write(&sets.iter().flatten().map(|&flag| u8::from(flag)).collect::<Vec<u8>>())?;
        }
        if let Some(seconds) = view.seconds.as_ref().filter(|_| needs.seconds) {
            self.start("seconds.npy", "<f8", &[seconds.len()])?;
            self.write(&seconds.iter().flat_map(|s| s.to_le_bytes()).collect::<Vec<u8>>())?;
        }
        Ok(())
    }

    fn rows(&mut self, name: &str, rows: &dyn Rows, keep: Keep) -> Result<(), SelectorError> {
        let shape = [rows.rows(), rows.cols()];
        let half = keep == Keep::F16;
        self.start(name, if half { "<f2" } else { "<f4" }, &shape)?;
        // About a megabyte at a time, whatever the width.
        let piece = (PIECE * 4 / rows.cols().max(1)).max(1);
        for first in (0..rows.rows()).step_by(piece) {
            let values = rows.read(first..first + piece)?;
            let bytes: Vec<u8> = if half {
                values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect()
            } else {
                values.iter().flat_map(|value| value.to_le_bytes()).collect()
            };
            self.write(&bytes)?;
        }
        Ok(())
    }

    fn start(&mut self, name: &str, descr: &str, shape: &[usize]) -> Result<(), SelectorError> {
        self.entry(name)?;
        self.write(&npy::encode(descr, shape))
    }

    fn entry(&mut self, name: &str) -> Result<(), SelectorError> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::default())
            .unix_permissions(0o644)
            .large_file(true);
        self.zip.start_file(name, options).map_err(|error| cannot(&error))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), SelectorError> {
        self.zip.write_all(bytes).map_err(|error| cannot(&error))
    }
}

/// Whom to give scores to.
fn listener<'k>(
    keep: Keep,
    give: &'k mut dyn FnMut(&[f64]) -> Result<(), SelectorError>,
) -> Option<KeepScores<'k>> {
    match keep {
        Keep::F32 | Keep::F16 | Keep::Scores => Some(give),
        Keep::Nothing => None,
    }
}

fn cannot(error: &dyn std::error::Error) -> SelectorError {
    SelectorError::Keep { reason: error.to_string() }
}

/// What was asked and answered, in the order of the first asking.
#[derive(Default)]
struct Heard(Mutex<Vec<(String, Answer)>>);

/// Remembers what is answered.
struct Listening<'a> {
    inner: &'a dyn Queries,
    heard: &'a Heard,
}

impl Queries for Listening<'_> {
    fn answer(&self, sql: &str) -> Result<Answer, SelectorError> {
        let answer = self.inner.answer(sql)?;
        if let Ok(mut heard) = self.heard.0.lock()
            && heard.iter().all(|(known, _)| known != sql)
        {
            heard.push((sql.to_owned(), answer.clone()));
        }
        Ok(answer)
    }
}

/// Rows rounded to 16 bits, as they will be kept.
pub struct Rounded<R>(pub R);

impl Rounded<&Matrix> {
    /// The whole matrix.
    #[must_use]
    pub fn whole(&self) -> Matrix {
        let values = self.0.data().iter().map(|&value| f16::from_f32(value).to_f32());
        Matrix::new(self.0.rows(), self.0.cols(), values.collect()).unwrap_or_default()
    }
}

impl<R: Rows> Rows for Rounded<R> {
    fn rows(&self) -> usize {
        self.0.rows()
    }

    fn cols(&self) -> usize {
        self.0.cols()
    }

    fn read(&self, range: Range<usize>) -> Result<Cow<'_, [f32]>, RowsError> {
        let mut values = self.0.read(range)?.into_owned();
        values.iter_mut().for_each(|value| *value = f16::from_f32(*value).to_f32());
        Ok(Cow::Owned(values))
    }
}

/// Evidence, read again.
#[derive(Debug)]
pub struct Evidence {
    /// What it says about itself.
    pub about: About,
    /// The candidates.
    pub ids: Vec<SampleId>,
    /// The score of each, if they were kept.
    pub scores: Option<Vec<f64>>,
    outputs: BTreeMap<String, Matrix>,
    members: Vec<Matrix>,
    labelled: BTreeMap<String, Matrix>,
    classes: Vec<u32>,
    label_sets: Vec<Vec<bool>>,
    seconds: Option<Vec<f64>>,
    queries: Answered,
}

/// Answers that were given before.
#[derive(Debug)]
struct Answered(Vec<(String, Answer)>);

impl Queries for Answered {
    fn answer(&self, sql: &str) -> Result<Answer, SelectorError> {
        let known = self.0.iter().find(|(known, _)| known == sql);
        known.map(|(_, answer)| answer.clone()).ok_or_else(|| SelectorError::Query {
            query: sql.to_owned(),
            problem: "its answer was not kept".to_owned(),
        })
    }
}

impl Evidence {
    /// Reads evidence from its bytes; takes memory for what they hold.
    ///
    /// # Errors
    /// What is wrong with them, for people.
    pub fn read(bytes: &[u8]) -> Result<Self, EvidenceError> {
        let mut file = File::open(bytes)?;
        let about: About = serde_json::from_slice(file.bytes("selection.json")?)
            .map_err(|error| wrong("selection.json", &error.to_string()))?;
        if about.format != FORMAT {
            let format = about.format;
            return Err(wrong("selection.json", &format!("format {format} is not known")));
        }
        let ids = ids(file.bytes("ids.jsonl")?)?;
        let mut outputs = BTreeMap::new();
        for name in about.outputs.keys() {
            outputs.insert(name.clone(), file.matrix(&format!("outputs/{name}.npy"))?);
        }
        let members = (0..about.members.len())
            .map(|number| file.matrix(&format!("members/{number}.npy")))
            .collect::<Result<_, _>>()?;
        let mut labelled = BTreeMap::new();
        for name in &about.labelled {
            labelled.insert(name.clone(), file.matrix(&format!("labelled/{name}.npy"))?);
        }
        let classes = file.optional("labelled/classes.npy", "<u4", u32::from_le_bytes)?;
        let flags = file.optional("labelled/label_sets.npy", "|b1", |[flag]: [u8; 1]| flag != 0)?;
        let each =
            flags.as_ref().and_then(|flags| flags.len().checked_div(classes.as_ref()?.len()));
        let label_sets = match (flags, each) {
            (Some(flags), Some(each)) if each > 0 => {
                flags.chunks_exact(each).map(<[bool]>::to_vec).collect()
            }
            _ => Vec::new(),
        };
        let mut queries = Vec::new();
        for (number, (sql, labelled)) in about.queries.iter().enumerate() {
            let name = format!("queries/{number}.npy");
            let places = file.optional(&name, "<u8", u64::from_le_bytes)?.unwrap_or_default();
            let candidates = places.into_iter().filter_map(|p| usize::try_from(p).ok()).collect();
            queries.push((sql.clone(), Answer { candidates, labelled: *labelled }));
        }
        Ok(Self {
            about,
            ids,
            scores: file.optional("scores.npy", "<f8", f64::from_le_bytes)?,
            outputs,
            members,
            labelled,
            classes: classes.unwrap_or_default(),
            label_sets,
            seconds: file.optional("seconds.npy", "<f8", f64::from_le_bytes)?,
            queries: Answered(queries),
        })
    }

    /// An output of the model, a row for each candidate, where it was kept.
    #[must_use]
    pub fn output(&self, name: &str) -> Option<&Matrix> {
        self.outputs.get(name)
    }

    /// The same output for the labelled samples, in the pool's order, where it was kept.
    #[must_use]
    pub fn labelled(&self, name: &str) -> Option<&Matrix> {
        self.labelled.get(name)
    }

    /// The seconds of annotation of each candidate, where the pool says them and the strategy asked.
    #[must_use]
    pub fn seconds(&self) -> Option<&[f64]> {
        self.seconds.as_deref()
    }

    /// All that models said and that was kept, by the names of the entries.
    pub fn answers(&self) -> impl Iterator<Item = (String, &Matrix)> {
        let outputs = self.outputs.iter().map(|(name, rows)| (format!("outputs/{name}"), rows));
        let members = self.members.iter().enumerate();
        let members = members.map(|(number, rows)| (format!("members/{number}"), rows));
        let labelled = self.labelled.iter().map(|(name, rows)| (format!("labelled/{name}"), rows));
        outputs.chain(members).chain(labelled)
    }

    /// Picks the batch again from what was kept: the same picks, bit for bit.
    ///
    /// # Errors
    /// [`SelectorError`] as the selection itself, or that too little was kept.
    pub fn select_again(&self) -> Result<Selection, SelectorError> {
        let strategy: Box<dyn Strategy> = match &self.scores {
            // Scores are all that a strategy which scores each candidate comes to.
            Some(scores) => Box::new(Scored { scores, version: self.about.version }),
            None => build(&self.about.strategy)?,
        };
        self.select_by(&*strategy)
    }

    /// Picks a batch by another strategy from what was kept, or by one that is not built in.
    ///
    /// # Errors
    /// [`SelectorError`] as a selection, for instance if the strategy needs what was not kept.
    pub fn select_by(&self, strategy: &dyn Strategy) -> Result<Selection, SelectorError> {
        self.select_batch_by(strategy, self.about.batch)
    }

    /// As [`Evidence::select_by`], a batch of another size: both arms together.
    ///
    /// # Errors
    /// As [`Evidence::select_by`].
    pub fn select_batch_by(
        &self,
        strategy: &dyn Strategy,
        batch: usize,
    ) -> Result<Selection, SelectorError> {
        let about = &self.about;
        let name = about.strategy.to_string();
        let mut view = View::new(self.ids.as_slice(), about.seed, about.cycle);
        view.classes = about.classes;
        for (output, matrix) in &self.outputs {
            let shape = about.outputs.get(output).cloned().unwrap_or_default();
            view = view.with(output, Output { rows: Box::new(matrix), shape });
        }
        view.members = self
            .members
            .iter()
            .zip(&about.members)
            .map(|(matrix, shape)| Output { rows: Box::new(matrix), shape: shape.clone() })
            .collect();
        view.labelled = Labelled {
            classes: Cow::Borrowed(&self.classes),
            label_sets: Cow::Borrowed(&self.label_sets),
            outputs: self
                .labelled
                .iter()
                .map(|(name, matrix)| (name.as_str(), Cow::Borrowed(matrix)))
                .collect(),
        };
        view.seconds = self.seconds.as_deref().map(Cow::Borrowed);
        view.queries = Some(&self.queries);
        select(
            &SelectRequest { strategy, name: &name, view: &view, batch, audit: about.audit },
            None,
        )
    }
}

/// Scores that were worked out before.
struct Scored<'a> {
    scores: &'a [f64],
    version: u32,
}

impl Strategy for Scored<'_> {
    fn version(&self) -> u32 {
        self.version
    }

    fn needs(&self) -> Needs {
        Needs::nothing()
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, _: usize) -> Result<Plan<'v>, SelectorError> {
        Ok(Plan::scores(move |rows| {
            let score = |index| view.place(index).and_then(|place| self.scores.get(place));
            Ok(rows.map(|index| score(index).copied().unwrap_or(f64::NAN)).collect())
        }))
    }
}

/// Bytes that are no evidence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the evidence's entry {entry}: {problem}")]
pub struct EvidenceError {
    /// Which entry.
    pub entry: String,
    /// What is wrong.
    pub problem: String,
}

fn wrong(entry: &str, problem: &str) -> EvidenceError {
    EvidenceError { entry: entry.to_owned(), problem: problem.to_owned() }
}

struct File<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    all: &'a [u8],
}

impl<'a> File<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, EvidenceError> {
        let zip = ZipArchive::new(Cursor::new(bytes))
            .map_err(|error| wrong("(all)", &format!("it is no zip file: {error}")))?;
        Ok(Self { zip, all: bytes })
    }

    /// An entry where it lies. Whether it is the one that was written, the artifact's digest tells, and no checksum of the zip.
    fn bytes(&mut self, name: &str) -> Result<&'a [u8], EvidenceError> {
        let fail = |problem: String| wrong(name, &problem);
        let entry = self.zip.by_name(name).map_err(|error| fail(error.to_string()))?;
        if entry.compression() != CompressionMethod::Stored {
            return Err(fail("it is compressed".to_owned()));
        }
        let range = entry.data_start().and_then(|start| {
            let start = usize::try_from(start).ok()?;
            Some(start..start.checked_add(usize::try_from(entry.size()).ok()?)?)
        });
        let bytes = range.and_then(|range| self.all.get(range));
        bytes.ok_or_else(|| fail("it ends before its end".to_owned()))
    }

    fn matrix(&mut self, name: &str) -> Result<Matrix, EvidenceError> {
        let (header, body) = split(name, self.bytes(name)?)?;
        let values: Vec<f32> = match header.descr.as_str() {
            "<f4" => body.as_chunks().0.iter().copied().map(f32::from_le_bytes).collect(),
            "<f2" => body
                .as_chunks()
                .0
                .iter()
                .copied()
                .map(|bytes| f16::from_le_bytes(bytes).to_f32())
                .collect(),
            other => return Err(wrong(name, &format!("{other:?} where floats are expected"))),
        };
        let shape = &header.shape;
        let (rows, cols) = match shape.as_slice() {
            [rows, cols] => (*rows, *cols),
            _ => return Err(wrong(name, &format!("the shape {shape:?} is no matrix"))),
        };
        Matrix::new(rows, cols, values)
            .ok_or_else(|| wrong(name, &format!("it is not as long as its shape {shape:?} says")))
    }

    fn optional<T, const N: usize>(
        &mut self,
        name: &str,
        descr: &str,
        value: impl Fn([u8; N]) -> T,
    ) -> Result<Option<Vec<T>>, EvidenceError> {
        if self.zip.index_for_name(name).is_none() {
            return Ok(None);
        }
        let (header, body) = split(name, self.bytes(name)?)?;
        let values: Vec<T> = body.as_chunks().0.iter().copied().map(value).collect();
        if header.descr != descr || header.len() != Some(values.len()) {
            return Err(wrong(name, "it does not hold what its header says"));
        }
        Ok(Some(values))
    }
}

/// The candidates, one JSON string a line; all cores read them.
fn ids(lines: &[u8]) -> Result<Vec<SampleId>, EvidenceError> {
    let lines: Vec<&[u8]> = lines.split_inclusive(|byte| *byte == b'\n').collect();
    let id = |line: &&[u8]| match serde_json::from_slice::<&str>(line) {
        Ok(id) => Ok(SampleId::from(id)),
        // One with escapes does not lie there as it is.
        Err(_) => serde_json::from_slice::<String>(line).map(SampleId::from),
    };
    let ids: Result<Vec<SampleId>, serde_json::Error> = lines.par_iter().map(id).collect();
    ids.map_err(|error| wrong("ids.jsonl", &error.to_string()))
}

fn split<'b>(name: &str, bytes: &'b [u8]) -> Result<(npy::Header, &'b [u8]), EvidenceError> {
    let header = npy::parse(bytes).map_err(|problem| wrong(name, &problem))?;
    if header.fortran_order {
        return Err(wrong(name, "its values lie column after column"));
    }
    let body = bytes.get(header.offset..).unwrap_or_default();
    Ok((header, body))
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{distributions, ids, probabilities};
    use super::*;
    use quickcheck::quickcheck;

    fn kept(strategy: &str, view: &View<'_>, audit: usize, keep: Keep) -> (Selection, Vec<u8>) {
        let spec: StrategySpec = strategy.parse().unwrap();
        let built = build(&spec).unwrap();
        let mut bytes = Vec::new();
        let mut writer = EvidenceWriter::new(&mut bytes);
        let request = SelectRequest { strategy: &*built, name: strategy, view, batch: 4, audit };
        let selection = writer.select(&request, &spec, keep).unwrap();
        writer.finish().unwrap();
        (selection, bytes)
    }

    #[test]
    fn a_batch_is_picked_again_from_what_was_kept() {
        let p = distributions(&[(9, 1, 1), (5, 5, 1), (4, 4, 4), (7, 1, 1), (3, 3, 2), (8, 8, 8)]);
        let candidates = ids(6);
        for strategy in ["margin", "entropy", "random"] {
            for keep in [Keep::F32, Keep::Scores] {
                let (found, bytes) = kept(strategy, &probabilities(&candidates, &p), 1, keep);
                let evidence = Evidence::read(&bytes).unwrap();
                assert_eq!(evidence.select_again().unwrap(), found);
                assert_eq!(evidence.ids, candidates);
                let has_outputs = keep == Keep::F32 && strategy != "random";
                assert_eq!(evidence.outputs.get("probabilities"), has_outputs.then_some(&p));
                let same = kept(strategy, &probabilities(&candidates, &p), 1, keep).1;
                assert_eq!(bytes, same);
            }
        }
    }

    #[test]
    fn in_sixteen_bits_the_strategy_sees_what_is_kept() {
        let p = distributions(&[(9, 1, 1), (5, 5, 1), (4, 4, 4), (7, 1, 1)]);
        let candidates = ids(4);
        let mut view = View::new(candidates.as_slice(), 1, CycleNumber(1))
            .with("probabilities", Output::flat(Rounded(&p)));
        view.classes = 3;
        let (found, bytes) = kept("margin", &view, 0, Keep::F16);
        let evidence = Evidence::read(&bytes).unwrap();
        assert_eq!(evidence.select_again().unwrap(), found);
        assert_eq!(&*Rounded(&p).read(0..4).unwrap(), evidence.outputs["probabilities"].data());
    }

    quickcheck! {
        /// Whatever bytes are there: evidence that selects or refuses, or an error.
        fn damaged_evidence_never_panics(place: usize, bits: u8, cut: usize) -> bool {
            let p = distributions(&[(9, 1, 1), (5, 5, 1), (4, 4, 4)]);
            let candidates = ids(3);
            let mut bytes = kept("margin", &probabilities(&candidates, &p), 1, Keep::F32).1;
            let place = place % bytes.len();
            bytes[place] ^= bits;
            bytes.truncate(bytes.len() - cut % 64);
            match Evidence::read(&bytes).map(|found| found.select_again()) {
                Ok(Ok(found)) => found.picks.len() <= 4,
                Ok(Err(error)) => !error.to_string().is_empty(),
                Err(error) => !error.to_string().is_empty(),
            }
        }
    }
}
