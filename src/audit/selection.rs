//! Why a sample was picked, or was not; whether the same inputs give the same batch again; and what another strategy would have
//! picked from them.
//!
//! Pure: the events and the evidence of a batch come in (see [`Evidence`]).

use crate::data_selector::{Evidence, SelectorError, build};
use crate::domain::digest::Digest;
use crate::domain::event::{Arm, BatchSelected, Event, Pick};
use crate::domain::ids::{CycleNumber, SampleId};
use crate::domain::label::Label;
use crate::domain::strategy::StrategySpec;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A batch, picked again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reselected {
    /// The cycle.
    pub cycle: CycleNumber,
    /// The strategy.
    pub strategy: String,
    /// How many picks were compared; those that ask again for a label are no choice of the strategy.
    pub picks: u64,
    /// What is not the same, for people; empty where every pick is, with every bit of its score.
    pub differences: Vec<String>,
}

/// Picks a batch again from its evidence and compares, bit by bit.
///
/// # Errors
/// [`SelectorError`] where the strategy can no longer be run, for example because it is the host's own.
pub fn reselect(
    cycle: CycleNumber,
    batch: &BatchSelected,
    evidence: &Evidence,
) -> Result<Reselected, SelectorError> {
    let again = evidence.select_again()?;
    let then: Vec<&Pick> = batch.picks.iter().filter(|pick| pick.arm != Arm::Relabel).collect();
    // A first batch by a strategy is an arm of its own.
    let cold = then.iter().all(|pick| pick.arm == Arm::ColdStart);
    let mut differences = Vec::new();
    if again.picks.len() != then.len() {
        differences.push(format!("{} picks then, {} now", then.len(), again.picks.len()));
    }
    for (then, now) in then.iter().zip(&again.picks) {
        let bits = |pick: &Pick| {
            let [score, chance] = [pick.score, pick.probability].map(|x| x.map(f64::to_bits));
            (score, chance)
        };
        if then.sample != now.sample || (then.arm != now.arm && !cold) || then.rank != now.rank {
            differences.push(format!(
                "{:?} pick {}: {} then, {} now",
                then.arm, then.rank, then.sample, now.sample
            ));
        } else if bits(then) != bits(now) {
            differences.push(format!(
                "sample {}: score {:?} then, {:?} now",
                then.sample, then.score, now.score
            ));
        }
    }
    let strategy = batch.strategy.clone();
    Ok(Reselected { cycle, strategy, picks: then.len() as u64, differences })
}

/// What another strategy would have picked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WhatIf {
    /// The cycle.
    pub cycle: CycleNumber,
    /// The strategy.
    pub strategy: String,
    /// What it picks, in its order.
    pub picks: Vec<SampleId>,
    /// How many of them were picked then.
    pub overlap: u64,
    /// How many were picked then by the strategy of the workflow.
    pub picked: u64,
}

/// Picks from the evidence of a batch by another strategy, as many as `size`, or as were picked then. The audit arm is drawn as
/// it was.
///
/// # Errors
/// [`SelectorError`] as a selection, for instance if the strategy needs what was not kept.
pub fn what_if(
    cycle: CycleNumber,
    batch: &BatchSelected,
    evidence: &Evidence,
    strategy: &StrategySpec,
    size: Option<usize>,
) -> Result<WhatIf, SelectorError> {
    let size = size.map(|size| size.saturating_add(evidence.about.audit));
    let size = size.unwrap_or(evidence.about.batch);
    let found = evidence.select_batch_by(&*build(strategy)?, size)?;
    let picks = found.picks.into_iter().filter(|pick| pick.arm == Arm::Strategy);
    let picks: Vec<SampleId> = picks.map(|pick| pick.sample).collect();
    let then = batch.picks.iter().filter(|pick| matches!(pick.arm, Arm::Strategy | Arm::ColdStart));
    let then: BTreeSet<&SampleId> = then.map(|pick| &pick.sample).collect();
    Ok(WhatIf {
        cycle,
        strategy: strategy.to_string(),
        overlap: picks.iter().filter(|sample| then.contains(sample)).count() as u64,
        picked: then.len() as u64,
        picks,
    })
}

/// What a run did with one sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// The sample.
    pub sample: SampleId,
    /// What happened to it, in order.
    pub history: Vec<Happened>,
}

