//! A sled database that is durable when it says so, and whose damage is an error and not a panic.
//!
//! Keys and values mean nothing here. Each odd line below was paid for by a measurement; the comment names it.

use super::SledOptions;
use super::state_dir::StateDir;
use crate::artifacts::{ArtifactError, Artifacts, sync_directory};
use crate::domain::digest::Digest;
use crate::domain::ids::Position;
use crate::faults::Faults;
use crate::store::StoreError;
use crate::store::index::Index;
use crate::store::keys;
use crate::store::ledger::{Source, Value, Visit};
use crate::store::writes::{ChunkNumber, Finished, Writes};
use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

/// The database, its artifacts and its lock.
#[derive(Debug)]
pub(super) struct Disk {
    // sled's default tree, the only one: one `apply_batch` then commits records and jobs together.
    db: Database,
    // sled's file, on a descriptor of our own that only ever appends.
    file: File,
    artifacts: Artifacts,
    barriers: AtomicU64,
    // How many chunks there are places for. Only whoever writes reads or changes it.
    places: AtomicU64,
    // Held while a step is written: who has it sees the database between two steps.
    writing: Mutex<()>,
    // What readers may see: what is durable. A std lock, held for microseconds and never across an await.
    published: RwLock<Index>,
    poison: OnceLock<String>,
    faults: Faults,
    // Last, so that the lock is held until the database is closed.
    state_dir: StateDir,
}

/// How many bytes sled writes to one place of its file before it goes on elsewhere; sled's default, named here because
/// the file is grown by it.
const SEGMENT: usize = 512 * 1024;

/// The name of the step after which events are acknowledged.
pub const BARRIER: &str = "sync the event log";

/// How many values one of sled's pages holds. As many places more than are needed: the last page is still to be split.
const PAGE_VALUES: usize = 16;

/// How many places are made ahead.
const PLACES: usize = 144;

/// A step that writes less than this grows the file ahead; a longer one gains nothing by it.
const GROWS_BELOW: usize = 16 * 1024;

/// How often, and how long each time, an earlier store of this process is waited for: 5 s together.
const LOCK_TRIES: u32 = 500;
const LOCK_WAIT: Duration = Duration::from_millis(10);

/// sled's database, which is closed without a panic.
#[derive(Debug)]
struct Database(Option<::sled::Db>);

impl Deref for Database {
    type Target = ::sled::Db;

    #[expect(clippy::expect_used, reason = "only dropping takes it")]
    fn deref(&self) -> &Self::Target {
        self.0.as_ref().expect("the database is open")
    }
}

impl Drop for Database {
    /// sled syncs its file once more when it is closed, and panics if that fails, on a disk that became read-only for
    /// instance. What was acknowledged needs no such sync.
    fn drop(&mut self) {
        let db = self.0.take();
        let _not_synced = catch_unwind(AssertUnwindSafe(|| drop(db)));
    }
}

/// Whether sled found its file locked.
fn is_still_locked(error: &StoreError) -> bool {
    let StoreError::Backend { source, .. } = error else { return false };
    // sled has no error of its own for this.
    source.to_string().contains("could not acquire lock")
}

