//! A score that a model gives: an additional network, or a head more.

use super::strategy::{Needs, Plan, Strategy};
use super::{SelectorError, View};
use crate::domain::strategy::StrategySpec;

/// `output(name=..., order=max|min)`: the number that the model's output of this name gives each sample; its negative where
/// the lowest are wanted.
///
/// Source: any. A head that predicts the loss (D. Yoo and I. S. Kweon (2019), "Learning loss for active learning",
/// arXiv:1905.03677), a detector of anomalies, a measure of quality (`order=min` for the worst). `O(n log count)`, memory
/// for the batch. Needs the output, one finite number a sample.
///
/// Use it where such a network exists and is known to rank well. Whether it does shows only beside `random`.
pub(super) struct ModelOutput {
    name: String,
    lowest: bool,
}

impl ModelOutput {
    pub(super) fn new(spec: &StrategySpec) -> Self {
        let name = spec.text("name").unwrap_or_default().to_owned();
        Self { name, lowest: spec.text("order") == Some("min") }
    }
}

impl Strategy for ModelOutput {
    fn needs(&self) -> Needs {
        Needs::output(&self.name)
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, _: usize) -> Result<Plan<'v>, SelectorError> {
        let output = view.output(&self.name)?;
        if output.rows.cols() != 1 {
            return Err(SelectorError::Strategy {
                strategy: format!("output(name={})", self.name),
                problem: format!(
                    "that output has {} numbers of the shape {:?} for each sample; one is expected",
                    output.rows.cols(),
                    output.shape
                ),
            });
        }
        Ok(Plan::scores(move |rows| {
            let values = view.read(&self.name, rows.clone())?;
            view.check_finite(&self.name, rows.start, 1, &values)?;
            let sign = if self.lowest { -1.0 } else { 1.0 };
            Ok(values.iter().map(|&value| sign * f64::from(value) + 0.0).collect()) // -0 + 0 is 0
        }))
    }
}

#[cfg(test)]
mod tests {
    use crate::data_selector::test_support::{ids, picks, select_by, view};
    use crate::data_selector::{Output, SelectorError};
    use crate::domain::matrix::Matrix;

    #[test]
    fn the_highest_or_the_lowest_are_picked_and_ties_go_by_id() {
        let candidates = ids(5);
        let loss = Matrix::new(5, 1, vec![0.5, -2.0, 7.0, 0.5, -2.0]).unwrap();
        let view = view(&candidates).with("loss", Output::flat(&loss));
        assert_eq!(picks("output(name=loss)", &view, 3), [2, 0, 3]);
        assert_eq!(picks("output(name=loss, order=min)", &view, 3), [1, 4, 0]);
    }

    #[test]
    fn an_output_that_is_not_one_finite_number_is_refused() {
        let candidates = ids(2);
        let wide = Matrix::new(2, 2, vec![0.0; 4]).unwrap();
        let holes = Matrix::new(2, 1, vec![0.0, f32::NAN]).unwrap();
        let view =
            view(&candidates).with("wide", Output::flat(&wide)).with("holes", Output::flat(&holes));
        let refused = |text: &str| select_by(text, &view, 1, 0).unwrap_err();
        assert!(
            refused("output(name=wide)").to_string().contains("has 2 numbers of the shape [2]")
        );
        assert!(
            matches!(refused("output(name=holes)"), SelectorError::NotFinite { sample, .. } if sample == "s001".into())
        );
        assert_eq!(
            refused("output(name=los)").to_string(),
            "the strategy needs output `los`, but there are only holes, wide"
        );
    }
}
