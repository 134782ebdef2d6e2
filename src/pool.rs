//! The samples of a workflow: ids, features, known labels, and the split. Nothing here must fit in memory but what each
//! sample is called and labelled, and even that costs little: see below.
//!
//! One file per format yields checked rows; this file gives them their place, version and split. It knows nothing of who
//! labels what: a known label is what the file says, and whether a run may look at it is not decided here.
//!
//! | to find | open |
//! |---|---|
//! | comma-separated values | `pool/csv.rs`: in memory |
//! | NumPy matrices: features, embeddings | `pool/npy.rs`: read where they lie; ids cost nothing, a label 4 bytes |
//! | JSON lines: texts, embeddings | `pool/jsonl.rs`, `pool/text.rs`: 16 bytes a sample, beside its id and label |
//! | folders of images | `pool/images.rs`, `pool/picture.rs`, `pool/folder.rs`: decoded on the fly |
//! | Parquet | `pool/parquet.rs`: in memory; feature `parquet` |
//! | class probabilities made elsewhere | `pool/predictions.rs` |
//! | what annotators said | `pool/answers.rs` |
//! | what a version is, and whether a pool only grew | `pool/manifest.rs` |
//! | labels that are sets of classes, values, masks | `pool/targets.rs` |
//! | samples with the same bytes | `pool/duplicates.rs`: 16 bytes a sample while the pool is opened |
//! | training, validation, test | `pool/split.rs` |
//! | how a sample looks to people | `pool/shown.rs` |
//!
//! A pool's file must not be written to while a run uses it, but may be replaced by another: write a new file and rename
//! it. The run goes on with what it opened until its next cycle, which looks at what there is then.

mod answers;
mod csv;
mod duplicates;
mod error;
mod folder;
mod ids;
#[cfg(feature = "images")]
mod images;
mod jsonl;
mod labels;
mod manifest;
mod metadata;
mod npy;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(feature = "images")]
mod picture;
mod predictions;
mod shown;
mod source;
mod split;
mod stamp;
mod targets;
mod text;

pub use error::PoolError;
pub use manifest::Listing;
pub use shown::Shown;
pub use source::Skipped;
pub use split::Split;

use crate::domain::definition::{Duplicates, PoolSource, PoolSpec};
use crate::domain::digest::{Digest, Hasher};
use crate::domain::ids::SampleId;
use crate::domain::matrix::Matrix;
use crate::domain::rows::{Rows, Runs};
use crate::domain::table::Table;
use duplicates::Copies;
use ids::Ids;
use labels::Labels;
use manifest::Manifest;
use source::{Raw, Source};
use std::borrow::Cow;
use std::fmt;
use std::path::Path;

/// More distinct labels than this are no classes; a list in the workflow (`pool.classes`) may be longer.
pub const INFERRED_CLASSES_MAX: usize = 10_000;

/// The samples of a workflow. Rows are in the order of ids: listed ids ascending, generated ones by their number.
pub struct Pool {
    spec: PoolSpec,
    file: String,
    stamp: Digest,
    version: Digest,
    classes: Vec<String>,
    shape: Vec<usize>,
    ids: Ids,
    features: Box<dyn Source>,
    labels: Labels,
    metadata: Table,
    answers: Table,
    seconds: Option<Vec<f32>>,
    predictions: Option<Box<dyn Source>>,
    skipped: Skipped,
    copies: Copies,
    split: Split,
    complete: bool,
}