impl Disk {
    /// Opens or creates the database, and checks every record in it.
    pub(super) fn open(
        state_dir: StateDir,
        artifacts: Option<Artifacts>,
        options: &SledOptions,
    ) -> Result<Self, StoreError> {
        let (log, faults) = (state_dir.log(), options.faults.clone());
        let new = !log.join("db").exists();
        faults
            .step("remove unfinished snapshots", || remove_unfinished_snapshots(&log))
            .map_err(failed("prepare the event log", false))?;
        // A log not yet snapshotted in which one bit flipped makes sled panic in 49 of 50 openings, hence the guard.
        let open = || {
            guarded("open the event log", || {
                ::sled::Config::new()
                    .path(&log)
                    .cache_capacity(options.cache_bytes)
                    .segment_size(SEGMENT)
                    // The background flush stays on, because it also drives sled's garbage collection.
                    .open()
            })
        };
        let mut db = open();
        // sled's own lock is let go by threads of its own, a moment after the last handle of an earlier store is dropped.
        // Nobody but this process can still have it, because the state directory's lock is held here.
        for _ in 0..LOCK_TRIES {
            if !db.as_ref().is_err_and(is_still_locked) {
                break;
            }
            std::thread::park_timeout(LOCK_WAIT);
            db = open();
        }
        let db = Database(Some(db?));
        let last =
            guarded("open the event log", || db.scan_prefix(keys::CHUNKS).next_back().transpose())?;
        // A key that is none of ours is told when the index is loaded.
        let last = last.and_then(|(key, _)| keys::chunk_number(&key));
        let places = last.map_or(0, |last| last.after(1).0);
        let file = File::options()
            .read(true)
            .append(true)
            .open(log.join("db"))
            .map_err(failed("open the event log", false))?;
        if new {
            // The names of new files are durable only once their folders are synced.
            faults
                .step("sync the new log", || file.sync_all())
                .and_then(|()| faults.step("sync the log's folder", || sync_directory(&log)))
                .and_then(|()| {
                    let parent = log.parent().unwrap_or(&log);
                    faults.step("sync the state directory with the log", || sync_directory(parent))
                })
                .map_err(failed("create the event log", false))?;
        }
        let artifacts =
            match artifacts {
                Some(elsewhere) => elsewhere,
                None => Artifacts::open_with(state_dir.artifacts(), faults.clone()).map_err(
                    |error| StoreError::Backend {
                        operation: "open the artifacts",
                        outcome_unknown: false,
                        source: Box::new(error),
                    },
                )?,
            };
        let disk = Self {
            db,
            file,
            artifacts,
            barriers: AtomicU64::new(0),
            places: AtomicU64::new(places),
            writing: Mutex::new(()),
            published: RwLock::new(Index::default()),
            poison: OnceLock::new(),
            faults,
            state_dir,
        };
        // Before anything can be written: where the next chunk goes is known from what is published.
        let index = Index::load(&disk)?;
        disk.check_acknowledged(index.position())?;
        disk.publish(|published| *published = index);
        Ok(disk)
    }

    /// Writes in one atomic step, and lets readers see it once it is durable. What nobody synced could be gone after a
    /// power cut, so nobody sees it before.
    pub(super) fn write(&self, writes: Writes) -> Result<(), StoreError> {
        let _step = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = writes.bytes();
        let next = self.published().chunks();
        let Finished { writes, appended, chunks } = writes.finish(next);
        let mut batch = ::sled::Batch::default();
        for (key, value) in writes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        self.make_places(next, chunks)?;
        self.step("write to the event log", || self.db.apply_batch(batch))?;
        self.barrier(bytes)?;
        if !appended.is_empty() {
            self.publish(|index| index.add(appended, chunks));
        }
        Ok(())
    }

    /// Everything but chunks, and how many chunks there are, as of one instant: chunks are never changed, so these can be read
    /// afterwards.
    pub(super) fn beside_chunks(&self) -> Result<(Writes, ChunkNumber), StoreError> {
        let _between_steps = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Writes::default();
        for prefix in [keys::EPOCH, keys::GAPS, keys::JOBS, keys::PAUSED, keys::TOKEN] {
            self.scan(prefix, &mut |key, value| {
                found.put(key.to_vec(), value.to_vec());
                Ok(())
            })?;
        }
        Ok((found, self.published().chunks()))
    }

