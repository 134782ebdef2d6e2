//! Embeddings by a frozen backbone: a sample goes through it once, and never again while neither of them changes.

use super::scoring::{Asked, Ran, score_into};
use super::shown::model_file;
use crate::domain::digest::Digest;
use crate::domain::matrix::Matrix;
use crate::domain::rows::{Rows, Runs, Subset};
use crate::engine::reactor::{Step, StepError};
use crate::inference::Scores;
use crate::inference::cache::{Cached, EmbeddingCache};
use std::path::PathBuf;

/// The output that is kept.
const EMBEDDING: &str = "embedding";

/// Rows that are read at once to work out their digests.
const PIECE: usize = 1024;

/// A model file of the user's, and where its answers are kept.
pub(super) struct Backbone<'a> {
    step: &'a Step,
    /// The file, as an artifact.
    pub(super) model: Digest,
    folder: PathBuf,
    /// What ran it, if it had to run.
    pub(super) ran: Option<Ran>,
}

impl<'a> Backbone<'a> {
    /// The backbone in this file.
    pub(super) fn new(step: &'a Step, file: &str) -> Result<Self, StepError> {
        Ok(Self::of(step, model_file(step, file)?))
    }

    /// The backbone that this artifact is.
    pub(super) fn of(step: &'a Step, model: Digest) -> Self {
        let folder = step.cache.join("embeddings");
        Self { step, model, folder, ran: None }
    }

    /// What it says about `rows` of the pool. Those that it never saw go through it first; what it said about them is kept
    /// even if the step is interrupted.
    pub(super) fn embeddings(&mut self, rows: &Runs) -> Result<Cached<EmbeddingCache>, StepError> {
        let samples = self.samples(rows)?;
        let mut cache = self.open(rows)?;
        let missing = cache.missing(&samples);
        if !missing.is_empty() {
            let of_pool: Runs = missing.iter().filter_map(|&place| rows.get(place)).collect();
            let mut unkept: Vec<Digest> =
                missing.iter().filter_map(|&place| samples.get(place).copied()).collect();
            self.run(&of_pool, &mut |embeddings| {
                let rest = unkept.split_off(embeddings.rows().min(unkept.len()));
                let these = std::mem::replace(&mut unkept, rest);
                cache.append(&these, embeddings).map_err(retry)
            })?;
        }
        cache.into_rows(&samples).map_err(retry)
    }

    /// Its cache. How wide its embeddings are, one row tells if none is kept yet.
    fn open(&mut self, rows: &Runs) -> Result<EmbeddingCache, StepError> {
        let mut width = EmbeddingCache::width(&self.folder, self.model);
        if width.is_none() {
            let first: Runs = rows.get(0).into_iter().collect();
            self.run(&first, &mut |embeddings| {
                width = Some(embeddings.cols());
                Ok(())
            })?;
        }
        // Without a row nothing is kept, whatever the width.
        EmbeddingCache::open(&self.folder, self.model, width.unwrap_or(1)).map_err(retry)
    }

    fn run(
        &mut self,
        rows: &Runs,
        sink: &mut dyn FnMut(&Matrix) -> Result<(), StepError>,
    ) -> Result<(), StepError> {
        let asked =
            Asked { model: self.model, scores: Scores::Unused, outputs: &[EMBEDDING], shape: None };
        let inputs = Subset::new(self.step.pool.features(), rows);
        let row_of = |place| rows.get(place);
        let ran = score_into(self.step, &asked, &inputs, &row_of, &mut |predictions| {
            predictions.embedding.as_ref().map_or(Ok(()), &mut *sink)
        })?;
        self.ran = Some(ran);
        Ok(())
    }

    /// What tells samples apart: their values, and how those are shaped.
    fn samples(&self, rows: &Runs) -> Result<Vec<Digest>, StepError> {
        let shape: Vec<u8> =
            self.step.pool.shape().iter().flat_map(|&dim| (dim as u64).to_le_bytes()).collect();
        let source = Subset::new(self.step.pool.features(), rows);
        let mut samples = Vec::with_capacity(rows.len());
        for first in (0..rows.len()).step_by(PIECE) {
            let values = source.read(first..first.saturating_add(PIECE)).map_err(retry)?;
            for row in values.chunks(source.cols().max(1)) {
                let bytes: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
                samples.push(Digest::of_parts([shape.as_slice(), &bytes]));
            }
        }
        Ok(samples)
    }
}

fn retry(error: impl std::error::Error + Send + Sync + 'static) -> StepError {
    StepError::Retryable(Box::new(error))
}
