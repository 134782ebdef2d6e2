//! Whether a store is whole: chains, transitions, picks, labels, models and every artifact, held against each other.
//!
//! What each record is by itself (checksum, hash, place, the link to the record before it) the event log compares when it
//! reads. Here the meaning is compared: may this event follow, is this pick a sample of the pool it was picked from, are
//! these the labels that were known, is the file there that the event names, and is it the one. A chain shows that nothing
//! before its last record was changed. That nothing was cut off after it, only a checkpoint kept elsewhere can show.

use crate::artifacts::{ArtifactError, Artifacts};
use crate::domain::digest::Digest;
use crate::domain::event::{ArtifactsRemoved, Event, SampleErased, labelled_set_digest};
use crate::domain::ids::{CycleId, CycleNumber, Revision, RunId, SampleId};
use crate::domain::state::{Phase, Run};
use crate::pool::Listing;
use crate::store::codec::Payload;
use crate::store::{EventLog, Recorded, StoreError};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How many records are read at a time; bounds the memory that a long log takes.
const PAGE: usize = 4_096;

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

/// Verifies one run, or all of a store.
///
/// # Errors
/// [`StoreError`] where the store cannot be read at all; a record that does not fit is a finding.
pub async fn verify(
    log: &dyn EventLog,
    artifacts: &Artifacts,
    run: Option<RunId>,
) -> Result<Verification, StoreError> {
    let runs: Vec<RunId> = match run {
        Some(run) => vec![run],
        None => log.runs().await?.into_iter().map(|(run, _)| run).collect(),
    };
    let mut found = Vec::with_capacity(runs.len());
    let mut named = Named::default();
    for run in runs {
        let mut reader = Reader::new(run, artifacts);
        reader.read(log, &mut named).await?;
        found.push(reader.found);
    }
    let intact = named.check(artifacts, &mut found);
    let events = found.iter().map(|run| run.events).sum();
    let damaged = found
        .is_empty()
        .then(|| "there are no runs, where a state directory is made by one".to_owned());
    Ok(Verification { events, artifacts: intact, runs: found, damaged })
}

/// Every artifact that an event names.
#[derive(Default)]
struct Named {
    /// The first event of each run that does; runs come one after the other.
    by: BTreeMap<Digest, Vec<(CycleId, Revision, &'static str)>>,
    /// Which runs say that they need it no more.
    removed: BTreeSet<(Digest, RunId)>,
}

impl Named {
    fn add(&mut self, digest: Digest, recorded: &Recorded) {
        if !self.is_named(&digest, recorded.cycle.run) {
            let naming = (recorded.cycle, recorded.revision, recorded.event.name());
            self.by.entry(digest).or_default().push(naming);
        }
    }

    /// Whether an event of `run`, which is the one that is read, names it.
    fn is_named(&self, digest: &Digest, run: RunId) -> bool {
        let last = self.by.get(digest).and_then(|by| by.last());
        last.is_some_and(|(cycle, ..)| cycle.run == run)
    }

    /// Takes note of what a run needs no more; answers what is to be said of it.
    fn remove(
        &mut self,
        removed: &ArtifactsRemoved,
        run: RunId,
        artifacts: &Artifacts,
    ) -> Result<String, String> {
        let (mut bytes, mut there) = (0_u64, 0_u64);
        for gone in &removed.removed {
            let artifact = gone.artifact;
            if !self.is_named(&artifact, run) {
                return Err(format!("it removes {artifact}, which no event before it names"));
            }
            self.removed.insert((artifact, run));
            bytes = bytes.saturating_add(gone.bytes);
            there = there.saturating_add(u64::from(artifacts.path(&artifact).exists()));
        }
        let (count, date, policy) = (removed.removed.len(), removed.at.date(), &removed.policy);
        let still = match there {
            0 => String::new(),
            _ => format!(
                "; {there} of them are there: another run needs them, or the next `gleaner gc` takes them away"
            ),
        };
        Ok(format!(
            "{count} artifacts ({bytes} bytes) were removed by policy on {date}, which keeps {policy}{still}"
        ))
    }

