//! The manifest of a pool: what its version is the digest of, and how a later pool is held against it.
//!
//! Integers are big-endian, every text and list stands after its length as 8 bytes. Both forms begin with their name, the
//! shape, the classes and the number of samples.
//!
//! * `gleaner pool 1`: for each sample its id and its digest.
//! * `gleaner pool 2`, for more than [`LISTED_MAX`] samples with generated ids, so that a large pool has a small manifest:
//!   the digest of each [`BLOCK`] samples, which is that of the number of each (8 bytes) and its digest.
//!
//! A sample's digest is the SHA-256 of its canonical bytes: its features as big-endian `f32` (of an image: the SHA-256 of
//! its file), then the known label's index as 4 bytes, or its numbers as big-endian `f32`, nothing where it has none.

use super::PoolError;
use super::ids::Ids;
use super::labels::Labels;
use super::source::{Source, pieces, rows_of};
use crate::domain::digest::{Digest, Hasher};
use crate::domain::ids::SampleId;
use crate::domain::rows::{RowsError, Runs};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::Range;

/// More samples with generated ids are listed in blocks.
pub(super) const LISTED_MAX: usize = 1 << 20;

/// The samples of a block: few, because a change is only known to lie in one of them.
pub(super) const BLOCK: usize = 64;

const LISTED: &[u8] = b"gleaner pool 1";
const BLOCKS: &[u8] = b"gleaner pool 2";

/// What a manifest is of.
pub(super) struct Manifest<'a> {
    pub(super) file: &'a str,
    pub(super) shape: &'a [usize],
    pub(super) classes: &'a [String],
    pub(super) ids: &'a Ids,
    pub(super) features: &'a dyn Source,
    pub(super) labels: &'a Labels,
}

