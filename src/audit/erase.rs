//! Forgetting a sample on request: what is kept of it, and what stays verifiable without it.
//!
//! | what Gleaner keeps of a sample | what becomes of it |
//! |---|---|
//! | its labels and the answers they rest on, in events | erased: the records are rewritten, their hashes stay |
//! | label masks, events that are artifacts | the files are removed where nothing else needs them |
//! | scores of batches, evidence against labels: they hold scores, embeddings and labels of many samples | removed, of every run that knew the sample, recorded as [`super::retention`] does |
//! | embeddings in the cache | the cache is removed; it is made again |
//! | its id, the digest of its bytes in the pools' manifests, who answered and when, metrics | stay: the record is about them |
//! | models that were trained with it | stay: a model does not unlearn |
//!
//! The pool's own files, exports, bundles, backups and models that were published elsewhere belong to whoever made them.
//!
//! What was erased cannot be added up again: digests of labelled sets from then on are notes of [`super::verify`], and a run's
//! semantic digest is another one than before. For what a rewritten record says of other samples nothing vouches any more but
//! whoever erased: its hash covers what it said before.
//!
//! An erasure that was interrupted after the log was rewritten is finished by asking for it again. What no event names may be a
//! mask of the sample then; it goes where every run is over, and stays for `gleaner gc` where one is not.

use super::retention::{Holdings, Models, Plan, Policy};
use crate::artifacts::{ArtifactError, Artifacts};
use crate::domain::command::Command;
use crate::domain::decide::{Refusal, decide};
use crate::domain::definition::Definition;
use crate::domain::digest::Digest;
use crate::domain::event::{
    ArtifactKind, ArtifactsRemoved, Event, RemovedArtifact, RewrittenRecord, SampleErased,
};
use crate::domain::ids::{CycleId, CycleNumber, EventId, Position, Revision, RunId, SampleId};
use crate::domain::state::{IllegalEvent, Run};
use crate::domain::time::Timestamp;
use crate::pool::Listing;
use crate::store::codec::{CodecError, Payload};
use crate::store::{Append, Commit, EventLog, NewEvent, Recorded, Store, StoreError, fold};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Why nothing is erased.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EraseError {
    /// The log cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log does not fit its rules.
    #[error("the log of run {run} does not fit: `gleaner verify` tells more")]
    Illegal {
        /// Which run.
        run: RunId,
        /// Where it breaks them.
        #[source]
        source: IllegalEvent,
    },
    /// A run is not in a state for it.
    #[error(
        "run {run} holds what tells of sample {sample}; end it first, by `gleaner resume` or `gleaner cancel`"
    )]
    Refused {
        /// Which run.
        run: RunId,
        /// Which sample.
        sample: SampleId,
        /// Why not.
        #[source]
        source: Refusal,
    },
    /// The stored workflow of a run.
    #[error("the stored workflow of run {run} cannot be read")]
    Workflow {
        /// Which run.
        run: RunId,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An event that is too long.
    #[error("an event cannot be written anew")]
    Codec(#[from] CodecError),
    /// Nobody here has heard of it.
    #[error("no run here knows a sample {sample:?}: neither a label nor a pool names it")]
    Unknown {
        /// Which sample.
        sample: SampleId,
    },
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// The sample.
    pub sample: &'a SampleId,
    /// The run that shall forget it; every run, if none is named.
    pub run: Option<RunId>,
    /// Why, for the log.
    pub reason: &'a str,
    /// When.
    pub at: Timestamp,
}

/// What would be erased, or was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Erasure {
    /// The sample.
    pub sample: SampleId,
    /// Each run that holds something of it.
    pub runs: Vec<ErasedRun>,
    /// Runs that still tell what it is, because only another one was asked to forget it; forks for instance.
    #[serde(default)]
    pub others: Vec<RunId>,
    /// Whether it was done, or would be only.
    pub done: bool,
    #[serde(skip)]
    forgetting: BTreeSet<RunId>,
    #[serde(skip)]
    changes: BTreeMap<Position, Event>,
    #[serde(skip)]
    appends: Vec<Said>,
    #[serde(skip)]
    files: BTreeSet<Digest>,
}

/// What one run forgets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasedRun {
    /// Which run.
    pub run: RunId,
    /// How many records are rewritten.
    pub records: u64,
    /// What is removed beside them.
    pub artifacts: Vec<RemovedArtifact>,
}

/// Events for the end of a run's log.
#[derive(Debug, Clone, PartialEq)]
struct Said {
    cycle: CycleId,
    expected: Revision,
    workflow: Digest,
    events: Vec<Event>,
}

