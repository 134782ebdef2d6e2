//! Labels: what the pool says, what was bought, and either as numbers to learn from.

use crate::domain::digest::Digest;
use crate::domain::event::labelled_set_digest;
use crate::domain::ids::SampleId;
use crate::domain::label::{ClassSet, Label, Value};
use crate::domain::matrix::Matrix;
use crate::domain::task::Task;
use crate::engine::reactor::{Step, StepError};

/// Samples with their labels, each in the order of its row in the pool's list.
#[derive(Clone)]
pub(super) struct Known {
    /// Their rows in the pool.
    pub(super) rows: Vec<usize>,
    /// Their labels as numbers, a row each.
    pub(super) numbers: Matrix,
    /// The digest of both; of some of them, that of all.
    pub(super) digest: Digest,
}

impl Known {
    /// Some of them, by their places.
    pub(super) fn only(&self, places: &[usize]) -> Self {
        let rows = places.iter().filter_map(|&place| self.rows.get(place).copied()).collect();
        Self { rows, numbers: self.numbers.select_rows(places), digest: self.digest }
    }

    /// The class of each; 0 in tasks without classes.
    pub(super) fn classes(&self, task: Task) -> Vec<u32> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a class index as a number"
        )]
        let class = |row: &[f32]| match task {
            Task::Classification => row.first().map_or(0, |&class| class as u32),
            Task::MultiLabel | Task::Regression | Task::Segmentation => 0,
        };
        self.numbers.iter_rows().map(class).collect()
    }
}

/// The samples at `rows`, which are held out to measure models, with what the pool says of them.
pub(super) fn held_out(step: &Step, rows: &[usize]) -> Result<Known, StepError> {
    if let Some(&row) = rows.iter().find(|&&row| !step.pool.has_label(row)) {
        let sample = step.pool.id(row);
        return Err(StepError::permanent(format!(
            "sample {sample} is held out to measure models, but has no label in the pool"
        )));
    }
    let numbers = step.pool.targets(rows).map_err(StepError::permanent)?;
    let labels = numbers.iter_rows().map(|row| label(step.definition.run.task, row).0);
    let samples: Vec<SampleId> = rows.iter().map(|&row| step.pool.sample(row)).collect();
    let digest = labelled_set_digest(samples.iter().zip(labels));
    Ok(Known { rows: rows.to_vec(), numbers, digest })
}

/// Everything that was labelled in the run and passes `keep`, in the order of sample ids.
pub(super) fn bought(step: &Step, keep: impl Fn(&SampleId) -> bool) -> Result<Known, StepError> {
    let width = step.definition.run.task.label_width(step.pool.classes().len(), step.pool.shape());
    let kept = || step.run.labels.iter().filter(|(sample, _)| keep(sample));
    let (mut rows, mut numbers) = (Vec::new(), Vec::new());
    for (sample, known) in kept() {
        let row = step.pool.index_of(sample).ok_or_else(|| {
            StepError::permanent(format!("labelled sample {sample} is no longer in the pool"))
        })?;
        rows.push(row);
        let before = numbers.len();
        append(step, known.label, &mut numbers)?;
        let found = numbers.len() - before;
        if found != width {
            return Err(StepError::permanent(format!(
                "the label of sample {sample} has {found} numbers, the workflow's task {width}"
            )));
        }
    }
    let digest = labelled_set_digest(kept().map(|(sample, known)| (sample, known.label)));
    let numbers = Matrix::new(rows.len(), width, numbers).unwrap_or_default();
    Ok(Known { rows, numbers, digest })
}

/// What the pool says of a sample, for the oracle; `None` where it says nothing. A mask is kept as an artifact.
pub(super) fn of_pool(step: &Step, sample: &SampleId) -> Result<Option<Label>, StepError> {
    let row = step.pool.index_of(sample).filter(|&row| step.pool.has_label(row));
    let Some(row) = row else { return Ok(None) };
    let numbers = step.pool.targets(&[row]).map_err(StepError::permanent)?;
    let (label, mask) = label(step.definition.run.task, numbers.row(0));
    if let Some(mask) = mask {
        step.artifacts.put(&mask)?;
    }
    Ok(Some(label))
}

/// The label that these numbers are, and the bytes of its artifact where it has one. The pool has checked the numbers.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "indices of classes; masks have at most 256 of them"
)]
fn label(task: Task, numbers: &[f32]) -> (Label, Option<Vec<u8>>) {
    let first = numbers.first().copied().unwrap_or_default();
    match task {
        Task::Classification => (Label::Class(first as u32), None),
        Task::MultiLabel => {
            let set = numbers.iter().enumerate().filter(|(_, flag)| **flag > 0.5);
            (Label::Classes(ClassSet::of(set.map(|(class, _)| class))), None)
        }
        Task::Regression => (Label::Value(Value::new(first.into()).unwrap_or_default()), None),
        Task::Segmentation => {
            let mask: Vec<u8> = numbers.iter().map(|&class| class as u8).collect();
            (Label::Mask(Digest::of(&mask)), Some(mask))
        }
    }
}

/// Appends the numbers of a label.
fn append(step: &Step, label: Label, numbers: &mut Vec<f32>) -> Result<(), StepError> {
    match label {
        #[expect(clippy::cast_precision_loss, reason = "classes are far fewer than 2^24")]
        Label::Class(class) => numbers.push(class as f32),
        Label::Classes(set) => {
            let flag = |class| if set.holds(class) { 1.0 } else { 0.0 };
            numbers.extend((0..step.pool.classes().len()).map(flag));
        }
        #[expect(clippy::cast_possible_truncation, reason = "models work with 32 bits")]
        Label::Value(value) => numbers.push(value.get() as f32),
        Label::Mask(digest) => {
            let mask = step.artifacts.get(&digest)?;
            numbers.extend(mask.iter().map(|&class| f32::from(class)));
        }
        Label::Erased(_) => return Err(StepError::permanent("a label that is needed was erased")),
    }
    Ok(())
}
