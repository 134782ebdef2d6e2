//! What a format hands on: rows that are read when they are needed, and what is known about each.

use super::PoolError;
use super::ids::{self, Ids};
use super::labels::{ClassList, Labels};
use super::metadata::Extras;
use super::shown::Shown;
use super::targets::Targets;
use crate::domain::definition::{Broken, PoolSpec};
use crate::domain::digest::Digest;
use crate::domain::ids::SampleId;
use crate::domain::matrix::Matrix;
use crate::domain::rows::{Rows, RowsError, Runs};
use crate::domain::table::Table;
use rayon::prelude::*;
use std::fs::File;
use std::io::{Error, ErrorKind, Result as IoResult};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The features of a pool: every number finite, wherever they lie.
pub(super) trait Source: Rows + Send + Sync {
    /// Puts the rows into another order. Only what lists its ids is ever asked.
    fn reorder(&mut self, order: &[usize]);

    /// The digest of what a row was made of; `None`: of its features.
    fn content(&self, _row: usize) -> Option<Digest> {
        None
    }

    /// What a row looks like to people, where that is another thing than its features.
    fn shown(&self, _row: usize) -> Result<Option<Shown>, RowsError> {
        Ok(None)
    }
}

impl Source for Matrix {
    fn reorder(&mut self, order: &[usize]) {
        *self = self.select_rows(order);
    }
}

/// What a format's reader hands on: checked, but not yet a pool.
pub(super) struct Raw {
    pub(super) ids: Ids,
    pub(super) features: Box<dyn Source>,
    /// The shape of a row as the file tells it; a pool's own comes first.
    pub(super) shape: Vec<usize>,
    pub(super) labels: Labels,
    pub(super) classes: Vec<String>,
    pub(super) metadata: Table,
    pub(super) seconds: Option<Vec<f32>>,
    /// The number of rows of the file, broken ones included.
    pub(super) rows_in_file: usize,
    /// The row of the file that each row was; `None`: the same, or what a generated id says.
    pub(super) order: Option<Vec<usize>>,
    pub(super) skipped: Skipped,
}

/// What a reader has of a format whose rows may list their ids, in the order of the file.
pub(super) struct InFile<S> {
    /// The listed ids; none where ids are generated.
    pub(super) ids: Vec<SampleId>,
    /// The row of the file that each sample was.
    pub(super) numbers: Runs,
    pub(super) features: S,
    pub(super) labels: Labels,
    pub(super) classes: ClassList,
    /// Labels that are numbers, where there are such; in their stead.
    pub(super) targets: Option<Matrix>,
    pub(super) extras: Extras,
    /// The number of rows of the file, broken ones included.
    pub(super) rows_in_file: usize,
    pub(super) skipped: Skipped,
}

impl<S: Source + 'static> InFile<S> {
    /// The same in the order of ids, which are listed if `spec` names their column; `line` tells where a sample stands.
    pub(super) fn by_id(
        mut self,
        spec: &PoolSpec,
        path: &Path,
        line: impl Fn(usize) -> u64,
    ) -> Result<Raw, PoolError> {
        let mut classes = self.classes.finish(&mut self.labels);
        let (ids, order) = if spec.id_column.is_none() {
            (Ids::generated(path, self.numbers), None)
        } else {
            let order = ids::order(path, &self.ids, line)?;
            self.features.reorder(&order);
            self.labels.reorder(&order);
            if let Some(targets) = &mut self.targets {
                targets.reorder(&order);
            }
            let ids = order.iter().filter_map(|&row| self.ids.get(row).cloned()).collect();
            // Rows of the file, for whatever else goes by them.
            let in_file: Vec<usize> = self.numbers.iter().collect();
            let of_file = order.iter().filter_map(|&row| in_file.get(row).copied()).collect();
            (Ids::Listed(ids), Some((order, of_file)))
        };
        let (order, of_file) = order.unzip();
        let (metadata, seconds) = self.extras.finish(order.as_deref());
        if let Some(targets) = self.targets {
            self.labels = Labels::Numbers(Targets::new(Box::new(targets))?);
            classes.clone_from(&spec.classes);
        }
        Ok(Raw {
            ids,
            shape: vec![self.features.cols()],
            features: Box::new(self.features),
            labels: self.labels,
            classes,
            metadata,
            seconds,
            rows_in_file: self.rows_in_file,
            order: of_file,
            skipped: self.skipped,
        })
    }
}

/// Samples that were left out because they could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Skipped {
    /// The first of them: where, and why.
    pub listed: Vec<String>,
    /// How many there are.
    pub count: usize,
}

/// More are counted, not listed: to tell the line of a broken row, the file is read again.
const LISTED_MAX: usize = 100;