impl Pool {
    /// Reads the pool that `spec` describes; its path is relative to `folder`, the workflow file's folder.
    ///
    /// Looks at every sample once, which takes time in proportion to the files; what stays in memory is told in
    /// this module's documentation.
    ///
    /// # Errors
    /// [`PoolError`], which names the file and, where there is one, the line or row and the value.
    pub fn load(spec: &PoolSpec, folder: &Path) -> Result<Self, PoolError> {
        let path = folder.join(&spec.path);
        // Answers are read like metadata, and kept apart from it.
        let read_as = PoolSpec {
            metadata: [spec.metadata.as_slice(), &spec.answers].concat(),
            ..spec.clone()
        };
        // Before the files are read: what changes meanwhile counts as changed since.
        let stamp = stamp::of(spec, folder);
        let read = match spec.source {
            PoolSource::Csv => csv::read(&read_as, &path),
            PoolSource::Npy => npy::read(&read_as, folder, &path),
            PoolSource::Jsonl => jsonl::read(&read_as, &path),
            #[cfg(feature = "parquet")]
            PoolSource::Parquet => parquet::read(&read_as, &path),
            #[cfg(not(feature = "parquet"))]
            PoolSource::Parquet => Err(not_built(&path, "Parquet", "parquet")),
            #[cfg(feature = "images")]
            PoolSource::Images => images::read(&read_as, &path),
            #[cfg(not(feature = "images"))]
            PoolSource::Images => Err(not_built(&path, "image", "images")),
        };
        let raw = read.map_err(|mut error| {
            if let PoolError::NoColumn { key, column, .. } = &mut error
                && spec.answers.contains(column)
            {
                *key = "annotator.columns";
            }
            error
        })?;
        Self::build(spec, folder, &path, stamp, raw)
    }

    fn build(
        spec: &PoolSpec,
        folder: &Path,
        path: &Path,
        stamp: Digest,
        raw: Raw,
    ) -> Result<Self, PoolError> {
        let file = path.display().to_string();
        let Raw { ids, features, mut labels, classes, mut metadata, seconds, skipped, .. } = raw;
        let answers = metadata.columns.split_off(spec.metadata.len().min(metadata.columns.len()));
        let answers = Table { rows: metadata.rows, columns: answers };
        let columns = features.cols();
        let shape = if spec.shape.is_empty() { raw.shape } else { spec.shape.clone() };
        if product(&shape) != Some(columns) {
            return Err(PoolError::Shape { file, shape, columns });
        }
        if classes.len() < spec.task.least_classes() {
            return Err(PoolError::TooFewClasses { file, classes });
        }
        labels.compact();
        let predictions = match &spec.predictions {
            None => None,
            Some(name) => {
                let (path, order) = (folder.join(name), raw.order.as_deref());
                let opened =
                    predictions::open(&path, classes.len(), raw.rows_in_file, &ids, order)?;
                Some(Box::new(opened) as Box<dyn Source>)
            }
        };
        let mut hasher = Hasher::default();
        let mut hashes = Vec::new();
        let once = spec.duplicates == Duplicates::Once;
        let manifest = Manifest {
            file: &file,
            shape: &shape,
            classes: &classes,
            ids: &ids,
            features: &*features,
            labels: &labels,
        };
        manifest.write(&mut |bytes| hasher.update(bytes), &mut |hash| {
            if once {
                hashes.push(hash);
            }
        })?;
        let copies = Copies::find(&file, hashes, &*features)?;
        let all = Runs::all_but(ids.len(), []);
        let rows = split::minus(&all, copies.rows());
        let split = split::stratified(spec, &file, &rows, &ids, &labels, &classes)?;
        Ok(Self {
            spec: spec.clone(),
            file,
            stamp,
            version: hasher.finish(),
            classes,
            shape,
            ids,
            features,
            labels,
            metadata,
            answers,
            seconds,
            predictions,
            skipped,
            copies,
            split,
            complete: true,
        })
    }

