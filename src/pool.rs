//! The samples of a workflow, in memory: numbers, ids, known labels, and the split.
//!
//! One file per format lies in `pool/` and yields checked rows; this file gives them their place, version and split. It
//! knows nothing of who labels what: a known label is what the file says, and whether a run may look at it is not decided
//! here.

mod csv;
mod split;

pub use split::Split;

use crate::domain::definition::{PoolSource, PoolSpec};
use crate::domain::digest::Digest;
use crate::domain::ids::SampleId;
use crate::domain::matrix::Matrix;
use std::collections::HashMap;
use std::path::Path;

/// More distinct labels than this are no classes; a list in the workflow (`pool.classes`) may be longer.
pub const INFERRED_CLASSES_MAX: usize = 10_000;

/// The samples of a workflow. Rows keep the order of the file.
#[derive(Debug, Clone)]
pub struct Pool {
    version: Digest,
    classes: Vec<String>,
    shape: Vec<usize>,
    ids: Vec<SampleId>,
    /// Row indexes in the order of ids.
    by_id: Vec<usize>,
    features: Matrix,
    labels: Vec<Option<u32>>,
    split: Split,
}

impl Pool {
    /// Reads the pool that `spec` describes; its path is relative to `folder`, the workflow file's folder.
    ///
    /// Takes time and memory in proportion to the file, plus a sort of the ids.
    ///
    /// # Errors
    /// [`PoolError`], which names the file and, where there is one, the line and the value.
    pub fn load(spec: &PoolSpec, folder: &Path) -> Result<Self, PoolError> {
        let path = folder.join(&spec.path);
        let raw = match spec.source {
            PoolSource::Csv => csv::read(spec, &path)?,
        };
        Self::build(spec, &path, raw)
    }

    fn build(spec: &PoolSpec, path: &Path, raw: Raw) -> Result<Self, PoolError> {
        let file = path.display().to_string();
        let columns = raw.features.cols();
        let shape = if spec.shape.is_empty() { vec![columns] } else { spec.shape.clone() };
        if product(&shape) != Some(columns) {
            return Err(PoolError::Shape { file, shape, columns });
        }
        let by_id = sorted_ids(path, &raw)?;
        let Raw { ids, features, labels, classes, .. } = raw;
        if classes.len() < 2 {
            return Err(PoolError::TooFewClasses { file, classes });
        }
        let split = split::stratified(spec, &file, &ids, &labels, &classes)?;
        let version = version(&shape, &classes, &ids, &features, &labels);
        Ok(Self { version, classes, shape, ids, by_id, features, labels, split })
    }

    /// The pool's version: SHA-256 of its manifest, which is, integers big-endian and every text and list after its
    /// length as 8 bytes: `gleaner pool 1`, the shape, the classes, and for each row its id and the SHA-256 of its
    /// canonical bytes (the features as big-endian `f32`, then the known label's index as 4 bytes, nothing where it has
    /// none). It does not depend on the seed of the split.
    #[must_use]
    pub const fn version(&self) -> Digest {
        self.version
    }

    /// The class list, in index order.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The shape of one sample as the model takes it; its product is the number of feature columns.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The ids, row by row.
    #[must_use]
    pub fn ids(&self) -> &[SampleId] {
        &self.ids
    }

    /// The row of a sample.
    #[must_use]
    pub fn index_of(&self, id: &SampleId) -> Option<usize> {
        let place = self.by_id.binary_search_by(|&row| self.ids.get(row).cmp(&Some(id))).ok()?;
        self.by_id.get(place).copied()
    }

    /// One row per sample, every value finite, scaled as the workflow says.
    #[must_use]
    pub const fn features(&self) -> &Matrix {
        &self.features
    }

    /// The label the file gives to row `index`, as an index into [`Pool::classes`].
    #[must_use]
    pub fn label(&self, index: usize) -> Option<u32> {
        self.labels.get(index).copied().flatten()
    }

    /// Which rows train, which choose checkpoints and which measure.
    #[must_use]
    pub const fn split(&self) -> &Split {
        &self.split
    }
}

/// What a format's reader hands on: checked cells, not yet a pool.
struct Raw {
    ids: Vec<SampleId>,
    /// The byte at which each row was found; empty where ids cannot collide.
    offsets: Vec<u64>,
    features: Matrix,
    labels: Vec<Option<u32>>,
    classes: Vec<String>,
}

