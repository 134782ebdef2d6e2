//! Segmentation: how unclear the pixels of an image are, in one number.

use super::distribution::{check, surprise};
use super::strategy::{Needs, Plan, Strategy};
use super::{SelectorError, View};

/// Which pixels count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Pixels {
    /// The mean over all pixels.
    Mean,
    /// The mean over pixels whose predicted class differs from that of a neighbour above, below, left or right; 0 where there
    /// is none.
    Boundary,
    /// The mean over this share of all pixels, those with the highest entropy; at least one.
    Top(f64),
    /// The mean over predicted classes of the mean in each class, so that small objects count as much as the background.
    Stratified,
}

/// A mean of per-pixel entropies `-sum p ln p`; in [0, ln k] for k classes. Output `probabilities` has the shape `[classes,
/// height, width]`, and each pixel is a distribution. A pixel's predicted class is the most likely, the lower number of equal
/// ones.
///
/// The entropy of pixels: R. Mackowiak et al. (2018), "CEREALS: cost-effective region-based active learning for semantic
/// segmentation", arXiv 1810.09726, section 3, which picks regions; we pick images. Boundaries: B. Xie et al. (2022), "Towards
/// fewer annotations: active learning via region impurity and prediction uncertainty", arXiv 2111.12940, section 3, finds regions
/// that are near several predicted classes; of that we take the pixels that touch another class and leave out impurity as a
/// factor. The highest share and the classes in turn are our own forms of the mean.
///
/// `O(nkhw)`, memory for the batch and a piece of the pool. `mean` favours images that are unclear all over, `boundary` those with
/// many or unclear outlines, `top` (`top=0.1` by default) those with one unclear place, `stratified` rare classes.
pub(super) struct SegmentationEntropy(pub(super) Pixels);

impl Strategy for SegmentationEntropy {
    fn needs(&self) -> Needs {
        Needs::output("probabilities")
    }

    fn plan<'v>(&'v self, view: &'v View<'v>, _: usize) -> Result<Plan<'v>, SelectorError> {
        let output = view.output("probabilities")?;
        let cols = output.rows.cols();
        let &[classes, height, width] = output.shape.as_slice() else {
            return Err(wrong_shape(&output.shape));
        };
        let whole = classes.checked_mul(height).and_then(|size| size.checked_mul(width));
        if whole != Some(cols) || cols == 0 {
            return Err(wrong_shape(&output.shape));
        }
        Ok(Plan::scores(move |rows| {
            let mut scores = Vec::with_capacity(rows.len());
            // Images are large: one at a time, whatever the piece.
            for index in rows {
                let values = view.read("probabilities", index..index + 1)?;
                let image = Image::new(view, index, &values, (classes, width))?;
                scores.push(image.score(self.0));
            }
            Ok(scores)
        }))
    }
}

fn wrong_shape(shape: &[usize]) -> SelectorError {
    SelectorError::Strategy {
        strategy: "segmentation_entropy".to_owned(),
        problem: format!(
            "output `probabilities` has the shape {shape:?}; [classes, height, width] is expected"
        ),
    }
}

/// What is known about each pixel.
struct Image {
    entropies: Vec<f64>,
    predicted: Vec<usize>,
    classes: usize,
    width: usize,
}

impl Image {
    fn new(
        view: &View<'_>,
        index: usize,
        values: &[f32],
        (classes, width): (usize, usize),
    ) -> Result<Self, SelectorError> {
        let pixels = values.len() / classes;
        let (mut entropies, mut predicted) =
            (Vec::with_capacity(pixels), Vec::with_capacity(pixels));
        let mut pixel = Vec::with_capacity(classes);
        for place in 0..pixels {
            pixel.clear();
            pixel.extend(values.iter().skip(place).step_by(pixels));
            check(|| view.sample(index), &pixel)?;
            entropies.push(pixel.iter().map(|&p| surprise(p.into())).sum());
            let best =
                pixel.iter().enumerate().fold((0, f32::NEG_INFINITY), |best, (class, &p)| {
                    if p > best.1 { (class, p) } else { best }
                });
            predicted.push(best.0);
        }
        Ok(Self { entropies, predicted, classes, width })
    }

    fn score(&self, pixels: Pixels) -> f64 {
        match pixels {
            Pixels::Mean => mean(self.entropies.iter().copied()),
            Pixels::Boundary => {
                let all = self.entropies.iter().enumerate();
                mean(all.filter(|&(place, _)| self.is_boundary(place)).map(|(_, &e)| e))
            }
            Pixels::Top(share) => {
                let mut sorted = self.entropies.clone();
                sorted.sort_unstable_by(|a, b| b.total_cmp(a));
                #[expect(
                    clippy::cast_precision_loss,
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a share of a count of pixels"
                )]
                let count = (share * sorted.len() as f64).ceil() as usize;
                mean(sorted.into_iter().take(count.max(1)))
            }
            Pixels::Stratified => {
                let mut sums = vec![(0.0, 0.0); self.classes];
                for (&class, entropy) in self.predicted.iter().zip(&self.entropies) {
                    if let Some((sum, count)) = sums.get_mut(class) {
                        *sum += entropy;
                        *count += 1.0;
                    }
                }
                mean(sums.into_iter().filter(|&(_, count)| count > 0.0).map(|(sum, n)| sum / n))
            }
        }
    }

    fn is_boundary(&self, place: usize) -> bool {
        let column = place % self.width;
        let neighbours = [
            (column > 0).then(|| place - 1),
            (column + 1 < self.width).then_some(place + 1),
            place.checked_sub(self.width),
            Some(place + self.width),
        ];
        let own = self.predicted.get(place);
        let other = |place| self.predicted.get(place).is_some_and(|class| Some(class) != own);
        neighbours.into_iter().flatten().any(other)
    }
}