    /// The pool as a run sees it that began with another version, whose manifest is `first`.
    ///
    /// `known` is the manifest of the version that the run's newest cycle has worked with: each of its samples must be here
    /// unchanged. What was held out of the first version stays held out, and everything else may be trained on: samples
    /// that came later, too, if `gains`, which is for the beginning of a cycle; else they are in no part of the split.
    ///
    /// # Errors
    /// [`PoolError::Changed`] names the first sample that is missing or another; [`PoolError::Rows`] where the file cannot
    /// be read.
    pub fn grown(mut self, first: &[u8], known: &[u8], gains: bool) -> Result<Self, PoolError> {
        let members = self.manifest_of().members(known)?;
        let founders =
            if first == known { members.clone() } else { self.manifest_of().members(first)? };
        let all = Runs::all_but(self.len(), []);
        let present = if gains { &all } else { &members };
        let is_in = |runs: &Runs, row: usize| ids::place(runs, row).is_some();
        self.copies = self.copies.ranked(|row| match row {
            row if is_in(&founders, row) => 0,
            row if is_in(&members, row) => 1,
            _ => 2,
        });
        let rows = split::minus(&founders, self.copies.rows());
        let Split { validation, test, .. } = split::stratified(
            &self.spec,
            &self.file,
            &rows,
            &self.ids,
            &self.labels,
            &self.classes,
        )?;
        let mut out: Vec<usize> = validation.iter().chain(&test).copied().collect();
        out.extend(self.copies.rows());
        out.sort_unstable();
        let train = split::minus(present, out);
        self.split = Split { train, validation, test };
        self.complete = present.len() == self.len();
        Ok(self)
    }

    /// The rows that another version of this pool held too, by its manifest.
    ///
    /// # Errors
    /// [`PoolError::Changed`] where one of its samples is missing or another; [`PoolError::Rows`] where the file cannot be
    /// read.
    pub fn members(&self, manifest: &[u8]) -> Result<Runs, PoolError> {
        self.manifest_of().members(manifest)
    }

    /// Whether files of the pool came, went or were written since it was loaded; `folder` is that of [`Pool::load`].
    #[must_use]
    pub fn is_stale(&self, folder: &Path) -> bool {
        stamp::of(&self.spec, folder) != self.stamp
    }

