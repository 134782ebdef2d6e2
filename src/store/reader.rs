//! Reading a cycle's log and believing nothing: checksum, hash, chain, order and length are all compared.
//!
//! Shared by every backend that keeps keys and values; where these come from is the [`Source`]'s business.

use super::codec::{self, CodecError};
use super::ledger::{Source, StoredHead, before, damaged};
use super::{Recorded, StoreError, keys};
use crate::domain::digest::Digest;
use crate::domain::ids::{CycleId, Position, Revision};

/// Up to `limit` records of a log from revision `from`, each verified, none beyond position `durable`.
///
/// # Errors
/// [`StoreError::Damaged`] names the first record that does not fit, [`StoreError::Backend`] if reading fails.
pub(super) fn read(
    source: &dyn Source,
    cycle: CycleId,
    from: Revision,
    limit: usize,
    durable: Position,
) -> Result<Vec<Recorded>, StoreError> {
    let Some(head) = head(source, cycle)? else {
        // Without a head there must be no records either: then the head was lost.
        let mut orphan = false;
        let (first, end) = bounds(cycle, 0, 1);
        source.range(&first, &end, &mut |_, _| {
            orphan = true;
            Ok(())
        })?;
        return if orphan {
            Err(StoreError::Damaged { what: format!("cycle {cycle} has records but no head") })
        } else {
            Ok(Vec::new())
        };
    };
    let end = head.next.min(from.0.saturating_add(limit as u64));
    if from.0 >= end {
        return Ok(Vec::new());
    }

    // The chain is checked from the record before the page, or for a log's first record from the cycle before.
    let start = from.0.saturating_sub(1);
    let mut previous = match start {
        0 => Some(match before(cycle).map(|before| self::head(source, before)).transpose()? {
            Some(Some(head)) => head.hash,
            Some(None) | None => Digest::ZERO,
        }),
        _ => None,
    };
    let mut position = Position(0);
    let mut expected = start;
    let capacity = usize::try_from(end.saturating_sub(from.0)).unwrap_or(0).min(1 << 16);
    let mut records: Vec<Recorded> = Vec::with_capacity(capacity);
    let (first_key, end_key) = bounds(cycle, start, end);
    source.range(&first_key, &end_key, &mut |key, value| {
        let revision = Revision(expected);
        let fail = |what: &str| StoreError::Damaged {
            what: format!("{}: {what}", place(cycle, revision)),
        };
        if key != keys::record(cycle, revision) {
            return Err(fail("it is missing"));
        }
        let record =
            codec::decode_record(value, |digest| source.artifact(digest).map_err(ReadError::Store))
                .map_err(|error| match error {
                    ReadError::Codec(error) => damaged(&place(cycle, revision))(error),
                    ReadError::Store(error) => error,
                })?;
        if (record.cycle, record.revision) != (cycle, revision) {
            return Err(fail("it belongs elsewhere"));
        }
        if previous.is_some_and(|previous| previous != record.previous) {
            return Err(fail("it does not continue the record before it"));
        }
        if record.position <= position {
            return Err(fail("its position does not follow the one before it"));
        }
        if revision.0.saturating_add(1) == head.next
            && (record.hash, record.position.0) != (head.hash, head.position)
        {
            return Err(fail("it is not the record that the log's head names"));
        }
        previous = Some(record.hash);
        position = record.position;
        expected = expected.saturating_add(1);
        if revision >= from {
            records.push(record);
        }
        Ok(())
    })?;
    if expected < end {
        return Err(StoreError::Damaged {
            what: format!("cycle {cycle} ends after {expected} of {} events", head.next),
        });
    }
    // What another thread has just written but not yet synced could be gone after a power cut: nobody sees it before.
    records.retain(|record| record.position <= durable);
    Ok(records)
}

fn head(source: &dyn Source, cycle: CycleId) -> Result<Option<StoredHead>, StoreError> {
    source
        .get(&keys::head(cycle))?
        .map(|value| codec::decode(&value).map_err(damaged(&format!("the head of cycle {cycle}"))))
        .transpose()
}

fn bounds(cycle: CycleId, first: u64, end: u64) -> (Vec<u8>, Vec<u8>) {
    (keys::record(cycle, Revision(first)), keys::record(cycle, Revision(end)))
}

fn place(cycle: CycleId, revision: Revision) -> String {
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
