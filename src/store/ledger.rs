//! The rules of a store, shared by every backend that keeps keys and values: which commits are refused, and what those
//! that are not refused write.
//!
//! Pure: no IO and no clock. The ledger holds every log's head and the job queue. A change is first checked as a whole,
//! then made here, and the values that make it durable are pushed to `writes`. Whoever owns a ledger must write them
//! in one atomic step before telling anybody about the change; if that fails, the ledger is ahead of the disk and must
//! not be used any more.

use super::codec::{self, ACTOR_MAX, CodecError, DEDUPE_MAX, Payload};
use super::index::Index;
use super::queue::{Change, Queue};
use super::writes::Writes;
use super::{
    Append, Commit, Committed, Head, LeaseRequest, NewEvent, Recorded, Settle, StoreError, keys,
};
use crate::domain::digest::Digest;
use crate::domain::event::EVENT_VERSION;
use crate::domain::ids::{
    CycleId, CycleNumber, Epoch, FencingToken, JobId, Position, Revision, RunId,
};
use crate::domain::job::{Job, NewJob};
use crate::domain::time::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::ops::Deref;

/// An [`Append`] with its events encoded.
type EncodedAppend = (CycleId, Revision, Vec<(NewEvent, Payload)>);

/// A commit whose events are encoded and whose texts fit, checked without the ledger and before anybody waits for it.
#[derive(Debug)]
pub(super) struct Prepared {
    appends: Vec<EncodedAppend>,
    settle: Option<Settle>,
    enqueue: Vec<NewJob>,
    cancel_run: Option<RunId>,
    now: Timestamp,
    lease: Option<LeaseRequest>,
}

impl Prepared {
    /// Encodes the events of a commit.
    ///
    /// # Errors
    /// [`StoreError::TooLong`] for a name that does not fit.
    pub(super) fn new(commit: Commit) -> Result<Self, StoreError> {
        for job in &commit.enqueue {
            let length = job.dedupe.as_ref().map_or(0, String::len);
            check_length("dedupe key", length, DEDUPE_MAX)?;
        }
        if let Some(request) = &commit.lease {
            check_request(request)?;
        }
        let mut appends = Vec::with_capacity(commit.appends.len());
        for Append { cycle, expected, events } in commit.appends {
            let mut encoded = Vec::with_capacity(events.len());
            for event in events {
                check_length("actor", event.actor.len(), ACTOR_MAX)?;
                let payload = Payload::of(&event.event).map_err(cannot_encode)?;
                encoded.push((event, payload));
            }
            appends.push((cycle, expected, encoded));
        }
        Ok(Self {
            appends,
            settle: commit.settle,
            enqueue: commit.enqueue,
            cancel_run: commit.cancel_run,
            now: commit.now,
            lease: commit.lease,
        })
    }

    /// The encoded events.
    pub(super) fn payloads(&self) -> impl Iterator<Item = &Payload> {
        self.appends.iter().flat_map(|(_, _, events)| events).map(|(_, payload)| payload)
    }
}

/// Refuses names that would not fit into a value.
///
/// # Errors
/// [`StoreError::TooLong`].
pub(super) fn check_request(request: &LeaseRequest) -> Result<(), StoreError> {
    check_length("worker name", request.worker.as_str().len(), ACTOR_MAX)
}

const fn check_length(what: &'static str, length: usize, limit: usize) -> Result<(), StoreError> {
    if length > limit {
        return Err(StoreError::TooLong { what, length, limit });
    }
    Ok(())
}

/// Every log's head, the queue, and the counters.
#[derive(Debug)]
pub(super) struct Ledger {
    epoch: Epoch,
    position: Position,
    heads: BTreeMap<CycleId, Head>,
    queue: Queue,
    /// Whether large payloads are kept as artifacts.
    artifacts: bool,
}

impl Ledger {
    /// The ledger of an empty store that keeps payloads of any size inline.
    pub(super) fn empty() -> Self {
        Self {
            epoch: Epoch(1),
            position: Position(0),
            heads: BTreeMap::new(),
            queue: Queue::load(Epoch(1), FencingToken(0), BTreeSet::new(), []).0,
            artifacts: false,
        }
    }

    /// Opens what a store that keeps large payloads as artifacts holds. The epoch is raised and the leases of dead
    /// processes are given back; the owner makes these `writes` durable before anything else.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if values do not fit together.
    pub(super) fn load(
        source: &dyn Source,
        index: &Index,
        writes: &mut Writes,
    ) -> Result<Self, StoreError> {
        let counter = |key: &[u8], what: &str| -> Result<u64, StoreError> {
            source.get(key)?.map_or(Ok(0), |value| codec::decode(&value).map_err(damaged(what)))
        };
        let epoch = Epoch(counter(keys::EPOCH, "the epoch")?).next();
        let token = FencingToken(counter(keys::TOKEN, "the newest fencing token")?);

        let mut paused = BTreeSet::new();
        source.scan(keys::PAUSED, &mut |key, _| {
            paused.insert(keys::paused_run(key).ok_or_else(|| bad_key(key))?);
            Ok(())
        })?;
        let mut jobs = Vec::new();
        source.scan(keys::JOBS, &mut |key, value| {
            let queued = codec::decode_job(value).map_err(damaged("a queued job"))?;
            if key != keys::job(queued.job.id) {
                return Err(bad_key(key));
            }
            jobs.push(queued);
            Ok(())
        })?;
        let (queue, changes) = Queue::load(epoch, token, paused, jobs);

        let (position, heads) = (index.position(), index.heads());
        let ledger = Self { epoch, position, heads, queue, artifacts: true };
        put(writes, keys::EPOCH.to_vec(), &epoch.0)?;
        ledger.write_jobs(changes, writes)?;
        Ok(ledger)
    }

