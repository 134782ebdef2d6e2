//! The tasks that a workflow can name, one small file each, and what they share.

mod classification;
mod multi_label;
mod regression;
mod segmentation;

use self::classification::Classification;
use self::multi_label::MultiLabel;
use self::regression::Regression;
use self::segmentation::Segmentation;
use super::augment::{Pixels, augment};
use super::graph::{Graph, GraphError};
use super::loader::Moments;
use super::loss::{Loss, class};
use super::task::Task;
use super::{Labelled, TrainingError, parts, settings};
use crate::domain::chance::Chance;
use crate::domain::definition::{ClassWeights, LossSpec, Normalise, TrainerSpec};
use crate::domain::matrix::Matrix;
use crate::domain::task::Task as Kind;
use std::collections::BTreeSet;

/// Which of the built-in tasks, on what.
#[derive(Clone, Copy)]
pub struct TaskRequest<'a> {
    /// What is learnt.
    pub task: Kind,
    /// Graph, loss, weights of classes, normalisation, augmentation.
    pub spec: &'a TrainerSpec,
    /// The shape of one sample; its product is the width of a row.
    pub shape: &'a [usize],
    /// How many classes there are; of no account to a regression.
    pub classes: usize,
    /// What will be learnt from: means, deviations and counts of classes are taken from it.
    pub train: Labelled<'a>,
}

/// A task that a workflow can name.
///
/// # Errors
/// [`TrainingError`] if a setting makes no sense, or does not fit the task, the shape or the number of classes.
pub fn built_in(request: &TaskRequest<'_>) -> Result<Box<dyn Task>, TrainingError> {
    settings::check(request.spec)?;
    let (least, classes) = (request.task.least_classes(), request.classes);
    if classes < least {
        return Err(TrainingError::Classes { classes, least });
    }
    if request.shape.contains(&0) {
        return Err(TrainingError::Shape { shape: request.shape.to_vec() });
    }
    if request.train.labels.rows() == 0 {
        return Err(TrainingError::NoSamples);
    }
    let basis = Basis::new(request)?;
    let task: Box<dyn Task> = match request.task {
        Kind::Classification => Box::new(Classification::new(basis, request)?),
        Kind::MultiLabel => Box::new(MultiLabel::new(basis, request)?),
        Kind::Regression => Box::new(Regression::new(basis, request)?),
        Kind::Segmentation => Box::new(Segmentation::new(basis, request)?),
    };
    // Parts that do not fit together are told here, before anything is read.
    task.net()?;
    Ok(task)
}

/// What every built-in task has.
struct Basis {
    spec: TrainerSpec,
    shape: Vec<usize>,
    classes: usize,
    /// The shape of an answer.
    answer: Vec<usize>,
    label_width: usize,
    /// Of the training samples, where they are brought to mean 0 and deviation 1.
    moments: Option<Moments>,
}

impl Basis {
    fn new(request: &TaskRequest<'_>) -> Result<Self, TrainingError> {
        let (task, spec, shape) = (request.task, request.spec, request.shape);
        let augmented = spec.augment.flip || spec.augment.shift > 0;
        if augmented && Pixels::of(shape).is_none() {
            return Err(TrainingError::Setting {
                key: "augment",
                value: format!("for samples of shape {shape:?}"),
                limit: "left out where samples are no images; see pool.shape".to_owned(),
            });
        }
        let moments = match spec.normalise {
            Normalise::Nothing => None,
            Normalise::Standard => Some(Moments::of(request.train.inputs, shape)?),
        };
        Ok(Self {
            spec: spec.clone(),
            shape: shape.to_vec(),
            classes: request.classes,
            answer: task.answer_shape(request.classes, shape),
            label_width: task.label_width(request.classes, shape),
            moments,
        })
    }

    /// The network that the workflow asks for, with `outputs` values a sample (or a pixel).
    fn net(&self, outputs: usize) -> Result<Graph, GraphError> {
        let (spec, moments) = (&self.spec.graph, self.moments.as_ref());
        parts::chosen(spec, &self.shape, moments, outputs, &self.answer)
    }

    /// Flips and moves a sample, and a mask along with it.
    fn augment(&self, images: &mut [&mut [f32]], chance: &Chance<'_>, row: usize) {
        if let Some(pixels) = Pixels::of(&self.shape) {
            augment(self.spec.augment, pixels, images, chance, row);
        }
    }

