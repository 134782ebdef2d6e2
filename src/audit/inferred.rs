//! A batch picked once more with its model run again: how far what the model says now lies from what was kept.
//!
//! Pure. Processors, GPUs and versions of a runtime round differently, so values are compared within a tolerance, which is
//! the caller's; a batch may differ in picks whose scores tie within it.

use crate::data_selector::Evidence;
use crate::domain::digest::Digest;
use crate::domain::event::{Arm, BatchSelected, Pick};
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
    /// How many of them would be picked now.
    pub same_picks: u64,
    /// What cannot be compared, for people: another model, other candidates, other shapes.
    pub differences: Vec<String>,
}

/// An array, then and now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// Its name in the evidence, for example `outputs/probabilities`.
    pub array: String,
    /// How many values were compared.
    pub values: u64,
    /// The largest `|now - then| / max(1, |then|)`; infinite where only one of the two is a number.
    pub largest: f64,
    /// The row where it is: a candidate, or of the labelled samples the place.
    pub at: Option<SampleId>,
}

impl Inferred {
    /// Whether everything could be compared and no value lies further off than `tolerance`.
    #[must_use]
    pub fn is_within(&self, tolerance: f64) -> bool {
        self.differences.is_empty()
            && self.compared.iter().all(|compared| compared.largest <= tolerance)
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
        same_picks: 0,
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
    found
}

impl Inferred {
    fn compare_picks(&mut self, then: &BatchSelected, now: &BatchSelected) {
        let chosen = |pick: &&Pick| pick.arm != Arm::Relabel;
        let now: BTreeSet<&SampleId> = now.picks.iter().map(|pick| &pick.sample).collect();
        let then = then.picks.iter().filter(chosen);
        for pick in then {
            self.picks += 1;
            self.same_picks += u64::from(now.contains(&pick.sample));
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
        let (mut values, mut largest, mut at) = (0, 0.0, None);
        for (place, (then, now)) in pairs.enumerate() {
            values += 1;
            let apart = apart(then, now);
            if apart > largest {
                (largest, at) = (apart, Some(place));
            }
        }
        self.compared.push(Compared { array, values, largest, at: at.and_then(name) });
    }
}

/// How far two values are apart, in proportion to the first where that is larger than 1.
fn apart(then: f64, now: f64) -> f64 {
    if then.to_bits() == now.to_bits() || (then.is_nan() && now.is_nan()) {
        return 0.0;
    }
    let apart = (now - then).abs() / then.abs().max(1.0);
    if apart.is_nan() { f64::INFINITY } else { apart }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_apart_in_proportion_and_what_is_no_number_is_far_from_every_number() {
        assert_eq!(apart(0.25, 0.5), 0.25);
        assert_eq!(apart(-8.0, -10.0), 0.25);
        assert_eq!(apart(f64::NAN, f64::NAN), 0.0);
        assert_eq!(apart(f64::INFINITY, f64::INFINITY), 0.0);
        for (then, now) in [(f64::NAN, 1.0), (1.0, f64::NAN), (f64::INFINITY, 1.0)] {
            assert_eq!(apart(then, now), f64::INFINITY);
        }
    }
}