/// Gives labels their index: by the workflow's list, or by what turns up.
struct ClassList {
    index: HashMap<String, u32>,
    given: bool,
}

impl ClassList {
    fn new(given: &[String]) -> Self {
        let index = (0..).zip(given).map(|(index, class)| (class.clone(), index)).collect();
        Self { index, given: !given.is_empty() }
    }

    /// The index of `label`, provisional unless the list was given; `None` where it is not in the given list.
    fn index_of(&mut self, label: &str) -> Option<u32> {
        if let Some(&index) = self.index.get(label) {
            return Some(index);
        }
        if self.given {
            return None;
        }
        let next = u32::try_from(self.index.len()).ok()?;
        self.index.insert(label.to_owned(), next);
        Some(next)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.index.keys().map(String::as_str)
    }

    /// The final list; re-numbers `labels` where it was inferred: by number where every label is a whole number, else by
    /// text.
    fn finish(self, labels: &mut [Option<u32>]) -> Vec<String> {
        let given = self.given;
        let mut entries: Vec<(String, u32)> = self.index.into_iter().collect();
        if given {
            entries.sort_by_key(|&(_, index)| index);
        } else if entries.iter().all(|(name, _)| name.parse::<i64>().is_ok()) {
            entries.sort_by_cached_key(|(name, _)| (name.parse::<i64>().ok(), name.clone()));
        } else {
            entries.sort();
        }
        if !given {
            let renumbered: HashMap<u32, u32> =
                (0..).zip(&entries).map(|(new, &(_, old))| (old, new)).collect();
            for label in labels.iter_mut().flatten() {
                *label = renumbered.get(label).copied().unwrap_or(*label);
            }
        }
        entries.into_iter().map(|(name, _)| name).collect()
    }
}

fn product(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |product, &side| product.checked_mul(side))
}

/// The rows in the order of their ids, which must differ.
fn sorted_ids(path: &Path, raw: &Raw) -> Result<Vec<usize>, PoolError> {
    let id = |row: usize| raw.ids.get(row);
    let mut rows: Vec<usize> = (0..raw.ids.len()).collect();
    rows.sort_by_key(|&row| (id(row), row));
    let line = |row: usize| csv::line_of(path, raw.offsets.get(row).copied().unwrap_or_default());
    for (&first, &second) in rows.iter().zip(rows.iter().skip(1)) {
        if let (Some(a), Some(b)) = (id(first), id(second))
            && a == b
        {
            return Err(PoolError::DuplicateId {
                file: path.display().to_string(),
                line: line(second),
                id: a.to_string(),
                first: line(first),
            });
        }
    }
    Ok(rows)
}

fn version(
    shape: &[usize],
    classes: &[String],
    ids: &[SampleId],
    features: &Matrix,
    labels: &[Option<u32>],
) -> Digest {
    let mut manifest = b"gleaner pool 1".to_vec();
    let number = |manifest: &mut Vec<u8>, n: usize| manifest.extend((n as u64).to_be_bytes());
    let text = |manifest: &mut Vec<u8>, text: &str| {
        number(manifest, text.len());
        manifest.extend(text.as_bytes());
    };
    number(&mut manifest, shape.len());
    shape.iter().for_each(|&side| number(&mut manifest, side));
    number(&mut manifest, classes.len());
    classes.iter().for_each(|class| text(&mut manifest, class));
    number(&mut manifest, ids.len());
    let mut sample = Vec::with_capacity(features.cols().saturating_mul(4).saturating_add(4));
    for ((id, row), label) in ids.iter().zip(features.iter_rows()).zip(labels) {
        sample.clear();
        sample.extend(row.iter().flat_map(|value| value.to_be_bytes()));
        sample.extend(label.iter().flat_map(|class| class.to_be_bytes()));
        text(&mut manifest, id.as_str());
        manifest.extend(Digest::of(&sample).as_bytes());
    }
    Digest::of(&manifest)
}