    /// Makes sure that there are places for the chunks from `next` up to `end`, and for some more.
    ///
    /// sled splits a page of 17 values into two and writes both halves anew, so that keys in order had each chunk written
    /// 3.4 times. A place is an empty value under a chunk's number to come. Pages are split while they hold places, which
    /// costs next to nothing, and a chunk that takes its place splits none: it is written 1.08 times. Places need not be
    /// durable, nor are they missed.
    pub(super) fn make_places(
        &self,
        next: ChunkNumber,
        end: ChunkNumber,
    ) -> Result<(), StoreError> {
        let places = self.places.load(Ordering::Relaxed);
        if places >= end.after(PAGE_VALUES).0 {
            return Ok(());
        }
        let more = end.after(PLACES);
        // One by one and in order: a batch comes in any order, and leaves pages with more places than they have chunks
        // before sled writes them anew.
        self.step("make places in the event log", || {
            for number in places.max(next.0)..more.0 {
                self.db.insert(keys::chunk(ChunkNumber(number)), &[])?;
            }
            Ok(())
        })?;
        self.places.store(more.0, Ordering::Relaxed);
        Ok(())
    }

    /// Makes everything written so far durable: `bytes` of it, about.
    ///
    /// On Linux sled's `flush` is pwrite and `sync_file_range`, which writes pages but neither the file's size nor the
    /// disk's own cache: 36 of 60 simulated power cuts lost acknowledged events, and 11 openings panicked. With
    /// `fdatasync` behind it: 0 of 90. It must come after the flush, which hands over sled's buffers. A sync that
    /// failed is never tried again: the kernel may have dropped the pages, and the second try would succeed.
    fn barrier(&self, bytes: usize) -> Result<(), StoreError> {
        self.barriers.fetch_add(1, Ordering::Relaxed);
        self.step("write the event log's buffers", || self.db.flush().map(drop))?;
        if bytes < GROWS_BELOW {
            // Only the next step would be faster; whether this one is durable, the sync tells.
            let _slower = self.grow_file();
        }
        self.faults
            .step(BARRIER, || self.file.sync_data())
            .map_err(failed("sync the event log", true))
    }

    /// Has sled do a durable step.
    fn step(
        &self,
        operation: &'static str,
        work: impl FnOnce() -> Result<(), ::sled::Error>,
    ) -> Result<(), StoreError> {
        let mut answer = Ok(());
        self.faults
            .step(operation, || {
                answer = guarded(operation, work);
                Ok(())
            })
            .map_err(failed(operation, true))?;
        answer
    }

    /// Fills the rest of sled's last segment with zeros, once for each segment.
    ///
    /// A write inside a file costs one trip to the disk; one that makes the file longer costs a second, for its new size
    /// (fdatasync 0.09 ms instead of 0.19 ms). Zeros after the last message are what sled itself writes there whenever it
    /// opens its log. They are appended, never written to a place: sled's own threads write to the same file, and what
    /// they wrote is then never touched.
    fn grow_file(&self) -> io::Result<()> {
        // Not `metadata`: a file whose times were asked for gets new ones with each write, and these cost the second trip.
        let mut file = &self.file;
        let length = file.seek(SeekFrom::End(0))?;
        let missing = length.next_multiple_of(SEGMENT as u64).saturating_sub(length);
        if missing > 0 {
            let zeros = vec![0; usize::try_from(missing).unwrap_or(0)];
            self.faults.write("grow the event log", &mut file, &zeros)?;
        }
        Ok(())
    }

