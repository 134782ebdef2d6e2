//! Where each cycle's records are, in memory: built at opening, extended after each durable step.
//!
//! Opening reads every chunk once and checks whatever can be checked without decoding events: checksums, the chain, and
//! that positions and revisions have no gaps. It takes about 0.2 s for 100,000 events; 16 bytes for each stay in memory.

use super::codec::{self, CodecError, Skimmed};
use super::ledger::{Source, bad_key, before, damaged};
use super::writes::{Appended, ChunkNumber, Place, records};
use super::{Head, StoreError, keys};
use crate::domain::digest::Digest;
use crate::domain::ids::{CycleId, Position, Revision};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::sync::mpsc::{SyncSender, sync_channel};

/// How many chunks are read at a time at opening: 4 MiB at most, a millisecond or two for each core.
const CHUNKS_AT_ONCE: usize = 1024;

/// Chunks with their numbers.
type Chunks = Vec<(ChunkNumber, Vec<u8>)>;

/// One cycle's log.
#[derive(Debug, Default, Clone)]
struct Log {
    places: Vec<Place>,
    hash: Digest,
}

/// Every cycle's log.
#[derive(Debug, Default, Clone)]
pub(super) struct Index {
    logs: BTreeMap<CycleId, Log>,
    position: Position,
    chunks: ChunkNumber,
}

/// A stretch of a log that is to be read.
#[derive(Debug)]
pub(super) struct Stretch {
    /// The revision of the first place.
    pub(super) first: Revision,
    /// Where its records are.
    pub(super) places: Vec<Place>,
    /// The hash that the first record must point at, where it is known.
    pub(super) previous: Option<Digest>,
    /// The hash that the last record must have, where it is the log's last.
    pub(super) last: Option<Digest>,
}

