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

use crate::artifacts::Artifacts;
use crate::domain::digest::Digest;
use crate::domain::event::{Event, SampleErased};
use crate::domain::ids::{CycleId, CycleNumber, Revision, RunId, SampleId};
use crate::domain::label::Label;
use crate::domain::labelled_set::LabelledSet;
use crate::domain::state::{Phase, Run};
use crate::pool::Listing;
use crate::store::codec::Payload;
use crate::store::{EventLog, Recorded, StoreError};
use named::Named;
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
    hold(log, artifacts, run, None).await
}

/// Verifies the log of one run apart from its store: artifacts that are `left_out` are not looked for, and no file is
/// expected to be the production model.
///
/// # Errors
/// As [`verify`].
pub async fn verify_apart(
    log: &dyn EventLog,
    artifacts: &Artifacts,
    run: RunId,
    left_out: &BTreeSet<Digest>,
) -> Result<Verification, StoreError> {
    hold(log, artifacts, Some(run), Some(left_out)).await
}

async fn hold(
    log: &dyn EventLog,
    artifacts: &Artifacts,
    run: Option<RunId>,
    left_out: Option<&BTreeSet<Digest>>,
) -> Result<Verification, StoreError> {
    let runs: Vec<RunId> = match run {
        Some(run) => vec![run],
        None => log.runs().await?.into_iter().map(|(run, _)| run).collect(),
    };
    let mut found = Vec::with_capacity(runs.len());
    let mut named = Named::default();
    let in_store = left_out.is_none();
    let mut pages = Pages { log, runs: &runs, run: 0, from: CycleNumber(1) };
    let mut reader: Option<Reader<'_>> = None;
    let mut page = pages.next().await;
    while let Some((run, read)) = page {
        let is_over = read.as_ref().map_or(true, Vec::is_empty);
        let this = reader.get_or_insert_with(|| Reader::new(run, artifacts, None, in_store));
        // The next page is read while this one is looked at.
        let (next, taken) = tokio::join!(pages.next(), this.take_page(log, read, &mut named));
        taken?;
        if is_over && let Some(mut ended) = reader.take() {
            ended.check_rewritten(); // where it ended early, what tells of them may lie beyond
            found.push(ended.found);
            reader =
                next.as_ref().map(|(run, _)| Reader::new(*run, artifacts, ended.pool, in_store));
        }
        page = next;
    }
    named.by.retain(|digest, _| !left_out.is_some_and(|left_out| left_out.contains(digest)));
    let intact = named.check(artifacts, &mut found);
    let events = found.iter().map(|run| run.events).sum();
    let damaged = found
        .is_empty()
        .then(|| "there are no runs, where a state directory is made by one".to_owned());
    Ok(Verification { events, artifacts: intact, runs: found, damaged })
}

/// The logs of some runs, page by page; a run's last page is empty, or tells why there are no more.
struct Pages<'a> {
    log: &'a dyn EventLog,
    runs: &'a [RunId],
    run: usize,
    from: CycleNumber,
}

impl Pages<'_> {
    async fn next(&mut self) -> Option<(RunId, Result<Vec<Recorded>, StoreError>)> {
        let run = self.runs.get(self.run).copied()?;
        let page = self.log.read_cycles(run, self.from, PAGE).await;
        match page.as_ref().ok().and_then(|page| page.last()) {
            Some(last) => self.from = last.cycle.cycle.next(),
            None => (self.run, self.from) = (self.run.saturating_add(1), CycleNumber(1)),
        }
        Some((run, page))
    }
}

/// A record that holds another payload than it was hashed with.
struct Rewritten {
    original: Digest,
    now: Digest,
    /// Samples that it holds no labels of, and of which no event has said so yet.
    untold: BTreeSet<SampleId>,
    /// What was trusted before it, and how many events that were.
    before: (Option<Trusted>, u64),
}