/// One thing that happened to a sample, or did not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happened {
    /// It was picked.
    Picked {
        /// In which cycle.
        cycle: CycleNumber,
        /// On whose behalf.
        arm: Arm,
        /// By which strategy, where it was one.
        strategy: String,
        /// The model that scored it.
        model: Option<Digest>,
        /// Its score.
        score: Option<f64>,
        /// Its place within the arm, from 1.
        rank: u32,
        /// How far above the last pick of the strategy it lies.
        above_cutoff: Option<f64>,
        /// With which probability chance chose it, where chance did.
        probability: Option<f64>,
        /// Among how many.
        candidates: u64,
    },
    /// It was a candidate and was not picked.
    Passed {
        /// In which cycle.
        cycle: CycleNumber,
        /// Its score.
        score: f64,
        /// Its place among all candidates, from 1; candidates of equal score share one.
        rank: u64,
        /// How far below the last pick it lies.
        below_cutoff: Option<f64>,
        /// Among how many.
        candidates: u64,
    },
    /// It was not picked, and what the batch was picked from is no longer kept.
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
        annotator: String,
        /// What.
        label: Label,
    },
    /// It got its label.
    Labelled {
        /// In which cycle.
        cycle: CycleNumber,
        /// By whom.
        annotator: String,
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
}

/// The candidates of a batch and their scores, where they were kept.
pub type ScoresOf<'a> = &'a mut dyn FnMut(&BatchSelected) -> Option<(Vec<SampleId>, Vec<f64>)>;

impl Explanation {
    /// Of a sample of which nothing is known yet.
    #[must_use]
    pub const fn new(sample: SampleId) -> Self {
        Self { sample, history: Vec::new() }
    }

    /// Takes in the next event of the run; `scores` are those of the batch's candidates, where they were kept.
    pub fn take(&mut self, cycle: CycleNumber, event: &Event, scores: ScoresOf<'_>) {
        if let Event::BatchSelected(batch) = event {
            self.select(cycle, batch, scores);
        } else if let Event::Voted(voted) = event {
            let of = voted.votes.iter().filter(|vote| vote.sample == self.sample);
            self.history.extend(of.map(|vote| Happened::Answered {
                cycle,
                annotator: vote.annotator.clone(),
                label: vote.label,
            }));
        } else if let Event::Annotated(annotated) = event {
            let of = annotated.labels.iter().filter(|said| said.sample == self.sample);
            self.history.extend(of.map(|said| Happened::Labelled {
                cycle,
                annotator: said.annotator.clone(),
                label: said.label,
            }));
        } else if let Event::Relabelled(relabelled) = event {
            let of = relabelled.labels.iter().filter(|relabel| relabel.sample == self.sample);
            self.history.extend(of.map(|relabel| Happened::Reconsidered {
                cycle,
                before: relabel.before,
                after: relabel.after,
            }));
        }
    }

    fn select(&mut self, cycle: CycleNumber, batch: &BatchSelected, scores: ScoresOf<'_>) {
        let BatchSelected { cutoff, candidates, .. } = *batch;
        if let Some(pick) = batch.picks.iter().find(|pick| pick.sample == self.sample) {
            let by_strategy = pick.arm == Arm::Strategy;
            self.history.push(Happened::Picked {
                cycle,
                arm: pick.arm,
                strategy: batch.strategy.clone(),
                model: batch.model,
                score: pick.score,
                rank: pick.rank,
                above_cutoff: pick
                    .score
                    .zip(cutoff)
                    .map(|(score, cutoff)| score - cutoff)
                    .filter(|_| by_strategy),
                probability: pick.probability,
                candidates,
            });
            return;
        }
        let Some((samples, scores)) = scores(batch) else { return };
        let place = samples.iter().position(|sample| *sample == self.sample);
        let score =
            place.and_then(|place| scores.get(place).copied()).filter(|score| !score.is_nan());
        let Some(score) = score else { return };
        let higher = scores.iter().filter(|other| **other > score).count() as u64;
        self.history.push(Happened::Passed {
            cycle,
            score,
            rank: higher + 1,
            below_cutoff: cutoff.map(|cutoff| cutoff - score),
            candidates,
        });
    }
}
