//! Why a sample was picked, or was not, and what came of its label; and the same for every pick of a cycle.
//!
//! Pure: events come in one by one, in the order of the log, and the artifacts that they name are asked for.

use super::selection::places;
use crate::data_selector::Evidence;
use crate::domain::digest::Digest;
use crate::domain::event::{Annotated, Arm, BatchSelected, Event, KpiStage, Pick, Relabelled};
use crate::domain::ids::{CycleNumber, Name, SampleId};
use crate::domain::label::Label;
use crate::pool::Listing;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a run did with one sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The sample.
    pub sample: SampleId,
    /// The names of the classes, in the order of their numbers.
    pub classes: Vec<String>,
    /// What happened to it, in order.
    pub history: Vec<Happened>,
}

/// One thing that happened to a sample, or did not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happened {
    /// It was picked.
    Picked(Picked),
    /// It was a candidate and was not picked.
    Passed {
        /// In which cycle.
        cycle: CycleNumber,
        /// Its score; `None` where the strategy scores batches and not samples, or its scores were not kept.
        score: Option<f64>,
        /// Its place among all candidates, from 1; candidates of equal score share one.
        rank: Option<u64>,
        /// How far below the last pick it lies.
        below_cutoff: Option<f64>,
        /// Among how many.
        candidates: u64,
        /// The labelled sample most like it.
        nearest: Option<Neighbour>,
    },
    /// It was a candidate, and what the batch was picked from is no longer kept.
    Unknown {
        /// In which cycle.
        cycle: CycleNumber,
        /// The day on which that was removed, in UTC.
        date: String,
    },
    /// Somebody answered what it is.
    Answered {
        /// In which cycle.
        cycle: CycleNumber,
        /// Who.
        annotator: Name,
        /// What.
        label: Label,
    },
    /// It got its label.
    Labelled {
        /// In which cycle.
        cycle: CycleNumber,
        /// By whom.
        annotator: Name,
        /// Which.
        label: Label,
    },
    /// Its label was asked again, or changed by further answers.
    Reconsidered {
        /// In which cycle.
        cycle: CycleNumber,
        /// What it was.
        before: Label,
        /// What it is.
        after: Label,
    },
    /// A training learned its label for the first time, or as it is since it changed.
    Learned {
        /// In which cycle.
        cycle: CycleNumber,
        /// How many labels it learned in all.
        labels: u64,
        /// The model that went to production, if one did.
        model: Option<Digest>,
        /// What is measured.
        metric: Name,
        /// The measurement before, if there was one.
        before: Option<f64>,
        /// The measurement after.
        after: f64,
    },
}

/// A pick, and why it is one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Picked {
    /// In which cycle.
    pub cycle: CycleNumber,
    /// On whose behalf.
    pub arm: Arm,
    /// By which strategy, where it was one.
    pub strategy: String,
    /// The model that scored it.
    pub model: Option<Digest>,
    /// Its score.
    pub score: Option<f64>,
    /// Its place within the arm, from 1.
    pub rank: u32,
    /// How far above the last pick of the strategy it lies.
    pub above_cutoff: Option<f64>,
    /// With which probability chance chose it, where chance did.
    pub probability: Option<f64>,
    /// Among how many.
    pub candidates: u64,
    /// The labelled sample most like it.
    pub nearest: Option<Neighbour>,
}

impl Picked {
    fn of(
        cycle: CycleNumber,
        batch: &BatchSelected,
        pick: &Pick,
        nearest: Option<Neighbour>,
    ) -> Self {
        let above = pick.score.zip(batch.cutoff).map(|(score, cutoff)| score - cutoff);
        Self {
            cycle,
            arm: pick.arm,
            strategy: batch.strategy.clone(),
            model: batch.model,
            score: pick.score,
            rank: pick.rank,
            above_cutoff: above.filter(|_| pick.arm == Arm::Strategy),
            probability: pick.probability,
            candidates: batch.candidates,
            nearest,
        }
    }
}

/// A labelled sample, and how far it lies from another one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Which.
    pub sample: SampleId,
    /// What it is.
    pub label: Label,
    /// The Euclidean distance between both in the embedding that the strategy looked at.
    pub distance: f64,
}

