//! What is kept, and what is promised about it: the event log and the job queue, committed together.
//!
//! [`EventLog`] and [`JobQueue`] say how facts and work are read; [`Store::commit`] writes both in one atomic, durable
//! step. No type of a storage library shows here, and nothing here assumes that one process owns the data.
//!
//! Every promise is tested once, in `tests/it/conformance.rs`, against every backend.

pub mod codec;
pub mod excerpt;
mod fold;
mod index;
mod keys;
// What must hold for any bytes, where only this module's inside can be asked; see `tests/fuzz`.
#[cfg(fuzzing)]
#[path = "../tests/fuzz/src/laws.rs"]
pub mod laws;
mod ledger;
pub mod memory;
mod queue;
mod reader;
mod salvage;
pub mod sled;
mod writes;

use crate::domain::digest::Digest;
use crate::domain::event::Event;
use crate::domain::ids::{
    CycleId, CycleNumber, Epoch, EventId, FencingToken, JobId, Name, Position, Revision, RunId,
    WorkerId,
};
use crate::domain::job::{Job, JobKind, NewJob};
use crate::domain::time::Timestamp;
pub use fold::{fold, fold_to_damage, read_run};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

/// What every method of a store returns. Dropping it does not take back what was asked for.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// What is done with the next event of a run; false ends the walk.
pub type Visit = Box<dyn FnMut(Recorded) -> bool + Send>;

/// An event to append.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// Its id.
    pub id: EventId,
    /// When it happened.
    pub recorded: Timestamp,
    /// The job whose result it is.
    pub causation: Option<JobId>,
    /// Who caused it, for people: a worker, `cli`, a host's name for itself.
    pub actor: Name,
    /// The workflow digest.
    pub workflow: Digest,
    /// What happened.
    pub event: Event,
}

/// An event with its place in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Its id.
    pub id: EventId,
    /// The cycle whose log holds it.
    pub cycle: CycleId,
    /// Its place in that log.
    pub revision: Revision,
    /// Its place in the store.
    pub position: Position,
    /// When it happened.
    pub recorded: Timestamp,
    /// The job whose result it is.
    pub causation: Option<JobId>,
    /// Who caused it.
    pub actor: Name,
    /// The version it was written in.
    pub version: u16,
    /// The workflow digest.
    pub workflow: Digest,
    /// The hash of the record before it: in this cycle's log, or for a cycle's first record the last of the cycle before.
    pub previous: Digest,
    /// SHA-256(previous || header || SHA-256(payload)).
    pub hash: Digest,
    /// The digest of the payload that the hash covers, where the record was rewritten since because a sample was erased.
    pub original: Option<Digest>,
    /// What happened.
    pub event: Event,
}

/// The end of a cycle's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// How many events it holds; the next one's revision.
    pub next: Revision,
    /// The hash of the last of them.
    pub hash: Digest,
}

/// Events for one cycle's log.
#[derive(Debug, Clone, PartialEq)]
pub struct Append {
    /// Which log.
    pub cycle: CycleId,
    /// How many events it must hold; otherwise the commit is refused with [`StoreError::Conflict`].
    pub expected: Revision,
    /// What to append.
    pub events: Vec<NewEvent>,
}

/// What becomes of the job that a commit answers for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is done and no longer kept.
    Finished,
    /// It failed and is tried again.
    Retry {
        /// Not before this instant.
        at: Timestamp,
        /// Why it failed.
        error: String,
    },
    /// It failed for good and is kept as a dead letter.
    Dead {
        /// Why it failed.
        error: String,
    },
    /// It is given back unharmed, because its process is stopping: neither a failure nor a crash.
    Released,
}

/// A job's result, valid only under its newest lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settle {
    /// Which job.
    pub job: JobId,
    /// The token of the lease under which the work was done; an older one is refused with [`StoreError::Fenced`].
    pub token: FencingToken,
    /// What becomes of it.
    pub outcome: Outcome,
}

/// A wish for work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRequest {
    /// Who will do it.
    pub worker: WorkerId,
    /// How many jobs of each kind may be leased at once in the whole store; kinds that are not listed are not given.
    pub limits: BTreeMap<JobKind, usize>,
    /// The instant it is asked.
    pub now: Timestamp,
    /// How long the lease holds unless renewed.
    pub lease: Duration,
}