impl Skipped {
    /// What a broken sample means: an error, or one more that is left out. The error is made only where it is needed.
    pub(super) fn or_fail(
        &mut self,
        spec: &PoolSpec,
        error: impl FnOnce() -> PoolError,
    ) -> Result<(), PoolError> {
        if spec.broken == Broken::Fail {
            return Err(error());
        }
        self.note(|| error().to_string());
        Ok(())
    }

    /// One more that is left out.
    pub(super) fn note(&mut self, what: impl FnOnce() -> String) {
        self.count += 1;
        if self.listed.len() < LISTED_MAX {
            self.listed.push(what());
        }
    }
}

/// Some rows of `source` as a matrix, in the order given.
pub(super) fn gather(source: &dyn Source, rows: &[usize]) -> Result<Matrix, RowsError> {
    /// Rows that one thread reads in turn: few enough that images are spread, many enough that numbers are cheap.
    const PIECE: usize = 16;
    let pieces: Vec<Vec<f32>> = rows
        .par_chunks(PIECE)
        .map(|rows| {
            let mut values = Vec::with_capacity(rows.len().saturating_mul(source.cols()));
            for run in rows.chunk_by(|before, after| before.checked_add(1) == Some(*after)) {
                if let (Some(&first), Some(&last)) = (run.first(), run.last()) {
                    values.extend_from_slice(&source.read(first..last + 1)?);
                }
            }
            Ok(values)
        })
        .collect::<Result<_, RowsError>>()?;
    Matrix::new(rows.len(), source.cols(), pieces.concat()).ok_or_else(|| RowsError {
        what: "the pool".to_owned(),
        first: rows.iter().copied().min().unwrap_or_default(),
        end: rows.iter().copied().max().unwrap_or_default().saturating_add(1),
        reason: format!("it has {} rows", source.rows()),
    })
}

/// Opens a regular file; a pipe would not give its bytes twice, and a device might never end.
pub(super) fn open(path: &Path) -> IoResult<File> {
    if std::fs::metadata(path)?.is_file() {
        File::open(path)
    } else {
        Err(Error::new(ErrorKind::InvalidInput, "not a regular file"))
    }
}

/// A file whose bytes are read when they are needed, and that must stay what it was: its length and the time of its last
/// change are looked at whenever it is read.
#[derive(Debug)]
pub(super) struct Steady {
    file: File,
    pub(super) path: PathBuf,
    pub(super) length: u64,
    changed: Option<SystemTime>,
}

impl Steady {
    pub(super) fn open(path: &Path) -> Result<Self, PoolError> {
        let opened = open(path).and_then(|file| {
            let about = file.metadata()?;
            Ok((file, about.len(), about.modified().ok()))
        });
        let (file, length, changed) = opened.map_err(|source| PoolError::read(path, source))?;
        Ok(Self { file, path: path.to_path_buf(), length, changed })
    }

    pub(super) const fn reader(&self) -> &File {
        &self.file
    }

    /// Fills `bytes` from byte `at` on.
    pub(super) fn read_at(&self, bytes: &mut [u8], at: u64) -> IoResult<()> {
        use std::os::unix::fs::FileExt as _;
        let about = self.file.metadata()?;
        if (about.len(), about.modified().ok()) != (self.length, self.changed) {
            return Err(Error::new(
                ErrorKind::InvalidData,
                "it was written to while in use; replace a pool's file as a whole (write another, then rename it)",
            ));
        }
        self.file.read_exact_at(bytes, at)
    }

    pub(super) fn failed(&self, range: Range<usize>, reason: impl ToString) -> RowsError {
        RowsError {
            what: self.path.display().to_string(),
            first: range.start,
            end: range.end,
            reason: reason.to_string(),
        }
    }
}

/// `range`, cut at the last of `rows`.
pub(super) fn cut(range: Range<usize>, rows: usize) -> Range<usize> {
    let end = range.end.min(rows);
    range.start.min(end)..end
}

/// A finite number that is still finite as an `f32` after scaling.
pub(super) fn scaled(value: f64, scale: f64) -> Option<f32> {
    #[expect(clippy::cast_possible_truncation, reason = "rounds; what overflows is refused below")]
    let value = (value * scale) as f32;
    value.is_finite().then_some(value)
}

/// Rows of a source in pieces of about a megabyte, for whoever walks through all of them.
pub(super) fn pieces(rows: usize, cols: usize) -> impl Iterator<Item = Range<usize>> {
    let piece = (256 * 1024 / cols.max(1)).max(1);
    (0..rows).step_by(piece).map(move |first| first..first.saturating_add(piece).min(rows))
}

/// The values of each row of `piece`, which has `rows` rows; also where rows have no values.
pub(super) fn rows_of(piece: &[f32], rows: usize, cols: usize) -> impl Iterator<Item = &[f32]> {
    (0..rows).map(move |row| piece.get(row * cols..(row + 1) * cols).unwrap_or_default())
}
