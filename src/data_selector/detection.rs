//! Detection: how unclear the boxes of an image are, in one number.

use super::distribution::check_each;
use super::multilabel::binary_entropy;
use super::strategy::{Needs, Plan, Strategy};
use super::{SelectorError, View};

/// How the boxes of an image are taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Boxes {
    Sum,
    Mean,
    Max,
}

/// The sum (`pool=mean`, `pool=max`) over boxes of the binary entropies of their classes, `sum over classes of -p ln p -
/// (1-p) ln(1-p)`.
///
/// C.-A. Brust, C. Käding and J. Denzler (2019), "Active learning for deep object detection", arXiv 1809.09875, section 3, take
/// the margin of each box and compare the three ways of taking boxes together; we take entropies, as the detectors in use give
/// each class a probability of its own, which need not sum to 1. (Of exclusive classes the categorical entropy would leave out
/// the terms of `1-p`.)
///
/// `output` (`probabilities`) has the shape `[boxes, classes]`; a box that is all zeros is none, and pads images with fewer. An
/// image without boxes scores 0. `O(nbk)` for b boxes of k classes, memory for the batch. The sum favours crowded images, which
/// also take longer to annotate (`cost_aware`); the mean and the highest do not, and the highest finds a single odd box.
pub(super) struct DetectionEntropy {
    pub(super) boxes: Boxes,
    pub(super) output: String,
}

impl Strategy for DetectionEntropy {
    fn needs(&self) -> Needs {
        Needs::output(&self.output)
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, _: usize) -> Result<Plan<'v>, SelectorError> {
        let output = view.output(&self.output)?;
        let cols = output.rows.cols();
        let classes = match output.shape.as_slice() {
            &[boxes, classes] if cols > 0 && boxes.checked_mul(classes) == Some(cols) => classes,
            shape => {
                return Err(SelectorError::Strategy {
                    strategy: "detection_entropy".to_owned(),
                    problem: format!(
                        "output `{}` has the shape {shape:?}; [boxes, classes] is expected",
                        self.output
                    ),
                });
            }
        };
        Ok(Plan::scores(move |rows| {
            let values = view.read(&self.output, rows.clone())?;
            rows.zip(values.chunks_exact(cols))
                .map(|(index, image)| {
                    check_each(|| view.sample(index), image)?;
                    let boxes =
                        image.chunks_exact(classes).filter(|one| one.iter().any(|&p| p != 0.0));
                    let each = boxes.map(|one| one.iter().map(|&p| binary_entropy(p)).sum::<f64>());
                    Ok(self.together(each))
                })
                .collect()
        }))
    }
}

impl DetectionEntropy {
    fn together(&self, each: impl Iterator<Item = f64>) -> f64 {
        let (sum, max, count) = each.fold((0.0, 0.0_f64, 0.0), |(sum, max, count), entropy| {
            (sum + entropy, max.max(entropy), count + 1.0)
        });
        match self.boxes {
            Boxes::Sum => sum,
            Boxes::Max => max,
            Boxes::Mean if count > 0.0 => sum / count,
            Boxes::Mean => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{follows, ids, select_by, view};
    use super::super::{Output, SelectorError};
    use crate::domain::matrix::Matrix;
    use quickcheck::quickcheck;

    fn h(p: f64) -> f64 {
        if p > 0.0 && p < 1.0 { -p * p.ln() - (1.0 - p) * (1.0 - p).ln() } else { 0.0 }
    }

    quickcheck! {
        /// 3 boxes of 2 classes, some of them padding.
        fn each_score_is_its_definition(bytes: Vec<u8>) -> bool {
            let n = bytes.len() / 6;
            let p: Vec<f32> = bytes[..n * 6].iter().map(|b| f32::from(b % 4) / 3.0).collect();
            let p = Matrix::new(n, 6, p).unwrap();
            let candidates = ids(n);
            let output = Output { rows: Box::new(&p), shape: vec![3, 2] };
            let view = view(&candidates).with("boxes", output);
            let scores = |together: fn(&[f64]) -> f64| -> Vec<f64> {
                p.iter_rows()
                    .map(|image| {
                        let boxes = image.chunks(2).filter(|one| one[0] + one[1] > 0.0);
                        let each = boxes.map(|one| h(one[0].into()) + h(one[1].into()));
                        together(&each.collect::<Vec<_>>())
                    })
                    .collect()
            };
            let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len().max(1) as f64;
            follows("detection_entropy(output=boxes)", &view, &scores(|all| all.iter().sum()))
                && follows("detection_entropy(output=boxes, pool=mean)", &view, &scores(mean))
                && follows(
                    "detection_entropy(output=boxes, pool=max)",
                    &view,
                    &scores(|all| all.iter().copied().fold(0.0, f64::max)),
                )
        }
    }

    #[test]
    fn what_is_no_detection_is_refused() {
        let candidates = ids(1);
        let p = Matrix::new(1, 4, vec![0.6, 0.0, f32::NAN, 0.4]).unwrap();
        let refusal = |shape: Vec<usize>| {
            let output = Output { rows: Box::new(&p), shape };
            let view = view(&candidates).with("probabilities", output);
            select_by("detection_entropy", &view, 1, 0).unwrap_err()
        };
        for shape in [vec![4], vec![3, 2], vec![2, 1, 2]] {
            let found = refusal(shape).to_string();
            assert!(found.contains("[boxes, classes] is expected"), "{found}");
        }
        let found = refusal(vec![2, 2]);
        assert!(matches!(found, SelectorError::NotAProbability { class: 2, .. }), "{found}");
    }
}
