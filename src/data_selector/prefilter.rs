//! A dear strategy on the best by a cheap one.

use super::inner::{Inner, remark};
use super::strategy::{Needs, Plan, Strategy};
use super::{SelectorError, View, top_k};
use crate::domain::rows::Runs;
use crate::domain::strategy::StrategySpec;

/// How many times the batch is kept where nobody says.
const KEEP: usize = 10;

/// `prefilter(first, second, keep=N)`: the `N` candidates with the highest scores by `second` (margin) are kept, and
/// `first` picks among them as if there were no others.
///
/// Source: the pre-selection of F. Zhdanov (2019), "Diverse mini-batch active learning", arXiv:1901.05954, section 3 (its
/// beta is `N / batch`, and 10 is the value it recommends), with any two strategies. `O(n log N)` for the second, and then
/// what the first takes on `N` instead of n candidates; memory for `N`. Needs what both need; the second must score.
///
/// Use it to let a strategy that is quadratic in its candidates run on a large pool, or to keep a diverse strategy away
/// from what the model knows already. Not where coverage of the whole pool is the point: what was filtered out is not
/// seen.
///
/// Never fewer than the batch are kept.
pub(super) struct Prefilter {
    first: Inner,
    second: Inner,
    keep: Option<usize>,
}

impl Prefilter {
    pub(super) fn new(spec: &StrategySpec) -> Result<Self, SelectorError> {
        let (first, second) = (Inner::of(spec, 0, "margin")?, Inner::of(spec, 1, "margin")?);
        Ok(Self { first, second, keep: spec.whole("keep") })
    }
}

impl Strategy for Prefilter {
    fn version(&self) -> u32 {
        self.first.version().max(self.second.version())
    }

    fn needs(&self) -> Needs {
        self.first.needs().and(self.second.needs())
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, count: usize) -> Result<Plan<'v>, SelectorError> {
        let keep = self.keep.unwrap_or(count.saturating_mul(KEEP)).max(count).min(view.len());
        let scores = self.second.scores(view, keep, "prefilter")?;
        let mut best: Vec<usize> =
            top_k(view, &scores, keep, None)?.into_iter().map(|chosen| chosen.index).collect();
        best.sort_unstable();
        let kept: Runs = best.into_iter().collect();
        let mut picks = self.first.pick_among(view, &kept, count)?;
        let text = format!("kept {} of {} by {}", kept.len(), view.len(), self.second.name);
        remark(&mut picks.remarks, "prefilter", text);
        Ok(Plan::Picks(picks))
    }
}

#[cfg(test)]
mod tests {
    use crate::data_selector::SelectorError;
    use crate::data_selector::test_support::{distributions, ids, picks, probabilities, select_by};
    use quickcheck::quickcheck;

    quickcheck! {
        /// By hand: sort by the second's scores, keep so many, sort what is kept by the first's.
        fn it_is_the_first_on_the_best_of_the_second(bytes: Vec<(u8, u8, u8)>, batch: u8, keep: u8) -> bool {
            if bytes.is_empty() {
                return true;
            }
            let (candidates, p) = (ids(bytes.len()), distributions(&bytes));
            let view = probabilities(&candidates, &p);
            let (batch, keep) = (usize::from(batch % 8) + 1, usize::from(keep % 20) + 1);
            let by = |name: &str| select_by(name, &view, 1, 0).unwrap().1;
            let (entropy, margin) = (by("entropy"), by("margin"));
            let mut kept: Vec<usize> = (0..bytes.len()).collect();
            kept.sort_by(|&a, &b| margin[b].total_cmp(&margin[a]).then(a.cmp(&b)));
            kept.truncate(keep.max(batch));
            kept.sort_by(|&a, &b| entropy[b].total_cmp(&entropy[a]).then(a.cmp(&b)));
            kept.truncate(batch);
            picks(&format!("prefilter(entropy, margin, keep={keep})"), &view, batch) == kept
        }
    }

    #[test]
    fn what_was_kept_is_remarked_and_a_strategy_without_scores_cannot_filter() {
        let bytes: Vec<_> = (0..50_u8).map(|i| (i, 50 - i, 7)).collect();
        let (candidates, p) = (ids(50), distributions(&bytes));
        let view = probabilities(&candidates, &p);
        let (found, _) = select_by("prefilter(random)", &view, 3, 2).unwrap();
        assert_eq!(found.parameters["prefilter"], "kept 10 of 48 by margin");
        let (nested, _) = select_by("prefilter(prefilter(random), keep=30)", &view, 2, 0).unwrap();
        assert_eq!(
            nested.parameters["prefilter"],
            "kept 30 of 50 by margin; inside: kept 20 of 30 by margin"
        );
        let refused = select_by("prefilter(margin, random)", &view, 3, 0).unwrap_err();
        assert!(
            matches!(refused, SelectorError::Strategy { strategy, .. } if strategy == "random")
        );
    }
}
