//! Keys: where each value lies in the one tree. What the values hold is the business of the codec.
//!
//! One tree, so that one batch commits records and jobs together; a prefix byte tells them apart; integers are
//! big-endian, so that the order of keys is the order of numbers.
//!
//! | prefix | rest of the key | value |
//! |---|---|---|
//! | `c` | its number (8) | a chunk of records, or nothing: a place for one |
//! | `e` | | the epoch of the last opening |
//! | `g` | first of the positions that a repair found lost (8) | the last of them |
//! | `j` | job (16) | a queued job |
//! | `p` | run (16) | nothing: the run is paused |
//! | `t` | | the newest fencing token |

use super::writes::ChunkNumber;
use crate::domain::ids::{JobId, Position, RunId};
use uuid::Uuid;

/// The key of the last opening's epoch.
pub(super) const EPOCH: &[u8] = b"e";
/// The key of the newest fencing token.
pub(super) const TOKEN: &[u8] = b"t";
/// What the keys of chunks begin with.
pub(super) const CHUNKS: &[u8] = b"c";
/// What the keys of gaps begin with.
pub(super) const GAPS: &[u8] = b"g";
/// What the keys of jobs begin with.
pub(super) const JOBS: &[u8] = b"j";
/// What the keys of paused runs begin with.
pub(super) const PAUSED: &[u8] = b"p";

/// The key of a chunk.
pub(super) fn chunk(number: ChunkNumber) -> Vec<u8> {
    number_key(b'c', number.0)
}

/// The number of the chunk under a key.
pub(super) fn chunk_number(key: &[u8]) -> Option<ChunkNumber> {
    numbered(CHUNKS, key).map(ChunkNumber)
}

/// The key of a gap.
pub(super) fn gap(first: Position) -> Vec<u8> {
    number_key(b'g', first.0)
}

/// Where the gap under a key begins.
pub(super) fn gap_first(key: &[u8]) -> Option<Position> {
    numbered(GAPS, key).map(Position)
}

/// The key of a job.
pub(super) fn job(job: JobId) -> Vec<u8> {
    uuid_key(b'j', job.0)
}

/// The key of a paused run.
pub(super) fn paused(run: RunId) -> Vec<u8> {
    uuid_key(b'p', run.0)
}

/// The paused run under a key.
pub(super) fn paused_run(key: &[u8]) -> Option<RunId> {
    let run: [u8; 16] = key.strip_prefix(PAUSED)?.try_into().ok()?;
    Some(RunId(Uuid::from_bytes(run)))
}

fn number_key(prefix: u8, number: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(9);
    key.push(prefix);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

fn numbered(prefix: &[u8], key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.strip_prefix(prefix)?.try_into().ok()?))
}

fn uuid_key(prefix: u8, uuid: Uuid) -> Vec<u8> {
    let mut key = Vec::with_capacity(17);
    key.push(prefix);
    key.extend_from_slice(uuid.as_bytes());
    key
}
