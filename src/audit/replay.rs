//! A run at any point of its log, and how two such points differ.
//!
//! Pure: whoever has the records hands them in. What the state is after each follows from [`Run::apply`] alone, as when the
//! run was live.

use super::futures::{Futures, Tally};
use crate::domain::definition::AnswersSpec;
use crate::domain::digest::Digest;
use crate::domain::event::{Arm, Event, KpiChecked, KpiStage, labelled_set_digest};
use crate::domain::ids::{CycleNumber, Revision, RunId, SampleId};
use crate::domain::label::Label;
use crate::domain::meaning::SemanticDigest;
use crate::domain::state::{CycleSummary, IllegalEvent, Run};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A point of a run's log: `CYCLE` is the end of that cycle, `CYCLE:REVISION` the event of that revision in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// The cycle, from 1.
    pub cycle: CycleNumber,
    /// The revision in its log; `None`: its last.
    pub revision: Option<Revision>,
}

impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no point of a log: write CYCLE or CYCLE:REVISION, for example 3 or 3:2"
            )
        };
        let (cycle, revision) = match text.split_once(':') {
            Some((cycle, revision)) => (cycle, Some(revision)),
            None => (text, None),
        };
        let cycle = cycle.parse().ok().filter(|cycle| *cycle > 0).map(CycleNumber);
        let revision = revision.map(|revision| revision.parse().map(Revision)).transpose();
        match (cycle, revision) {
            (Some(cycle), Ok(revision)) => Ok(Self { cycle, revision }),
            (None, _) | (_, Err(_)) => Err(wrong()),
        }
    }
}

impl Point {
    /// Whether an event at this place is at the point or before it.
    #[must_use]
    pub fn reaches(&self, cycle: CycleNumber, revision: Revision) -> bool {
        match self.revision {
            Some(last) => (cycle, revision) <= (self.cycle, last),
            None => cycle <= self.cycle,
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.revision {
            Some(revision) => write!(f, "{}:{revision}", self.cycle),
            None => write!(f, "{}", self.cycle),
        }
    }
}

/// A log, folded event by event.
#[derive(Debug, Clone)]
pub struct Replay {
    run: Run,
    at: Option<(CycleNumber, Revision)>,
    events: u64,
    semantic: SemanticDigest,
    tallies: Vec<Tally>,
}

impl Replay {
    /// A run of which nothing has happened yet.
    #[must_use]
    pub fn new(run: RunId) -> Self {
        let (run, semantic) = (Run::new(run), SemanticDigest::default());
        Self { run, at: None, events: 0, semantic, tallies: Vec::new() }
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// [`IllegalEvent`] for one that cannot follow; the state is as before then.
    pub fn take(
        &mut self,
        cycle: CycleNumber,
        revision: Revision,
        event: &Event,
    ) -> Result<(), IllegalEvent> {
        self.run.apply(event)?;
        self.semantic.add(cycle, event);
        self.at = Some((cycle, revision));
        self.events += 1;
        self.tally(event);
        Ok(())
    }

    /// Notes what annotation has come to in the newest cycle.
    fn tally(&mut self, event: &Event) {
        let (answers, spent) = (self.run.answers, self.run.spent);
        if matches!(event, Event::CycleStarted(_)) {
            self.tallies.push(Tally { strategy: None, answers, spent });
        }
        let Some(tally) = self.tallies.last_mut() else { return };
        (tally.answers, tally.spent) = (answers, spent);
        if let Event::BatchSelected(batch) = event {
            tally.strategy = Some(batch.strategy.clone());
        }
    }

    /// What annotation had come to after each cycle.
    pub(super) fn tallies(&self) -> &[Tally] {
        &self.tallies
    }

    /// The run now.
    #[must_use]
    pub const fn run(&self) -> &Run {
        &self.run
    }

    /// The state now, for people and programs.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let run = &self.run;
        let labels = run.labels.iter().map(|(sample, known)| (sample, known.label));
        let mut arms: BTreeMap<&str, u64> = BTreeMap::new();
        for known in run.labels.values() {
            *arms.entry(arm(known.arm)).or_default() += 1;
        }
        let measured = |stage: KpiStage| {
            let of = |line: &CycleSummary| match stage {
                KpiStage::Gate => line.gate.clone(),
                KpiStage::Acceptance => line.acceptance.clone(),
            };
            run.history.iter().rev().find_map(of)
        };
        Snapshot {
            run: run.id,
            cycle: self.at.map(|(cycle, _)| cycle),
            revision: self.at.map(|(_, revision)| revision),
            events: self.events,
            phase: run.phase.name().to_owned(),
            labelled: run.labelled(),
            labelled_set: labelled_set_digest(labels),
            arms: arms.into_iter().map(|(arm, labels)| (arm.to_owned(), labels)).collect(),
            answers: run.answers,
            spent_seconds: run.spent.as_secs_f64(),
            production: run.production,
            pinned: run.pinned,
            gate: measured(KpiStage::Gate),
            acceptance: measured(KpiStage::Acceptance),
            semantic_digest: self.semantic.finish(),
        }
    }
}

/// An arm, in words.
pub(super) const fn arm(arm: Arm) -> &'static str {
    match arm {
        Arm::Strategy => "strategy",
        Arm::Audit => "audit",
        Arm::ColdStart => "cold start",
        Arm::Relabel => "relabel",
    }
}