    /// Reads all of them; answers how many are sound.
    fn check(&self, artifacts: &Artifacts, found: &mut [VerifiedRun]) -> u64 {
        let unsound: Vec<(&Digest, ArtifactError)> = self
            .by
            .par_iter()
            .filter_map(|(digest, _)| Some((digest, artifacts.check(digest).err()?)))
            .collect();
        let sound = self.by.len() - unsound.len();
        for (digest, error) in unsound {
            let is_missing = matches!(error, ArtifactError::Missing { .. });
            let by = self.by.get(digest).into_iter().flatten();
            for (cycle, revision, event) in by {
                if is_missing && self.removed.contains(&(*digest, cycle.run)) {
                    continue;
                }
                let why = if is_missing {
                    "is missing".to_owned()
                } else if let ArtifactError::Damaged { actual, .. } = &error {
                    format!("is another file now: its digest is {actual}")
                } else {
                    format!("cannot be read: {error}")
                };
                let what = format!("{event} names the artifact {digest}, which {why}");
                let (number, revision) = (Some(cycle.cycle), Some(*revision));
                if let Some(run) = found.iter_mut().find(|run| run.run == cycle.run) {
                    run.findings.push(Finding { cycle: number, revision, what });
                }
                // A file that is not the one it should be is told once.
                if !is_missing {
                    break;
                }
            }
        }
        sound as u64
    }
}

/// A record that holds another payload than it was hashed with.
struct Rewritten {
    original: Digest,
    now: Digest,
    /// What was trusted before it, and how many events that were.
    before: (Option<Trusted>, u64),
}

/// Reads one run's log.
struct Reader<'a> {
    artifacts: &'a Artifacts,
    run: Run,
    head: Digest,
    /// The digest of the labels known, until more are.
    known: Option<Digest>,
    pool: Option<Listing>,
    /// Records that hold another payload than they were hashed with.
    rewritten: BTreeMap<(CycleNumber, Revision), Rewritten>,
    /// Of which of them an event says that they hold this one.
    told: BTreeMap<(CycleNumber, Revision), Digest>,
    /// How many digests of labels cannot be worked out any more.
    erased_sets: u64,
    found: VerifiedRun,
}

impl<'a> Reader<'a> {
    fn new(run: RunId, artifacts: &'a Artifacts) -> Self {
        let (findings, notes) = (Vec::new(), Vec::new());
        let found = VerifiedRun { run, trusted: None, events: 0, findings, notes };
        let (run, head) = (Run::new(run), Digest::ZERO);
        Self {
            artifacts,
            run,
            head,
            known: None,
            pool: None,
            rewritten: BTreeMap::new(),
            told: BTreeMap::new(),
            erased_sets: 0,
            found,
        }
    }

    async fn read(&mut self, log: &dyn EventLog, named: &mut Named) -> Result<(), StoreError> {
        let mut from = CycleNumber(1);
        loop {
            let page = match log.read_cycles(self.run.id, from, PAGE).await {
                Ok(page) => page,
                Err(StoreError::Damaged { what }) => {
                    return self.read_singly(log, named, from, what).await;
                }
                Err(other) => return Err(other),
            };
            let Some(last) = page.last() else { break };
            from = last.cycle.cycle.next();
            for recorded in &page {
                if !self.take(recorded, named) {
                    return Ok(());
                }
            }
        }
        if self.found.events == 0 {
            self.stop(None, "it has no events".to_owned());
        }
        self.check_rewritten();
        self.check_current();
        Ok(())
    }

