//! The first batch, before there is a model.

use super::{Selection, SelectorError, check_candidates, share};
use crate::domain::chance::Chance;
use crate::domain::definition::ColdStart;
use crate::domain::event::{Arm, Pick};
use crate::domain::ids::{CycleNumber, SampleId};
use std::collections::BTreeMap;

/// What to choose the first batch from, and how.
#[derive(Debug, Clone, Copy)]
pub struct ColdStartRequest<'a> {
    /// How many, and how.
    pub how: ColdStart,
    /// The samples without a label, each once, in any order.
    pub candidates: &'a [SampleId],
    /// The label the pool knows of each candidate; only [`ColdStart::PerClass`] looks, and it passes over those without.
    pub labels: &'a [Option<u32>],
    /// The run's seed.
    pub seed: u64,
    /// The cycle that picks.
    pub cycle: CycleNumber,
}

/// Draws the first batch uniformly without replacement, from all candidates or from each class.
///
/// A class (or pool) with fewer samples gives all it has. Picks are in the order of their draws, for each class in turn.
/// Each pick's probability is that of its class (or pool): drawn / there.
///
/// # Errors
/// [`SelectorError`]: no candidates, a size of 0, or a draw by class where no label is known.
pub fn cold_start(request: &ColdStartRequest<'_>) -> Result<Selection, SelectorError> {
    let ColdStartRequest { how, candidates, labels, seed, cycle } = *request;
    let (strategy, parameter, size) = match how {
        ColdStart::PerClass(size) => ("cold_start_per_class", "per_class", size),
        ColdStart::Random(size) => ("cold_start_random", "samples", size),
    };
    check_candidates(candidates, size)?;
    let chance = Chance { seed, cycle, purpose: "cold start" };
    let mut groups: BTreeMap<u32, Vec<(u64, &SampleId)>> = BTreeMap::new();
    let drawn = |sample: &SampleId| chance.draw(sample.as_str());
    match how {
        ColdStart::PerClass(per_class) => {
            if labels.len() != candidates.len() {
                let (candidates, labels) = (candidates.len(), labels.len());
                return Err(SelectorError::Labels { candidates, labels });
            }
            for (sample, label) in candidates.iter().zip(labels) {
                if let Some(class) = label {
                    groups.entry(*class).or_default().push((drawn(sample), sample));
                }
            }
            if groups.is_empty() {
                return Err(SelectorError::NoKnownLabels { per_class });
            }
        }
        ColdStart::Random(_) => {
            groups.insert(0, candidates.iter().map(|sample| (drawn(sample), sample)).collect());
        }
    }
    let mut chosen = Vec::new();
    for mut group in groups.into_values() {
        let there = group.len();
        group.sort_unstable();
        group.truncate(size);
        let probability = share(group.len(), there);
        chosen.extend(group.into_iter().map(|(_, sample)| (sample, probability)));
    }
    let picks = (1..)
        .zip(chosen)
        .map(|(rank, (sample, probability))| Pick {
            sample: sample.clone(),
            arm: Arm::ColdStart,
            score: None,
            rank,
            probability: Some(probability),
        })
        .collect();
    let parameters = BTreeMap::from([(parameter.to_owned(), size.to_string())]);
    Ok(Selection { strategy: strategy.to_owned(), version: 1, parameters, picks, cutoff: None })
}
