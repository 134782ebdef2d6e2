//! Labels that are more than the name of a class: sets of classes, values, masks. A row of numbers a sample, as
//! [`Task`] tells; a row of NaN is a label that is not known yet.

use super::source::Source;
use crate::domain::rows::{RowsError, Runs};
use crate::domain::task::Task;

/// A row of numbers for each sample.
pub(super) struct Targets {
    pub(super) rows: Box<dyn Source>,
    /// The rows whose label is known.
    pub(super) known: Runs,
}

impl Targets {
    /// Numbers that [`check`] has found to be labels, or unknown.
    pub(super) fn new(rows: Box<dyn Source>) -> Result<Self, RowsError> {
        let mut known = Runs::default();
        for piece in super::source::pieces(rows.rows(), rows.cols()) {
            let values = rows.read(piece.clone())?;
            let numbers = super::source::rows_of(&values, piece.len(), rows.cols());
            for (row, numbers) in piece.clone().zip(numbers) {
                if numbers.iter().all(|number| number.is_finite()) {
                    known.push(row..row + 1);
                }
            }
        }
        Ok(Self { rows, known })
    }
}

/// Whether these numbers are a label, or, all of them NaN, an unknown one; else what is wrong with them.
pub(super) fn check(task: Task, classes: usize, numbers: &[f32]) -> Result<(), String> {
    if numbers.iter().all(|number| number.is_nan()) {
        return Ok(());
    }
    let fits = |number: f32| match task {
        Task::Regression => number.is_finite(),
        Task::MultiLabel => [0.0, 1.0].contains(&number),
        #[expect(clippy::cast_precision_loss, reason = "classes are few")]
        Task::Classification | Task::Segmentation => {
            number >= 0.0 && number < classes as f32 && number.fract().abs() <= 0.0
        }
    };
    match numbers.iter().enumerate().find(|(_, number)| !fits(**number)) {
        None => Ok(()),
        Some((place, number)) => Err(match task {
            Task::Regression => format!("the label is {number}; a finite number is expected"),
            Task::MultiLabel => {
                format!("the label of class {place} is {number}; 0 or 1 is expected")
            }
            Task::Classification | Task::Segmentation => format!(
                "the label of pixel {place} is {number}; a whole number below {classes}, the number of classes, is expected"
            ),
        }),
    }
}
