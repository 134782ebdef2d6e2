//! The store without a disk: the same rules and the same bytes in a sorted map. For tests and for engines that may
//! forget.
//!
//! Everything is gone when the last handle is dropped.

use super::index::Index;
use super::ledger::{Ledger, Prepared, Source, Value, Visit as VisitValues, check_request};
use super::writes::{Finished, Write, Writes};
use super::{
    Answer, Commit, Committed, EventLog, Head, JobQueue, LeaseRequest, Recorded, Store, StoreError,
    Visit, reader,
};
use crate::domain::digest::Digest;
use crate::domain::ids::{CycleId, CycleNumber, Epoch, FencingToken, JobId, Revision, RunId};
use crate::domain::job::Job;
use crate::domain::time::Timestamp;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A store in memory.
#[derive(Debug)]
pub struct MemoryStore {
    // A std mutex: it is held for a few microseconds, never across an await, and never while rayon works: a thread that waits
    // for a part of its work takes up other work, which may ask for it again.
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    ledger: Ledger,
    // Whoever reads keeps the one that was there when it began.
    log: Arc<Log>,
    steps: u64,
}

#[derive(Debug, Default, Clone)]
struct Log {
    index: Index,
    tree: Tree,
}

/// Keys and values without a disk.
#[derive(Debug, Default, Clone)]
pub(super) struct Tree(pub(super) BTreeMap<Vec<u8>, Vec<u8>>);

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        let ledger = Ledger::empty();
        Self { inner: Mutex::new(Inner { ledger, log: Arc::default(), steps: 0 }) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A panic while the lock was held cannot happen half-way through a change that anybody would notice: the rules
        // check before they change.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self) -> Arc<Log> {
        Arc::clone(&self.inner().log)
    }

    fn ask<'a, T: Send + 'a>(
        &'a self,
        work: impl FnOnce(&mut Ledger, &mut Writes) -> Result<T, StoreError> + Send + 'a,
    ) -> Answer<'a, T> {
        Box::pin(async move {
            let inner = &mut *self.inner();
            let mut writes = Writes::default();
            let answer = work(&mut inner.ledger, &mut writes)?;
            inner.steps = inner.steps.saturating_add(u64::from(writes.len() > 0));
            if writes.len() > 0 {
                let log = Arc::make_mut(&mut inner.log);
                let Finished { writes, appended, chunks } = writes.finish(log.index.chunks());
                log.tree.write(writes);
                log.index.add(appended, chunks);
            }
            Ok(answer)
        })
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl EventLog for MemoryStore {
    fn read(&self, cycle: CycleId, from: Revision, limit: usize) -> Answer<'_, Vec<Recorded>> {
        Box::pin(async move {
            let log = self.log();
            match log.index.stretch(cycle, from, limit) {
                Some(stretch) => reader::read(&log.tree, cycle, from, &stretch),
                None => Ok(Vec::new()),
            }
        })
    }

    fn walk(&self, run: RunId, from: CycleNumber, mut visit: Visit) -> Answer<'_, ()> {
        Box::pin(async move {
            let log = self.log();
            let whole = |cycle| log.index.stretch(cycle, Revision::default(), usize::MAX);
            reader::walk(&log.tree, whole, run, from, &mut *visit)
        })
    }

    fn head(&self, cycle: CycleId) -> Answer<'_, Option<Head>> {
        self.ask(move |ledger, _| Ok(ledger.head(cycle)))
    }

    fn runs(&self) -> Answer<'_, Vec<(RunId, CycleNumber)>> {
        self.ask(|ledger, _| Ok(ledger.runs()))
    }
}

impl JobQueue for MemoryStore {
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

impl Store for MemoryStore {
    fn payloads(&self, _: RunId) -> Answer<'_, Vec<Digest>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn commit(&self, commit: Commit) -> Answer<'_, Committed> {
        self.ask(move |ledger, writes| ledger.commit(Prepared::new(commit)?, writes))
    }

    fn epoch(&self) -> Epoch {
        self.inner().ledger.epoch()
    }

    /// How many barriers a durable store would have paid for the same calls, one after the other.
    fn barriers(&self) -> u64 {
        self.inner().steps
    }
}

impl Tree {
    fn write(&mut self, writes: Vec<Write>) {
        for (key, value) in writes {
            match value {
                Some(value) => self.0.insert(key, value),
                None => self.0.remove(&key),
            };
        }
    }
}

impl Source for Tree {
    fn get(&self, key: &[u8]) -> Result<Option<Value<'_>>, StoreError> {
        Ok(self.0.get(key).map(|value| Box::new(value.as_slice()) as Value<'_>))
    }

    fn scan(&self, prefix: &[u8], visit: &mut VisitValues<'_>) -> Result<(), StoreError> {
        self.0
            .range::<[u8], _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .try_for_each(|(key, value)| visit(key, value))
    }

    fn artifact(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        // Payloads of any size are kept inline here.
        Err(StoreError::Damaged { what: format!("the payload {digest} is missing") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocking::wait;
    use crate::domain::event::{CycleCancelled, Event};
    use crate::domain::ids::EventId;
    use crate::store::{Append, NewEvent};
    use uuid::Uuid;

    /// A thread of rayon's that waits for a part of its walk may take up another one: with the lock held it would wait for itself.
    #[test]
    fn a_walk_holds_no_lock() {
        let store = Arc::new(MemoryStore::new());
        let event = |_| NewEvent {
            id: EventId(Uuid::nil()),
            recorded: Timestamp(5),
            causation: None,
            actor: "cli".into(),
            workflow: Digest::ZERO,
            event: Event::CycleCancelled(CycleCancelled { reason: "no more budget".to_owned() }),
        };
        let run = RunId(Uuid::from_u128(7));
        for cycle in (1..=80).map(CycleNumber) {
            let appends = vec![Append {
                cycle: CycleId { run, cycle },
                expected: Revision(0),
                events: (0..5).map(event).collect(),
            }];
            wait(store.commit(Commit { appends, ..Commit::default() })).unwrap();
        }
        let (sender, seen) = std::sync::mpsc::channel();
        let asked = Arc::clone(&store);
        let visit = Box::new(move |recorded: Recorded| {
            let same = wait(asked.read(recorded.cycle, recorded.revision, 1)).unwrap();
            sender.send(same == [recorded]).is_ok()
        });
        wait(store.walk(run, CycleNumber(1), visit)).unwrap();
        assert_eq!(seen.iter().collect::<Vec<_>>(), [true; 400]);
    }
}
