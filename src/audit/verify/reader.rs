//! Reads the log of one run and holds every event against those before it.

use super::named::Names;
use super::{Finding, Trusted, VerifiedRun, inherited};
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
use std::collections::{BTreeMap, BTreeSet};

/// A record that holds another payload than it was hashed with.
struct Rewritten {
    original: Digest,
    now: Digest,
    /// Samples that it holds no labels of, and of which no event has said so yet.
    untold: BTreeSet<SampleId>,
    /// What was trusted before it, and how many events that were.
    before: (Option<Trusted>, u64),
}

/// A run's pool version, and what its manifest lists, where that can be read.
pub(super) type Pool = Option<(Digest, Option<Listing>)>;

/// Reads one run's log.
pub(super) struct Reader {
    artifacts: Artifacts,
    run: Run,
    head: Digest,
    labels: LabelledSet,
    /// The digest of the labels known, until more are.
    known: Option<Digest>,
    /// The pool that was read last; runs share them.
    pub(super) pool: Pool,
    /// The artifacts that it names.
    pub(super) names: Names,
    /// Records that hold another payload than they were hashed with.
    rewritten: BTreeMap<(CycleNumber, Revision), Rewritten>,
    /// Of which of them an event says that they hold this one.
    told: BTreeMap<(CycleNumber, Revision), Digest>,
    /// How many digests of labels cannot be worked out any more.
    erased_sets: u64,
    pub(super) found: VerifiedRun,
    /// Whether the log lies in its store, beside the files of its models.
    in_store: bool,
}

impl Reader {
    /// Of a run of which nothing is read yet. `pool` is the one that was read last for another run.
    pub(super) fn new(run: RunId, artifacts: Artifacts, pool: Pool, in_store: bool) -> Self {
        let (findings, notes) = (Vec::new(), Vec::new());
        Self {
            artifacts,
            run: Run::new(run),
            head: Digest::ZERO,
            labels: LabelledSet::default(),
            known: None,
            pool,
            names: Names::default(),
            rewritten: BTreeMap::new(),
            told: BTreeMap::new(),
            erased_sets: 0,
            found: VerifiedRun { run, trusted: None, events: 0, findings, notes },
            in_store,
        }
    }

    /// Which run it is.
    pub(super) const fn run(&self) -> RunId {
        self.run.id
    }

    /// Looks at what only the whole log shows.
    pub(super) async fn end(&mut self, log: &dyn EventLog) -> Result<(), StoreError> {
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
    pub(super) fn check_rewritten(&mut self) {
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
    pub(super) async fn read_singly(
        &mut self,
        log: &dyn EventLog,
        what: String,
    ) -> Result<(), StoreError> {
        let trusted = self.found.trusted.as_ref();
        let (mut cycle, mut revision) = trusted
            .map_or((CycleNumber(1), Revision(0)), |last| (last.cycle, last.revision.next()));
        loop {
            let place = CycleId { run: self.run.id, cycle };
            match log.read(place, revision, 1).await {
                Ok(records) => match records.first() {
                    Some(recorded) if !self.take(recorded) => return Ok(()),
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

    /// Takes the next event in; false where it does not hold.
    pub(super) fn take(&mut self, recorded: &Recorded) -> bool {
        let (cycle, revision) = (recorded.cycle.cycle, recorded.revision);
        if let Err(what) = self.check(recorded) {
            self.stop(Some((cycle, revision)), what);
            return false;
        }
        for digest in recorded.event.artifacts() {
            self.names.add(digest, recorded);
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
            Some(self.names.remove(removed, &self.artifacts))
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
            self.names.add(started.pool, recorded);
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