/// What is written in one atomic, durable step. Everything is checked before anything is written.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Commit {
    /// Facts, log by log.
    pub appends: Vec<Append>,
    /// The job whose result this is.
    pub settle: Option<Settle>,
    /// Work that follows.
    pub enqueue: Vec<NewJob>,
    /// Jobs of this run that are not leased are removed, and leased ones lose their lease: their results will be refused.
    pub cancel_run: Option<RunId>,
    /// The instant of the commit.
    pub now: Timestamp,
    /// Lease the next job in the same step, so that a worker which goes on costs one barrier a job and not two.
    pub lease: Option<LeaseRequest>,
}

/// What a commit did.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Committed {
    /// The appended events with their places, in the order given.
    pub events: Vec<Recorded>,
    /// The job that was leased, if one was wished for and one was ready.
    pub leased: Option<Job>,
}

/// Cycle logs, read.
///
/// Verification asks on threads of rayon's, where no async runtime is, and waits there: an answer must need neither.
pub trait EventLog: Send + Sync {
    /// Up to `limit` events of a cycle's log from revision `from`, in order; empty past the end. Checksum, hash and chain
    /// are verified.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] names the first record that does not fit, or else the first whose event cannot be decoded.
    fn read(&self, cycle: CycleId, from: Revision, limit: usize) -> Answer<'_, Vec<Recorded>>;

    /// Hands the events of a run to `visit`, from the cycle `from` on, in order, until it answers false or the run's logs are
    /// over. Verified as in [`EventLog::read`]. `visit` is called where it may block. [`fold`] is the comfortable form.
    ///
    /// # Errors
    /// As [`EventLog::read`], after every event of the cycles before the damaged one was handed over.
    fn walk(&self, run: RunId, from: CycleNumber, visit: Visit) -> Answer<'_, ()>;

    /// The end of a cycle's log; `None` if it holds nothing.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`] after a failed write.
    fn head(&self, cycle: CycleId) -> Answer<'_, Option<Head>>;

    /// Every run with its last cycle, in the order of run ids (which is the order of their start).
    ///
    /// # Errors
    /// [`StoreError::Poisoned`] after a failed write.
    fn runs(&self) -> Answer<'_, Vec<(RunId, CycleNumber)>>;
}

/// Jobs, leased and listed.
pub trait JobQueue: Send + Sync {
    /// Leases the ready job with the highest priority, oldest first, whose kind is within its limit and whose run is not
    /// paused. Leases past their deadline at `now` are taken back first. The lease is durable before it is given.
    ///
    /// # Errors
    /// [`StoreError::Backend`] if it cannot be written.
    fn lease(&self, request: LeaseRequest) -> Answer<'_, Option<Job>>;

    /// Moves a lease's deadline. Returns once the new deadline counts for every worker of this store.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] if the lease is no longer held: stop the work, its result will be refused.
    fn renew(&self, job: JobId, token: FencingToken, deadline: Timestamp) -> Answer<'_, ()>;

    /// Every unfinished job: ready, leased and dead, by run, cycle and id.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`] after a failed write.
    fn jobs(&self) -> Answer<'_, Vec<Job>>;

    /// The earliest instant after which a job may become ready without a commit: a delay or a lease that ends.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`] after a failed write.
    fn next_due(&self) -> Answer<'_, Option<Timestamp>>;

    /// Makes a dead job ready again, with no failures and no crashes.
    ///
    /// # Errors
    /// [`StoreError::NoSuchJob`] if there is no such dead job.
    fn retry(&self, job: JobId, now: Timestamp) -> Answer<'_, Job>;

    /// Removes a job that is ready or dead; a leased one loses its lease and is removed.
    ///
    /// # Errors
    /// [`StoreError::NoSuchJob`] if there is no such job.
    fn remove(&self, job: JobId) -> Answer<'_, Job>;

    /// Holds back (`true`) or releases the jobs of a run. Leased ones go on to their end.
    ///
    /// # Errors
    /// [`StoreError::Backend`] if it cannot be written.
    fn set_paused(&self, run: RunId, paused: bool) -> Answer<'_, ()>;

    /// The runs whose jobs are held back.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`] after a failed write.
    fn paused(&self) -> Answer<'_, Vec<RunId>>;
}

/// Both, written together.
pub trait Store: EventLog + JobQueue {
    /// Writes everything in `commit` or nothing. When this answers `Ok`, what was written survives anything the disk
    /// survives, and every later read of this store shows it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] and [`StoreError::Fenced`] before anything is written; [`StoreError::Backend`] with
    /// `outcome_unknown` if writing failed: reopen the store and look.
    fn commit(&self, commit: Commit) -> Answer<'_, Committed>;

