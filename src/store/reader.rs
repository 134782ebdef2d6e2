//! Reading a cycle's log and believing nothing: checksum, hash, chain, order and length are all compared.
//!
//! Shared by every backend that keeps keys and values; where these come from is the [`Source`]'s business.

use super::codec::{self, CodecError};
use super::excerpt::RawLog;
use super::index::Stretch;
use super::ledger::{Source, Value, damaged};
use super::writes::{LENGTH, Place, records};
use super::{Recorded, StoreError, keys};
use crate::domain::digest::Digest;
use crate::domain::ids::{CycleId, CycleNumber, Position, Revision, RunId};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::vec::IntoIter;

/// How many chunks one thread reads at a time; no more than these are read faster than shared out.
const CHUNKS_PER_THREAD: usize = 16;

/// How many cycles one thread reads at least; each has a chunk or more.
const CYCLES_PER_THREAD: usize = 4;

/// How many records are read ahead: few enough to lie in the cache of a core.
const AHEAD: usize = 128;

/// Records that are what they should be, as they lie in one chunk; their events are not decoded yet. A walk leaves that to the
/// core that takes the events in: where one core allocated and another freed, both were a quarter slower.
struct Checked<'s> {
    chunk: Value<'s>,
    cycle: CycleId,
    /// The revision of the first.
    first: Revision,
    records: Vec<CheckedRecord>,
}

struct CheckedRecord {
    /// Where its bytes lie in the chunk.
    bytes: Range<usize>,
    position: Position,
    previous: Digest,
    hash: Digest,
    /// What its artifact holds, if its payload is in one.
    payload: Option<Vec<u8>>,
}

impl Checked<'_> {
    fn revisions(&self) -> impl Iterator<Item = Revision> + use<> {
        (self.first.0..).map(Revision)
    }

    fn decode(&self) -> impl Iterator<Item = Result<Recorded, StoreError>> {
        self.records.iter().zip(self.revisions()).map(|(record, revision)| {
            let bytes = self.chunk.get(record.bytes.clone()).unwrap_or_default();
            codec::decode_skimmed(bytes, record.hash, record.payload.as_deref())
                .map_err(|error| damaged(&name(self.cycle, revision))(error))
        })
    }
}

/// The records of a stretch from revision `from` on, each verified. Long stretches are read by all cores.
///
/// # Errors
/// [`StoreError::Damaged`] names the first record that does not fit, or else the first whose event cannot be decoded;
/// [`StoreError::Backend`] if reading fails.
pub(super) fn read(
    source: &dyn Source,
    cycle: CycleId,
    from: Revision,
    stretch: &Stretch,
) -> Result<Vec<Recorded>, StoreError> {
    let mut records = decode(check(source, cycle, stretch)?)?;
    records.drain(..records.partition_point(|record| record.revision < from));
    Ok(records)
}

/// The records of chunks, in order. Many are decoded by all cores.
fn decode(chunks: Vec<Checked>) -> Result<Vec<Recorded>, StoreError> {
    by_all_cores(&chunks, |chunks| {
        let mut records = Vec::with_capacity(chunks.iter().map(|chunk| chunk.records.len()).sum());
        for record in chunks.iter().flat_map(Checked::decode) {
            records.push(record?);
        }
        Ok(records)
    })
}

/// What `work` makes of many chunks, in order, or the first of its errors; it is given [`CHUNKS_PER_THREAD`] of them at a time.
fn by_all_cores<C: Sync, T: Send>(
    chunks: &[C],
    work: impl Fn(&[C]) -> Result<Vec<T>, StoreError> + Send + Sync,
) -> Result<Vec<T>, StoreError> {
    if chunks.len() <= CHUNKS_PER_THREAD {
        return work(chunks);
    }
    let done: Vec<_> = chunks.par_chunks(CHUNKS_PER_THREAD).map(work).collect();
    let done: Vec<Vec<T>> = done.into_iter().collect::<Result<_, _>>()?;
    Ok(done.into_iter().flatten().collect())
}