/// What a run was at a point of its log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The run.
    pub run: RunId,
    /// The cycle of the last event; `None` before the first.
    pub cycle: Option<CycleNumber>,
    /// Its revision.
    pub revision: Option<Revision>,
    /// How many events there were.
    pub events: u64,
    /// What the run waited for, in words.
    pub phase: String,
    /// How many labels were known.
    pub labelled: u64,
    /// Their digest.
    pub labelled_set: Digest,
    /// How many labels each arm bought.
    pub arms: BTreeMap<String, u64>,
    /// How many answers annotators had given.
    pub answers: u64,
    /// The time they had spent, in seconds.
    pub spent_seconds: f64,
    /// The production model.
    pub production: Option<Digest>,
    /// Whether it was pinned.
    pub pinned: bool,
    /// The newest gate.
    pub gate: Option<KpiChecked>,
    /// The newest acceptance.
    pub acceptance: Option<KpiChecked>,
    /// What all events up to there meant, see [`SemanticDigest`].
    pub semantic_digest: Digest,
}

/// How two points differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The one.
    pub a: Snapshot,
    /// The other.
    pub b: Snapshot,
    /// Samples that only the one has a label for.
    pub only_a: Vec<SampleId>,
    /// Samples that only the other has a label for.
    pub only_b: Vec<SampleId>,
    /// Samples with another label here and there.
    pub labelled_otherwise: Vec<SampleId>,
    /// How many samples both have alike.
    pub alike: u64,
    /// What each cycle bought, cost and brought.
    pub futures: Futures,
}

/// Compares two points, of one run or of two, each with the prices of its workflow.
#[must_use]
pub fn difference(a: (&Replay, &AnswersSpec), b: (&Replay, &AnswersSpec)) -> Difference {
    let futures = Futures::of(a, b);
    let (a, b) = (a.0, b.0);
    let label = |of: &Replay, sample: &SampleId| -> Option<Label> {
        of.run.labels.get(sample).map(|known| known.label)
    };
    let lacking = |of: &Replay, other: &Replay| -> Vec<SampleId> {
        let samples = of.run.labels.keys();
        samples.filter(|sample| label(other, sample).is_none()).cloned().collect()
    };
    let both = || a.run.labels.keys().filter(|sample| label(b, sample).is_some());
    let differs = |sample: &&SampleId| label(a, sample) != label(b, sample);
    Difference {
        a: a.snapshot(),
        b: b.snapshot(),
        only_a: lacking(a, b),
        only_b: lacking(b, a),
        labelled_otherwise: both().filter(differs).cloned().collect(),
        alike: both().filter(|sample| !differs(sample)).count() as u64,
        futures,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_a_cycle_or_an_event_of_it() {
        let point = |text: &str| text.parse::<Point>();
        let third = point("3").unwrap();
        assert!(
            third.reaches(CycleNumber(3), Revision(9))
                && !third.reaches(CycleNumber(4), Revision(0))
        );
        let event = point("3:2").unwrap();
        assert!(
            event.reaches(CycleNumber(3), Revision(2))
                && event.reaches(CycleNumber(2), Revision(7))
        );
        assert!(!event.reaches(CycleNumber(3), Revision(3)));
        assert_eq!((third.to_string(), event.to_string()), ("3".to_owned(), "3:2".to_owned()));
        for wrong in ["", "0", "x", "3:", "3:x", ":2", "3:2:1", "-1"] {
            assert!(point(wrong).unwrap_err().contains("CYCLE:REVISION"), "{wrong}");
        }
    }
}