    /// Each record that holds another payload than it was hashed with must be one of which an event says so.
    fn check_rewritten(&mut self) {
        let untold = (self.rewritten.iter())
            .find(|(place, record)| self.told.get(place) != Some(&record.now));
        if let Some((place, Rewritten { original, now, before })) = untold {
            let what = format!(
                "it was rewritten and holds {now} instead of {original}, and no event says so"
            );
            (self.found.trusted, self.found.events) = *before;
            self.stop(Some(*place), what);
        }
        if self.erased_sets > 0 {
            let what = format!(
                "{} digests of labelled sets cannot be worked out again: labels in them are erased",
                self.erased_sets
            );
            self.found.notes.push(Finding { cycle: None, revision: None, what });
        }
    }

    /// What an erasing event says of records; answers what is to be said of it.
    fn take_erasure(&mut self, erased: &SampleErased) -> Result<String, String> {
        for record in &erased.rewritten {
            let place = (record.cycle, record.revision);
            let original = self.rewritten.get(&place).map(|record| record.original);
            if original != Some(record.original) {
                let (cycle, revision) = place;
                return Err(format!(
                    "it says that {cycle}.{revision} was rewritten, whose payload was {}, and it was not",
                    record.original
                ));
            }
            self.told.insert(place, record.now);
        }
        let (sample, date, reason) = (&erased.sample, erased.at.date(), &erased.reason);
        let records = erased.rewritten.len();
        Ok(format!(
            "sample {sample} was erased on {date}: {reason}; {records} records say no more what it is, and hold together by the digests of what they said"
        ))
    }

    /// The file that other processes read must be the production model.
    fn check_current(&mut self) {
        let Some(model) = self.run.production else { return };
        let path = self.artifacts.current_model(self.run.id);
        let what = match std::fs::read(&path) {
            Ok(bytes) if Digest::of(&bytes) == model => return,
            Ok(_) => format!("is not the production model {model}"),
            Err(error) => {
                format!("should be the production model {model} and cannot be read: {error}")
            }
        };
        self.stop(
            None,
            format!("{} {what}; the next command that opens the store mends it", path.display()),
        );
    }

    /// After damage: event by event, so that all before it is known to hold.
    async fn read_singly(
        &mut self,
        log: &dyn EventLog,
        named: &mut Named,
        mut cycle: CycleNumber,
        what: String,
    ) -> Result<(), StoreError> {
        let mut revision = Revision(0);
        loop {
            let place = CycleId { run: self.run.id, cycle };
            match log.read(place, revision, 1).await {
                Ok(records) => match records.first() {
                    Some(recorded) if !self.take(recorded, named) => return Ok(()),
                    Some(recorded) => revision = recorded.revision.next(),
                    None if revision == Revision(0) => {
                        self.stop(None, what);
                        return Ok(());
                    }
                    None => (cycle, revision) = (cycle.next(), Revision(0)),
                },
                Err(StoreError::Damaged { what }) => {
                    self.stop(Some((cycle, revision)), what);
                    return Ok(());
                }
                Err(other) => return Err(other),
            }
        }
    }

    /// Takes an event in; false where it does not hold.
    fn take(&mut self, recorded: &Recorded, named: &mut Named) -> bool {
        let (cycle, revision) = (recorded.cycle.cycle, recorded.revision);
        if let Err(what) = self.check(recorded) {
            self.stop(Some((cycle, revision)), what);
            return false;
        }
        for digest in recorded.event.artifacts() {
            named.add(digest, recorded);
        }
        if let Some(original) = recorded.original {
            // What was decoded can be encoded.
            let now = Payload::of(&recorded.event).map_or(Digest::ZERO, |now| now.digest());
            let before = (self.found.trusted, self.found.events);
            self.rewritten.insert((cycle, revision), Rewritten { original, now, before });
        }
        let said = if let Event::ArtifactsRemoved(removed) = &recorded.event {
            Some(named.remove(removed, self.run.id, self.artifacts))
        } else if let Event::SampleErased(erased) = &recorded.event {
            Some(self.take_erasure(erased))
        } else {
            None
        };
        if let Some(said) = said {
            match said {
                Ok(what) => {
                    let (cycle, revision) = (Some(cycle), Some(revision));
                    self.found.notes.push(Finding { cycle, revision, what });
                }
                Err(what) => {
                    self.stop(Some((cycle, revision)), what);
                    return false;
                }
            }
        }
        if let Event::CycleStarted(started) = &recorded.event {
            named.add(started.pool, recorded);
        }
        self.head = recorded.hash;
        self.found.trusted = Some(Trusted { cycle, revision, hash: recorded.hash });
        self.found.events += 1;
        true
    }

