//! The job queue in memory: who is next, who holds what, what is held back.
//!
//! Pure: no IO and no clock. Each change returns the jobs that changed, and the owner of the queue makes them durable.
//! Only the jobs themselves are stored; the orders below are rebuilt from them at opening, which was 1.7 times faster
//! than indexes on disk.

use super::codec::QueuedJob;
use super::{LeaseRequest, Outcome, Settle, StoreError};
use crate::domain::ids::{Epoch, FencingToken, JobId, RunId};
use crate::domain::job::{CRASHES_MAX, Job, JobKind, JobStatus, Lease, NewJob};
use crate::domain::time::Timestamp;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The longest text of a failure that a job keeps, in bytes; the rest is cut off. The log keeps the whole cause.
const ERROR_MAX: usize = 1024;

/// What became of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// It is now this.
    Put(QueuedJob),
    /// It is gone.
    Gone(JobId),
}

/// Every unfinished job, and the orders in which they are found.
#[derive(Debug, Default)]
pub(super) struct Queue {
    epoch: Epoch,
    token: FencingToken,
    sequence: u64,
    /// The latest instant heard of: what is due by then is ready.
    now: Timestamp,
    jobs: HashMap<JobId, QueuedJob>,
    ready: BTreeMap<JobKind, BTreeSet<(Reverse<i32>, u64, JobId)>>,
    delayed: BTreeSet<(Timestamp, JobId)>,
    leases: BTreeSet<(Timestamp, JobId)>,
    leased: BTreeMap<JobKind, usize>,
    dedupe: HashMap<String, JobId>,
    runs: BTreeMap<RunId, BTreeSet<JobId>>,
    paused: BTreeSet<RunId>,
}

impl Queue {
    /// The queue as it was stored. Leases of earlier epochs belong to dead processes and are given back at once; the
    /// jobs that changed by that are returned.
    pub(super) fn load(
        epoch: Epoch,
        token: FencingToken,
        paused: BTreeSet<RunId>,
        jobs: impl IntoIterator<Item = QueuedJob>,
    ) -> (Self, Vec<Change>) {
        // Jobs enter in the order of their line, not of their ids: a tree that grows at its end is built faster.
        let mut jobs: Vec<QueuedJob> = jobs.into_iter().collect();
        jobs.sort_unstable_by_key(|queued| queued.sequence);
        let sequence = jobs.last().map_or(0, |queued| queued.sequence.saturating_add(1));
        let mut queue = Self { epoch, token, sequence, paused, ..Self::default() };
        let mut changes = Vec::new();
        for mut queued in jobs {
            if let JobStatus::Leased(lease) = &queued.job.status
                && lease.epoch < epoch
            {
                count_crash(&mut queued.job, "its process ended without an answer");
                changes.push(Change::Put(queued.clone()));
            }
            // What was due when it was enqueued stays due, and whoever starts anew wants failed work tried now: also if
            // the machine's clock was set back meanwhile.
            if queued.job.failures > 0 || queued.job.not_before <= queued.job.enqueued {
                queued.job.not_before = Timestamp::default();
            }
            queue.insert(queued);
        }
        (queue, changes)
    }

    /// The newest fencing token.
    pub(super) const fn token(&self) -> FencingToken {
        self.token
    }

    /// Adds jobs, except those whose id or dedupe key an unfinished job has.
    pub(super) fn enqueue(&mut self, new: NewJob, now: Timestamp, changes: &mut Vec<Change>) {
        self.now = self.now.max(now);
        let known = new.dedupe.as_ref().is_some_and(|key| self.dedupe.contains_key(key));
        if known || self.jobs.contains_key(&new.id) {
            return;
        }
        let queued = QueuedJob {
            sequence: self.sequence,
            job: Job {
                id: new.id,
                kind: new.kind,
                cycle: new.cycle,
                priority: new.priority,
                not_before: new.not_before,
                dedupe: new.dedupe,
                enqueued: now,
                failures: 0,
                crashes: 0,
                last_error: None,
                status: JobStatus::Ready,
            },
        };
        self.sequence = self.sequence.saturating_add(1);
        changes.push(Change::Put(queued.clone()));
        self.insert(queued);
    }

