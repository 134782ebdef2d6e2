//! What a model's scores mean: probabilities of classes, or values as they are.

use super::{sigmoid, softmax};
use crate::domain::matrix::Matrix;
use crate::domain::task::Task;

/// What the `scores` of a model mean, a row a sample in the shape of [`Task::answer_shape`]: a softmax over the classes, of
/// each pixel by itself where there are pixels; `1 / (1 + exp(-x))` for each class of a multi-label task; values of a
/// regression as they are. Computed in 64 bits.
#[must_use]
pub fn meaning(task: Task, classes: usize, scores: &Matrix) -> Matrix {
    match task {
        Task::Classification => softmax(scores),
        Task::MultiLabel => sigmoid(scores),
        Task::Regression => scores.clone(),
        Task::Segmentation => by_pixel(scores, classes),
    }
}

/// The softmax over the first axis of rows of shape `[classes, pixels]`.
fn by_pixel(scores: &Matrix, classes: usize) -> Matrix {
    let pixels = scores.cols().checked_div(classes).unwrap_or(0);
    let turned = |data: &[f32], from: usize, to: usize| -> Vec<f32> {
        let place = |place: usize| data.get((place % from) * to + place / from).copied();
        (0..from * to).map(|at| place(at).unwrap_or(f32::NAN)).collect()
    };
    let mut data = Vec::with_capacity(scores.data().len());
    for row in scores.iter_rows() {
        let pixels_first = turned(row, classes, pixels);
        let pixels_first = Matrix::new(pixels, classes, pixels_first).unwrap_or_default();
        data.extend(turned(softmax(&pixels_first).data(), pixels, classes));
    }
    Matrix::new(scores.rows(), scores.cols(), data).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pixel_has_a_softmax_of_its_own() {
        // Two classes, three pixels.
        let scores = Matrix::new(1, 6, vec![0.0, 1.0, 2.0, 0.0, 3.0, -2.0]).unwrap();
        let found = meaning(Task::Segmentation, 2, &scores);
        for pixel in 0..3 {
            let alone = [scores.row(0)[pixel], scores.row(0)[3 + pixel]];
            let alone = softmax(&Matrix::new(1, 2, alone.to_vec()).unwrap());
            assert_eq!(found.row(0)[pixel].to_bits(), alone.row(0)[0].to_bits());
            assert_eq!(found.row(0)[3 + pixel].to_bits(), alone.row(0)[1].to_bits());
        }
    }

    #[test]
    fn labels_of_a_set_are_each_for_themselves_and_values_stay() {
        let scores = Matrix::new(1, 2, vec![0.0, 100.0]).unwrap();
        assert_eq!(meaning(Task::MultiLabel, 2, &scores).row(0), [0.5, 1.0]);
        assert_eq!(meaning(Task::Regression, 0, &scores).row(0), [0.0, 100.0]);
    }
}