/// Gives the bytes of an artifact, where it is still there.
pub type Files<'a> = &'a mut dyn FnMut(&Digest) -> Option<Vec<u8>>;

/// What a run knew when a batch was picked.
#[derive(Debug, Default)]
struct Known {
    classes: Vec<String>,
    pool: Option<(Digest, Listing)>,
    labels: BTreeMap<SampleId, Label>,
}

impl Known {
    fn take(&mut self, event: &Event, files: Files<'_>) {
        if let Event::RunStarted(started) = event {
            self.classes.clone_from(&started.classes);
        } else if let Event::CycleStarted(started) = event {
            let pool = started.pool;
            if self.pool.as_ref().is_none_or(|(known, _)| *known != pool) {
                let listing = files(&pool).and_then(|bytes| Listing::read(&bytes));
                self.pool = listing.map(|listing| (pool, listing));
            }
        } else if let Event::Annotated(Annotated { labels }) = event {
            self.labels.extend(labels.iter().map(|said| (said.sample.clone(), said.label)));
        } else if let Event::Relabelled(Relabelled { labels }) = event {
            self.labels.extend(labels.iter().map(|said| (said.sample.clone(), said.after)));
        }
    }

    /// What a batch was picked from, where it was kept.
    fn seen(&self, batch: &BatchSelected, files: Files<'_>) -> Option<Seen> {
        let evidence = Evidence::read(&files(&batch.scores?)?).ok()?;
        let labels = self.labels.iter().map(|(sample, label)| (sample.clone(), *label));
        // Without the pool's order nobody knows which row is which sample's.
        let labelled = self.pool.as_ref().map(|(_, pool)| {
            let mut labelled: Vec<(SampleId, Label)> = labels.collect();
            labelled.sort_by(|(a, _), (b, _)| pool.order(a, b));
            labelled
        });
        let labelled = labelled.unwrap_or_default();
        Some(Seen { evidence, labelled })
    }
}

/// What a batch was picked from, and the samples that had labels then, in the pool's order.
struct Seen {
    evidence: Evidence,
    labelled: Vec<(SampleId, Label)>,
}

impl Seen {
    /// Where some samples stand among the candidates.
    fn places<'s>(
        &self,
        samples: impl Iterator<Item = &'s SampleId>,
    ) -> BTreeMap<&'s SampleId, usize> {
        places(&self.evidence.ids, samples)
    }

    /// The labelled sample most like the candidate at a place; of several the first.
    fn nearest(&self, place: usize) -> Option<Neighbour> {
        let embedding = self.evidence.output("embedding")?;
        let known = self.evidence.labelled("embedding")?;
        if known.rows() != self.labelled.len() || known.cols() != embedding.cols() {
            return None;
        }
        let candidate = embedding.row(place);
        let squared = |other: &[f32]| -> f64 {
            let apart = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).powi(2);
            candidate.iter().zip(other).map(apart).sum()
        };
        let distances = known.iter_rows().map(squared).zip(&self.labelled);
        let (squared, (sample, label)) = distances.min_by(|(a, _), (b, _)| a.total_cmp(b))?;
        let (sample, label, distance) = (sample.clone(), *label, squared.sqrt());
        distance.is_finite().then_some(Neighbour { sample, label, distance })
    }
}

/// Follows one sample through a log.
#[derive(Debug)]
pub struct Explainer {
    found: Explanation,
    known: Known,
    /// The label came, or changed, and no training has learned it yet.
    unlearned: bool,
    /// The cycle of the last batch, if the sample may have been a candidate of it and nothing tells.
    untold: Option<CycleNumber>,
    /// What the cycle's training learned, if it had one.
    trained: Option<(u64, Option<Digest>)>,
    measured: Option<f64>,
}

impl Explainer {
    /// Of a sample of which nothing is known yet.
    #[must_use]
    pub fn new(sample: SampleId) -> Self {
        let found = Explanation { sample, classes: Vec::new(), history: Vec::new() };
        let known = Known::default();
        Self { found, known, unlearned: false, untold: None, trained: None, measured: None }
    }

