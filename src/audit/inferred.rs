//! A batch picked once more with its model run again: how far what the model says now lies from what was kept.
//!
//! Pure. Processors, GPUs and versions of a runtime round differently, so values are compared within a tolerance, which is
//! the caller's; a batch may differ in picks whose scores tie within it.

use crate::data_selector::Evidence;
use crate::domain::digest::Digest;
use crate::domain::event::{Arm, BatchSelected};
use crate::domain::ids::{CycleNumber, SampleId};
use crate::domain::matrix::Matrix;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A batch as it was picked, held against one that the same models give now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inferred {
    /// The cycle.
    pub cycle: CycleNumber,
    /// The strategy.
    pub strategy: String,
    /// The model that ran, then and now; `None` where the pool's own predictions or features were looked at.
    pub model: Option<Digest>,
    /// What ran it then.
    pub provider_then: Option<String>,
    /// What runs it now.
    pub provider_now: Option<String>,
    /// Each array that was kept, and how far it lies from what comes out now.
    pub compared: Vec<Compared>,
    /// How many picks there were then; those that ask again for a label are no choice of the strategy.
    pub picks: u64,
    /// Those that would not be picked now.
    pub lost: Vec<LostPick>,
    /// What cannot be compared, for people: another model, other candidates, other shapes, nothing kept.
    pub differences: Vec<String>,
}

/// An array, then and now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// Its name in the evidence, for example `outputs/probabilities`.
    pub array: String,
    /// How many values were compared.
    pub values: u64,
    /// The largest `|now - then| / max(1, |then|)`; `None` where only one of the two is a number.
    pub largest: Option<f64>,
    /// The row where it is: a candidate, or of the labelled samples the place.
    pub at: Option<SampleId>,
}

/// A pick of then that is none now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LostPick {
    /// Which sample.
    pub sample: SampleId,
    /// How far its score then was from that of the last pick, as values are compared; `None` where picks have no scores.
    pub from_cutoff: Option<f64>,
}

impl Inferred {
    /// Whether everything could be compared, no value lies further off than `tolerance`, and no pick is lost but those whose
    /// scores tie with the last pick's, if both may move so far.
    #[must_use]
    pub fn is_within(&self, tolerance: f64) -> bool {
        let near = |apart: Option<f64>, most: f64| apart.is_some_and(|apart| apart <= most);
        self.differences.is_empty()
            && self.compared.iter().all(|compared| near(compared.largest, tolerance))
            && self.lost.iter().all(|pick| near(pick.from_cutoff, 2.0 * tolerance))
    }
}

/// Holds a batch and its evidence against what the same models give now.
#[must_use]
pub fn compare(
    cycle: CycleNumber,
    (then, kept): (&BatchSelected, &Evidence),
    (now, fresh): (&BatchSelected, &Evidence),
) -> Inferred {
    let mut found = Inferred {
        cycle,
        strategy: then.strategy.clone(),
        model: then.model,
        provider_then: then.provider.clone(),
        provider_now: now.provider.clone(),
        compared: Vec::new(),
        picks: 0,
        lost: Vec::new(),
        differences: Vec::new(),
    };
    found.compare_picks(then, now);
    if then.model != now.model {
        let name = |model: Option<Digest>| model.map_or_else(|| "none".to_owned(), |m| m.short());
        let (then, now) = (name(then.model), name(now.model));
        found.differences.push(format!("the model was {then} and is {now}"));
    }
    for part in ["backbone", "committee"] {
        let [then, now] = [then, now].map(|batch| batch.parameters.get(part));
        if then != now {
            let name = |model: Option<&String>| model.cloned().unwrap_or_else(|| "none".to_owned());
            found.differences.push(format!("the {part} was {} and is {}", name(then), name(now)));
        }
    }
    if kept.ids != fresh.ids {
        let (then, now) = (kept.ids.len(), fresh.ids.len());
        found.differences.push(format!("the candidates are others: {then} then, {now} now"));
        return found;
    }
    for (array, then) in kept.answers() {
        let now = fresh.answers().find_map(|(name, rows)| (name == array).then_some(rows));
        found.compare_rows(array, kept, then, now);
    }
    if let Some(then) = &kept.scores {
        let now = fresh.scores.as_deref().unwrap_or_default();
        let pairs = || then.iter().copied().zip(now.iter().copied());
        if then.len() == now.len() {
            found.add("scores".to_owned(), pairs(), |place| kept.ids.get(place).cloned());
        } else {
            found.differences.push("there are no such scores now".to_owned());
        }
    }
    if found.compared.is_empty() {
        found.differences.push("nothing was kept that a model says".to_owned());
    }
    found
}