    /// Whether every sample may be worked with: a run in the middle of a cycle sees nothing of those that came since.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.complete
    }

    /// The pool's version: SHA-256 of [`Pool::manifest`]. It does not depend on the seed of the split, and grows with the
    /// pool: whoever keeps the manifest can tell whether a later pool still holds all of this one.
    #[must_use]
    pub const fn version(&self) -> Digest {
        self.version
    }

    /// The manifest: the shape, the classes, and a digest of each sample, or of every few of a large pool.
    ///
    /// # Errors
    /// [`PoolError::Rows`], as every sample is read again.
    pub fn manifest(&self) -> Result<Vec<u8>, PoolError> {
        let mut bytes = Vec::new();
        self.manifest_of().write(&mut |piece| bytes.extend_from_slice(piece), &mut |_| ())?;
        Ok(bytes)
    }

    fn manifest_of(&self) -> Manifest<'_> {
        Manifest {
            file: &self.file,
            shape: &self.shape,
            classes: &self.classes,
            ids: &self.ids,
            features: &*self.features,
            labels: &self.labels,
        }
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

    /// How many samples there are, copies included.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ids.len()
    }

    /// Never: a pool without samples does not load.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The id of a row; empty past the end.
    #[must_use]
    pub fn id(&self, row: usize) -> Cow<'_, str> {
        self.ids.get(row)
    }

    /// The same, as events name it.
    #[must_use]
    pub fn sample(&self, row: usize) -> SampleId {
        SampleId::from(&*self.id(row))
    }

    /// The row of a sample.
    #[must_use]
    pub fn index_of(&self, id: &SampleId) -> Option<usize> {
        self.ids.index_of(id.as_str())
    }

    /// One row per sample, every value finite, scaled as the workflow says.
    #[must_use]
    pub fn features(&self) -> &dyn Rows {
        &*self.features
    }

    /// The features of some rows, in the order given.
    ///
    /// # Errors
    /// [`PoolError::Rows`] if a file cannot be read, has changed, or has no such row.
    pub fn gather(&self, rows: &[usize]) -> Result<Matrix, PoolError> {
        Ok(source::gather(&*self.features, rows)?)
    }

    /// What a row looks like to people: a small picture, the beginning of its text, or its first numbers.
    ///
    /// # Errors
    /// [`PoolError::Rows`] if a file cannot be read, has changed, or has no such row.
    pub fn shown(&self, row: usize) -> Result<Shown, PoolError> {
        match self.features.shown(row)? {
            Some(shown) => Ok(shown),
            None => Shown::row(self.gather(&[row])?.data(), &self.shape),
        }
    }

    /// Class probabilities for every row, where the workflow names a file with them.
    #[must_use]
    pub fn predictions(&self) -> Option<&dyn Rows> {
        self.predictions.as_deref().map(|predictions| predictions as &dyn Rows)
    }

    /// The class that the file gives to a row, as an index into [`Pool::classes`]; in classification only.
    #[must_use]
    pub fn label(&self, row: usize) -> Option<u32> {
        self.labels.get(row)
    }

    /// Whether the file gives a label to a row.
    #[must_use]
    pub fn has_label(&self, row: usize) -> bool {
        self.labels.knows(row)
    }

    /// The labels that the file gives to some rows, in the order given: a row each, of as many numbers as the task's labels
    /// have. Where the file gives none, the numbers are NaN.
    ///
    /// # Errors
    /// [`PoolError::Rows`] if a file cannot be read or has changed.
    pub fn targets(&self, rows: &[usize]) -> Result<Matrix, PoolError> {
        match &self.labels {
            Labels::Classes(_) => {
                #[expect(clippy::cast_precision_loss, reason = "classes are far fewer than 2^24")]
                let number = |&row: &usize| self.label(row).map_or(f32::NAN, |class| class as f32);
                let numbers = rows.iter().map(number).collect();
                Ok(Matrix::new(rows.len(), 1, numbers).unwrap_or_default())
            }
            Labels::Numbers(targets) => Ok(source::gather(&*targets.rows, rows)?),
        }
    }

    /// The columns of `pool.metadata`, a value for each row.
    #[must_use]
    pub const fn metadata(&self) -> &Table {
        &self.metadata
    }

    /// The seconds that the annotation of each row takes, each finite and above 0, where the workflow names their column.
    #[must_use]
    pub fn seconds(&self) -> Option<&[f32]> {
        self.seconds.as_deref()
    }

    /// What was left out because it could not be read.
    #[must_use]
    pub const fn skipped(&self) -> &Skipped {
        &self.skipped
    }

    /// The row that stands for `row`, which has the same bytes; `None` where it stands for itself.
    #[must_use]
    pub fn duplicate_of(&self, row: usize) -> Option<usize> {
        self.copies.original(row)
    }

    /// Which rows train, which choose checkpoints and which measure.
    #[must_use]
    pub const fn split(&self) -> &Split {
        &self.split
    }

    /// What may be picked: the rows that train, less what is `labelled`, itself or one of its copies.
    pub fn candidates<'s>(&self, labelled: impl IntoIterator<Item = &'s SampleId>) -> Runs {
        let rows = labelled.into_iter().filter_map(|sample| self.index_of(sample));
        let mut known: Vec<usize> = rows.map(|row| self.duplicate_of(row).unwrap_or(row)).collect();
        known.sort_unstable();
        split::minus(&self.split.train, known)
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("file", &self.file)
            .field("version", &self.version)
            .field("samples", &self.len())
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}

#[cfg(not(all(feature = "images", feature = "parquet")))]
fn not_built(path: &Path, format: &'static str, feature: &'static str) -> PoolError {
    PoolError::NotBuilt { file: path.display().to_string(), format, feature }
}

fn product(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |product, &side| product.checked_mul(side))
}

/// A cell as an error shows it.
fn shortened(text: &str) -> String {
    if text.chars().nth(60).is_none() {
        return text.to_owned();
    }
    text.chars().take(60).chain(['…']).collect()
}

#[cfg(test)]
#[path = "pool/tests.rs"]
mod tests;
