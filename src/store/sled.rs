//! The store on a disk: sled 0.34.7, hardened by what was measured with it.
//!
//! | question | file |
//! |---|---|
//! | who may open a state directory, and in which format is it? | `state_dir` |
//! | what do the small files beside the log say? | `marks` |
//! | what makes a sled database durable, and its damage an error? | `disk` |
//! | who writes, and how are commits grouped? | `writer` |
//! | how is it read without writing to it? | `copy` |
//! | how is it copied while it is written to? | `backup` |
//! | how is what was erased gone from the disk? | `rewrite` |
//! | what can be saved of a damaged one? | [`repair`], `store/salvage.rs` |
//!
//! The rules about commits and jobs are not here but in `store/ledger.rs`, shared with the other backends.
//!
//! A state directory holds `log/` (sled), `artifacts/`, `lock`, `format` and `acknowledged`.

mod backup;
mod copy;
mod disk;
pub(super) mod marks;
pub mod repair;
mod rewrite;
mod state_dir;
mod writer;

use super::codec::Payload;
use super::excerpt::RawLog;
use super::ledger::{Ledger, Prepared, check_request};
use super::writes::Writes;
use super::{
    Answer, Commit, Committed, EventLog, Head, JobQueue, LeaseRequest, Recorded, Store, StoreError,
    Visit, reader,
};
use crate::artifacts::{ArtifactError, Artifacts};
use crate::blocking::attempt;
use crate::domain::digest::Digest;
use crate::domain::ids::{CycleId, CycleNumber, Epoch, FencingToken, JobId, Revision, RunId};
use crate::domain::job::Job;
use crate::domain::time::Timestamp;
use crate::faults::Faults;
#[doc(hidden)]
pub use disk::BARRIER;
use disk::Disk;
use state_dir::StateDir;
use std::path::Path;
use std::sync::Arc;
use writer::Writer;

/// How many records are read at a time: long enough to be cheap, short enough to leave the blocking pool to others.
const PAGE: usize = 1000;

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct SledOptions {
    /// Memory for sled's pages, in bytes. sled's default of 1 GiB is more than the host of a training can spare.
    pub cache_bytes: u64,
    /// Who opens it, for the error that a second opener gets: `process 4711 on host since 12:00: gleaner run x.toml`.
    pub holder: String,
    /// For tests: where the disk is made to fail.
    #[doc(hidden)]
    pub faults: Faults,
}

impl Default for SledOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 128 * 1024 * 1024,
            holder: format!("process {}", std::process::id()),
            faults: Faults::none(),
        }
    }
}

/// A store in a state directory. One process at a time; dropping it waits for what was asked for.
#[derive(Debug)]
pub struct SledStore {
    // Before `disk`, so that the thread has ended when the lock is given back.
    writer: Writer,
    disk: Arc<Disk>,
    epoch: Epoch,
}

impl SledStore {
    /// Opens a state directory and creates it if it is missing. Leases of the process that had it before are given back.
    /// Blocks while sled reads its log: call it off the async threads.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::TooNew`], [`StoreError::Link`], [`StoreError::NotWritable`],
    /// [`StoreError::Damaged`] or [`StoreError::Backend`].
    pub fn open(dir: &Path, options: SledOptions) -> Result<Self, StoreError> {
        let state_dir = StateDir::open(dir, &options.holder, &options.faults)?;
        Self::of(Disk::open(state_dir, None, &options)?)
    }

    fn of(disk: Disk) -> Result<Self, StoreError> {
        let mut writes = Writes::default();
        let ledger = Ledger::load(&disk, &disk.published(), &mut writes)?;
        disk.write(writes)?;
        disk.note_acknowledged();
        let (disk, epoch) = (Arc::new(disk), ledger.epoch());
        let writer = Writer::start(ledger, Arc::clone(&disk))?;
        Ok(Self { writer, disk, epoch })
    }

    /// The artifacts of this state directory.
    #[must_use]
    pub fn artifacts(&self) -> &Artifacts {
        self.disk.artifacts()
    }

    /// The log of a run as [`Excerpt`](super::excerpt::Excerpt) reads it.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if a record is missing or none; what the records say is not compared.
    pub async fn excerpt(&self, run: RunId) -> Result<RawLog, StoreError> {
        self.disk.check_poison()?;
        let disk = Arc::clone(&self.disk);
        blocking(move || {
            let mut log = RawLog::default();
            let mut cycle = CycleId { run, cycle: CycleNumber(1) };
            while let Some(stretch) =
                disk.published().stretch(cycle, Revision::default(), usize::MAX)
            {
                reader::read_raw(&*disk, cycle, &stretch, &mut log)?;
                cycle.cycle = cycle.cycle.next();
            }
            Ok(log)
        })
        .await
    }

    fn ask<'a, T: Send + 'static>(
        &'a self,
        work: impl FnOnce(&mut Ledger, &mut Writes) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'a, T> {
        Box::pin(self.writer.ask(work))
    }
}