/// The records of a stretch, each verified and none decoded. Long stretches are read by all cores.
fn check<'s>(
    source: &'s dyn Source,
    cycle: CycleId,
    stretch: &Stretch,
) -> Result<Vec<Checked<'s>>, StoreError> {
    let chunks: Vec<(Revision, &[Place])> = by_chunk(stretch).collect();
    let read = by_all_cores(&chunks, |chunks| {
        let chunks = chunks.iter();
        Ok(chunks.map(|(first, places)| check_chunk(source, cycle, *first, places)).collect())
    })?;
    // The first that does not fit is named, so a chunk that cannot be read waits for those before it.
    let (mut previous, mut position) = (stretch.previous, Position(0));
    let mut checked = Vec::with_capacity(read.len());
    for chunk in read {
        let chunk = chunk?;
        for (record, revision) in chunk.records.iter().zip(chunk.revisions()) {
            if previous.is_some_and(|previous| previous != record.previous)
                || record.position <= position
            {
                return Err(misfit(cycle, revision, "it does not continue the record before it"));
            }
            (previous, position) = (Some(record.hash), record.position);
        }
        checked.push(chunk);
    }
    if stretch.last.is_some() && previous != stretch.last {
        return Err(StoreError::Damaged {
            what: format!("the last event of cycle {cycle} is not the one that was acknowledged"),
        });
    }
    Ok(checked)
}

/// The places of a stretch, chunk by chunk, with the revision of each first one. Records that were written together lie in one
/// chunk, which is then fetched once.
fn by_chunk(stretch: &Stretch) -> impl Iterator<Item = (Revision, &[Place])> {
    let mut next = stretch.first;
    stretch.places.chunk_by(|a, b| a.chunk == b.chunk).map(move |places| {
        let first = next;
        next.0 = next.0.saturating_add(places.len() as u64);
        (first, places)
    })
}

/// The records of one chunk that lie at `places`, which are in order; the first has the revision `first`.
fn check_chunk<'s>(
    source: &'s dyn Source,
    cycle: CycleId,
    first: Revision,
    places: &[Place],
) -> Result<Checked<'s>, StoreError> {
    let chunk = fetch(source, cycle, first, places)?;
    let mut records = Vec::with_capacity(places.len());
    let mut revision = first;
    for range in ranges(places, &chunk) {
        let unreadable = |error| damaged(&name(cycle, revision))(error);
        let bytes = range.map_err(unreadable)?;
        let skimmed = chunk.get(bytes.clone()).unwrap_or_default();
        let skimmed = codec::skim_record(skimmed).map_err(unreadable)?;
        if (skimmed.cycle, skimmed.revision) != (cycle, revision) {
            return Err(misfit(cycle, revision, "it is not where it belongs"));
        }
        records.push(CheckedRecord {
            bytes,
            position: skimmed.position,
            previous: skimmed.previous,
            hash: skimmed.hash,
            payload: skimmed.payload.map(|digest| source.artifact(&digest)).transpose()?,
        });
        revision = revision.next();
    }
    if records.len() < places.len() {
        return Err(missing(cycle, revision));
    }
    Ok(Checked { chunk, cycle, first, records })
}

/// The chunk that holds all of `places`, the first of which is that of revision `first`.
fn fetch<'s>(
    source: &'s dyn Source,
    cycle: CycleId,
    first: Revision,
    places: &[Place],
) -> Result<Value<'s>, StoreError> {
    let chunk = places.first().map(|place| source.get(&keys::chunk(place.chunk)));
    chunk.transpose()?.flatten().ok_or_else(|| missing(cycle, first))
}

/// Where the bytes of the records of a chunk lie that are at `places`, which are in order.
fn ranges(
    places: &[Place],
    chunk: &[u8],
) -> impl Iterator<Item = Result<Range<usize>, CodecError>> {
    let mut slots = places.iter().map(|place| place.slot).peekable();
    let mut end = 0_usize;
    (0..).zip(records(chunk)).filter_map(move |(slot, bytes)| {
        let range = bytes.map(|bytes| {
            let start = end.saturating_add(LENGTH);
            end = start.saturating_add(bytes.len());
            start..end
        });
        slots.next_if_eq(&slot)?;
        Some(range)
    })
}

/// Appends the records of a stretch as they are stored, unverified.
///
/// # Errors
/// [`StoreError::Damaged`] names the first record that is missing or no record.
pub(super) fn read_raw(
    source: &dyn Source,
    cycle: CycleId,
    stretch: &Stretch,
    log: &mut RawLog,
) -> Result<(), StoreError> {
    for (first, places) in by_chunk(stretch) {
        let chunk = fetch(source, cycle, first, places)?;
        let mut next = first;
        for range in ranges(places, &chunk) {
            let unreadable = |error| damaged(&name(cycle, next))(error);
            let bytes = chunk.get(range.map_err(unreadable)?).unwrap_or_default();
            log.push(bytes, codec::skim_record(bytes).map_err(unreadable)?.payload);
            next = next.next();
        }
        if next.0 < first.0.saturating_add(places.len() as u64) {
            return Err(missing(cycle, next));
        }
    }
    Ok(())
}

