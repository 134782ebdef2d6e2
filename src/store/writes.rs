//! What one group of commits will write: keys with their values, and records packed into chunks.
//!
//! sled's cost is by key much more than by byte: 256 producers were 3 times slower with a key for each record and each
//! head. So consecutive records share a value of up to [`VALUE_MAX`] bytes, a *chunk*. Chunks are numbered without gaps,
//! so that a backend can have a place ready for each before it comes. A chunk is complete when its group is written and
//! is never changed.

use super::codec::{CodecError, VALUE_MAX};
use super::keys;
use crate::domain::digest::Digest;
use crate::domain::ids::{CycleId, Position};

/// A key with its new value, or without one where it is to be removed.
pub(super) type Write = (Vec<u8>, Option<Vec<u8>>);

/// How many bytes of a chunk say how long the next record is.
pub(super) const LENGTH: usize = 4;

/// The number of a chunk, from 0 on.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ChunkNumber(pub(super) u64);

impl ChunkNumber {
    /// The number `chunks` further on.
    pub(super) const fn after(self, chunks: usize) -> Self {
        Self(self.0.saturating_add(chunks as u64))
    }
}

/// Where a record is: in which chunk, and at which place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Which chunk.
    pub(super) chunk: ChunkNumber,
    /// How many records of the chunk come before it.
    pub(super) slot: u16,
}

/// A record that was appended to a cycle's log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Appended {
    /// Which log.
    pub(super) cycle: CycleId,
    /// Where it is.
    pub(super) place: Place,
    /// Its hash.
    pub(super) hash: Digest,
}

/// The writes of one group.
#[derive(Debug, Default)]
pub(super) struct Writes {
    entries: Vec<Write>,
    // With chunks counted from 0; only who writes them knows how many there are before them.
    appended: Vec<Appended>,
    chunks: Vec<Vec<u8>>,
    chunk: Vec<u8>,
    slot: u16,
    bytes: usize,
}

/// What a group writes in one atomic step, and what is readable after it.
#[derive(Debug)]
pub(super) struct Finished {
    /// Everything to write.
    pub(super) writes: Vec<Write>,
    /// The records among it.
    pub(super) appended: Vec<Appended>,
    /// How many chunks there are then.
    pub(super) chunks: ChunkNumber,
}

impl Writes {
    /// Sets the value under a key.
    pub(super) fn put(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.bytes = self.bytes.saturating_add(key.len()).saturating_add(value.len());
        self.entries.push((key, Some(value)));
    }

    /// Removes a key.
    pub(super) fn remove(&mut self, key: Vec<u8>) {
        self.bytes = self.bytes.saturating_add(key.len());
        self.entries.push((key, None));
    }

    /// Adds a record. They must come in the order of their positions.
    pub(super) fn record(&mut self, cycle: CycleId, hash: Digest, record: &[u8]) {
        let length = record.len().saturating_add(LENGTH);
        self.bytes = self.bytes.saturating_add(length);
        if self.chunk.len().saturating_add(length) > VALUE_MAX {
            self.close_chunk();
        }
        if self.chunk.is_empty() {
            self.chunk.reserve(VALUE_MAX.max(length));
        }
        let place =
            Place { chunk: ChunkNumber::default().after(self.chunks.len()), slot: self.slot };
        // A record longer than 4 GiB cannot be encoded, so its length is never cut.
        let prefix = u32::try_from(record.len()).unwrap_or(u32::MAX);
        self.chunk.extend_from_slice(&prefix.to_le_bytes());
        self.chunk.extend_from_slice(record);
        self.slot = self.slot.saturating_add(1);
        self.appended.push(Appended { cycle, place, hash });
    }

    /// Leaves these positions out for good: their events are lost.
    pub(super) fn gap(&mut self, first: Position, last: Position) -> Result<(), CodecError> {
        self.close_chunk();
        self.put(keys::gap(first), super::codec::encode(&last.0)?);
        Ok(())
    }

    /// How many changes there are.
    pub(super) const fn len(&self) -> usize {
        self.entries.len().saturating_add(self.appended.len())
    }

    /// How many bytes they have.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Everything to write behind the chunks before `first`.
    pub(super) fn finish(mut self, first: ChunkNumber) -> Finished {
        self.close_chunk();
        let chunks = first.after(self.chunks.len());
        let numbered = (first.0..).map(|number| keys::chunk(ChunkNumber(number)));
        self.entries.extend(numbered.zip(self.chunks.into_iter().map(Some)));
        for Appended { place, .. } in &mut self.appended {
            place.chunk = ChunkNumber(place.chunk.0.saturating_add(first.0));
        }
        Finished { writes: self.entries, appended: self.appended, chunks }
    }

    fn close_chunk(&mut self) {
        if !self.chunk.is_empty() {
            self.chunks.push(std::mem::take(&mut self.chunk));
            self.slot = 0;
        }
    }
}

/// The records of a chunk, in order. The bytes may be anything.
pub(super) fn records(mut chunk: &[u8]) -> impl Iterator<Item = Result<&[u8], CodecError>> {
    std::iter::from_fn(move || {
        if chunk.is_empty() {
            return None;
        }
        let short = CodecError::Short { need: LENGTH, have: chunk.len() };
        let record = chunk.split_first_chunk::<LENGTH>().ok_or(short).and_then(|(length, rest)| {
            let need = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
            rest.split_at_checked(need).ok_or(CodecError::Short { need, have: rest.len() })
        });
        // After damage nothing tells where the next record begins.
        chunk = record.as_ref().map_or(&[], |(_, rest)| rest);
        Some(record.map(|(record, _)| record))
    })
}