/// 0 of nothing.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    if count > 0.0 { sum / count } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{follows, ids, select_by, view};
    use super::super::{Output, SelectorError};
    use crate::domain::matrix::Matrix;
    use quickcheck::quickcheck;

    /// Images of 3 classes, 2 x 3 pixels.
    fn images(bytes: &[u8]) -> Matrix {
        let n = bytes.len() / 18;
        let mut data = vec![0.0; n * 18];
        for image in 0..n {
            for pixel in 0..6 {
                let weight =
                    |class: usize| f32::from(bytes[image * 18 + class * 6 + pixel] % 4) + 0.5;
                let sum: f32 = (0..3).map(weight).sum();
                for class in 0..3 {
                    data[image * 18 + class * 6 + pixel] = weight(class) / sum;
                }
            }
        }
        Matrix::new(n, 18, data).unwrap()
    }

    fn by_definition(image: &[f32], pool: &str) -> f64 {
        let p = |class: usize, y: usize, x: usize| f64::from(image[class * 6 + y * 3 + x]);
        let at: Vec<(usize, usize)> = (0..2).flat_map(|y| (0..3).map(move |x| (y, x))).collect();
        let entropy = |&(y, x): &(usize, usize)| -> f64 {
            (0..3).map(|c| -p(c, y, x) * p(c, y, x).ln()).sum()
        };
        let class = |y: usize, x: usize| {
            (0..3).rev().max_by(|&a, &b| p(a, y, x).total_cmp(&p(b, y, x))).unwrap()
        };
        let mean = |all: Vec<f64>| {
            if all.is_empty() { 0.0 } else { all.iter().sum::<f64>() / all.len() as f64 }
        };
        match pool {
            "mean" => mean(at.iter().map(entropy).collect()),
            "boundary" => {
                let near = |a: (usize, usize), b: (usize, usize)| {
                    a.0.abs_diff(b.0) + a.1.abs_diff(b.1) == 1
                };
                let edge = |a: &&(usize, usize)| {
                    at.iter().any(|b| near(**a, *b) && class(a.0, a.1) != class(b.0, b.1))
                };
                mean(at.iter().filter(edge).map(entropy).collect())
            }
            "top" => {
                let mut all: Vec<f64> = at.iter().map(entropy).collect();
                all.sort_by(|a, b| b.total_cmp(a));
                mean(all[..3].to_vec())
            }
            _ => {
                let of = |c: usize| -> Vec<f64> {
                    at.iter().filter(|a| class(a.0, a.1) == c).map(entropy).collect()
                };
                mean((0..3).map(of).filter(|all| !all.is_empty()).map(mean).collect())
            }
        }
    }

    quickcheck! {
        fn each_score_is_its_definition(bytes: Vec<u8>) -> bool {
            let p = images(&bytes.repeat(4));
            let candidates = ids(p.rows());
            let output = Output { rows: Box::new(&p), shape: vec![3, 2, 3] };
            let view = view(&candidates).with("probabilities", output);
            [("mean", ""), ("boundary", ""), ("top", ", top=0.5"), ("stratified", "")]
                .into_iter()
                .all(|(pool, more)| {
                    let expected: Vec<f64> = p.iter_rows().map(|row| by_definition(row, pool)).collect();
                    let strategy = format!("segmentation_entropy(pool={pool}{more})");
                    follows(&strategy, &view, &expected)
                })
        }
    }

    #[test]
    fn an_image_of_one_class_has_no_boundary() {
        let p = Matrix::new(1, 4, vec![0.6, 0.6, 0.4, 0.4]).unwrap();
        let candidates = ids(1);
        let output = Output { rows: Box::new(&p), shape: vec![2, 1, 2] };
        let view = view(&candidates).with("probabilities", output);
        let found = select_by("segmentation_entropy(pool=boundary)", &view, 1, 0).unwrap();
        assert_eq!(found.1, [0.0]);
    }

    #[test]
    fn what_is_no_segmentation_is_refused() {
        let candidates = ids(1);
        let p = Matrix::new(1, 4, vec![0.6, 0.6, 0.4, 0.9]).unwrap();
        let refusal = |shape: Vec<usize>| {
            let output = Output { rows: Box::new(&p), shape };
            let view = view(&candidates).with("probabilities", output);
            select_by("segmentation_entropy", &view, 1, 0).unwrap_err()
        };
        for shape in [vec![4], vec![2, 2, 2], vec![usize::MAX, 2, 2]] {
            let found = refusal(shape).to_string();
            assert!(found.contains("[classes, height, width] is expected"), "{found}");
        }
        let found = refusal(vec![2, 1, 2]);
        assert!(matches!(found, SelectorError::NotADistribution { .. }), "{found}");
    }
}
