//! What a child has acknowledged, and whether a store still knows all of it.

use super::workload;
use super::{SelftestError, violations::Violations};
use crate::domain::digest::Digest;
use crate::domain::ids::{
    CycleId, CycleNumber, Epoch, FencingToken, JobId, Position, Revision, RunId,
};
use crate::domain::job::JobStatus;
use crate::engine::Engine;
use crate::engine::status::RunState;
use crate::store::{Recorded, Store, fold_to_damage};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// More events than this cannot be under way when a child dies: each lane waits for its answer.
const LANES: usize = 6;

/// Facts that children of one folder have acknowledged, over all their lives.
#[derive(Debug, Default, Clone)]
pub(super) struct Facts {
    events: BTreeMap<(CycleId, Revision), Digest>,
    enqueued: BTreeSet<JobId>,
    finished: BTreeSet<JobId>,
    token: FencingToken,
    epoch: Epoch,
}

impl Facts {
    /// Takes in a line of a child; whether it is one that this version writes.
    pub(super) fn note(&mut self, line: &str) -> bool {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["event", run, cycle, revision, hash] => {
                let (Ok(run), Ok(cycle), Ok(revision), Ok(hash)) =
                    (run.parse::<RunId>(), cycle.parse(), revision.parse(), hash.parse::<Digest>())
                else {
                    return false;
                };
                let cycle = CycleId { run, cycle: CycleNumber(cycle) };
                self.events.insert((cycle, Revision(revision)), hash);
                true
            }
            ["enqueued", job] => job.parse().is_ok_and(|job| {
                self.enqueued.insert(job);
                true
            }),
            ["finished", job] => job.parse().is_ok_and(|job| {
                self.finished.insert(job);
                true
            }),
            ["leased", _, token] => token.parse().is_ok_and(|token| {
                self.token = self.token.max(FencingToken(token));
                true
            }),
            ["opened"] | ["ended", _] => true,
            _ => false,
        }
    }

    /// How many facts there are.
    pub(super) fn len(&self) -> u64 {
        (self.events.len() + self.enqueued.len() + self.finished.len()) as u64
    }

    /// Opens what is in the folder and compares. What the stores hold beyond the acknowledged facts becomes known too: it is
    /// durable now.
    ///
    /// # Errors
    /// [`SelftestError`] if the check itself could not be made.
    pub(super) async fn check(
        &mut self,
        folder: &Path,
        violations: &mut Violations,
    ) -> Result<(), SelftestError> {
        let mut found = BTreeMap::new();
        let state = folder.join(workload::STORE);
        if state.exists() {
            match workload::open(&state, &crate::faults::Faults::none()) {
                Err(error) => violations.add(format!("the store cannot be opened: {error}")),
                Ok(store) => self.check_store(&store, &mut found, violations).await?,
            }
        }
        let state = folder.join(workload::CAMPAIGN);
        if state.exists() {
            match workload::open(&state, &crate::faults::Faults::none()) {
                Err(error) => violations.add(format!("the campaigns cannot be opened: {error}")),
                Ok(store) => {
                    read(&store, &mut found, violations).await?;
                    let artifacts = store.artifacts().clone();
                    for recorded in found.values() {
                        for digest in recorded.event.artifacts() {
                            if let Err(error) = artifacts.get(&digest) {
                                violations.add(format!("{error}, named by {}", place(recorded)));
                            }
                        }
                    }
                    check_campaigns(workload::engine(store), violations).await?;
                }
            }
        }
        for ((cycle, revision), hash) in &self.events {
            match found.get(&(*cycle, *revision)) {
                None => violations.add(format!("event {revision} of cycle {cycle} is lost")),
                Some(recorded) if recorded.hash != *hash => {
                    violations.add(format!("event {revision} of cycle {cycle} is another one"));
                }
                Some(_) => {}
            }
        }
        let unknown = found.keys().filter(|key| !self.events.contains_key(key)).count();
        // A campaign's commit may hold two events, and what a watcher was told may lag behind by as many.
        if unknown > LANES * 8 {
            violations.add(format!("{unknown} events are there that nobody was told of"));
        }
        self.events.extend(found.iter().map(|(key, recorded)| (*key, recorded.hash)));
        Ok(())
    }

    async fn check_store(
        &mut self,
        store: &dyn Store,
        found: &mut BTreeMap<(CycleId, Revision), Recorded>,
        violations: &mut Violations,
    ) -> Result<(), SelftestError> {
        if store.epoch() <= self.epoch {
            violations.add(format!("epoch {} came again", self.epoch));
        }
        self.epoch = store.epoch();
        read(store, found, violations).await?;
        let mut done: BTreeMap<JobId, u32> = BTreeMap::new();
        for job in found.values().filter_map(|recorded| recorded.causation) {
            *done.entry(job).or_default() += 1;
        }
        for (job, times) in &done {
            if *times > 1 {
                violations.add(format!("job {job} was done {times} times"));
            }
        }
        let queued: BTreeMap<JobId, JobStatus> =
            store.jobs().await?.into_iter().map(|job| (job.id, job.status)).collect();
        for (job, status) in &queued {
            if matches!(status, JobStatus::Leased(_)) {
                violations.add(format!("the dead still hold job {job}"));
            }
            if done.contains_key(job) {
                violations.add(format!("job {job} is done and still queued"));
            }
        }
        for job in &self.enqueued {
            if !queued.contains_key(job) && !done.contains_key(job) {
                violations.add(format!("job {job} is lost"));
            }
        }
        for job in &self.finished {
            if !done.contains_key(job) {
                violations.add(format!("the end of job {job} is lost"));
            }
        }
        self.enqueued.extend(queued.keys());
        self.finished.extend(done.keys());
        let Some(token) = workload::next_token(store).await? else { return Ok(()) };
        if token <= self.token {
            violations.add(format!("fencing token {token} came again, {} was given", self.token));
        }
        self.token = token;
        Ok(())
    }
}

fn place(recorded: &Recorded) -> String {
    format!("event {} of cycle {}", recorded.revision, recorded.cycle)
}

/// Reads every event; the store itself verifies checksums, chain and order.
async fn read(
    store: &dyn Store,
    found: &mut BTreeMap<(CycleId, Revision), Recorded>,
    violations: &mut Violations,
) -> Result<(), SelftestError> {
    let mut positions: BTreeSet<Position> = BTreeSet::new();
    for (run, _) in store.runs().await? {
        let (records, walked) = fold_to_damage(store, run, Vec::new(), |records, recorded| {
            records.push(recorded);
            true
        })
        .await;
        if let Err(error) = walked {
            violations.add(format!("run {run} cannot be read: {error}"));
        }
        for recorded in records {
            positions.insert(recorded.position);
            found.insert((recorded.cycle, recorded.revision), recorded);
        }
    }
    let last = positions.last().map_or(0, |position| position.0);
    if last != positions.len() as u64 {
        violations.add(format!("{} events up to position {last}", positions.len()));
    }
    Ok(())
}

/// Ended campaigns all mean the same.
async fn check_campaigns(engine: Engine, violations: &mut Violations) -> Result<(), SelftestError> {
    let mut first: Option<Digest> = None;
    for run in engine.runs().await? {
        let status = engine.status(run).await?;
        if status.state == RunState::Ended {
            let digest = status.semantic_digest;
            if *first.get_or_insert(digest) != digest {
                violations.add(format!("run {run} ended with another history than its like"));
            }
        } else if status.jobs.is_empty() {
            violations.add(format!("run {run} waits for {} without a job", status.phase));
        }
    }
    Ok(())
}
