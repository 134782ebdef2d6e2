//! Gain per second of annotation.

use super::inner::{Inner, not_negative};
use super::strategy::{Needs, Plan, Strategy};
use super::{SelectorError, View};
use crate::domain::strategy::StrategySpec;

/// `cost_aware(inner)`: `score(x) / seconds(x)`, the inner strategy's (margin's) score by the seconds that an annotation
/// takes: the return on investment.
///
/// Source: B. Settles, M. Craven and L. Friedland (2008), "Active learning with real annotation costs", NIPS workshop on
/// cost-sensitive learning, section 3. Takes what the inner strategy takes. Needs that, and the seconds of each candidate,
/// above 0; the inner strategy must score, at least 0 (a negative score by more seconds would be a better one).
///
/// Use it where the seconds differ much and are known: a column of the pool, or a model of earlier annotations. Not where
/// they are guesses: the paper finds that unpredictable costs make it worse than the score alone. Cheap samples are often
/// dull ones, so watch what it picks.
pub(super) struct CostAware {
    inner: Inner,
}

impl CostAware {
    pub(super) fn new(spec: &StrategySpec) -> Result<Self, SelectorError> {
        Ok(Self { inner: Inner::of(spec, 0, "margin")? })
    }
}

impl Strategy for CostAware {
    fn version(&self) -> u32 {
        self.inner.version()
    }

    fn needs(&self) -> Needs {
        Needs { seconds: true, ..self.inner.needs() }
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, count: usize) -> Result<Plan<'v>, SelectorError> {
        let seconds = view.seconds.as_deref().unwrap_or_default();
        if let Some(index) = seconds.iter().position(|&s| !(s.is_finite() && s > 0.0)) {
            return Err(SelectorError::Strategy {
                strategy: format!("cost_aware({})", self.inner.name),
                problem: format!(
                    "the annotation of sample {} takes {} seconds; a finite number above 0 is expected",
                    view.sample(index),
                    seconds.get(index).copied().unwrap_or(f64::NAN),
                ),
            });
        }
        let scores = self.inner.scores(view, count, "cost_aware")?;
        Ok(Plan::scores(move |rows| {
            let costs = seconds.get(rows.clone()).unwrap_or_default();
            let scored = rows.clone().zip(scores(rows)?.into_iter().zip(costs));
            scored
                .map(|(index, (score, cost))| {
                    Ok(not_negative(score, &self.inner.name, view, index)? / cost)
                })
                .collect()
        }))
    }
}

#[cfg(test)]
mod tests {
    use crate::data_selector::test_support::{distributions, ids, probabilities, select_by};
    use quickcheck::quickcheck;

    quickcheck! {
        /// Each score is the margin by the seconds, also where the audit arm hides some candidates.
        fn scores_are_divided_by_seconds(bytes: Vec<(u8, u8, u8)>) -> bool {
            if bytes.len() < 3 {
                return true;
            }
            let (candidates, p) = (ids(bytes.len()), distributions(&bytes));
            let mut view = probabilities(&candidates, &p);
            let seconds: Vec<f64> = bytes.iter().map(|&(a, ..)| f64::from(a) + 0.5).collect();
            view.seconds = Some(seconds.clone().into());
            let margin = select_by("margin", &view, 2, 1).unwrap().1;
            let found = select_by("cost_aware", &view, 2, 1).unwrap().1;
            found.iter().zip(margin.iter().zip(&seconds)).all(|(f, (m, s))| {
                f.to_bits() == (m / s).to_bits() || f.is_nan() && m.is_nan()
            })
        }
    }

    #[test]
    fn seconds_that_are_missing_or_no_time_are_refused_by_name() {
        let (candidates, p) = (ids(2), distributions(&[(1, 2, 3), (3, 2, 1)]));
        let mut view = probabilities(&candidates, &p);
        let refused = |view: &_| select_by("cost_aware", view, 1, 0).unwrap_err().to_string();
        assert!(refused(&view).contains("needs the seconds that an annotation takes"));
        for (bad, shown) in [(0.0, "0"), (-1.0, "-1"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
            view.seconds = Some(vec![1.0, bad].into());
            let text = refused(&view);
            assert!(text.contains(&format!("sample s001 takes {shown} seconds")), "{text}");
        }
    }
}