/// Reads one run's log.
struct Reader<'a> {
    artifacts: &'a Artifacts,
    run: Run,
    head: Digest,
    labels: LabelledSet,
    /// The digest of the labels known, until more are.
    known: Option<Digest>,
    /// The pool that was read last; runs share them.
    pool: Option<(Digest, Option<Listing>)>,
    /// Records that hold another payload than they were hashed with.
    rewritten: BTreeMap<(CycleNumber, Revision), Rewritten>,
    /// Of which of them an event says that they hold this one.
    told: BTreeMap<(CycleNumber, Revision), Digest>,
    /// How many digests of labels cannot be worked out any more.
    erased_sets: u64,
    found: VerifiedRun,
    /// From where on damage is looked for event by event.
    from: CycleNumber,
    /// Whether the log lies in its store, beside the files of its models.
    in_store: bool,
}

impl<'a> Reader<'a> {
    fn new(
        run: RunId,
        artifacts: &'a Artifacts,
        pool: Option<(Digest, Option<Listing>)>,
        in_store: bool,
    ) -> Self {
        let (findings, notes) = (Vec::new(), Vec::new());
        Self {
            artifacts,
            run: Run::new(run),
            head: Digest::ZERO,
            labels: LabelledSet::default(),
            known: None,
            pool,
            rewritten: BTreeMap::new(),
            told: BTreeMap::new(),
            erased_sets: 0,
            found: VerifiedRun { run, trusted: None, events: 0, findings, notes },
            from: CycleNumber(1),
            in_store,
        }
    }

    /// Takes a page in: the next one, the empty one at the end, or damage. Nothing after the first finding.
    async fn take_page(
        &mut self,
        log: &dyn EventLog,
        page: Result<Vec<Recorded>, StoreError>,
        named: &mut Named,
    ) -> Result<(), StoreError> {
        if !self.found.findings.is_empty() {
            return Ok(());
        }
        let page = match page {
            Ok(page) => page,
            Err(StoreError::Damaged { what }) => {
                return self.read_singly(log, named, self.from, what).await;
            }
            Err(other) => return Err(other),
        };
        let Some(last) = page.last() else {
            return self.end(log).await;
        };
        self.from = last.cycle.cycle.next();
        let _all_hold = page.iter().all(|recorded| self.take(recorded, named));
        Ok(())
    }

    /// Looks at what only the whole log shows.
    async fn end(&mut self, log: &dyn EventLog) -> Result<(), StoreError> {
        if self.found.events == 0 {
            self.stop(None, "it has no events".to_owned());
        }
        if let Some(forked) = &self.run.forked {
            let (cycle, held) = (forked.cycle, self.run.cycle);
            self.found.findings.extend(inherited::compare(log, self.run.id, forked).await?);
            if held < cycle {
                self.stop(None, format!("it inherits {cycle} cycles, and has {held}"));
            }
        }
        if self.in_store {
            self.check_current();
        }
        Ok(())
    }