    /// Takes in the next event of the run.
    pub fn take(&mut self, cycle: CycleNumber, event: &Event, files: Files<'_>) {
        if let Event::BatchSelected(batch) = event {
            self.select(cycle, batch, files);
        } else if let Event::Voted(voted) = event {
            let of = voted.votes.iter().filter(|vote| vote.sample == self.found.sample);
            self.found.history.extend(of.map(|vote| Happened::Answered {
                cycle,
                annotator: vote.annotator.clone(),
                label: vote.label,
            }));
        } else if let Event::Annotated(annotated) = event {
            for said in annotated.labels.iter().filter(|said| said.sample == self.found.sample) {
                self.unlearned = true;
                let (annotator, label) = (said.annotator.clone(), said.label);
                self.found.history.push(Happened::Labelled { cycle, annotator, label });
            }
        } else if let Event::Relabelled(relabelled) = event {
            for again in relabelled.labels.iter().filter(|by| by.sample == self.found.sample) {
                self.unlearned |= again.before != again.after;
                let (before, after) = (again.before, again.after);
                self.found.history.push(Happened::Reconsidered { cycle, before, after });
            }
        } else {
            self.learn(cycle, event);
        }
        self.known.take(event, files);
    }

    /// What the batch that was taken in last was picked from was removed on `date`, a day in UTC.
    pub fn lost(&mut self, date: String) {
        if let Some(cycle) = self.untold.take() {
            self.found.history.push(Happened::Unknown { cycle, date });
        }
    }

    /// What was found; `None` where the log says nothing of the sample.
    #[must_use]
    pub fn finish(self) -> Option<Explanation> {
        let classes = self.known.classes;
        Some(Explanation { classes, ..self.found }).filter(|found| !found.history.is_empty())
    }

    fn learn(&mut self, cycle: CycleNumber, event: &Event) {
        if let Event::Trained(trained) = event {
            self.trained = Some((trained.train_samples, None));
        } else if let Event::ModelSelected(selected) = event {
            let winner = selected.promoted.then_some(selected.winner);
            self.trained = self.trained.map(|(labels, _)| (labels, winner));
        } else if let Event::KpiChecked(checked) = event
            && checked.stage == KpiStage::Acceptance
        {
            let (before, after) = (self.measured.replace(checked.value), checked.value);
            if let Some((labels, model)) = self.trained.take()
                && std::mem::take(&mut self.unlearned)
            {
                let metric = checked.metric.clone();
                let learned = Happened::Learned { cycle, labels, model, metric, before, after };
                self.found.history.push(learned);
            }
        }
    }

    fn select(&mut self, cycle: CycleNumber, batch: &BatchSelected, files: Files<'_>) {
        let sample = &self.found.sample;
        let seen = self.known.seen(batch, files);
        let place = |seen: &Seen| {
            let places = seen.places(std::iter::once(sample));
            places.into_values().next()
        };
        let place = seen.as_ref().and_then(place);
        let nearest = seen.as_ref().zip(place).and_then(|(seen, place)| seen.nearest(place));
        self.untold = None;
        if let Some(pick) = batch.picks.iter().find(|pick| pick.sample == *sample) {
            let picked = Picked::of(cycle, batch, pick, nearest);
            self.found.history.push(Happened::Picked(picked));
            return;
        }
        let Some((seen, place)) = seen.zip(place) else {
            // Whether it was held out for tests the log does not say: without evidence there is nothing to tell.
            let in_pool = self.known.pool.as_ref().is_some_and(|(_, pool)| pool.holds(sample));
            let may_be = in_pool && !self.known.labels.contains_key(sample);
            self.untold = Some(cycle).filter(|_| may_be);
            return;
        };
        let scores = seen.evidence.scores.as_deref();
        let score = scores.and_then(|scores| scores.get(place).copied());
        let score = score.filter(|score| score.is_finite());
        let rank = scores.zip(score).map(|(scores, score)| {
            scores.iter().filter(|other| **other > score).count() as u64 + 1
        });
        self.found.history.push(Happened::Passed {
            cycle,
            score,
            rank,
            below_cutoff: batch.cutoff.zip(score).map(|(cutoff, score)| cutoff - score),
            candidates: batch.candidates,
            nearest,
        });
    }
}

