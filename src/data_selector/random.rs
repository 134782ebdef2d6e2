//! Uniformly at random: the yardstick that every other strategy must beat.

use crate::domain::chance::Chance;
use crate::domain::ids::{CycleNumber, SampleId};

/// A uniform number in [0, 1) for each candidate; the highest are a uniform draw without replacement.
pub(super) fn scores(candidates: &[SampleId], seed: u64, cycle: CycleNumber) -> Vec<f64> {
    let chance = Chance { seed, cycle, purpose: "random" };
    candidates.iter().map(|sample| chance.unit(sample.as_str())).collect()
}
