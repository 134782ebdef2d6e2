//! Reading a cycle's log and believing nothing: checksum, hash, chain, order and length are all compared.
//!
//! Shared by every backend that keeps keys and values; where these come from is the [`Source`]'s business.

use super::codec::{self, CodecError};
use super::excerpt::RawLog;
use super::index::Stretch;
use super::ledger::{Source, damaged};
use super::writes::{Place, records};
use super::{Recorded, StoreError, keys};
use crate::domain::ids::{CycleId, CycleNumber, Position, Revision, RunId};
use rayon::prelude::*;

/// How many chunks one thread reads at least: fewer are read faster than shared out.
const CHUNKS_PER_THREAD: usize = 16;

/// How many cycles one thread reads at least; each has a chunk or more.
const CYCLES_PER_THREAD: usize = 4;

/// How many records are read ahead: few enough to lie in the cache of a core.
const AHEAD: usize = 128;

/// The records of a stretch from revision `from` on, each verified. Long stretches are read by all cores.
///
/// # Errors
/// [`StoreError::Damaged`] names the first record that does not fit, [`StoreError::Backend`] if reading fails.
pub(super) fn read(
    source: &dyn Source,
    cycle: CycleId,
    from: Revision,
    stretch: &Stretch,
) -> Result<Vec<Recorded>, StoreError> {
    // Records that were written together lie in one chunk, which is then fetched once.
    let mut next = stretch.first;
    let chunks: Vec<(Revision, &[Place])> = stretch
        .places
        .chunk_by(|a, b| a.chunk == b.chunk)
        .map(|places| {
            let first = next;
            next.0 = next.0.saturating_add(places.len() as u64);
            (first, places)
        })
        .collect();
    let read: Vec<Result<Vec<Recorded>, StoreError>> = chunks
        .par_chunks(CHUNKS_PER_THREAD)
        .map(|chunks| {
            let mut records =
                Vec::with_capacity(chunks.iter().map(|(_, places)| places.len()).sum());
            for (first, places) in chunks {
                read_chunk(source, cycle, *first, places, &mut records)?;
            }
            Ok(records)
        })
        .collect();

    let mut records: Vec<Recorded> = Vec::new();
    let (mut previous, mut position) = (stretch.previous, Position(0));
    for some in read {
        let mut some = some?;
        for record in &some {
            if previous.is_some_and(|previous| previous != record.previous)
                || record.position <= position
            {
                return Err(misfit(
                    cycle,
                    record.revision,
                    "it does not continue the record before it",
                ));
            }
            (previous, position) = (Some(record.hash), record.position);
        }
        if records.is_empty() {
            records = some; // mostly they are all
        } else {
            records.append(&mut some);
        }
    }
    if stretch.last.is_some() && previous != stretch.last {
        return Err(StoreError::Damaged {
            what: format!("the last event of cycle {cycle} is not the one that was acknowledged"),
        });
    }
    records.drain(..records.partition_point(|record| record.revision < from));
    Ok(records)
}

/// Appends the records of one chunk that lie at `places`, which are in order; the first has the revision `first`.
fn read_chunk(
    source: &dyn Source,
    cycle: CycleId,
    first: Revision,
    places: &[Place],
    read: &mut Vec<Recorded>,
) -> Result<(), StoreError> {
    let missing =
        |revision| StoreError::Damaged { what: format!("{} is missing", name(cycle, revision)) };
    let Some(Place { chunk: number, .. }) = places.first().copied() else { return Ok(()) };
    let chunk = source.get(&keys::chunk(number))?.ok_or_else(|| missing(first))?;
    let mut revision = first;
    let mut wanted = places.iter().map(|place| place.slot).peekable();
    for (slot, bytes) in (0..).zip(records(&chunk)) {
        if wanted.next_if_eq(&slot).is_none() {
            continue;
        }
        let unreadable = |error| damaged(&name(cycle, revision))(error);
        let bytes = bytes.map_err(unreadable)?;
        let record =
            codec::decode_record(bytes, |digest| source.artifact(digest).map_err(ReadError::Store))
                .map_err(|error| match error {
                    ReadError::Codec(error) => unreadable(error),
                    ReadError::Store(error) => error,
                })?;
        if (record.cycle, record.revision) != (cycle, revision) {
            return Err(misfit(cycle, revision, "it is not where it belongs"));
        }
        read.push(record);
        revision = revision.next();
    }
    if wanted.next().is_some() {
        return Err(missing(revision));
    }
    Ok(())
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
    let mut next = stretch.first;
    for places in stretch.places.chunk_by(|a, b| a.chunk == b.chunk) {
        let missing = |at| StoreError::Damaged { what: format!("{} is missing", name(cycle, at)) };
        let Some(number) = places.first().map(|place| place.chunk) else { continue };
        let chunk = source.get(&keys::chunk(number))?.ok_or_else(|| missing(next))?;
        let mut wanted = places.iter().map(|place| place.slot).peekable();
        for (slot, bytes) in (0..).zip(records(&chunk)) {
            if wanted.next_if_eq(&slot).is_some() {
                let unreadable = |error| damaged(&name(cycle, next))(error);
                let bytes = bytes.map_err(unreadable)?;
                log.push(bytes, codec::skim_record(bytes).map_err(unreadable)?.payload);
                next = next.next();
            }
        }
        if wanted.next().is_some() {
            return Err(missing(next));
        }
    }
    Ok(())
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
        let (mut records, mut damage) = read_ahead(source, &stretch, &mut cycle);
        while !records.is_empty() {
            let (goes_on, next) = rayon::join(
                || records.into_iter().flatten().all(&mut *visit),
                || match damage {
                    Ok(()) => read_ahead(source, &stretch, &mut cycle),
                    Err(_) => (Vec::new(), damage),
                },
            );
            if !goes_on {
                return Ok(());
            }
            (records, damage) = next;
        }
        damage
    })
}

/// The records of the next cycles, cycle by cycle: at least [`AHEAD`] of them if there are; fewer before damage, which is told.
fn read_ahead(
    source: &dyn Source,
    stretch: &(impl Fn(CycleId) -> Option<Stretch> + Sync),
    cycle: &mut CycleId,
) -> (Vec<Vec<Recorded>>, Result<(), StoreError>) {
    let mut stretches = Vec::new();
    let mut count = 0;
    while count < AHEAD {
        let Some(stretch) = stretch(*cycle) else { break };
        count = count.saturating_add(stretch.places.len());
        stretches.push((*cycle, stretch));
        cycle.cycle = cycle.cycle.next();
    }
    let read: Vec<Result<Vec<Recorded>, StoreError>> = stretches
        .par_iter()
        .with_min_len(CYCLES_PER_THREAD)
        .map(|(cycle, stretch)| read(source, *cycle, Revision(0), stretch))
        .collect();
    let mut damage = Ok(());
    let before_damage =
        read.into_iter().map_while(|cycle| cycle.map_err(|error| damage = Err(error)).ok());
    (before_damage.collect(), damage)
}

fn name(cycle: CycleId, revision: Revision) -> String {
    format!("event {revision} of cycle {cycle}")
}

enum ReadError {
    Codec(CodecError),
    Store(StoreError),
}

impl From<CodecError> for ReadError {
    fn from(error: CodecError) -> Self {
        Self::Codec(error)
    }
}