/// A batch, and why each of its picks is one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchExplanation {
    /// The cycle.
    pub cycle: CycleNumber,
    /// The strategy.
    pub strategy: String,
    /// The version of its definition.
    pub strategy_version: u32,
    /// Its parameters, and what an auditor should know.
    pub parameters: BTreeMap<String, String>,
    /// The model that scored the candidates.
    pub model: Option<Digest>,
    /// What ran it.
    pub provider: Option<String>,
    /// How many candidates there were.
    pub candidates: u64,
    /// The lowest score that was still picked by the strategy arm.
    pub cutoff: Option<f64>,
    /// The artifact with what the strategy looked at.
    pub evidence: Option<Digest>,
    /// The names of the classes, in the order of their numbers.
    pub classes: Vec<String>,
    /// The picks, as they were chosen.
    pub picks: Vec<ExplainedPick>,
}

/// A pick, why it is one, and its label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExplainedPick {
    /// The sample.
    pub sample: SampleId,
    /// Why.
    pub picked: Picked,
    /// Its label, as of the end of the cycle; `None` while nobody gave one.
    pub label: Option<Label>,
    /// Who gave it.
    pub annotator: Option<Name>,
}

/// Follows a log up to the end of one cycle.
#[derive(Debug)]
pub struct BatchExplainer {
    cycle: CycleNumber,
    known: Known,
    found: Option<BatchExplanation>,
}

impl BatchExplainer {
    /// Of the batch of `cycle`.
    #[must_use]
    pub fn new(cycle: CycleNumber) -> Self {
        Self { cycle, known: Known::default(), found: None }
    }

    /// Takes in the next event of the run.
    pub fn take(&mut self, cycle: CycleNumber, event: &Event, files: Files<'_>) {
        if cycle == self.cycle
            && let Event::BatchSelected(batch) = event
        {
            self.select(batch, files);
        } else if let Event::Annotated(annotated) = event {
            for said in &annotated.labels {
                self.label(&said.sample, said.label, Some(&said.annotator));
            }
        } else if let Event::Relabelled(relabelled) = event {
            for again in &relabelled.labels {
                self.label(&again.sample, again.after, None);
            }
        }
        self.known.take(event, files);
    }

    /// What was found; `None` where the cycle has no batch.
    #[must_use]
    pub fn finish(self) -> Option<BatchExplanation> {
        self.found
    }

    fn label(&mut self, sample: &SampleId, label: Label, annotator: Option<&Name>) {
        let picks = self.found.iter_mut().flat_map(|found| &mut found.picks);
        for pick in picks.filter(|pick| pick.sample == *sample) {
            pick.label = Some(label);
            if let Some(annotator) = annotator {
                pick.annotator = Some(annotator.clone());
            }
        }
    }

    fn select(&mut self, batch: &BatchSelected, files: Files<'_>) {
        let seen = self.known.seen(batch, files);
        let samples = batch.picks.iter().map(|pick| &pick.sample);
        let places = seen.as_ref().map(|seen| seen.places(samples)).unwrap_or_default();
        let nearest = |sample: &SampleId| seen.as_ref()?.nearest(*places.get(sample)?);
        let explained = |pick: &Pick| ExplainedPick {
            sample: pick.sample.clone(),
            picked: Picked::of(self.cycle, batch, pick, nearest(&pick.sample)),
            label: None,
            annotator: None,
        };
        self.found = Some(BatchExplanation {
            cycle: self.cycle,
            strategy: batch.strategy.clone(),
            strategy_version: batch.strategy_version,
            parameters: batch.parameters.clone(),
            model: batch.model,
            provider: batch.provider.clone(),
            candidates: batch.candidates,
            cutoff: batch.cutoff,
            evidence: batch.scores,
            classes: self.known.classes.clone(),
            picks: batch.picks.iter().map(explained).collect(),
        });
    }
}
