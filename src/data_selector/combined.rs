//! Two strategies' scores as one: their product, and their weighted sum.

use super::inner::{Inner, not_negative};
use super::strategy::{Needs, Plan, Strategy};
use super::{SelectorError, View};
use crate::domain::strategy::StrategySpec;

/// How two scores become one.
#[derive(Clone, Copy)]
enum How {
    Product,
    /// With the weight of the first.
    Sum(f64),
}

/// `product(a, b)`: `a(x) * b(x)`; `sum(a, b, weight=w)`: `w a(x) + (1 - w) b(x)`, w being 0.5 where nobody says. Of the
/// scores as they come, without any scaling.
///
/// Source: the product is the information density of B. Settles and M. Craven (2008), "An analysis of active learning
/// strategies for sequence labeling tasks", EMNLP, section 3, with any two scores; the sum, its usual linear sibling. Takes
/// what both take. Needs what both need; both must score.
///
/// Use the product for two scores of at least 0 of any scale: scaling one of them changes no pick. Negative scores are
/// refused, because two of them would make a good one. Use the sum only for scores whose scales are comparable, like
/// margin and least confidence, which both lie in [0, 1]: entropy reaches ln k and outweighs them.
pub(super) struct Combined {
    first: Inner,
    second: Inner,
    how: How,
}

impl Combined {
    pub(super) fn product(spec: &StrategySpec) -> Result<Self, SelectorError> {
        Self::new(spec, How::Product)
    }

    pub(super) fn sum(spec: &StrategySpec) -> Result<Self, SelectorError> {
        Self::new(spec, How::Sum(spec.number("weight").unwrap_or(0.5)))
    }

    fn new(spec: &StrategySpec, how: How) -> Result<Self, SelectorError> {
        let (first, second) = (Inner::of(spec, 0, "margin")?, Inner::of(spec, 1, "margin")?);
        Ok(Self { first, second, how })
    }
}

impl Strategy for Combined {
    fn version(&self) -> u32 {
        self.first.version().max(self.second.version())
    }

    fn needs(&self) -> Needs {
        self.first.needs().and(self.second.needs())
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, count: usize) -> Result<Plan<'v>, SelectorError> {
        let outer = match self.how {
            How::Product => "product",
            How::Sum(_) => "sum",
        };
        let first = self.first.scores(view, count, outer)?;
        let second = self.second.scores(view, count, outer)?;
        Ok(Plan::scores(move |rows| {
            let pairs = first(rows.clone())?.into_iter().zip(second(rows.clone())?);
            let combined = rows.zip(pairs).map(|(index, (a, b))| match self.how {
                How::Product => Ok(not_negative(a, &self.first.name, view, index)?
                    * not_negative(b, &self.second.name, view, index)?),
                How::Sum(weight) => Ok(weight * a + (1.0 - weight) * b),
            });
            combined.collect()
        }))
    }
}

#[cfg(test)]
mod tests {
    use crate::data_selector::Output;
    use crate::data_selector::test_support::{distributions, ids, probabilities, select_by, view};
    use crate::domain::matrix::Matrix;
    use quickcheck::quickcheck;

    quickcheck! {
        /// Each score is what the formula says of the two strategies' own.
        fn scores_are_combined_as_the_formula_says(bytes: Vec<(u8, u8, u8)>) -> bool {
            if bytes.is_empty() {
                return true;
            }
            let (candidates, p) = (ids(bytes.len()), distributions(&bytes));
            let view = probabilities(&candidates, &p);
            let by = |name: &str| select_by(name, &view, 1, 0).unwrap().1;
            let pairs: Vec<(f64, f64)> = by("margin").into_iter().zip(by("ratio")).collect();
            by("product(margin, ratio)") == pairs.iter().map(|(a, b)| a * b).collect::<Vec<_>>()
                && by("sum(margin, ratio, weight=0.25)")
                    == pairs.iter().map(|(a, b)| 0.25 * a + 0.75 * b).collect::<Vec<_>>()
                && by("sum(margin, ratio, weight=1)") == by("margin")
        }
    }

    #[test]
    fn negative_scores_make_no_product() {
        let candidates = ids(2);
        let quality = Matrix::new(2, 1, vec![-1.0, -3.0]).unwrap();
        let view = view(&candidates).with("quality", Output::flat(&quality));
        let refused = select_by("product(output(name=quality), output(name=quality))", &view, 1, 0);
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("gives sample s000 the score -1"), "{text}");
    }
}
