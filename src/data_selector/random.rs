//! Uniformly at random: the yardstick that every other strategy must beat.

use super::strategy::{Chosen, Needs, Plan, Scores, Strategy};
use super::{SelectorError, View, share, top_k};

/// A uniform draw without replacement: the highest of uniform numbers in [0, 1), one for each candidate.
///
/// `O(n log count)`, memory for the batch. Use it to know what the others are worth.
pub(super) struct Random;

impl Strategy for Random {
    fn needs(&self) -> Needs {
        Needs::nothing()
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, count: usize) -> Result<Plan<'v>, SelectorError> {
        let chance = view.chance("random");
        let scores: Scores<'_> =
            Box::new(|rows| Ok(rows.map(|index| chance.unit(&view.id(index))).collect()));
        let chosen = top_k(view, &scores, count, None)?;
        let probability = Some(share(chosen.len(), view.len()));
        Ok(Plan::picks(chosen.into_iter().map(|c| Chosen { probability, ..c }).collect()))
    }
}