    /// Changes what readers may see.
    fn publish(&self, change: impl FnOnce(&mut Index)) {
        change(&mut self.published.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Notes how far the log is durable, for [`Disk::check_acknowledged`].
    pub(super) fn note_acknowledged(&self) {
        let position = self.published().position();
        // If this fails, a log that is cut later goes unnoticed; no event is lost by that.
        let _lost = self.state_dir.note_acknowledged(position.0);
    }

    /// What readers may see.
    pub(super) fn published(&self) -> RwLockReadGuard<'_, Index> {
        self.published.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Compares what the log holds with what was once acknowledged: sled takes a log that was cut for a crash.
    fn check_acknowledged(&self, position: Position) -> Result<(), StoreError> {
        let acknowledged = self.state_dir.acknowledged();
        if position.0 < acknowledged {
            return Err(StoreError::Damaged {
                what: format!(
                    "the event log ends at position {position}, but {acknowledged} events were acknowledged"
                ),
            });
        }
        Ok(())
    }

    /// Takes no more writes until the next opening.
    pub(super) fn poison(&self, cause: &StoreError) {
        self.poison.get_or_init(|| with_sources(cause));
    }

    /// Refuses after a failed write.
    pub(super) fn check_poison(&self) -> Result<(), StoreError> {
        match self.poison.get() {
            Some(cause) => Err(StoreError::Poisoned { cause: cause.clone() }),
            None => Ok(()),
        }
    }

    /// Where the log is written anew.
    pub(super) fn rewriting(&self) -> PathBuf {
        self.state_dir.rewriting()
    }

    /// Closes the database and keeps the state directory locked. Waits for sled's own threads, which have its files for a
    /// moment longer.
    ///
    /// # Errors
    /// [`StoreError::Backend`] if they have them for more than 5 s.
    pub(super) fn close(self) -> Result<StateDir, StoreError> {
        let Self { db, file, state_dir, .. } = self;
        drop((db, file));
        let path = state_dir.log().join("db");
        for _ in 0..LOCK_TRIES {
            let lock = File::open(&path).and_then(|file| file.try_lock().map_err(io::Error::from));
            match lock {
                Ok(()) => return Ok(state_dir),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::park_timeout(LOCK_WAIT);
                }
                Err(error) => return Err(failed("close the event log", false)(error)),
            }
        }
        let busy = io::Error::other("sled still has it open");
        Err(failed("close the event log", false)(busy))
    }

    /// How many barriers were paid.
    pub(super) fn barriers(&self) -> u64 {
        self.barriers.load(Ordering::Relaxed)
    }

    /// The artifacts beside the log.
    pub(super) const fn artifacts(&self) -> &Artifacts {
        &self.artifacts
    }
}

impl Source for Disk {
    fn get(&self, key: &[u8]) -> Result<Option<Value<'_>>, StoreError> {
        guarded("read the event log", || {
            Ok(self.db.get(key)?.map(|value| Box::new(value) as Value<'_>))
        })
    }

    fn scan(&self, prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        guarded("read the event log", || {
            for entry in self.db.scan_prefix(prefix) {
                let (key, value) = entry?;
                if let Err(error) = visit(&key, &value) {
                    return Ok(Err(error));
                }
            }
            Ok(Ok(()))
        })?
    }

    fn artifact(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        self.artifacts.get(digest).map_err(|error| match error {
            ArtifactError::Missing { .. }
            | ArtifactError::Damaged { .. }
            | ArtifactError::Link { .. } => StoreError::Damaged { what: error.to_string() },
            ArtifactError::Full { .. }
            | ArtifactError::NotWritable { .. }
            | ArtifactError::Io { .. } => StoreError::Backend {
                operation: "read a large event",
                outcome_unknown: false,
                source: Box::new(error),
            },
        })
    }
}

/// An error in one line with what caused it, for errors that go to many askers and cannot be shared.
pub(super) fn with_sources(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", with_sources(source)),
        None => error.to_string(),
    }
}

/// Removes snapshots that sled was writing when its process died: with one of them there, every later opening fails.
/// They hold nothing that the log does not.
fn remove_unfinished_snapshots(log: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(log) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Calls sled. It panics on damage that it did not expect; that is damage like any other.
fn guarded<T>(
    operation: &'static str,
    work: impl FnOnce() -> Result<T, ::sled::Error>,
) -> Result<T, StoreError> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(::sled::Error::Corruption { .. })) => Err(StoreError::Damaged {
            what: format!("could not {operation}: sled finds its log corrupt"),
        }),
        Ok(Err(::sled::Error::Io(error))) => Err(failed(operation, true)(error)),
        Ok(Err(error)) => {
            Err(StoreError::Backend { operation, outcome_unknown: true, source: Box::new(error) })
        }
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no reason given");
            Err(StoreError::Damaged {
                what: format!("could not {operation}: sled gave up: {text}"),
            })
        }
    }
}

fn failed(operation: &'static str, outcome_unknown: bool) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError::Backend { operation, outcome_unknown, source: Box::new(source) }
}