    /// The artifacts that hold payloads of a run's events; none where the store keeps all beside their headers. Each stays as
    /// long as its record does.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if a record is missing or none.
    fn payloads(&self, run: RunId) -> Answer<'_, Vec<Digest>>;

    /// Copies everything that is durable, as it is at one instant, to the empty folder `to`: a state directory as a crash at that
    /// instant would leave it. Work goes on meanwhile, but no artifact may be removed. The copy is not verified, and not durable before it is synced.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if something to copy cannot be read, [`StoreError::Backend`] if the copy cannot be written, and
    /// from a store that is not in a state directory.
    fn back_up<'a>(&'a self, to: &'a Path) -> Answer<'a, ()> {
        Box::pin(std::future::ready(Err(StoreError::Backend {
            operation: "copy the store",
            outcome_unknown: false,
            source: format!("nothing was written to {}: this store is not on a disk", to.display())
                .into(),
        })))
    }

    /// The number of this opening. Leases of earlier openings were given back when it was opened.
    fn epoch(&self) -> Epoch;

    /// How many durability barriers were paid since opening, for benches and curious people.
    fn barriers(&self) -> u64;
}

/// Why a store refused or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Somebody appended first.
    #[error(
        "cycle {cycle} holds {actual} events where {expected} were expected: somebody appended first"
    )]
    Conflict {
        /// Which log.
        cycle: CycleId,
        /// How many events the writer expected.
        expected: Revision,
        /// How many there are.
        actual: Revision,
    },
    /// The next cycle of the run has begun; its first record points at the end of this log, which therefore stays.
    #[error("cycle {cycle} is closed: the cycle after it has begun")]
    Closed {
        /// Which log.
        cycle: CycleId,
    },
    /// A name is longer than stored values allow.
    #[error("a {what} of {length} bytes is too long: at most {limit} are kept")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// Its length in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The job has been leased again, settled or cancelled since.
    #[error("the lease {token} of job {job} is no longer held; its result is refused")]
    Fenced {
        /// Which job.
        job: JobId,
        /// The token that came too late.
        token: FencingToken,
    },
    /// No such job, or not in the state that was needed.
    #[error("there is no {needed} job {job}")]
    NoSuchJob {
        /// Which job.
        job: JobId,
        /// What was needed, for example `dead`.
        needed: &'static str,
    },
    /// Another process has the store open.
    #[error("{} is in use by {holder}", path.display())]
    Locked {
        /// The state directory.
        path: PathBuf,
        /// Who holds it: process id, host, since when, doing what.
        holder: String,
    },
    /// Nothing can be written there.
    #[error("the state directory {} cannot be written: make it writable or choose another one", path.display())]
    NotWritable {
        /// The state directory.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// Something in the state directory is a link, which could have what is written there go anywhere.
    #[error(
        "{} is a link, and a state directory holds no links: put there what it leads to, or choose another directory",
        path.display()
    )]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// A newer version wrote it.
    #[error(
        "{} has format {found}, but this gleaner reads up to format {supported}: use a newer gleaner",
        path.display()
    )]
    TooNew {
        /// The state directory.
        path: PathBuf,
        /// The format found.
        found: u32,
        /// The newest format this version reads.
        supported: u32,
    },
    /// Stored bytes do not fit.
    #[error(
        "the store is damaged: {what}; nothing was changed: `gleaner repair` keeps what is intact, and takes the rest from a copy if there is one"
    )]
    Damaged {
        /// What does not fit, and where.
        what: String,
    },
    /// The storage failed.
    #[error("could not {operation}{}{}", way_out(source.as_ref()), if *outcome_unknown { "; whether it was written is unknown until the store is opened again" } else { "" })]
    Backend {
        /// What was tried.
        operation: &'static str,
        /// Whether something may have been written.
        outcome_unknown: bool,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A write failed earlier; the store takes no more until it is opened again.
    #[error(
        "a write failed earlier ({cause}); the store takes no more writes until it is opened again"
    )]
    Poisoned {
        /// What failed.
        cause: String,
    },
}

/// What helps, where the system's error tells it.
fn way_out(source: &(dyn std::error::Error + 'static)) -> &'static str {
    match source.downcast_ref::<std::io::Error>().map(std::io::Error::kind) {
        Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge) => {
            ", there is no room: free some space, then `gleaner resume`"
        }
        Some(ErrorKind::ReadOnlyFilesystem) => {
            ", the file system is read-only: check the disk and mount it for writing, then `gleaner resume`"
        }
        Some(_) | None => "",
    }
}

impl StoreError {
    /// Whether reading the state again and deciding again may succeed.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }
}
