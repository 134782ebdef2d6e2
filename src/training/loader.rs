//! The data loader: what comes in is checked once, then handed out in batches whose order derives from the seed.
//!
//! Large batches are read, and augmented, on another thread while the step before learns; small ones, where that costs more
//! than it saves, when they are needed.

use super::graph::{scales, volume};
use super::task::Task;
use super::{Labelled, TrainRequest, TrainingError};
use crate::domain::chance::Chance;
use crate::domain::ids::CycleNumber;
use crate::domain::matrix::Matrix;
use crate::domain::rows::{Rows, RowsError};
use std::ops::ControlFlow;
use std::sync::mpsc::sync_channel;

/// How many rows are read at a time where all are looked at.
pub(super) const PIECE: usize = 256;

/// Batches of fewer values are made ready in less time than it takes to hand them over.
const AHEAD_LEAST: usize = 16 * 1024;

/// Some samples with their labels.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// One row a sample.
    pub inputs: Matrix,
    /// One label a row, as numbers.
    pub labels: Matrix,
}

/// Hands out the training rows.
pub(super) struct DataLoader<'a> {
    rows: Labelled<'a>,
    seed: u64,
    size: usize,
}

impl<'a> DataLoader<'a> {
    /// Batches of `size` rows.
    pub(super) const fn new(rows: Labelled<'a>, size: usize, seed: u64) -> Self {
        Self { rows, seed, size }
    }

    /// The row numbers of each batch of an epoch, every row once, in an order that derives from (seed, epoch, row).
    fn order(&self, epoch: usize) -> Vec<Vec<usize>> {
        let purpose = format!("order of epoch {epoch}");
        let chance = Chance { seed: self.seed, cycle: CycleNumber(0), purpose: &purpose };
        let rows = 0..self.rows.labels.rows();
        let mut order: Vec<(u64, usize)> =
            rows.map(|row| (chance.draw(&row.to_string()), row)).collect();
        order.sort_unstable();
        let batches = order.chunks(self.size.max(1));
        batches.map(|batch| batch.iter().map(|(_, row)| *row).collect()).collect()
    }