fn missing(cycle: CycleId, revision: Revision) -> StoreError {
    StoreError::Damaged { what: format!("{} is missing", name(cycle, revision)) }
}

fn misfit(cycle: CycleId, revision: Revision, what: &str) -> StoreError {
    StoreError::Damaged { what: format!("{}: {what}", name(cycle, revision)) }
}

/// Hands the records of a run to `visit`, from the cycle `from` on, until it answers false. `stretch` finds where a cycle's
/// records lie. While some are looked at the next are read, where there are cores for both.
///
/// # Errors
/// As [`read`], after all records of the cycles before the damaged one.
pub(super) fn walk(
    source: &dyn Source,
    stretch: impl Fn(CycleId) -> Option<Stretch> + Sync,
    run: RunId,
    from: CycleNumber,
    visit: &mut (dyn FnMut(Recorded) -> bool + Send),
) -> Result<(), StoreError> {
    let mut cycle = CycleId { run, cycle: from };
    // On a thread of rayon's, from which work is shared without anybody being woken.
    rayon::scope(|_| {
        let mut decoded = Vec::new();
        let (mut checked, mut damage) = read_ahead(source, &stretch, &mut cycle);
        while !decoded.is_empty() || checked.len() > 0 {
            let has_looked = AtomicBool::new(false);
            let look = || {
                let goes_on = hand_over(decoded.into_iter().chain(checked.map(decode)), visit);
                has_looked.store(true, Ordering::Relaxed);
                goes_on
            };
            let read = || {
                let mut decoded = Vec::new();
                if damage.is_err() {
                    return (decoded, Vec::new().into_iter(), damage);
                }
                let (mut checked, damage) = read_ahead(source, &stretch, &mut cycle);
                // A core that has nothing else to do decodes as well, until the other one waits for it.
                while !has_looked.load(Ordering::Relaxed)
                    && let Some(chunks) = checked.next()
                {
                    decoded.push(decode(chunks));
                }
                (decoded, checked, damage)
            };
            let (goes_on, next) = rayon::join(look, read);
            if !goes_on? {
                return Ok(());
            }
            (decoded, checked, damage) = next;
        }
        damage
    })
}

