//! The first batch, before there is a model: uniformly without replacement, from all candidates or from each class.
//!
//! Picks are in the order of their draws, lowest first, for each class in turn. Each pick's probability is that of its class
//! (or pool): drawn / there. A class (or pool) with fewer samples than asked for gives all it has.

use super::audit::lowest_draws;
use super::{Selection, SelectorError, View, share};
use crate::domain::event::{Arm, Pick};
use std::collections::BTreeMap;

const PURPOSE: &str = "cold start";

/// Draws `samples` of the candidates.
///
/// # Errors
/// [`SelectorError`]: no candidates, or a size of 0.
pub fn cold_start_random(view: &View<'_>, samples: usize) -> Result<Selection, SelectorError> {
    view.check(samples)?;
    let drawn = lowest_draws(view, PURPOSE, samples, |_| true);
    let probability = share(drawn.len(), view.len());
    Ok(selection(view, "random", "samples", samples, &[(drawn, probability)]))
}

/// Draws `per_class` of the candidates of each class. `labels` are what the pool knows of the candidates; those without a
/// label are passed over.
///
/// # Errors
/// [`SelectorError`]: no candidates, a size of 0, another number of labels, or no label at all.
pub fn cold_start_per_class(
    view: &View<'_>,
    labels: &[Option<u32>],
    per_class: usize,
) -> Result<Selection, SelectorError> {
    view.check(per_class)?;
    if labels.len() != view.len() {
        let (candidates, labels) = (view.len(), labels.len());
        return Err(SelectorError::Labels { candidates, labels });
    }
    let mut there: BTreeMap<u32, usize> = BTreeMap::new();
    labels.iter().flatten().for_each(|&class| *there.entry(class).or_default() += 1);
    if there.is_empty() {
        return Err(SelectorError::NoKnownLabels { per_class });
    }
    let groups: Vec<(Vec<usize>, f64)> = there
        .into_iter()
        .map(|(class, there)| {
            let is_in = |index: usize| labels.get(index).copied().flatten() == Some(class);
            let drawn = lowest_draws(view, PURPOSE, per_class, is_in);
            let probability = share(drawn.len(), there);
            (drawn, probability)
        })
        .collect();
    Ok(selection(view, "per_class", "per_class", per_class, &groups))
}

fn selection(
    view: &View<'_>,
    how: &str,
    parameter: &str,
    size: usize,
    groups: &[(Vec<usize>, f64)],
) -> Selection {
    let chosen = groups.iter().flat_map(|(group, p)| group.iter().map(move |&index| (index, *p)));
    let picks = (1..).zip(chosen).map(|(rank, (index, probability))| Pick {
        sample: view.sample(index),
        arm: Arm::ColdStart,
        score: None,
        rank,
        probability: Some(probability),
    });
    Selection {
        strategy: format!("cold_start_{how}"),
        version: 1,
        parameters: BTreeMap::from([(parameter.to_owned(), size.to_string())]),
        picks: picks.collect(),
        cutoff: None,
    }
}