    /// The loss of a task with a class for each place: cross-entropy where nothing else is said.
    fn class_loss(&self, labels: &Matrix) -> Result<Loss, TrainingError> {
        let present = labels.data().iter().map(|&label| class(label));
        let weights = self.weights(present)?;
        let smoothing = self.spec.label_smoothing;
        let cross_entropy = || Loss::CrossEntropy { weights: weights.clone(), smoothing };
        match self.spec.loss {
            None | Some(LossSpec::CrossEntropy) => Ok(cross_entropy()),
            Some(LossSpec::DiceCrossEntropy) if self.answer.len() > 1 => {
                Ok(Loss::Sum(vec![Loss::Dice, cross_entropy()]))
            }
            Some(LossSpec::Dice) if self.answer.len() > 1 => {
                self.without_smoothing()?;
                self.without_weights("dice")?;
                Ok(Loss::Dice)
            }
            Some(LossSpec::Focal { gamma }) => {
                self.without_smoothing()?;
                Ok(Loss::Focal { gamma, weights })
            }
            Some(other) => Err(misfit(other, "cross-entropy or focal; for masks also dice")),
        }
    }

    /// What each class counts, given every class that occurs in a label; empty: all the same.
    fn weights(&self, present: impl Iterator<Item = usize>) -> Result<Vec<f64>, TrainingError> {
        match &self.spec.class_weights {
            ClassWeights::Equal => Ok(Vec::new()),
            ClassWeights::Given(weights) if weights.len() == self.classes => Ok(weights.clone()),
            ClassWeights::Given(weights) => Err(TrainingError::Setting {
                key: "class_weights",
                value: format!("{} numbers", weights.len()),
                limit: format!("one for each of the {} classes", self.classes),
            }),
            ClassWeights::Balanced => {
                let mut counts = vec![0_u64; self.classes];
                for class in present {
                    if let Some(count) = counts.get_mut(class) {
                        *count += 1;
                    }
                }
                #[expect(clippy::cast_precision_loss, reason = "counts of labels")]
                let share = counts.iter().sum::<u64>() as f64 / self.classes as f64;
                #[expect(clippy::cast_precision_loss, reason = "counts of labels")]
                let weights = counts.iter().map(|&n| if n == 0 { 1.0 } else { share / n as f64 });
                Ok(weights.collect())
            }
        }
    }

    fn without_smoothing(&self) -> Result<(), TrainingError> {
        if self.spec.label_smoothing > 0.0 {
            return Err(TrainingError::Setting {
                key: "label_smoothing",
                value: self.spec.label_smoothing.to_string(),
                limit: "left out with a loss other than cross-entropy".to_owned(),
            });
        }
        Ok(())
    }

    fn without_weights(&self, with: &str) -> Result<(), TrainingError> {
        if self.spec.class_weights == ClassWeights::Equal {
            return Ok(());
        }
        Err(TrainingError::Setting {
            key: "class_weights",
            value: "given".to_owned(),
            limit: format!("left out with {with}"),
        })
    }

    /// What is wrong with a label that should be the index of a class.
    fn check_class(&self, label: f32) -> Result<(), String> {
        if label.fract().abs() > 0.0 || class(label) >= self.classes {
            let classes = self.classes;
            return Err(format!("is class {label}, but there are {classes} classes, from 0 on"));
        }
        Ok(())
    }

    /// Which classes are missing where, in words.
    fn missing(&self, train: &Matrix, validation: &Matrix) -> Vec<String> {
        let sets = [("train", train), ("validation", validation)];
        let sets = sets.iter().filter(|(_, labels)| labels.rows() > 0);
        sets.filter_map(|(what, labels)| {
            let found: BTreeSet<usize> = labels.data().iter().map(|&label| class(label)).collect();
            missing_in(what, &found, self.classes)
        })
        .collect()
    }
}

/// A sentence about the classes that a part of the data has no sample of.
fn missing_in(what: &str, found: &BTreeSet<usize>, classes: usize) -> Option<String> {
    let missing: Vec<String> = (0..classes)
        .filter(|class| !found.contains(class))
        .map(|class| class.to_string())
        .collect();
    let listed = missing.get(..8).unwrap_or(&missing).join(", ");
    let more = if missing.len() > 8 { ", ..." } else { "" };
    (!missing.is_empty()).then(|| {
        format!(
            "no {what} sample has a label of {} of the {classes} classes: {listed}{more}",
            missing.len()
        )
    })
}

fn misfit(loss: LossSpec, fits: &str) -> TrainingError {
    let name = match loss {
        LossSpec::CrossEntropy => "cross-entropy",
        LossSpec::BinaryCrossEntropy => "binary cross-entropy",
        LossSpec::Focal { .. } => "focal",
        LossSpec::Dice => "dice",
        LossSpec::DiceCrossEntropy => "dice with cross-entropy",
        LossSpec::Mse => "mse",
        LossSpec::Huber { .. } => "huber",
    };
    TrainingError::Setting {
        key: "loss",
        value: name.to_owned(),
        limit: format!("for this task {fits}"),
    }
}