impl Manifest<'_> {
    /// Gives the manifest's bytes to `out`, piece by piece, and to `content` a number for each row in turn that is the same
    /// for the same features.
    pub(super) fn write(
        &self,
        out: &mut dyn FnMut(&[u8]),
        content: &mut dyn FnMut(u64),
    ) -> Result<(), RowsError> {
        let in_blocks = matches!(self.ids, Ids::Generated { .. }) && self.ids.len() > LISTED_MAX;
        out(if in_blocks { BLOCKS } else { LISTED });
        number(out, self.shape.len());
        self.shape.iter().for_each(|&side| number(out, side));
        number(out, self.classes.len());
        self.classes.iter().for_each(|class| text(out, class));
        number(out, self.ids.len());
        if in_blocks {
            let mut blocks = Blocks::default();
            self.each(0..self.ids.len(), &mut |row, digest, hash| {
                content(hash);
                if let Some(block) = blocks.add(self.number_of(row), digest) {
                    out(block.as_bytes());
                }
            })?;
            if let Some(last) = blocks.finish() {
                out(last.as_bytes());
            }
            return Ok(());
        }
        self.each(0..self.ids.len(), &mut |row, digest, hash| {
            content(hash);
            text(out, &self.ids.get(row));
            out(digest.as_bytes());
        })
    }

    fn number_of(&self, row: usize) -> usize {
        match self.ids {
            Ids::Generated { numbers, .. } => numbers.get(row).unwrap_or(row),
            Ids::Listed(_) => row,
        }
    }

    /// The digest of each sample of `rows` in turn, and a number for its features.
    fn each(
        &self,
        rows: Range<usize>,
        take: &mut dyn FnMut(usize, Digest, u64),
    ) -> Result<(), RowsError> {
        let cols = self.features.cols();
        let mut bytes = Vec::with_capacity(cols.saturating_mul(4).saturating_add(4));
        for piece in pieces(rows.len(), cols) {
            let piece = piece.start + rows.start..piece.end + rows.start;
            // What is known by its content need not be decoded to be named.
            let known = self.features.content(piece.start).is_some();
            let values =
                if known { Default::default() } else { self.features.read(piece.clone())? };
            for (row, features) in piece.clone().zip(rows_of(&values, piece.len(), cols)) {
                bytes.clear();
                match self.features.content(row) {
                    Some(content) => bytes.extend_from_slice(content.as_bytes()),
                    None => bytes.extend(features.iter().flat_map(|value| value.to_be_bytes())),
                }
                let mut hasher = DefaultHasher::new();
                bytes.hash(&mut hasher);
                match self.labels {
                    Labels::Classes(_) => {
                        let class = self.labels.get(row);
                        bytes.extend(class.iter().flat_map(|class| class.to_be_bytes()));
                    }
                    Labels::Numbers(targets) if self.labels.knows(row) => {
                        let numbers = targets.rows.read(row..row + 1)?;
                        bytes.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
                    }
                    Labels::Numbers(_) => {}
                }
                take(row, Digest::of(&bytes), hasher.finish());
            }
        }
        Ok(())
    }

    /// The rows of this pool that `old`, the manifest of another version of it, holds. Every sample of `old` must be here,
    /// unchanged.
    pub(super) fn members(&self, old: &[u8]) -> Result<Runs, PoolError> {
        let changed = |what: String| PoolError::Changed { file: self.file.to_owned(), what };
        let unreadable = || changed("what it held is not known any more".to_owned());
        let mut old = Bytes(old);
        let in_blocks = match old.take(LISTED.len()) {
            Some(LISTED) => false,
            Some(BLOCKS) => true,
            Some(_) | None => return Err(unreadable()),
        };
        let (shape, classes, count) = old.header().ok_or_else(unreadable)?;
        if shape != self.shape {
            return Err(changed(format!(
                "the shape of its samples was {shape:?} and is {:?} now",
                self.shape
            )));
        }
        if classes != self.classes {
            return Err(changed(format!(
                "its classes were {classes:?} and are {:?} now (list them in `pool.classes`)",
                self.classes
            )));
        }
        let (members, first) = if in_blocks {
            self.first_changed_block(&mut old, count)?
        } else {
            self.first_changed(&mut old, count)?
        };
        match first {
            None => Ok(members),
            Some(what) => Err(changed(what)),
        }
    }

    fn first_changed(
        &self,
        old: &mut Bytes<'_>,
        count: usize,
    ) -> Result<(Runs, Option<String>), PoolError> {
        let mut known: Vec<(usize, Digest)> = Vec::new();
        for _ in 0..count {
            let (Some(id), Some(digest)) = (old.text(), old.digest()) else { break };
            let Some(row) = self.ids.index_of(id) else {
                return Ok((Runs::default(), Some(format!("sample {id} is missing"))));
            };
            known.push((row, digest));
        }
        known.sort_unstable();
        let mut next = known.iter().copied().peekable();
        let mut first = None;
        self.each(0..self.ids.len(), &mut |row, digest, _| {
            if let Some((_, before)) = next.next_if(|&(known, _)| known == row)
                && before != digest
            {
                first = first.or(Some(row));
            }
        })?;
        let what = first.map(|row| format!("sample {} is another now", self.ids.get(row)));
        Ok((known.iter().map(|&(row, _)| row).collect(), what))
    }

    fn first_changed_block(
        &self,
        old: &mut Bytes<'_>,
        count: usize,
    ) -> Result<(Runs, Option<String>), PoolError> {
        let id = |row: usize| self.ids.get(row.min(self.ids.len().saturating_sub(1))).into_owned();
        if count > self.ids.len() {
            let (last, now) = (id(usize::MAX), self.ids.len());
            return Ok((
                Runs::default(),
                Some(format!(
                    "it had {count} samples and has {now} now: those after {last} are missing"
                )),
            ));
        }
        let (mut first, mut blocks, mut place) = (None, Blocks::default(), 0);
        let mut compare = |block: Option<Digest>| {
            if let Some(block) = block {
                if old.digest() != Some(block) {
                    first = first.or(Some(place));
                }
                place += 1;
            }
        };
        self.each(0..count, &mut |row, digest, _| {
            compare(blocks.add(self.number_of(row), digest))
        })?;
        compare(blocks.finish());
        let what = first.map(|block: usize| {
            let from = block * BLOCK;
            let last = (from + BLOCK).min(count).saturating_sub(1);
            format!("a sample of {} to {} is missing or another now", id(from), id(last))
        });
        Ok((Runs::all_but(count, []), what))
    }
}