    /// Whether a lease is still held.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] if it is not.
    pub(super) fn check_lease(&self, job: JobId, token: FencingToken) -> Result<(), StoreError> {
        match self.jobs.get(&job).map(|queued| &queued.job.status) {
            Some(JobStatus::Leased(lease)) if lease.token == token => Ok(()),
            Some(JobStatus::Leased(_) | JobStatus::Ready | JobStatus::Dead) | None => {
                Err(StoreError::Fenced { job, token })
            }
        }
    }

    /// Ends a lease with an outcome.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] if it is no longer held.
    pub(super) fn settle(
        &mut self,
        settle: Settle,
        changes: &mut Vec<Change>,
    ) -> Result<(), StoreError> {
        self.check_lease(settle.job, settle.token)?;
        let Some(mut queued) = self.take(settle.job) else { return Ok(()) };
        let job = &mut queued.job;
        match settle.outcome {
            Outcome::Finished => {
                changes.push(Change::Gone(settle.job));
                return Ok(());
            }
            Outcome::Retry { at, error } => {
                job.failures = job.failures.saturating_add(1);
                job.not_before = at;
                job.last_error = Some(cut(error));
                job.status = JobStatus::Ready;
            }
            Outcome::Dead { error } => {
                job.failures = job.failures.saturating_add(1);
                job.last_error = Some(cut(error));
                job.status = JobStatus::Dead;
            }
            Outcome::Released => job.status = JobStatus::Ready,
        }
        self.put(queued, changes);
        Ok(())
    }

    /// Removes every job of a run, whatever its state.
    pub(super) fn cancel_run(&mut self, run: RunId, changes: &mut Vec<Change>) {
        for job in self.runs.get(&run).cloned().unwrap_or_default() {
            self.take(job);
            changes.push(Change::Gone(job));
        }
    }

    /// Leases the next job; see [`super::JobQueue::lease`].
    pub(super) fn lease(
        &mut self,
        request: &LeaseRequest,
        changes: &mut Vec<Change>,
    ) -> Option<Job> {
        self.now = self.now.max(request.now);
        self.expire(request.now, changes);
        self.mature();
        let (_, _, id) = *request
            .limits
            .iter()
            .filter(|&(kind, &limit)| self.leased.get(kind).copied().unwrap_or(0) < limit)
            .filter_map(|(kind, _)| self.ready.get(kind)?.first())
            .min()?;
        let mut queued = self.take(id)?;
        self.token = self.token.next();
        queued.job.status = JobStatus::Leased(Lease {
            worker: request.worker.clone(),
            token: self.token,
            epoch: self.epoch,
            deadline: request.now.plus(request.lease),
        });
        let job = queued.job.clone();
        self.put(queued, changes);
        Some(job)
    }

    /// Moves a lease's deadline. In memory only: a deadline matters to living processes alone, and after a crash the
    /// epoch reclaims the lease whatever its stored deadline says. A renewal thus costs no barrier.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] if the lease is no longer held.
    pub(super) fn renew(
        &mut self,
        job: JobId,
        token: FencingToken,
        until: Timestamp,
    ) -> Result<(), StoreError> {
        self.check_lease(job, token)?;
        let Some(mut queued) = self.take(job) else { return Ok(()) };
        if let JobStatus::Leased(lease) = &mut queued.job.status {
            lease.deadline = until;
        }
        self.insert(queued);
        Ok(())
    }

    /// Makes a dead job ready.
    ///
    /// # Errors
    /// [`StoreError::NoSuchJob`] if there is no such dead job.
    pub(super) fn retry(
        &mut self,
        job: JobId,
        now: Timestamp,
        changes: &mut Vec<Change>,
    ) -> Result<Job, StoreError> {
        self.now = self.now.max(now);
        let dead =
            self.jobs.get(&job).is_some_and(|queued| matches!(queued.job.status, JobStatus::Dead));
        let Some(mut queued) = dead.then(|| self.take(job)).flatten() else {
            return Err(StoreError::NoSuchJob { job, needed: "dead" });
        };
        queued.job.failures = 0;
        queued.job.crashes = 0;
        queued.job.not_before = now.min(queued.job.enqueued);
        queued.job.status = JobStatus::Ready;
        let job = queued.job.clone();
        self.put(queued, changes);
        Ok(job)
    }