impl Erasure {
    /// What the store holds of a sample, and what becomes of it. Changes nothing.
    ///
    /// # Errors
    /// [`EraseError`]; [`EraseError::Refused`] if a run that is not over holds something of it.
    pub async fn of(
        log: &dyn EventLog,
        artifacts: &Artifacts,
        wish: Wish<'_>,
    ) -> Result<Self, EraseError> {
        let sample = wish.sample;
        let mut erasure = Self {
            sample: sample.clone(),
            runs: Vec::new(),
            others: Vec::new(),
            done: false,
            forgetting: BTreeSet::new(),
            changes: BTreeMap::new(),
            appends: Vec::new(),
            files: BTreeSet::new(),
        };
        let mut is_known = false;
        for (run, _) in log.runs().await? {
            let is_asked = wish.run.is_none_or(|only| only == run);
            let wanted = sample.clone();
            if !is_asked {
                let tells = fold(log, run, false, move |tells, recorded| {
                    *tells = recorded.event.without_labels_of(&wanted).is_some();
                    Ok::<_, StoreError>(!*tells)
                });
                erasure.others.extend(tells.await?.then_some(run));
                continue;
            }
            let held = fold(log, run, Held::new(run), move |held, recorded| {
                held.take(&recorded, &wanted).map(|()| true)
            })
            .await?;
            if held.forgets || held.knows(sample, artifacts) {
                is_known = true;
                erasure.forgetting.extend(held.forgets.then_some(run));
                erasure.add(held, artifacts, wish)?;
            }
        }
        if is_known { Ok(erasure) } else { Err(EraseError::Unknown { sample: sample.clone() }) }
    }

    fn add(&mut self, held: Held, artifacts: &Artifacts, wish: Wish<'_>) -> Result<(), EraseError> {
        let Held { run, rewritten, evidence, changes, files, last, .. } = held;
        let bytes = |artifact: &Digest| {
            std::fs::metadata(artifacts.path(artifact)).map(|about| about.len()).ok()
        };
        let gone = evidence
            .into_iter()
            .filter(|(artifact, _)| !run.removed.contains_key(artifact))
            .filter_map(|(artifact, kind)| {
                Some(RemovedArtifact { artifact, kind, bytes: bytes(&artifact)? })
            });
        let gone: Vec<RemovedArtifact> = gone.collect();
        self.files.extend(files);
        if gone.is_empty() && rewritten.is_empty() {
            return Ok(()); // erased already, or never looked at
        }
        let (id, sample) = (run.id, wish.sample.clone());
        let policy = format!("nothing that tells of sample {sample}, which is erased");
        let removed = ArtifactsRemoved { removed: gone.clone(), policy, at: wish.at };
        let removed = (!gone.is_empty()).then_some(removed);
        let records = rewritten.len() as u64;
        let reason = wish.reason.to_owned();
        let erased = SampleErased { sample, reason, at: wish.at, rewritten };
        let definition = definition(&run, artifacts)
            .map_err(|source| EraseError::Workflow { run: id, source })?;
        let decision = decide(&run, &definition, Command::EraseSample { removed, erased })
            .map_err(|source| {
                let sample = wish.sample.clone();
                EraseError::Refused { run: id, sample, source }
            })?;
        self.forgetting.insert(id);
        let (cycle, revision) = last;
        self.appends.push(Said {
            cycle: CycleId { run: id, cycle },
            expected: revision.next(),
            workflow: definition.digest(),
            events: decision.events.into_iter().map(|(_, event)| event).collect(),
        });
        self.files.extend(gone.iter().map(|gone| gone.artifact));
        self.changes.extend(changes);
        self.runs.push(ErasedRun { run: id, records, artifacts: gone });
        Ok(())
    }

    /// Each run that forgets the sample, or did before.
    #[must_use]
    pub const fn forgetting(&self) -> &BTreeSet<RunId> {
        &self.forgetting
    }

    /// What each record that changes says from now on, by its position.
    #[must_use]
    pub const fn changes(&self) -> &BTreeMap<Position, Event> {
        &self.changes
    }

    /// What is appended with it. `mint` makes ids.
    pub fn commit(&self, at: Timestamp, actor: &str, mint: &dyn Fn() -> uuid::Uuid) -> Commit {
        let event = |said: &Said, event: &Event| NewEvent {
            id: EventId(mint()),
            recorded: at,
            causation: None,
            actor: actor.into(),
            workflow: said.workflow,
            event: event.clone(),
        };
        let append = |said: &Said| Append {
            cycle: said.cycle,
            expected: said.expected,
            events: said.events.iter().map(|of| event(said, of)).collect(),
        };
        Commit { appends: self.appends.iter().map(append).collect(), now: at, ..Commit::default() }
    }