impl Index {
    /// Reads and checks every chunk.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] names the first record that does not fit.
    pub(super) fn load(source: &dyn Source) -> Result<Self, StoreError> {
        let mut index = Self::default();
        let mut gaps = BTreeMap::new();
        source.scan(keys::GAPS, &mut |key, value| {
            let last: u64 = codec::decode(value).map_err(damaged("a gap that a repair left"))?;
            match keys::gap_first(key) {
                Some(first) if first.0 <= last && last <= Position::MAX.0 => {
                    gaps.insert(first, Position(last))
                }
                Some(_) | None => {
                    return Err(StoreError::Damaged {
                        what: "a gap without beginning or end".into(),
                    });
                }
            };
            Ok(())
        })?;
        let (hand_over, handed) = sync_channel(1);
        // The next chunks are fetched while some are taken in.
        std::thread::scope(|scope| {
            let fetching = scope.spawn(move || fetch(source, &hand_over));
            // Whoever fetches waits for nobody once this has ended.
            handed.into_iter().try_for_each(|chunks| index.take(&chunks, &gaps))?;
            fetching.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        index.skip(&gaps);
        Ok(index)
    }

    /// Takes chunks in, in their order; all cores read them.
    fn take(
        &mut self,
        chunks: &[(ChunkNumber, Vec<u8>)],
        gaps: &BTreeMap<Position, Position>,
    ) -> Result<(), StoreError> {
        let skim = |chunk: &[u8]| -> Vec<Result<Skimmed, CodecError>> {
            records(chunk).map(|bytes| bytes.and_then(codec::skim_record)).collect()
        };
        let skimmed: Vec<_> = chunks.par_iter().map(|(_, chunk)| skim(chunk)).collect();
        for ((found, _), records) in chunks.iter().zip(skimmed) {
            self.skip(gaps);
            let number = self.chunks;
            if *found != number {
                let first = self.position.next();
                let what = format!("events from position {first} on are missing");
                return Err(StoreError::Damaged { what });
            }
            self.chunks = number.after(1);
            for (slot, skimmed) in (0..).zip(records) {
                let skimmed = skimmed.map_err(|error| {
                    damaged(&format!("the event at position {}", self.position.next()))(error)
                })?;
                self.check(&skimmed)?;
                self.extend([Appended {
                    cycle: skimmed.cycle,
                    place: Place { chunk: number, slot },
                    hash: skimmed.hash,
                }]);
            }
        }
        Ok(())
    }

    /// Goes on behind the gap that begins here, if one does: positions whose events a repair could not save.
    fn skip(&mut self, gaps: &BTreeMap<Position, Position>) {
        while let Some(last) = gaps.get(&self.position.next()) {
            self.position = *last;
        }
    }

    fn check(&self, skimmed: &Skimmed) -> Result<(), StoreError> {
        let Skimmed { cycle, revision, .. } = *skimmed;
        let fail = |what: &str| {
            Err(StoreError::Damaged { what: format!("event {revision} of cycle {cycle}: {what}") })
        };
        let next = self.head(cycle).map_or(Revision(0), |head| head.next);
        if (skimmed.position, revision) != (self.position.next(), next) {
            return fail("it is not where it belongs");
        }
        if skimmed.previous != self.last_hash(cycle) {
            return fail("it does not continue the record before it");
        }
        Ok(())
    }

    /// Adds what is durable now.
    pub(super) fn add(&mut self, appended: Vec<Appended>, chunks: ChunkNumber) {
        self.extend(appended);
        self.chunks = chunks;
    }

    fn extend(&mut self, appended: impl IntoIterator<Item = Appended>) {
        for Appended { cycle, place, hash } in appended {
            let log = self.logs.entry(cycle).or_default();
            log.places.push(place);
            log.hash = hash;
            self.position = self.position.next();
        }
    }

    /// The last event's position.
    pub(super) const fn position(&self) -> Position {
        self.position
    }

    /// How many chunks there are: the number of the next one.
    pub(super) const fn chunks(&self) -> ChunkNumber {
        self.chunks
    }

    /// The end of a log.
    pub(super) fn head(&self, cycle: CycleId) -> Option<Head> {
        let log = self.logs.get(&cycle)?;
        Some(Head { next: Revision(log.places.len() as u64), hash: log.hash })
    }

    /// Every log's end.
    pub(super) fn heads(&self) -> BTreeMap<CycleId, Head> {
        self.logs.keys().filter_map(|&cycle| Some((cycle, self.head(cycle)?))).collect()
    }

    /// The hash that the next record of a log points at.
    fn last_hash(&self, cycle: CycleId) -> Digest {
        self.head(cycle)
            .or_else(|| self.head(before(cycle)?))
            .map_or(Digest::ZERO, |head| head.hash)
    }

    /// Up to `limit` records of a log from revision `from`, and one before them to check the chain from.
    pub(super) fn stretch(&self, cycle: CycleId, from: Revision, limit: usize) -> Option<Stretch> {
        let log = self.logs.get(&cycle)?;
        let from = usize::try_from(from.0).ok()?;
        let end = from.saturating_add(limit).min(log.places.len());
        if from >= end {
            return None;
        }
        let first = from.saturating_sub(1);
        let started = || before(cycle).and_then(|before| self.head(before));
        Some(Stretch {
            first: Revision(first as u64),
            places: log.places.get(first..end)?.to_vec(),
            previous: (first == 0).then(|| started().map_or(Digest::ZERO, |head| head.hash)),
            last: (end == log.places.len()).then_some(log.hash),
        })
    }
}

/// Hands over every chunk, some at a time.
fn fetch(source: &dyn Source, hand_over: &SyncSender<Chunks>) -> Result<(), StoreError> {
    let mut waiting = Chunks::new();
    source.scan(keys::CHUNKS, &mut |key, chunk| {
        let Some(number) = keys::chunk_number(key) else { return Err(bad_key(key)) };
        // A place without a chunk: one that is yet to come.
        if !chunk.is_empty() {
            waiting.push((number, chunk.to_vec()));
        }
        if waiting.len() >= CHUNKS_AT_ONCE {
            let _whoever_took_them_found_damage = hand_over.send(std::mem::take(&mut waiting));
        }
        Ok(())
    })?;
    let _whoever_took_them_found_damage = hand_over.send(waiting);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::Tree;

    fn load(gaps: &[(u64, u64)]) -> Result<Index, StoreError> {
        let value = |last: u64| codec::encode(&last).unwrap();
        let gaps = gaps.iter().map(|&(first, last)| (keys::gap(Position(first)), value(last)));
        Index::load(&Tree(gaps.collect()))
    }

    #[test]
    fn gaps_are_skipped_wherever_a_repair_can_have_left_them() {
        assert_eq!(load(&[(1, 3), (4, 9)]).unwrap().position(), Position(9));
        assert_eq!(load(&[(2, 3)]).unwrap().position(), Position(0));
        assert_eq!(load(&[(1, Position::MAX.0)]).unwrap().position(), Position::MAX);
    }

    #[test]
    fn gaps_that_no_repair_leaves_are_damage() {
        for gaps in [[(1, u64::MAX - 1), (u64::MAX, u64::MAX)], [(1, 2), (3, 2)]] {
            let error = load(&gaps).unwrap_err();
            assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        }
    }
}