    /// Removes a job, whatever its state.
    ///
    /// # Errors
    /// [`StoreError::NoSuchJob`] if there is no such job.
    pub(super) fn remove(
        &mut self,
        job: JobId,
        changes: &mut Vec<Change>,
    ) -> Result<Job, StoreError> {
        let Some(queued) = self.take(job) else {
            return Err(StoreError::NoSuchJob { job, needed: "unfinished" });
        };
        changes.push(Change::Gone(job));
        Ok(queued.job)
    }

    /// Holds back or releases a run; false if it already was so.
    pub(super) fn set_paused(&mut self, run: RunId, paused: bool) -> bool {
        if self.paused.contains(&run) == paused {
            return false;
        }
        let jobs: Vec<QueuedJob> = self
            .runs
            .get(&run)
            .cloned()
            .unwrap_or_default()
            .into_iter()
            .filter_map(|job| self.take(job))
            .collect();
        if paused {
            self.paused.insert(run);
        } else {
            self.paused.remove(&run);
        }
        for queued in jobs {
            self.insert(queued);
        }
        true
    }

    /// The runs held back.
    pub(super) fn paused(&self) -> Vec<RunId> {
        self.paused.iter().copied().collect()
    }

    /// Every unfinished job, by run, cycle and id.
    pub(super) fn jobs(&self) -> Vec<Job> {
        let mut jobs: Vec<Job> = self.jobs.values().map(|queued| queued.job.clone()).collect();
        jobs.sort_unstable_by_key(|job| (job.cycle, job.id));
        jobs
    }

    /// The earliest delay or lease that ends.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        let first = |set: &BTreeSet<(Timestamp, JobId)>| set.first().map(|&(at, _)| at);
        first(&self.delayed).into_iter().chain(first(&self.leases)).min()
    }

    /// Takes back leases whose deadline has come.
    fn expire(&mut self, now: Timestamp, changes: &mut Vec<Change>) {
        while let Some(&(deadline, job)) = self.leases.first()
            && deadline <= now
        {
            let Some(mut queued) = self.take(job) else { return };
            count_crash(&mut queued.job, "its lease ended without an answer");
            self.put(queued, changes);
        }
    }

    /// Moves delayed jobs whose time has come to the ready ones.
    fn mature(&mut self) {
        while let Some(&(at, job)) = self.delayed.first()
            && at <= self.now
        {
            let Some(queued) = self.take(job) else { return };
            self.insert(queued);
        }
    }

    fn put(&mut self, queued: QueuedJob, changes: &mut Vec<Change>) {
        changes.push(Change::Put(queued.clone()));
        self.insert(queued);
    }

    /// Enters a job in every order it belongs to; [`Queue::take`] is its mirror.
    fn insert(&mut self, queued: QueuedJob) {
        let job = &queued.job;
        match &job.status {
            // Jobs of a paused run stand in no line at all, so that a long paused run costs a lease nothing.
            JobStatus::Ready if self.paused.contains(&job.cycle.run) => {}
            JobStatus::Ready if job.not_before > self.now => {
                self.delayed.insert((job.not_before, job.id));
            }
            JobStatus::Ready => {
                self.ready.entry(job.kind).or_default().insert(line(&queued));
            }
            JobStatus::Leased(lease) => {
                self.leases.insert((lease.deadline, job.id));
                *self.leased.entry(job.kind).or_default() += 1;
            }
            JobStatus::Dead => {}
        }
        if let Some(key) = &job.dedupe {
            self.dedupe.insert(key.clone(), job.id);
        }
        self.runs.entry(job.cycle.run).or_default().insert(job.id);
        self.jobs.insert(job.id, queued);
    }

    fn take(&mut self, id: JobId) -> Option<QueuedJob> {
        let queued = self.jobs.remove(&id)?;
        let job = &queued.job;
        match &job.status {
            JobStatus::Ready => {
                self.delayed.remove(&(job.not_before, id));
                if let Some(ready) = self.ready.get_mut(&job.kind) {
                    ready.remove(&line(&queued));
                }
            }
            JobStatus::Leased(lease) => {
                self.leases.remove(&(lease.deadline, id));
                if let Some(leased) = self.leased.get_mut(&job.kind) {
                    *leased = leased.saturating_sub(1);
                }
            }
            JobStatus::Dead => {}
        }
        if let Some(key) = &job.dedupe {
            self.dedupe.remove(key);
        }
        if let Some(jobs) = self.runs.get_mut(&job.cycle.run) {
            jobs.remove(&id);
            if jobs.is_empty() {
                self.runs.remove(&job.cycle.run);
            }
        }
        Some(queued)
    }
}