    /// The number of this opening.
    pub(super) const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Checks a commit as a whole, then makes it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`], [`StoreError::Closed`] or [`StoreError::Fenced`]; nothing has changed then.
    pub(super) fn commit(
        &mut self,
        commit: Prepared,
        writes: &mut Writes,
    ) -> Result<Committed, StoreError> {
        self.check_appends(&commit.appends)?;
        if let Some(settle) = &commit.settle {
            self.queue.check_lease(settle.job, settle.token)?;
        }

        let mut events = Vec::with_capacity(commit.payloads().count());
        for (cycle, _, new) in commit.appends {
            self.append(cycle, new, &mut events, writes)?;
        }
        let mut changes = Vec::new();
        if let Some(settle) = commit.settle {
            self.queue.settle(settle, &mut changes)?;
        }
        // In this order, so that what a cancelling commit enqueues for the same run stays.
        if let Some(run) = commit.cancel_run {
            self.queue.cancel_run(run, &mut changes);
        }
        for job in commit.enqueue {
            self.queue.enqueue(job, commit.now, &mut changes);
        }
        let leased = match &commit.lease {
            Some(request) => self.lease_into(request, &mut changes, writes)?,
            None => None,
        };
        self.write_jobs(changes, writes)?;
        Ok(Committed { events, leased })
    }

    fn check_appends(&self, appends: &[EncodedAppend]) -> Result<(), StoreError> {
        // A commit may append twice to a log and may begin the next one, so its own appends count.
        let mut next = BTreeMap::new();
        let length = |cycle: CycleId, next: &BTreeMap<CycleId, Revision>| {
            next.get(&cycle).copied().or_else(|| Some(self.heads.get(&cycle)?.next))
        };
        for (cycle, expected, events) in appends {
            let actual = length(*cycle, &next).unwrap_or_default();
            if actual != *expected {
                return Err(StoreError::Conflict { cycle: *cycle, expected: *expected, actual });
            }
            let following = CycleId { cycle: cycle.cycle.next(), ..*cycle };
            if !events.is_empty() {
                // The next cycle's first record points at this one's head, which must not move any more.
                if length(following, &next).is_some() {
                    return Err(StoreError::Closed { cycle: *cycle });
                }
                next.insert(*cycle, Revision(actual.0.saturating_add(events.len() as u64)));
            }
        }
        Ok(())
    }

    fn append(
        &mut self,
        cycle: CycleId,
        new: Vec<(NewEvent, Payload)>,
        events: &mut Vec<Recorded>,
        writes: &mut Writes,
    ) -> Result<(), StoreError> {
        let Some(mut head) = (!new.is_empty()).then(|| self.head_or_start(cycle)) else {
            return Ok(());
        };
        for (event, payload) in new {
            self.position = self.position.next();
            let mut record = Recorded {
                id: event.id,
                cycle,
                revision: head.next,
                position: self.position,
                recorded: event.recorded,
                causation: event.causation,
                actor: event.actor,
                version: EVENT_VERSION,
                workflow: event.workflow,
                previous: head.hash,
                hash: Digest::ZERO,
                original: None,
                event: event.event,
            };
            let artifact = self.artifacts && payload.is_large();
            let value =
                codec::encode_record(&mut record, &payload, artifact).map_err(cannot_encode)?;
            writes.record(cycle, record.hash, &value);
            head = Head { next: head.next.next(), hash: record.hash };
            events.push(record);
        }
        self.heads.insert(cycle, head);
        Ok(())
    }

    /// A log's head; that of an empty log carries the hash its first record will point at.
    fn head_or_start(&self, cycle: CycleId) -> Head {
        self.head(cycle).unwrap_or_else(|| {
            let before = before(cycle).and_then(|before| self.head(before));
            Head { next: Revision(0), hash: before.map_or(Digest::ZERO, |head| head.hash) }
        })
    }

    /// The end of a log.
    pub(super) fn head(&self, cycle: CycleId) -> Option<Head> {
        self.heads.get(&cycle).copied()
    }

    /// Every run with its last cycle.
    pub(super) fn runs(&self) -> Vec<(RunId, CycleNumber)> {
        // From one run's last cycle to the next one's: whoever names a run asks this, and a run may have thousands of cycles.
        let last = |run: RunId| CycleId { run, cycle: CycleNumber(u32::MAX) };
        let mut runs = Vec::new();
        let mut next = self.heads.keys().next();
        while let Some(CycleId { run, .. }) = next {
            let end = self.heads.range(..=last(*run)).next_back();
            runs.extend(end.map(|(cycle, _)| (cycle.run, cycle.cycle)));
            next = self.heads.range((Excluded(last(*run)), Unbounded)).next().map(|(next, _)| next);
        }
        runs
    }

    /// Leases the next job.
    ///
    /// # Errors
    /// [`StoreError::Backend`] if a job cannot be encoded.
    pub(super) fn lease(
        &mut self,
        request: &LeaseRequest,
        writes: &mut Writes,
    ) -> Result<Option<Job>, StoreError> {
        let mut changes = Vec::new();
        let leased = self.lease_into(request, &mut changes, writes)?;
        self.write_jobs(changes, writes)?;
        Ok(leased)
    }

    fn lease_into(
        &mut self,
        request: &LeaseRequest,
        changes: &mut Vec<Change>,
        writes: &mut Writes,
    ) -> Result<Option<Job>, StoreError> {
        let leased = self.queue.lease(request, changes);
        if leased.is_some() {
            put(writes, keys::TOKEN.to_vec(), &self.queue.token().0)?;
        }
        Ok(leased)
    }

    /// Moves a lease's deadline; writes nothing.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] if it is no longer held.
    pub(super) fn renew(
        &mut self,
        job: JobId,
        token: FencingToken,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        self.queue.renew(job, token, until)
    }

    /// Makes a dead job ready.
    ///
    /// # Errors
    /// [`StoreError::NoSuchJob`] if there is no such dead job.
    pub(super) fn retry(
        &mut self,
        job: JobId,
        now: Timestamp,
        writes: &mut Writes,
    ) -> Result<Job, StoreError> {
        let mut changes = Vec::new();
        let job = self.queue.retry(job, now, &mut changes)?;
        self.write_jobs(changes, writes)?;
        Ok(job)
    }

    /// Removes a job.
    ///
    /// # Errors
    /// [`StoreError::NoSuchJob`] if there is no such job.
    pub(super) fn remove(&mut self, job: JobId, writes: &mut Writes) -> Result<Job, StoreError> {
        let mut changes = Vec::new();
        let job = self.queue.remove(job, &mut changes)?;
        self.write_jobs(changes, writes)?;
        Ok(job)
    }

    /// Holds back or releases a run.
    pub(super) fn set_paused(&mut self, run: RunId, paused: bool, writes: &mut Writes) {
        if self.queue.set_paused(run, paused) {
            if paused {
                writes.put(keys::paused(run), Vec::new());
            } else {
                writes.remove(keys::paused(run));
            }
        }
    }

    /// The runs held back.
    pub(super) fn paused(&self) -> Vec<RunId> {
        self.queue.paused()
    }

    /// Every unfinished job.
    pub(super) fn jobs(&self) -> Vec<Job> {
        self.queue.jobs()
    }

    /// The earliest delay or lease that ends.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.queue.next_due()
    }

    fn write_jobs(&self, changes: Vec<Change>, writes: &mut Writes) -> Result<(), StoreError> {
        for change in changes {
            match change {
                Change::Put(queued) => {
                    let value = codec::encode_job(&queued).map_err(cannot_encode)?;
                    writes.put(keys::job(queued.job.id), value);
                }
                Change::Gone(job) => writes.remove(keys::job(job)),
            }
        }
        Ok(())
    }
}

/// Where stored values are read from.
pub(super) trait Source: Sync {
    /// The value under a key, where it lies.
    fn get(&self, key: &[u8]) -> Result<Option<Value<'_>>, StoreError>;

    /// Shows every key that begins with `prefix`, in order, with its value.
    fn scan(&self, prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError>;

    /// The artifact of that name.
    fn artifact(&self, digest: &Digest) -> Result<Vec<u8>, StoreError>;
}

/// A value in a backend's own memory.
pub(super) type Value<'a> = Box<dyn Deref<Target = [u8]> + Send + Sync + 'a>;

/// What is done with a key and its value.
pub(super) type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError> + 'a;

/// The cycle before a cycle of the same run.
pub(super) fn before(cycle: CycleId) -> Option<CycleId> {
    let number = cycle.cycle.0.checked_sub(1)?;
    Some(CycleId { cycle: CycleNumber(number), ..cycle })
}

/// An error that says which stored value does not decode.
pub(super) fn damaged(what: &str) -> impl Fn(CodecError) -> StoreError {
    move |error| StoreError::Damaged { what: format!("{what}: {error}") }
}

/// An error that shows the key of something that does not belong there.
pub(super) fn bad_key(key: &[u8]) -> StoreError {
    StoreError::Damaged { what: format!("a value lies under the wrong key {key:02x?}") }
}

fn put<T: Serialize>(writes: &mut Writes, key: Vec<u8>, value: &T) -> Result<(), StoreError> {
    writes.put(key, codec::encode(value).map_err(cannot_encode)?);
    Ok(())
}

fn cannot_encode(error: CodecError) -> StoreError {
    StoreError::Backend {
        operation: "encode a value",
        outcome_unknown: false,
        source: Box::new(error),
    }
}