impl EventLog for SledStore {
    fn read(&self, cycle: CycleId, from: Revision, limit: usize) -> Answer<'_, Vec<Recorded>> {
        Box::pin(async move {
            let mut records = Vec::new();
            while records.len() < limit {
                let page = PAGE.min(limit - records.len());
                let next = Revision(from.0.saturating_add(records.len() as u64));
                self.disk.check_poison()?;
                let Some(stretch) = self.disk.published().stretch(cycle, next, page) else { break };
                let disk = Arc::clone(&self.disk);
                let read = move || reader::read(&*disk, cycle, next, &stretch);
                records.append(&mut blocking(read).await?);
            }
            Ok(records)
        })
    }

    fn walk(&self, run: RunId, from: CycleNumber, mut visit: Visit) -> Answer<'_, ()> {
        Box::pin(async move {
            self.disk.check_poison()?;
            let disk = Arc::clone(&self.disk);
            blocking(move || {
                let whole =
                    |cycle| disk.published().stretch(cycle, Revision::default(), usize::MAX);
                reader::walk(&*disk, whole, run, from, &mut *visit)
            })
            .await
        })
    }

    fn head(&self, cycle: CycleId) -> Answer<'_, Option<Head>> {
        self.ask(move |ledger, _| Ok(ledger.head(cycle)))
    }

    fn runs(&self) -> Answer<'_, Vec<(RunId, CycleNumber)>> {
        self.ask(|ledger, _| Ok(ledger.runs()))
    }
}

impl JobQueue for SledStore {
    fn lease(&self, request: LeaseRequest) -> Answer<'_, Option<Job>> {
        self.ask(move |ledger, writes| {
            check_request(&request)?;
            ledger.lease(&request, writes)
        })
    }

    fn renew(&self, job: JobId, token: FencingToken, deadline: Timestamp) -> Answer<'_, ()> {
        self.ask(move |ledger, _| ledger.renew(job, token, deadline))
    }

    fn jobs(&self) -> Answer<'_, Vec<Job>> {
        self.ask(|ledger, _| Ok(ledger.jobs()))
    }

    fn next_due(&self) -> Answer<'_, Option<Timestamp>> {
        self.ask(|ledger, _| Ok(ledger.next_due()))
    }

    fn retry(&self, job: JobId, now: Timestamp) -> Answer<'_, Job> {
        self.ask(move |ledger, writes| ledger.retry(job, now, writes))
    }

    fn remove(&self, job: JobId) -> Answer<'_, Job> {
        self.ask(move |ledger, writes| ledger.remove(job, writes))
    }

    fn set_paused(&self, run: RunId, paused: bool) -> Answer<'_, ()> {
        self.ask(move |ledger, writes| {
            ledger.set_paused(run, paused, writes);
            Ok(())
        })
    }

    fn paused(&self) -> Answer<'_, Vec<RunId>> {
        self.ask(|ledger, _| Ok(ledger.paused()))
    }
}

impl Store for SledStore {
    fn commit(&self, commit: Commit) -> Answer<'_, Committed> {
        Box::pin(async move {
            // Encoded by the asker, so that the one writer does not have to.
            let mut prepared = Prepared::new(commit)?;
            if prepared.payloads().any(Payload::is_large) {
                // Values above 4 KiB would become side files that sled never syncs (8 KiB values: 4 of 12 power cuts
                // bad; 30 KiB: 12 of 12). So they are artifacts, durable before the record that names them.
                let artifacts = self.artifacts().clone();
                prepared = blocking(move || {
                    let large: Vec<&[u8]> = prepared
                        .payloads()
                        .filter(|payload| payload.is_large())
                        .map(Payload::bytes)
                        .collect();
                    artifacts.put_all(&large).map_err(not_stored)?;
                    Ok(prepared)
                })
                .await?;
            }
            self.writer.ask(move |ledger, writes| ledger.commit(prepared, writes)).await
        })
    }

    fn payloads(&self, run: RunId) -> Answer<'_, Vec<Digest>> {
        Box::pin(async move { Ok(self.excerpt(run).await?.payloads) })
    }

    fn back_up<'a>(&'a self, to: &'a Path) -> Answer<'a, ()> {
        Box::pin(self.back_up_to(to.to_path_buf()))
    }

    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn barriers(&self) -> u64 {
        self.disk.barriers()
    }
}

/// Does work where it may block; sled may panic in it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    attempt(work).await.unwrap_or_else(|error| {
        Err(StoreError::Backend {
            operation: "read from the store",
            outcome_unknown: false,
            source: Box::new(error),
        })
    })
}

fn not_stored(error: ArtifactError) -> StoreError {
    StoreError::Backend {
        operation: "store a large event",
        outcome_unknown: false,
        source: Box::new(error),
    }
}