/// A job's place among the ready ones: higher priority first, then older.
const fn line(queued: &QueuedJob) -> (Reverse<i32>, u64, JobId) {
    (Reverse(queued.job.priority), queued.sequence, queued.job.id)
}

/// Ends a lease that got no answer. A step that takes its process down again and again is given up.
fn count_crash(job: &mut Job, how: &str) {
    job.crashes = job.crashes.saturating_add(1);
    job.status = if job.crashes >= CRASHES_MAX {
        job.last_error = Some(format!("{how}, for the {}th time", job.crashes));
        JobStatus::Dead
    } else {
        JobStatus::Ready
    };
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(ERROR_MAX));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{CycleId, CycleNumber};
    use std::time::Duration;
    use uuid::Uuid;

    fn new(number: u128) -> NewJob {
        NewJob {
            id: JobId(Uuid::from_u128(number)),
            kind: JobKind::Train,
            cycle: CycleId { run: RunId(Uuid::from_u128(1)), cycle: CycleNumber(1) },
            priority: 0,
            not_before: Timestamp(0),
            dedupe: None,
        }
    }

    fn lease(queue: &mut Queue) -> Option<Job> {
        let request = LeaseRequest {
            worker: "w".into(),
            limits: [(JobKind::Train, 9)].into(),
            now: Timestamp(0),
            lease: Duration::from_secs(30),
        };
        queue.lease(&request, &mut Vec::new())
    }

    fn load(epoch: u64, jobs: Vec<QueuedJob>) -> (Queue, Vec<Change>) {
        Queue::load(Epoch(epoch), FencingToken(0), BTreeSet::new(), jobs)
    }

    #[test]
    fn a_queue_that_was_stored_goes_on_where_it_was() {
        let (mut queue, _) = load(1, vec![]);
        let mut changes = Vec::new();
        queue.enqueue(new(9), Timestamp(0), &mut changes);
        queue.enqueue(new(8), Timestamp(0), &mut changes);
        let stored = changes.into_iter().filter_map(|change| match change {
            Change::Put(queued) => Some(queued),
            Change::Gone(_) => None,
        });
        let (mut queue, _) = load(2, stored.collect());
        queue.enqueue(new(1), Timestamp(0), &mut Vec::new());
        let order: Vec<u128> = std::iter::from_fn(|| lease(&mut queue))
            .map(|job| {
                let JobStatus::Leased(lease) = &job.status else { panic!("{job:?}") };
                assert_eq!(lease.epoch, Epoch(2));
                job.id.0.as_u128()
            })
            .collect();
        assert_eq!(order, [9, 8, 1]);
    }

    #[test]
    fn only_leases_of_earlier_epochs_are_given_back() {
        let (mut queue, _) = load(3, vec![]);
        queue.enqueue(new(1), Timestamp(0), &mut Vec::new());
        let job = lease(&mut queue).unwrap();
        let stored = vec![QueuedJob { sequence: 0, job }];
        assert!(load(3, stored.clone()).1.is_empty());
        assert_eq!(load(4, stored).1.len(), 1);
    }
}