/// Which samples a manifest lists, for those who have no pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    shape: Vec<usize>,
    samples: Samples,
}

/// The samples of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Samples {
    /// By their ids, each with its place.
    Listed(HashMap<String, usize>),
    /// With generated ids, which the manifest does not list.
    Generated,
}

impl Listing {
    /// What the bytes of a manifest list; `None` where they are none.
    #[must_use]
    pub fn read(manifest: &[u8]) -> Option<Self> {
        let mut bytes = Bytes(manifest);
        let in_blocks = match bytes.take(LISTED.len())? {
            LISTED => false,
            BLOCKS => true,
            _ => return None,
        };
        let (shape, _, count) = bytes.header()?;
        if in_blocks {
            return Some(Self { shape, samples: Samples::Generated });
        }
        let mut ids = HashMap::new();
        for place in 0..count {
            ids.insert(bytes.text()?.to_owned(), place);
            bytes.digest()?;
        }
        Some(Self { shape, samples: Samples::Listed(ids) })
    }

    /// The shape of a sample.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Which of two of its samples comes first.
    #[must_use]
    pub fn order(&self, a: &SampleId, b: &SampleId) -> Ordering {
        match &self.samples {
            Samples::Listed(ids) => ids.get(a.as_str()).cmp(&ids.get(b.as_str())),
            Samples::Generated => number_in(a).cmp(&number_in(b)),
        }
    }

    /// Whether it lists this sample; of a manifest in blocks, whether the id looks like one of those that are generated.
    #[must_use]
    pub fn holds(&self, sample: &SampleId) -> bool {
        match &self.samples {
            Samples::Listed(ids) => ids.contains_key(sample.as_str()),
            Samples::Generated => number_in(sample).is_some(),
        }
    }
}

/// The number in a generated id.
fn number_in(sample: &SampleId) -> Option<usize> {
    sample.as_str().rsplit_once('-')?.1.parse().ok()
}

/// Digests of [`BLOCK`] samples at a time.
#[derive(Default)]
struct Blocks {
    hasher: Hasher,
    samples: usize,
}

impl Blocks {
    fn add(&mut self, number: usize, sample: Digest) -> Option<Digest> {
        self.hasher.update(&(number as u64).to_be_bytes());
        self.hasher.update(sample.as_bytes());
        self.samples += 1;
        if self.samples == BLOCK { self.finish() } else { None }
    }

    fn finish(&mut self) -> Option<Digest> {
        let Self { hasher, samples } = std::mem::take(self);
        (samples > 0).then(|| hasher.finish())
    }
}

fn number(out: &mut dyn FnMut(&[u8]), n: usize) {
    out(&(n as u64).to_be_bytes());
}

fn text(out: &mut dyn FnMut(&[u8]), text: &str) {
    number(out, text.len());
    out(text.as_bytes());
}

/// The bytes of a manifest that are still to be read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<usize> {
        let (number, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        usize::try_from(u64::from_be_bytes(*number)).ok()
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = self.number()?;
        std::str::from_utf8(self.take(length)?).ok()
    }

    fn digest(&mut self) -> Option<Digest> {
        let (digest, rest) = self.0.split_first_chunk::<32>()?;
        self.0 = rest;
        Some(Digest::from_bytes(*digest))
    }

    fn header(&mut self) -> Option<(Vec<usize>, Vec<String>, usize)> {
        let sides = self.number()?;
        let shape = (0..sides).map_while(|_| self.number()).collect();
        let names = self.number()?;
        let classes = (0..names).map_while(|_| self.text().map(str::to_owned)).collect();
        Some((shape, classes, self.number()?))
    }
}
