//! What strategies made of strategies do with the ones inside: ask for scores, run on some of the candidates, add remarks.

use super::strategy::{Needs, Picks, Plan, Scores, Strategy};
use super::{SelectorError, View, build, pick};
use crate::domain::rows::Runs;
use crate::domain::strategy::StrategySpec;
use std::collections::BTreeMap;

/// A strategy inside another, with its text.
pub(super) struct Inner {
    strategy: Box<dyn Strategy>,
    pub(super) name: String,
}

impl Inner {
    /// The strategy at `place` among those that `spec` wraps; without one, that of the name `default`.
    pub(super) fn of(
        spec: &StrategySpec,
        place: usize,
        default: &str,
    ) -> Result<Self, SelectorError> {
        let named = StrategySpec::named(default);
        let inner = spec.of.get(place).unwrap_or(&named);
        Ok(Self { strategy: build(inner)?, name: inner.to_string() })
    }

    pub(super) fn needs(&self) -> Needs {
        self.strategy.needs()
    }

    /// Its version; a wrapper's own is raised with it, because its picks change with it.
    pub(super) fn version(&self) -> u32 {
        self.strategy.version()
    }

    /// Its scores, for the strategy `outer`, which can do nothing with picks.
    pub(super) fn scores<'v>(
        &'v self,
        view: &'v View<'v>,
        count: usize,
        outer: &str,
    ) -> Result<Scores<'v>, SelectorError> {
        match self.strategy.plan(view, count)? {
            Plan::Scores(scores) => Ok(scores),
            Plan::Picks(_) => Err(SelectorError::Strategy {
                strategy: self.name.clone(),
                problem: format!(
                    "it picks a batch without a score for each candidate, and {outer} needs scores; \
                     margin, entropy, bald and output give them"
                ),
            }),
        }
    }

    /// Its picks among all candidates.
    pub(super) fn pick(&self, view: &View<'_>, count: usize) -> Result<Picks, SelectorError> {
        pick(&*self.strategy, view, count, None)
    }

    /// Its picks among the candidates of `kept`, by their places in `view`; as many as there are where fewer are kept.
    pub(super) fn pick_among(
        &self,
        view: &View<'_>,
        kept: &Runs,
        count: usize,
    ) -> Result<Picks, SelectorError> {
        let some = view.only(kept);
        let count = count.min(kept.len());
        let mut picks = if count == 0 { Picks::default() } else { self.pick(&some, count)? };
        for chosen in &mut picks.chosen {
            chosen.index = kept.get(chosen.index).ok_or_else(|| SelectorError::BadPick {
                what: format!("candidate number {} of {}", chosen.index, kept.len()),
            })?;
        }
        Ok(picks)
    }
}

/// A score that must not be negative, because what is done with it would turn its order round.
pub(super) fn not_negative(
    score: f64,
    name: &str,
    view: &View<'_>,
    index: usize,
) -> Result<f64, SelectorError> {
    if score >= 0.0 {
        return Ok(score);
    }
    Err(if score.is_finite() {
        SelectorError::Strategy {
            strategy: name.to_owned(),
            problem: format!(
                "it gives sample {} the score {score}; a product or a rate is meaningful only for scores of at least 0",
                view.sample(index)
            ),
        }
    } else {
        SelectorError::Score { sample: view.sample(index), score }
    })
}

/// Adds a remark; where a strategy of the same kind inside made one already, this one stands before it.
pub(super) fn remark(remarks: &mut BTreeMap<String, String>, key: &str, text: String) {
    let all = match remarks.get(key) {
        Some(inner) => format!("{text}; inside: {inner}"),
        None => text,
    };
    remarks.insert(key.to_owned(), all);
}