impl Inferred {
    fn compare_picks(&mut self, then: &BatchSelected, now: &BatchSelected) {
        let now: BTreeSet<&SampleId> = now.picks.iter().map(|pick| &pick.sample).collect();
        for pick in then.picks.iter().filter(|pick| pick.arm != Arm::Relabel) {
            self.picks += 1;
            if !now.contains(&pick.sample) {
                let sample = pick.sample.clone();
                let scores = pick.score.zip(then.cutoff).filter(|_| pick.arm == Arm::Strategy);
                let from_cutoff = scores.and_then(|(score, cutoff)| apart(cutoff, score));
                self.lost.push(LostPick { sample, from_cutoff });
            }
        }
    }

    fn compare_rows(
        &mut self,
        array: String,
        kept: &Evidence,
        then: &Matrix,
        now: Option<&Matrix>,
    ) {
        let shape = |rows: &Matrix| (rows.rows(), rows.cols());
        let Some(now) = now.filter(|now| shape(now) == shape(then)) else {
            self.differences.push(format!("{array} has another shape now, or is not there"));
            return;
        };
        let values = |rows: &Matrix| rows.data().iter().copied().map(f64::from).collect::<Vec<_>>();
        let (then_values, now_values) = (values(then), values(now));
        let of_candidates = !array.starts_with("labelled/");
        let row = |place: usize| place.checked_div(then.cols());
        self.add(array, then_values.into_iter().zip(now_values), |place| {
            let row = row(place)?;
            if of_candidates { kept.ids.get(row).cloned() } else { Some(row.to_string().into()) }
        });
    }

    fn add(
        &mut self,
        array: String,
        pairs: impl Iterator<Item = (f64, f64)>,
        name: impl Fn(usize) -> Option<SampleId>,
    ) {
        let (mut values, mut largest, mut at) = (0, Some(0.0), None);
        for (place, (then, now)) in pairs.enumerate() {
            values += 1;
            match (apart(then, now), largest) {
                (Some(apart), Some(most)) if apart > most => {
                    (largest, at) = (Some(apart), Some(place));
                }
                (None, Some(_)) => (largest, at) = (None, Some(place)),
                (Some(_) | None, _) => {}
            }
        }
        self.compared.push(Compared { array, values, largest, at: at.and_then(name) });
    }
}

/// How far two values are apart, in proportion to the first where that is larger than 1; `None` where only one of them is a
/// number.
fn apart(then: f64, now: f64) -> Option<f64> {
    if then.to_bits() == now.to_bits() || (then.is_nan() && now.is_nan()) {
        return Some(0.0);
    }
    let apart = (now - then).abs() / then.abs().max(1.0);
    apart.is_finite().then_some(apart)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_apart_in_proportion_and_what_is_no_number_is_far_from_every_number() {
        assert_eq!(apart(0.25, 0.5), Some(0.25));
        assert_eq!(apart(-8.0, -10.0), Some(0.25));
        assert_eq!(apart(f64::NAN, f64::NAN), Some(0.0));
        assert_eq!(apart(f64::INFINITY, f64::INFINITY), Some(0.0));
        for (then, now) in [(f64::NAN, 1.0), (1.0, f64::NAN), (f64::INFINITY, 1.0)] {
            assert_eq!(apart(then, now), None);
        }
    }
}
