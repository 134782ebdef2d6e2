//! A task of your own: grades from 0 to 4, where being off by two is worse than being off by one.
//!
//! `cargo run --release --example own_task`. A plain classification takes all mistakes for equal. This task answers with one
//! logit for each of "is it above grade 0?", "above 1?" and so on, and learns them with the binary cross-entropy that is
//! there already. The loop, early stopping, checkpoints, resuming and the ONNX file come with it.
#![allow(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    clippy::float_cmp,
    reason = "an example shows what happens, with small numbers"
)]

use gleaner::domain::definition::TrainerSpec;
use gleaner::domain::matrix::Matrix;
use gleaner::training::{
    Graph, GraphError, Labelled, Loss, Task, TrainRequest, TrainingError, parts, train,
};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

const GRADES: usize = 5;

/// The task: everything that is special about grades.
struct Grades;

impl Task for Grades {
    fn net(&self) -> Result<Graph, GraphError> {
        let mut net = Graph::new(&[2]);
        parts::mlp(&mut net, &[16], GRADES - 1)?;
        Ok(net)
    }

    fn label_width(&self) -> usize {
        1
    }

    fn check(&self, label: &[f32]) -> Result<(), String> {
        let is_grade = |grade: &f32| (0..GRADES).any(|known| *grade == known as f32);
        if label.iter().all(is_grade) { Ok(()) } else { Err(format!("is {label:?}, no grade")) }
    }

    fn loss(&self, answer: &[f32], label: &[f32], gradient: &mut [f32]) -> f64 {
        let above = (0..GRADES - 1).map(|grade| f32::from(u8::from(label[0] > grade as f32)));
        let above: Vec<f32> = above.collect();
        Loss::BinaryCrossEntropy { weights: vec![] }.of(answer, &above, gradient)
    }

    fn measure(&self, answers: &Matrix, labels: &Matrix) -> BTreeMap<String, f64> {
        let off = answers.iter_rows().zip(labels.data()).map(|(answer, label)| {
            let grade = answer.iter().filter(|logit| **logit > 0.0).count();
            f64::from((grade as f32 - label).abs())
        });
        BTreeMap::from([("grades_off".to_owned(), off.sum::<f64>() / answers.rows() as f64)])
    }
}

/// Points in a square; the further from the lower left corner, the better the grade.
fn graded(rows: usize) -> (Matrix, Matrix) {
    let side = |step: f32| (0..rows).map(move |row| (row as f32 * step).fract());
    let points: Vec<[f32; 2]> =
        side(0.618_034).zip(side(0.754_877)).map(<[f32; 2]>::from).collect();
    let grades = points.iter().map(|[x, y]| ((x + y) / 2.0 * GRADES as f32).floor()).collect();
    let inputs = Matrix::new(rows, 2, points.into_iter().flatten().collect()).unwrap_or_default();
    (inputs, Matrix::new(rows, 1, grades).unwrap_or_default())
}

/// Trains and answers the ONNX file of the best model, and how many grades it is off on average.
pub(crate) fn run() -> Result<(Vec<u8>, f64), TrainingError> {
    let ((inputs, labels), (held_out, held_out_labels)) = (graded(300), graded(100));
    let spec = TrainerSpec { checkpoints: 1, ..TrainerSpec::default() };
    let request = TrainRequest {
        spec: &spec,
        train: Labelled { inputs: &inputs, labels: &labels },
        validation: Labelled { inputs: &held_out, labels: &held_out_labels },
        seed: 7,
        resume: None,
    };
    let mut saved = train(&Grades, &request, &mut |_| ControlFlow::Continue(()))?;
    let best = saved.pop().ok_or(TrainingError::Interrupted)?;
    Ok((best.onnx, best.metrics["validation.grades_off"]))
}

#[cfg_attr(test, expect(dead_code, reason = "a test includes this file and calls `run`"))]
fn main() -> Result<(), TrainingError> {
    let (onnx, off) = run()?;
    println!("{} bytes of ONNX; off by {off:.3} grades on average", onnx.len());
    Ok(())
}