    /// Of each record that holds another payload than it was hashed with an event must say so, and of each sample that is
    /// erased in it. Those of a fork's past were perhaps erased in the other run.
    fn check_rewritten(&mut self) {
        let past = self.run.forked.as_ref().map_or(CycleNumber(0), |forked| forked.cycle);
        let untold = self.rewritten.iter().find(|(place, record)| {
            let of_samples = place.0 > past && !record.untold.is_empty();
            of_samples || self.told.get(place) != Some(&record.now)
        });
        if let Some((place, Rewritten { original, now, untold, before })) = untold {
            let of = untold.iter().map(|sample| format!(", without sample {sample}"));
            let what = format!(
                "it was rewritten and holds {now} instead of {original}{}, and no event says so",
                of.collect::<String>()
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
            let (cycle, revision) = place;
            let found = self.rewritten.get_mut(&place);
            let Some(found) = found.filter(|found| found.original == record.original) else {
                return Err(format!(
                    "it says that {cycle}.{revision} was rewritten, whose payload was {}, and it was not",
                    record.original
                ));
            };
            if !found.untold.remove(&erased.sample) {
                return Err(format!(
                    "it says that {cycle}.{revision} was rewritten for sample {}, and there is no erased label of it there",
                    erased.sample
                ));
            }
            self.told.insert(place, record.now);
        }
        let (sample, date, reason) = (&erased.sample, erased.at.date(), &erased.reason);
        let records = erased.rewritten.len();
        Ok(format!(
            "sample {sample} was erased on {date}: {reason}; {records} records say no more what it is, and hold together by the digests of what they said; for what else these say now, nothing vouches but who wrote it"
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
            let untold = recorded.event.erased_samples().into_iter().cloned().collect();
            let rewritten = Rewritten { original, now, untold, before };
            self.rewritten.insert((cycle, revision), rewritten);
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
        let (event, cycle) = (&recorded.event, recorded.cycle.cycle);
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
        if recorded.original.is_some() && event.erased_samples().is_empty() {
            let name = event.name();
            return Err(format!("{name} was rewritten, and no label in it is erased"));
        }
        match event {
            Event::CycleStarted(started) => {
                let before = if self.run.cycle.0 == 0 { Digest::ZERO } else { self.head };
                // Of an inherited cycle it is the end of the other run's log, with which all of it is compared.
                let inherited =
                    self.run.forked.as_ref().is_some_and(|forked| cycle <= forked.cycle);
                if started.previous_head != before && !(inherited && cycle.0 > 1) {
                    return Err(format!(
                        "the cycle says that the one before it ends with {}, but it ends with {before}",
                        started.previous_head
                    ));
                }
                self.check_labels("starts with", started.labelled_set)?;
                if self.pool.as_ref().is_none_or(|(pool, _)| *pool != started.pool) {
                    // One that is missing is a finding of its own.
                    let bytes = self.artifacts.get(&started.pool).ok();
                    let listing = bytes.as_deref().map(Listing::read);
                    if listing == Some(None) {
                        let what = format!(
                            "its pool {} is no manifest that can be read: picks are not held against it",
                            started.pool
                        );
                        let (cycle, revision) = (Some(cycle), Some(recorded.revision));
                        self.found.notes.push(Finding { cycle, revision, what });
                    }
                    self.pool = Some((started.pool, listing.flatten()));
                }
            }
            Event::BatchSelected(batch) => {
                let pool = self.pool.as_ref().and_then(|(_, listing)| listing.as_ref());
                let strange = |sample: &SampleId| pool.is_some_and(|pool| !pool.holds(sample));
                if let Some(pick) = batch.picks.iter().find(|pick| strange(&pick.sample)) {
                    return Err(format!(
                        "sample {} was picked, which the cycle's pool does not hold",
                        pick.sample
                    ));
                }
            }
            Event::Trained(trained) => self.check_labels("trained on", trained.train_set)?,
            Event::Annotated(_)
            | Event::Relabelled(_)
            | Event::RunStarted(_)
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
            | Event::Forked(_)
            | Event::ArtifactsRemoved(_)
            | Event::SampleErased(_) => {}
        }
        if self.run.log_of(event) != recorded.cycle.cycle && self.run.phase != Phase::New {
            return Err(format!("{} stands in the log of another cycle", event.name()));
        }
        self.run.apply(event).map_err(|illegal| illegal.to_string())?;
        if let Event::Annotated(annotated) = event {
            self.learn(annotated.labels.iter().map(|said| (&said.sample, said.label)));
        } else if let Event::Relabelled(relabelled) = event {
            self.learn(relabelled.labels.iter().map(|said| (&said.sample, said.after)));
        }
        Ok(())
    }

    fn learn<'l>(&mut self, labels: impl Iterator<Item = (&'l SampleId, Label)>) {
        self.labels.extend(labels);
        self.known = None;
    }

    fn check_labels(&mut self, what: &str, said: Digest) -> Result<(), String> {
        let known = *self.known.get_or_insert_with(|| self.labels.digest());
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