    /// Whether an event holds by what came before it. What only the workflow could tell is not asked.
    fn check(&mut self, recorded: &Recorded) -> Result<(), String> {
        let event = &recorded.event;
        if recorded.previous != self.head {
            return Err(format!("{} does not follow the event before it", event.name()));
        }
        if let Some(started) = &self.run.started
            && recorded.workflow != started.workflow
        {
            let (found, known) = (recorded.workflow, started.workflow);
            return Err(format!(
                "it was recorded under the workflow {found}, the run's is {known}"
            ));
        }
        match event {
            Event::CycleStarted(started) => {
                let before = if self.run.cycle.0 == 0 { Digest::ZERO } else { self.head };
                if started.previous_head != before {
                    return Err(format!(
                        "the cycle says that the one before it ends with {}, but it ends with {before}",
                        started.previous_head
                    ));
                }
                self.check_labels("starts with", started.labelled_set)?;
                if self.run.pool != Some(started.pool) {
                    self.pool = self
                        .artifacts
                        .get(&started.pool)
                        .ok()
                        .and_then(|bytes| Listing::read(&bytes));
                }
            }
            Event::BatchSelected(batch) => {
                let strange =
                    |sample: &SampleId| self.pool.as_ref().is_some_and(|pool| !pool.holds(sample));
                if let Some(pick) = batch.picks.iter().find(|pick| strange(&pick.sample)) {
                    return Err(format!(
                        "sample {} was picked, which the cycle's pool does not hold",
                        pick.sample
                    ));
                }
            }
            Event::Trained(trained) => self.check_labels("trained on", trained.train_set)?,
            Event::Annotated(_) | Event::Relabelled(_) => self.known = None,
            Event::RunStarted(_)
            | Event::KpiChecked(_)
            | Event::ModelSelected(_)
            | Event::CycleEnded(_)
            | Event::CycleFailed(_)
            | Event::CycleCancelled(_)
            | Event::RunEnded(_)
            | Event::ModelsCompared(_)
            | Event::RolledBack(_)
            | Event::Pinned(_)
            | Event::Voted(_)
            | Event::LabelsDoubted(_)
            | Event::BaselineMeasured(_)
            | Event::DriftChecked(_)
            | Event::ClassesMeasured(_)
            | Event::ArtifactsRemoved(_)
            | Event::SampleErased(_) => {}
        }
        if self.run.log_of(event) != recorded.cycle.cycle && self.run.phase != Phase::New {
            return Err(format!("{} stands in the log of another cycle", event.name()));
        }
        self.run.apply(event).map_err(|illegal| illegal.to_string())
    }

    fn check_labels(&mut self, what: &str, said: Digest) -> Result<(), String> {
        let labels = || self.run.labels.iter().map(|(sample, known)| (sample, known.label));
        let known = *self.known.get_or_insert_with(|| labelled_set_digest(labels()));
        if said == known {
            return Ok(());
        }
        if self.run.labels.values().any(|known| known.label.is_erased()) {
            self.erased_sets += 1;
            return Ok(());
        }
        Err(format!("it {what} the labels {said}, but those known are {known}"))
    }

    fn stop(&mut self, place: Option<(CycleNumber, Revision)>, what: String) {
        let (cycle, revision) = place.unzip();
        self.found.findings.push(Finding { cycle, revision, what });
    }
}