/// Why a pool cannot be used. Lines count from 1, the header line included.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// The file cannot be opened or read.
    #[error(
        "could not read the pool file {file}; `pool.path` is relative to the workflow file's folder"
    )]
    Read {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No header, or no rows after it.
    #[error("{file}: {what}; a header line and at least one sample are expected")]
    Empty {
        /// The file.
        file: String,
        /// What is missing.
        what: &'static str,
    },
    /// A cell that is no text.
    #[error("{file}:{line}: column {column} is not UTF-8; save the file as UTF-8")]
    NotUtf8 {
        /// The file.
        file: String,
        /// The line.
        line: u64,
        /// The column, from 1.
        column: usize,
    },
    /// A column that the workflow names is missing.
    #[error("{file}:1: there is no column {column:?}, which `pool.{key}` names{hint}")]
    NoColumn {
        /// The file.
        file: String,
        /// The key in `[pool]`.
        key: &'static str,
        /// Its value.
        column: String,
        /// The nearest column, or what there is.
        hint: String,
    },
    /// Two columns of one name.
    #[error("{file}:1: there are two columns {column:?}; rename one of them")]
    DuplicateColumn {
        /// The file.
        file: String,
        /// The name.
        column: String,
    },
    /// A row that is shorter or longer than the header.
    #[error(
        "{file}:{line}: {found} cells, but the header has {expected}; complete or remove the row"
    )]
    Ragged {
        /// The file.
        file: String,
        /// The line.
        line: u64,
        /// How many cells there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// A feature that is no finite number.
    #[error(
        "{file}:{line}: column {column:?}: {value:?} is not a finite number that fits 32 bits (after `pool.scale`); \
         correct it, or remove the row"
    )]
    NotANumber {
        /// The file.
        file: String,
        /// The line.
        line: u64,
        /// The column.
        column: String,
        /// The cell.
        value: String,
    },
    /// An empty id.
    #[error(
        "{file}:{line}: the id is empty; every sample needs one, or leave out `pool.id_column`"
    )]
    EmptyId {
        /// The file.
        file: String,
        /// The line.
        line: u64,
    },
    /// Two samples of one id.
    #[error("{file}:{line}: the id {id:?} is taken by line {first}; ids must differ")]
    DuplicateId {
        /// The file.
        file: String,
        /// The second line.
        line: u64,
        /// The id.
        id: String,
        /// The first line.
        first: u64,
    },
    /// A label that is not in the class list.
    #[error("{file}:{line}: the label {value:?} is not in `pool.classes`{hint}")]
    UnknownLabel {
        /// The file.
        file: String,
        /// The line.
        line: u64,
        /// The label.
        value: String,
        /// The nearest class, or what to do.
        hint: String,
    },
    /// A label column that holds something else.
    #[error(
        "{file}:{line}: more than {INFERRED_CLASSES_MAX} different labels in column {column:?}; is it the label \
         column? If so, list them in `pool.classes`"
    )]
    TooManyClasses {
        /// The file.
        file: String,
        /// The line.
        line: u64,
        /// The column.
        column: String,
    },
    /// Nothing to tell apart.
    #[error(
        "{file}: there is nothing to tell apart: the classes are {classes:?}, and at least two are needed; label some \
         samples or set `pool.classes`"
    )]
    TooFewClasses {
        /// The file.
        file: String,
        /// The classes.
        classes: Vec<String>,
    },
    /// The shape asks for another number of values than a row has.
    #[error(
        "{file}:1: there are {columns} feature columns, but `pool.shape` = {shape:?} takes {}; set it to [{columns}], \
         or to sides whose product is {columns}",
        product(shape).map_or_else(|| "more than fit in memory".to_owned(), |n| n.to_string())
    )]
    Shape {
        /// The file.
        file: String,
        /// `pool.shape`.
        shape: Vec<usize>,
        /// How many feature columns there are.
        columns: usize,
    },
    /// A class that cannot be in every part of the split.
    #[error(
        "{file}: the class {class:?} has {samples} labelled samples, but the split needs at least {needed}, one for \
         each part; add samples, remove the class, or set `pool.validation` or `pool.test` to 0"
    )]
    TooFewSamples {
        /// The file.
        file: String,
        /// The class.
        class: String,
        /// How many samples it has.
        samples: usize,
        /// How many it needs.
        needed: usize,
    },
}

#[cfg(test)]
#[path = "pool/tests.rs"]
mod tests;
