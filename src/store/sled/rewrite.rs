//! The log written anew, with other payloads in some of its records.
//!
//! sled keeps old values in its segments until it needs the room, so a record that is replaced in place stays on the disk for
//! nobody knows how long. Hence all of the log is written into a folder beside it, which takes the old one's place in one
//! step; the old one is removed then. After a crash either the old log is there or the new one, and the next opening removes
//! the other. What the file system or the disk keep of removed files is beyond this program.

use super::disk::Disk;
use super::state_dir::StateDir;
use super::{SledOptions, SledStore, not_stored};
use crate::artifacts::sync_directory;
use crate::domain::event::Event;
use crate::domain::ids::Position;
use crate::store::codec::{self, CodecError, Payload};
use crate::store::ledger::{Source, damaged};
use crate::store::writes::{Writes, records};
use crate::store::{Commit, Store, StoreError, keys};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// About so many bytes are written in one step.
const STEP_BYTES: usize = 1024 * 1024;

impl SledStore {
    /// Replaces the payloads of records by these events and appends what `commit` says, in one step. The records' hashes are
    /// as before; each keeps the digest of the payload that it was written with. Jobs and pauses stay as they are. When this
    /// returns, no file of the log holds the old payloads; those that are artifacts are for the caller to remove.
    ///
    /// The store is closed by it, whatever comes of it. Needs as much room again as the log takes.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the log does not read, as it is or as it was written anew, [`StoreError::Conflict`] or [`StoreError::Closed`] if the commit does
    /// not fit, [`StoreError::Backend`] if the new log cannot be written or put in place, for example because the file system
    /// cannot exchange folders in one step. The old log is there then.
    pub async fn rewrite(
        self,
        state: &Path,
        options: SledOptions,
        changes: &BTreeMap<Position, Event>,
        commit: Commit,
    ) -> Result<(), StoreError> {
        let Self { writer, disk, .. } = self;
        drop(writer);
        let new = disk.rewriting();
        let artifacts = disk.artifacts().clone();
        let opened = |dir| Disk::open(dir, Some(artifacts.clone()), &options);
        let copy = opened(StateDir::open(&new, &options.holder, &options.faults)?)?;
        copy_changed(&disk, &copy, changes)?;
        // What is written counts on from the record before it; only reading finds the positions that a repair left out.
        let copy = Self::of(opened(copy.close()?)?)?;
        let appended = copy.commit(commit).await?.events.len();
        let Self { writer, disk: written, .. } = copy;
        drop(writer);
        // All of the new log is read and checked before the old one goes.
        let written = opened(alone(written)?.close()?)?;
        let end = Position(disk.published().position().0.saturating_add(appended as u64));
        let found = written.published().position();
        if found != end {
            let what = format!("the log written anew ends at position {found} instead of {end}");
            return Err(StoreError::Damaged { what });
        }
        // Whoever opens the state directory waits until the new log is in place.
        let (lock, new_dir) = (alone(disk)?.close()?, written.close()?);
        let exchange = || {
            renameat_with(CWD, new_dir.log(), CWD, lock.log(), RenameFlags::EXCHANGE)?;
            sync_directory(state)?;
            sync_directory(&new)
        };
        options
            .faults
            .step("put the new event log in place", exchange)
            .map_err(failed("put the new event log in place of the old one in one step"))?;
        drop((lock, new_dir));
        // It removes the old one, checks the new one, and notes how far it reaches.
        match Self::open(state, options) {
            // Somebody was faster, and did that.
            Ok(_) | Err(StoreError::Locked { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Writes everything that `from` holds to `to`, with other payloads where `changes` say so.
fn copy_changed(
    from: &Disk,
    to: &Disk,
    changes: &BTreeMap<Position, Event>,
) -> Result<(), StoreError> {
    let mut writes = Writes::default();
    let mut gaps = Vec::new();
    from.scan(keys::GAPS, &mut |key, value| {
        let last: u64 = codec::decode(value).map_err(damaged("a gap that a repair left"))?;
        gaps.extend(keys::gap_first(key).map(|first| (first, Position(last))));
        Ok(())
    })?;
    let mut gaps = gaps.into_iter().peekable();
    from.scan(keys::CHUNKS, &mut |_, chunk| {
        for record in records(chunk) {
            let unreadable = |error| damaged("a record")(error);
            let record = record.map_err(unreadable)?;
            let about = codec::skim_record(record).map_err(unreadable)?;
            while let Some((first, last)) = gaps.next_if(|(first, _)| *first < about.position) {
                writes.gap(first, last).map_err(unwritable)?;
            }
            match changes.get(&about.position) {
                None => writes.record(about.cycle, about.hash, record),
                Some(event) => {
                    let payload = Payload::of(event).map_err(unwritable)?;
                    if payload.is_large() {
                        to.artifacts().put(payload.bytes()).map_err(not_stored)?;
                    }
                    let changed = codec::rewrite_record(record, &payload, payload.is_large());
                    writes.record(about.cycle, about.hash, &changed.map_err(unwritable)?);
                }
            }
            if writes.bytes() > STEP_BYTES {
                to.write(std::mem::take(&mut writes))?;
            }
        }
        Ok(())
    })?;
    for (first, last) in gaps {
        writes.gap(first, last).map_err(unwritable)?;
    }
    for kept in [keys::EPOCH, keys::JOBS, keys::PAUSED, keys::TOKEN] {
        from.scan(kept, &mut |key, value| {
            writes.put(key.to_vec(), value.to_vec());
            Ok(())
        })?;
    }
    to.write(writes)
}

/// The disk, which nobody else reads any more.
fn alone(disk: Arc<Disk>) -> Result<Disk, StoreError> {
    Arc::try_unwrap(disk)
        .map_err(|_| failed("close the event log")(io::Error::other("somebody still reads it")))
}

fn unwritable(error: CodecError) -> StoreError {
    failed("write the new event log")(io::Error::other(error))
}

fn failed(operation: &'static str) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError::Backend {
        operation,
        outcome_unknown: false,
        source: Box::new(source),
    }
}
