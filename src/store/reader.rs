//! Reading a cycle's log and believing nothing: checksum, hash, chain, order and length are all compared.
//!
//! Shared by every backend that keeps keys and values; where these come from is the [`Source`]'s business.

use super::codec::{self, CodecError};
use super::index::Stretch;
use super::ledger::{Source, damaged};
use super::writes::records;
use super::{Recorded, StoreError, keys};
use crate::domain::ids::{CycleId, CycleNumber, Position, Revision, RunId};

/// The records of a stretch from revision `from` on, each verified.
///
/// # Errors
/// [`StoreError::Damaged`] names the first record that does not fit, [`StoreError::Backend`] if reading fails.
pub(super) fn read(
    source: &dyn Source,
    cycle: CycleId,
    from: Revision,
    stretch: &Stretch,
) -> Result<Vec<Recorded>, StoreError> {
    let mut read: Vec<Recorded> = Vec::with_capacity(stretch.places.len());
    let (mut revision, mut previous) = (stretch.first, stretch.previous);
    // Records that were written together lie in one chunk, which is then fetched once.
    for places in stretch.places.chunk_by(|a, b| a.chunk == b.chunk) {
        let Some(first) = places.first() else { continue };
        let chunk = source.get(&keys::chunk(first.chunk))?.ok_or_else(|| StoreError::Damaged {
            what: format!("{} is missing", name(cycle, revision)),
        })?;
        let mut slots = places.iter().map(|place| place.slot).peekable();
        for (slot, bytes) in (0..).zip(records(&chunk)) {
            let fail = |what: &str| StoreError::Damaged {
                what: format!("{}: {what}", name(cycle, revision)),
            };
            if slots.next_if_eq(&slot).is_none() {
                continue;
            }
            let bytes = bytes.map_err(damaged(&name(cycle, revision)))?;
            let record = codec::decode_record(bytes, |digest| {
                source.artifact(digest).map_err(ReadError::Store)
            })
            .map_err(|error| match error {
                ReadError::Codec(error) => damaged(&name(cycle, revision))(error),
                ReadError::Store(error) => error,
            })?;
            let position = Position(first.chunk.0.saturating_add(u64::from(slot)));
            if (record.cycle, record.revision, record.position) != (cycle, revision, position) {
                return Err(fail("it is not where it belongs"));
            }
            if previous.is_some_and(|previous| previous != record.previous) {
                return Err(fail("it does not continue the record before it"));
            }
            previous = Some(record.hash);
            if revision >= from {
                read.push(record);
            }
            revision = revision.next();
        }
        if slots.next().is_some() {
            return Err(StoreError::Damaged {
                what: format!("{} is missing", name(cycle, revision)),
            });
        }
    }
    if stretch.last.is_some() && previous != stretch.last {
        return Err(StoreError::Damaged {
            what: format!("the last event of cycle {cycle} is not the one that was acknowledged"),
        });
    }
    Ok(read)
}

/// The whole logs of a run's cycles from `from` on, until at least `limit` records are there. `stretch` finds where a
/// cycle's records lie.
///
/// # Errors
/// As [`read`].
pub(super) fn read_cycles(
    source: &dyn Source,
    stretch: impl Fn(CycleId) -> Option<Stretch>,
    run: RunId,
    from: CycleNumber,
    limit: usize,
) -> Result<Vec<Recorded>, StoreError> {
    let mut records = Vec::new();
    let mut cycle = CycleId { run, cycle: from };
    while records.len() < limit {
        let Some(stretch) = stretch(cycle) else { break };
        records.append(&mut read(source, cycle, Revision(0), &stretch)?);
        cycle.cycle = cycle.cycle.next();
    }
    Ok(records)
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