    /// Removes the files that tell of the sample and that no run needs for anything else, once the log is rewritten, and those
    /// that no event names, if every run is over. Nobody else may have the state directory open. Whoever is interrupted
    /// before it asks for the same again.
    ///
    /// # Errors
    /// [`EraseError::Store`] if the log cannot be read or a file not be listed or removed.
    pub async fn remove_files(
        &mut self,
        log: &dyn Store,
        artifacts: &Artifacts,
    ) -> Result<(), EraseError> {
        let mut runs = Vec::new();
        for (run, _) in log.runs().await? {
            let held = Holdings::new(run, log.payloads(run).await?);
            let held = fold(log, run, held, |held, recorded| {
                held.take(&recorded);
                Ok::<_, StoreError>(true)
            });
            runs.push(held.await?);
        }
        let needed: BTreeSet<Digest> = runs.iter().flat_map(Holdings::needed).collect();
        // An interrupted erasure leaves masks that no event names any more. Whatever one names is kept here.
        let policy = Policy { cycles: u32::MAX, models: Models::All, runs: BTreeSet::new() };
        let listed = artifacts.list().map_err(not_removed)?;
        let orphans = Plan::new(&policy, &runs, &listed, &|_| false).orphans;
        let orphans = orphans.into_iter().map(|orphan| orphan.artifact);
        let files: BTreeSet<Digest> =
            self.files.difference(&needed).copied().chain(orphans).collect();
        for artifact in files {
            artifacts.remove(&artifact).map_err(not_removed)?;
        }
        self.done = true;
        Ok(())
    }
}

/// What one run's log tells of a sample.
struct Held {
    /// The run as it is once that is erased.
    run: Run,
    rewritten: Vec<RewrittenRecord>,
    changes: BTreeMap<Position, Event>,
    /// What may hold something of any sample.
    evidence: BTreeMap<Digest, ArtifactKind>,
    /// Whether it tells what the sample is, or forgot it.
    forgets: bool,
    /// What tells of samples that are or will be erased: payloads and masks, and what is removed. Nothing else may need it.
    files: BTreeSet<Digest>,
    last: (CycleNumber, Revision),
}

impl Held {
    const fn new(run: RunId) -> Self {
        Self {
            run: Run::new(run),
            rewritten: Vec::new(),
            changes: BTreeMap::new(),
            evidence: BTreeMap::new(),
            forgets: false,
            files: BTreeSet::new(),
            last: (CycleNumber(1), Revision(0)),
        }
    }

    fn take(&mut self, recorded: &Recorded, sample: &SampleId) -> Result<(), EraseError> {
        let (cycle, revision) = (recorded.cycle.cycle, recorded.revision);
        self.last = (cycle, revision);
        if let Event::BatchSelected(batch) = &recorded.event {
            self.evidence.extend(batch.scores.map(|scores| (scores, ArtifactKind::Scores)));
        } else if let Event::LabelsDoubted(doubted) = &recorded.event {
            self.evidence.insert(doubted.evidence, ArtifactKind::Evidence);
        }
        // What an earlier erasure was interrupted before.
        if let Event::SampleErased(erased) = &recorded.event {
            // What a record held between two erasures is large, or no file.
            let held = erased.rewritten.iter().flat_map(|record| [record.original, record.now]);
            self.files.extend(held);
            self.forgets |= erased.sample == *sample;
        } else if let Event::ArtifactsRemoved(removed) = &recorded.event {
            self.files.extend(removed.removed.iter().map(|gone| gone.artifact));
        }
        let changed = recorded.event.without_labels_of(sample);
        let event = changed.as_ref().unwrap_or(&recorded.event);
        let applied = self.run.apply(event);
        applied.map_err(|source| EraseError::Illegal { run: recorded.cycle.run, source })?;
        if let Some(event) = changed {
            let (before, now) = (Payload::of(&recorded.event)?, Payload::of(&event)?);
            let original = recorded.original.unwrap_or(before.digest());
            let now = now.digest();
            self.rewritten.push(RewrittenRecord { cycle, revision, original, now });
            self.files.extend(before.is_large().then_some(before.digest()));
            self.files.extend(recorded.event.artifacts());
            self.forgets = true;
            self.changes.insert(recorded.position, event);
        }
        Ok(())
    }

    /// Whether one of the run's pools holds the sample; one whose manifest does not read may.
    fn knows(&self, sample: &SampleId, artifacts: &Artifacts) -> bool {
        let pools: BTreeSet<&Digest> = self.run.pools.iter().collect();
        pools.into_iter().any(|pool| {
            let listing = artifacts.get(pool).ok().and_then(|bytes| Listing::read(&bytes));
            listing.is_none_or(|listing| listing.holds(sample))
        })
    }
}

fn definition(
    run: &Run,
    artifacts: &Artifacts,
) -> Result<Definition, Box<dyn std::error::Error + Send + Sync>> {
    let workflow = run.started.as_ref().map(|started| started.workflow).unwrap_or_default();
    Ok(serde_json::from_slice(&artifacts.get(&workflow)?)?)
}

fn not_removed(error: ArtifactError) -> StoreError {
    StoreError::Backend {
        operation: "remove what tells of the sample",
        outcome_unknown: false,
        source: Box::new(error),
    }
}