    /// Hands every batch of an epoch to `learn`, in order, until it breaks off.
    pub(super) fn each<B>(
        &self,
        epoch: usize,
        task: &dyn Task,
        learn: &mut dyn FnMut(&Batch) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, RowsError> {
        let order = self.order(epoch);
        let mut hand = |batch: Result<Batch, RowsError>| match learn(&batch?) {
            ControlFlow::Continue(()) => Ok(None),
            ControlFlow::Break(why) => Ok(Some(why)),
        };
        if self.size.saturating_mul(self.rows.inputs.cols()) < AHEAD_LEAST {
            let mut batches = order.iter().map(|rows| self.batch(rows, epoch, task));
            return ended(batches.find_map(|batch| hand(batch).transpose()));
        }
        std::thread::scope(|scope| {
            // One in hand, one ready, one in the making.
            let (give, ready) = sync_channel(1);
            scope.spawn(move || {
                // Nobody takes any more where a batch was refused.
                order.iter().try_for_each(|rows| give.send(self.batch(rows, epoch, task)))
            });
            ended(ready.into_iter().find_map(|batch| hand(batch).transpose()))
        })
    }

    /// The batch of these rows, as the task wants to see them in this epoch.
    fn batch(&self, rows: &[usize], epoch: usize, task: &dyn Task) -> Result<Batch, RowsError> {
        let width = self.rows.inputs.cols();
        let mut inputs = Vec::with_capacity(rows.len().saturating_mul(width));
        for &row in rows {
            inputs.extend_from_slice(&self.rows.inputs.read(row..row + 1)?);
        }
        let labels = self.rows.labels.select_rows(rows);
        let (label_width, mut labels) = (labels.cols(), labels.data().to_vec());
        let purpose = format!("augmentation in epoch {epoch}");
        let chance = Chance { seed: self.seed, cycle: CycleNumber(0), purpose: &purpose };
        let pairs = inputs.chunks_mut(width.max(1)).zip(labels.chunks_mut(label_width.max(1)));
        for ((sample, label), row) in pairs.zip(rows) {
            task.augment(sample, label, &chance, *row);
        }
        Ok(Batch {
            inputs: Matrix::new(rows.len(), width, inputs).unwrap_or_default(),
            labels: Matrix::new(rows.len(), label_width, labels).unwrap_or_default(),
        })
    }
}

/// How an epoch ended, by what broke it off, if anything did.
fn ended<B>(broken: Option<Result<B, RowsError>>) -> Result<ControlFlow<B>, RowsError> {
    Ok(broken.transpose()?.map_or(ControlFlow::Continue(()), ControlFlow::Break))
}

/// Whether rows and labels are what a task can learn from.
pub(super) fn check(task: &dyn Task, request: &TrainRequest<'_>) -> Result<(), TrainingError> {
    if request.train.labels.rows() == 0 {
        return Err(TrainingError::NoSamples);
    }
    let graph = task.net()?;
    let shape = graph.shape_of(graph.input());
    if volume(shape) == 0 {
        return Err(TrainingError::Shape { shape: shape.to_vec() });
    }
    for (what, rows) in [("train", &request.train), ("validation", &request.validation)] {
        check_rows(what, rows, task, shape)?;
    }
    task.check_all(request.train.labels)
}

fn check_rows(
    what: &'static str,
    rows: &Labelled<'_>,
    task: &dyn Task,
    shape: &[usize],
) -> Result<(), TrainingError> {
    let (inputs, labels) = (rows.inputs, rows.labels);
    if inputs.rows() != labels.rows() {
        return Err(TrainingError::Labels { what, rows: inputs.rows(), labels: labels.rows() });
    }
    if labels.rows() == 0 {
        return Ok(());
    }
    let expected = volume(shape);
    if inputs.cols() != expected {
        let shape = shape.to_vec();
        return Err(TrainingError::Width { what, found: inputs.cols(), expected, shape });
    }
    let (found, expected) = (labels.cols(), task.label_width());
    if found != expected {
        return Err(TrainingError::LabelWidth { what, found, expected });
    }
    for (row, label) in labels.iter_rows().enumerate() {
        task.check(label).map_err(|reason| TrainingError::Label { what, row, reason })?;
    }
    each_piece(inputs, |first, values| {
        let broken = values.iter().position(|value| !value.is_finite());
        broken.map_or(Ok(()), |place| {
            let (row, column) = (first + place / inputs.cols(), place % inputs.cols());
            Err(TrainingError::NonFinite { what, row, column })
        })
    })
}

/// All rows, a piece at a time, with the number of its first.
fn each_piece(
    rows: &dyn Rows,
    mut look: impl FnMut(usize, &[f32]) -> Result<(), TrainingError>,
) -> Result<(), TrainingError> {
    for first in (0..rows.rows()).step_by(PIECE) {
        look(first, &rows.read(first..first + PIECE)?)?;
    }
    Ok(())
}

/// Mean and standard deviation of many samples: of each channel of an image, else of each value.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    /// The means.
    pub mean: Vec<f64>,
    /// The standard deviations, dividing by the number of values.
    pub deviation: Vec<f64>,
}

impl Moments {
    /// The moments of rows that hold samples of `shape`, in two passes.
    ///
    /// # Errors
    /// [`TrainingError::Rows`] if they cannot be read; [`TrainingError::Width`] if they are not of that shape.
    pub fn of(rows: &dyn Rows, shape: &[usize]) -> Result<Self, TrainingError> {
        let (width, groups) = (volume(shape), scales(shape));
        if rows.cols() != width || width == 0 || rows.rows() == 0 {
            let (found, shape) = (rows.cols(), shape.to_vec());
            return Err(TrainingError::Width { what: "train", found, expected: width, shape });
        }
        let each = width / groups;
        #[expect(clippy::cast_precision_loss, reason = "a count of values")]
        let count = (rows.rows() as f64) * each as f64;
        let mut mean = vec![0.0; groups];
        let mut deviation = vec![0.0; groups];
        let sum = |sums: &mut [f64], term: &dyn Fn(usize, f64) -> f64| {
            each_piece(rows, |_, values| {
                for row in values.chunks(width) {
                    let channels = row.chunks(each).zip(sums.iter_mut()).enumerate();
                    for (place, (channel, sum)) in channels {
                        *sum += channel.iter().map(|&x| term(place, f64::from(x))).sum::<f64>();
                    }
                }
                Ok(())
            })
        };
        sum(&mut mean, &|_, x| x)?;
        mean.iter_mut().for_each(|sum| *sum /= count);
        let off = |place: usize, x: f64| x - mean.get(place).copied().unwrap_or(0.0);
        sum(&mut deviation, &|place, x| off(place, x) * off(place, x))?;
        deviation.iter_mut().for_each(|sum| *sum = (*sum / count).sqrt());
        Ok(Self { mean, deviation })
    }
}