/// Hands over the records of some cycles, up to a cycle that is damaged; answers whether more are wanted.
fn hand_over(
    cycles: impl Iterator<Item = Result<Vec<Recorded>, StoreError>>,
    visit: &mut (dyn FnMut(Recorded) -> bool + Send),
) -> Result<bool, StoreError> {
    for records in cycles {
        if !records?.into_iter().all(&mut *visit) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The chunks of each of the next cycles: at least [`AHEAD`] records if there are; fewer before damage, which is told.
fn read_ahead<'s>(
    source: &'s dyn Source,
    stretch: &(impl Fn(CycleId) -> Option<Stretch> + Sync),
    cycle: &mut CycleId,
) -> (IntoIter<Vec<Checked<'s>>>, Result<(), StoreError>) {
    let mut stretches = Vec::new();
    let mut count = 0;
    while count < AHEAD {
        let Some(stretch) = stretch(*cycle) else { break };
        count = count.saturating_add(stretch.places.len());
        stretches.push((*cycle, stretch));
        cycle.cycle = cycle.cycle.next();
    }
    let read: Vec<Result<Vec<Checked>, StoreError>> = stretches
        .par_iter()
        .with_min_len(CYCLES_PER_THREAD)
        .map(|(cycle, stretch)| check(source, *cycle, stretch))
        .collect();
    let mut damage = Ok(());
    let before_damage: Vec<_> = read
        .into_iter()
        .map_while(|cycle| cycle.map_err(|error| damage = Err(error)).ok())
        .collect();
    (before_damage.into_iter(), damage)
}

fn name(cycle: CycleId, revision: Revision) -> String {
    format!("event {revision} of cycle {cycle}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::{CycleCancelled, Event};
    use crate::domain::ids::EventId;
    use crate::domain::time::Timestamp;
    use crate::store::codec::{Payload, encode_record};
    use crate::store::index::Index;
    use crate::store::memory::Tree;
    use crate::store::writes::{ChunkNumber, Writes};
    use uuid::Uuid;

    const RUN: RunId = RunId(Uuid::from_u128(7));

    /// The log of cycles of three events each, one of which is of a version that nobody reads yet.
    fn log(cycles: u32, unknown: (u32, u64)) -> (Tree, Index) {
        let tree = tree(cycles, 3, |record| {
            if (record.cycle.cycle.0, record.revision.0) == unknown {
                record.version = 2;
            }
        });
        let index = Index::load(&tree).expect("what opening compares is in order");
        (tree, index)
    }

    /// Cycles of so many events each, each of which `change` has seen.
    fn tree(cycles: u32, events: u64, change: impl Fn(&mut Recorded)) -> Tree {
        let event = Event::CycleCancelled(CycleCancelled { reason: "no more budget".to_owned() });
        let payload = Payload::of(&event).unwrap();
        let mut writes = Writes::default();
        let (mut previous, mut position) = (Digest::ZERO, Position(0));
        let places = (1..=cycles).flat_map(|cycle| (0..events).map(move |at| (cycle, at)));
        for (cycle, revision) in places {
            position = position.next();
            let mut record = Recorded {
                id: EventId(Uuid::from_u128(u128::from(position.0))),
                cycle: CycleId { run: RUN, cycle: CycleNumber(cycle) },
                revision: Revision(revision),
                position,
                recorded: Timestamp(5),
                causation: None,
                actor: "cli".into(),
                version: 1,
                workflow: Digest::ZERO,
                previous,
                hash: Digest::ZERO,
                original: None,
                event: event.clone(),
            };
            change(&mut record);
            let bytes = encode_record(&mut record, &payload, false).unwrap();
            writes.record(record.cycle, record.hash, &bytes);
            previous = record.hash;
        }
        let writes = writes.finish(ChunkNumber(0)).writes.into_iter();
        Tree(writes.map(|(key, value)| (key, value.unwrap())).collect())
    }

    #[test]
    fn the_first_record_that_does_not_fit_is_named_whatever_is_damaged_behind_it() {
        for events in [100, 2_000] {
            let index = Index::load(&tree(1, events, |_| {})).unwrap();
            let mut broken = tree(1, events, |record| {
                if record.revision == Revision(5) {
                    record.previous = Digest::of(b"of another log");
                }
            });
            broken.0.pop_last().expect("the last chunk");
            let cycle = CycleId { run: RUN, cycle: CycleNumber(1) };
            let whole = index.stretch(cycle, Revision(0), usize::MAX).unwrap();
            let error = read(&broken, cycle, Revision(0), &whole).unwrap_err();
            assert!(error.to_string().contains("event 5 of cycle"), "{error}");
        }
    }

    #[test]
    fn of_a_cycle_with_an_event_that_cannot_be_decoded_nothing_is_handed_over() {
        for (cycles, unknown) in [(1, (1, 0)), (3, (2, 1)), (100, (1, 2)), (100, (100, 2))] {
            let (tree, index) = log(cycles, unknown);
            let mut seen = Vec::new();
            let whole = |cycle| index.stretch(cycle, Revision(0), usize::MAX);
            let mut visit = |record: Recorded| {
                seen.push((record.cycle.cycle.0, record.revision.0));
                true
            };
            let error = walk(&tree, whole, RUN, CycleNumber(1), &mut visit).unwrap_err();
            let before = (1..unknown.0).flat_map(|cycle| (0..3).map(move |at| (cycle, at)));
            assert_eq!(seen, before.collect::<Vec<_>>());
            let (cycle, revision) = unknown;
            let name = format!("event {revision} of cycle {RUN}/{cycle}: event version 2");
            assert!(error.to_string().contains(&name), "{error}");
        }
    }

    #[test]
    fn a_walk_ends_where_it_is_told_to() {
        let (tree, index) = log(100, (100, 2));
        let whole = |cycle| index.stretch(cycle, Revision(0), usize::MAX);
        for wanted in [1, 4, 150, 296] {
            let mut seen = 0;
            let mut visit = |_| {
                seen += 1;
                seen < wanted
            };
            walk(&tree, whole, RUN, CycleNumber(1), &mut visit).expect("damage is not reached");
            assert_eq!(seen, wanted);
        }
    }
}
