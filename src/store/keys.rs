//! Keys: where each value lies in the one tree. What the values hold is the business of the codec.
//!
//! One tree, so that one batch commits records, heads and jobs together; a prefix byte tells them apart; integers are
//! big-endian, so that the order of keys is the order of numbers. `r`ecords are by far the most and come last but one.
//!
//! | prefix | rest of the key | value |
//! |---|---|---|
//! | `e` | | the epoch of the last opening |
//! | `h` | run (16), cycle (4) | the head of a cycle's log |
//! | `j` | job (16) | a queued job |
//! | `p` | run (16) | nothing: the run is paused |
//! | `r` | run (16), cycle (4), revision (8) | a record |
//! | `t` | | the newest fencing token |

use crate::domain::ids::{CycleId, CycleNumber, JobId, Revision, RunId};
use uuid::Uuid;

/// The key of the last opening's epoch.
pub(super) const EPOCH: &[u8] = b"e";
/// The key of the newest fencing token.
pub(super) const TOKEN: &[u8] = b"t";
/// What the keys of heads begin with.
pub(super) const HEADS: &[u8] = b"h";
/// What the keys of jobs begin with.
pub(super) const JOBS: &[u8] = b"j";
/// What the keys of paused runs begin with.
pub(super) const PAUSED: &[u8] = b"p";

/// The key of a cycle's head.
pub(super) fn head(cycle: CycleId) -> Vec<u8> {
    cycle_key(b'h', cycle)
}

/// The cycle whose head lies under a key.
pub(super) fn head_cycle(key: &[u8]) -> Option<CycleId> {
    let (run, cycle) = key.strip_prefix(HEADS)?.split_first_chunk::<16>()?;
    Some(CycleId {
        run: RunId(Uuid::from_bytes(*run)),
        cycle: CycleNumber(u32::from_be_bytes(cycle.try_into().ok()?)),
    })
}

/// The key of a record.
pub(super) fn record(cycle: CycleId, revision: Revision) -> Vec<u8> {
    let mut key = cycle_key(b'r', cycle);
    key.extend_from_slice(&revision.0.to_be_bytes());
    key
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

fn uuid_key(prefix: u8, uuid: Uuid) -> Vec<u8> {
    let mut key = Vec::with_capacity(17);
    key.push(prefix);
    key.extend_from_slice(uuid.as_bytes());
    key
}

fn cycle_key(prefix: u8, cycle: CycleId) -> Vec<u8> {
    let mut key = Vec::with_capacity(29);
    key.push(prefix);
    key.extend_from_slice(cycle.run.0.as_bytes());
    key.extend_from_slice(&cycle.cycle.0.to_be_bytes());
    key
}
