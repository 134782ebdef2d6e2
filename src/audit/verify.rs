//! Whether a store is whole: chains, transitions, picks, labels, models and every artifact, held against each other.
//!
//! What each record is by itself (checksum, hash, place, the link to the record before it) the event log compares when it
//! reads. Here the meaning is compared: may this event follow, is this pick a sample of the pool it was picked from, are
//! these the labels that were known, is the file there that the event names, and is it the one. A chain shows that nothing
//! before its last record was changed. That nothing was cut off after it, only a checkpoint kept elsewhere can show.
//!
//! What a fork inherited must be what the other run's log holds, where both are in the store.
//!
//! A record that was rewritten, because a sample in it is erased, keeps its hash, so the chain says nothing of what it holds
//! now. It must be one that holds labels, hold none of the erased samples, and be named by the event that tells of it. What it
//! says of other samples is what whoever erased wrote there; of that there is a note and no proof.

mod inherited;
mod named;
mod reader;

use crate::artifacts::Artifacts;
use crate::blocking::wait;
use crate::domain::digest::Digest;
use crate::domain::ids::{CycleNumber, Revision, RunId};
use crate::store::{EventLog, StoreError, fold_to_damage};
use named::{Named, Names};
use rayon::prelude::*;
use reader::Reader;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

/// What was found of the whole store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// How many events were verified.
    pub events: u64,
    /// How many artifacts were read and fit their digests.
    pub artifacts: u64,
    /// Each run, in the order of their start.
    pub runs: Vec<VerifiedRun>,
    /// Why the log cannot be opened at all; then nothing else was verified, and `gleaner repair` tells what can be saved.
    #[serde(default)]
    pub damaged: Option<String>,
}

/// What was found of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerifiedRun {
    /// Which.
    pub run: RunId,
    /// The last event up to which all of its log holds, and that event's hash: what can be trusted whatever was found.
    pub trusted: Option<Trusted>,
    /// How many events that are.
    pub events: u64,
    /// What does not hold, in the order in which it was found; the log is not read beyond its first finding.
    pub findings: Vec<Finding>,
    /// What is no longer there, and rightly so.
    #[serde(default)]
    pub notes: Vec<Finding>,
}

/// The end of what can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trusted {
    /// The cycle.
    pub cycle: CycleNumber,
    /// The revision in its log.
    pub revision: Revision,
    /// The event's hash.
    pub hash: Digest,
}

/// Something that does not hold, or that has to be said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The cycle of the event that it was found at, where it was one.
    pub cycle: Option<CycleNumber>,
    /// Its revision.
    pub revision: Option<Revision>,
    /// What it is, for people.
    pub what: String,
}

impl Verification {
    /// Of a log that cannot be opened.
    #[must_use]
    pub const fn not_opened(why: String) -> Self {
        Self { events: 0, artifacts: 0, runs: Vec::new(), damaged: Some(why) }
    }

    /// Whether everything holds.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damaged.is_none() && self.runs.iter().all(|run| run.findings.is_empty())
    }
}

/// Verifies one run, or all of a store. Blocks: every record and every artifact is read, by all cores. The log is asked on
/// threads of rayon's, where no async runtime is.
///
/// # Errors
/// [`StoreError`] where the store cannot be read at all or this code panics; a record that does not fit is a finding.
pub fn verify(
    log: &dyn EventLog,
    artifacts: &Artifacts,
    run: Option<RunId>,
) -> Result<Verification, StoreError> {
    hold(log, artifacts, run, None)
}

/// Verifies the log of one run apart from its store: artifacts that are `left_out` are not looked for, and no file is
/// expected to be the production model.
///
/// # Errors
/// As [`verify`].
pub fn verify_apart(
    log: &dyn EventLog,
    artifacts: &Artifacts,
    run: RunId,
    left_out: &BTreeSet<Digest>,
) -> Result<Verification, StoreError> {
    hold(log, artifacts, Some(run), Some(left_out))
}

fn hold(
    log: &dyn EventLog,
    artifacts: &Artifacts,
    run: Option<RunId>,
    left_out: Option<&BTreeSet<Digest>>,
) -> Result<Verification, StoreError> {
    // What an async runtime does elsewhere is done at once on a thread of rayon's: a run that went from one thread to another
    // cost a fifth more.
    let work = || {
        let runs: Vec<RunId> = match run {
            Some(run) => vec![run],
            None => wait(log.runs())?.into_iter().map(|(run, _)| run).collect(),
        };
        let mut found = Vec::with_capacity(runs.len());
        let mut named = Named::default();
        for (run, names) in each(log, artifacts, &runs, left_out.is_none())? {
            named.add(names, run.run);
            found.push(run);
        }
        named.by.retain(|digest, _| !left_out.is_some_and(|left_out| left_out.contains(digest)));
        let intact = named.check(artifacts, &mut found);
        let events = found.iter().map(|run| run.events).sum();
        let damaged = found
            .is_empty()
            .then(|| "there are no runs, where a state directory is made by one".to_owned());
        Ok(Verification { events, artifacts: intact, runs: found, damaged })
    };
    // Whatever a damaged store makes of this code, its owner gets an answer.
    catch_unwind(AssertUnwindSafe(|| rayon::scope(|_| work()))).unwrap_or_else(|_| {
        Err(StoreError::Backend {
            operation: "verify the store",
            outcome_unknown: false,
            source: "the verification panicked, which is a mistake in gleaner".into(),
        })
    })
}

/// Reads each run's log in one lane, as many at a time as there are cores; answers in the order of `runs`.
fn each(
    log: &dyn EventLog,
    artifacts: &Artifacts,
    runs: &[RunId],
    in_store: bool,
) -> Result<Vec<(VerifiedRun, Names)>, StoreError> {
    let next = AtomicUsize::new(0);
    let lane = |_| {
        let (mut done, mut pool) = (Vec::new(), None);
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(run) = runs.get(place) else { return Ok(done) };
            let reader = Reader::new(*run, artifacts.clone(), pool, in_store);
            let ended = wait(read(log, reader))?;
            pool = ended.pool;
            done.push((place, (ended.found, ended.names)));
        }
    };
    let lanes = (0..rayon::current_num_threads().min(runs.len())).into_par_iter().with_max_len(1);
    let lanes: Vec<Result<_, StoreError>> = lanes.map(lane).collect();
    let mut done = Vec::with_capacity(runs.len());
    for lane in lanes {
        done.append(&mut lane?);
    }
    done.sort_unstable_by_key(|(place, _)| *place);
    Ok(done.into_iter().map(|(_, run)| run).collect())
}

/// Reads the log of one run.
async fn read(log: &dyn EventLog, reader: Reader) -> Result<Reader, StoreError> {
    let run = reader.run();
    let (mut reader, walked) =
        fold_to_damage(log, run, reader, |reader, recorded| reader.take(&recorded)).await;
    match walked {
        Ok(()) if reader.found.findings.is_empty() => reader.end(log).await?,
        Ok(()) => {}
        Err(StoreError::Damaged { what }) => reader.read_singly(log, what).await?,
        Err(other) => return Err(other),
    }
    reader.check_rewritten(); // where it ended early, what tells of them may lie beyond
    Ok(reader)
}
