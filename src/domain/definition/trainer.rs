//! `[trainer]`: how a model is trained.

use super::is_default;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `[trainer]`: how a model is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainerSpec {
    /// The network.
    pub graph: GraphSpec,
    /// The most passes over the labelled set.
    pub epochs: usize,
    /// Samples per step.
    pub batch: usize,
    /// How weights are updated.
    pub optimizer: OptimizerSpec,
    /// The highest learning rate: the first, or where there is a warm-up the one after it.
    pub learning_rate: f64,
    /// How the learning rate changes.
    pub schedule: ScheduleSpec,
    /// L2 penalty (SGD, Adam: added to the gradient; AdamW: taken off the weights), 0 for none.
    pub weight_decay: f64,
    /// Stop after so many epochs without a better validation loss; `None`: never early.
    pub patience: Option<usize>,
    /// How many checkpoints one training saves, at the most; the last and the best are among them.
    pub checkpoints: usize,
    // What follows came later: a workflow that says nothing of it keeps its canonical bytes, and so its digest.
    /// What is made small; `None`: cross-entropy for classes and masks, binary cross-entropy for many labels, the squared
    /// error for values.
    #[serde(default, skip_serializing_if = "is_default")]
    pub loss: Option<LossSpec>,
    /// How much each class counts in the loss.
    #[serde(default, skip_serializing_if = "is_default")]
    pub class_weights: ClassWeights,
    /// The share of each label that is spread evenly over all classes, in [0, 1); cross-entropy only.
    #[serde(default, skip_serializing_if = "is_default")]
    pub label_smoothing: f64,
    /// Epochs in which the learning rate grows in a line from 0; 0: none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub warmup: usize,
    /// What is done to a sample's values before the first layer, within the network.
    #[serde(default, skip_serializing_if = "is_default")]
    pub normalise: Normalise,
    /// What is done to a training image each time it is looked at.
    #[serde(default, skip_serializing_if = "is_default")]
    pub augment: Augment,
    /// A frozen ONNX file whose output `embedding` is learnt from instead of the samples themselves, relative to the workflow
    /// file's folder. It runs once for each sample, ever; checkpoints hold it and what was trained, as one file.
    #[serde(default, skip_serializing_if = "is_default")]
    pub backbone: Option<String>,
    /// A program that trains instead of us.
    #[serde(default, skip_serializing_if = "is_default")]
    pub external: Option<TrainCommand>,
}

impl Default for TrainerSpec {
    /// What a workflow says that says nothing of its trainer: for `..TrainerSpec::default()`.
    fn default() -> Self {
        Self {
            graph: GraphSpec::Softmax,
            epochs: 60,
            batch: 16,
            optimizer: OptimizerSpec::Adam,
            learning_rate: 0.01,
            schedule: ScheduleSpec::Cosine,
            weight_decay: 0.0,
            patience: None,
            checkpoints: 3,
            loss: None,
            class_weights: ClassWeights::default(),
            label_smoothing: 0.0,
            warmup: 0,
            normalise: Normalise::default(),
            augment: Augment::default(),
            backbone: None,
            external: None,
        }
    }
}

/// What a training makes small.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossSpec {
    /// For classes and masks.
    CrossEntropy,
    /// For many labels.
    BinaryCrossEntropy,
    /// Cross-entropy, of one class or of many labels, that counts less the surer the answer is.
    Focal {
        /// How much less; 0 is plain cross-entropy.
        gamma: f64,
    },
    /// For masks: how far the answered and the labelled areas are from covering each other.
    Dice,
    /// For masks: the sum of both.
    DiceCrossEntropy,
    /// For values.
    Mse,
    /// For values: squared near zero, a line further out.
    Huber {
        /// Where the line begins, in standard deviations of the training values.
        delta: f64,
    },
}

/// How much each class counts in the loss.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassWeights {
    /// All the same.
    #[default]
    Equal,
    /// The rarer, the more: `labels / (classes * labels of the class)`.
    Balanced,
    /// One number a class.
    Given(Vec<f64>),
}

/// What is done to a sample's values before the first layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalise {
    /// Nothing.
    #[default]
    Nothing,
    /// Brought to mean 0 and standard deviation 1 over the training set: each channel of an image, else each value.
    Standard,
}

/// What is done to a training image each time it is looked at; labels that are masks move along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Augment {
    /// Mirrored left to right, every other time.
    pub flip: bool,
    /// Moved by up to so many pixels each way, edges repeated.
    pub shift: usize,
}

/// `[trainer] command`: a training outside of Gleaner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainCommand {
    /// The program and its arguments, run without a shell; the folder with the request comes as one more argument.
    pub command: Vec<String>,
    /// How many seconds one training may take.
    #[serde(default = "train_seconds")]
    pub seconds: u64,
    /// How much memory the program and all that it starts may hold, in MiB; enforced on Linux only; `None`: no limit.
    #[serde(default, skip_serializing_if = "is_default")]
    pub memory_mb: Option<u64>,
    /// How far a metric that the program claims may lie from the one measured here, both ways, without being reported.
    #[serde(default = "train_tolerance")]
    pub tolerance: f64,
    /// What the program is told beside its data: the trainer's own keys and values, not looked at here.
    #[serde(default, skip_serializing_if = "is_default")]
    pub settings: BTreeMap<String, String>,
}

impl TrainCommand {
    /// This command, with defaults: an hour, no limit of memory, a tolerance of 0.005, no settings.
    #[must_use]
    pub fn new(command: Vec<String>) -> Self {
        let (seconds, tolerance) = (train_seconds(), train_tolerance());
        Self { command, seconds, memory_mb: None, tolerance, settings: BTreeMap::new() }
    }
}

/// An hour.
const fn train_seconds() -> u64 {
    3600
}

/// One in two hundred: more than rounding, less than anybody would promote a model for.
const fn train_tolerance() -> f64 {
    0.005
}

/// A network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GraphSpec {
    /// One linear layer (multinomial logistic regression, or linear regression).
    Softmax,
    /// Hidden layers of these widths with ReLU, then a linear layer.
    Mlp(Vec<usize>),
    /// For images: 3 x 3 convolutions with so many channels, each with ReLU and a maximum over 2 x 2 pixels, then a linear
    /// layer.
    Cnn(Vec<usize>),
    /// For masks: a U-Net (Ronneberger et al., arXiv 1505.04597) with so many channels at each depth.
    Unet(Vec<usize>),
}

/// An optimizer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptimizerSpec {
    /// Kingma and Ba, arXiv 1412.6980, with its defaults.
    Adam,
    /// Stochastic gradient descent with this momentum.
    Sgd {
        /// In [0, 1); 0 is plain descent.
        momentum: f64,
    },
    /// Adam with weight decay beside the gradient: Loshchilov and Hutter, arXiv 1711.05101.
    #[serde(rename = "adamw")]
    AdamW,
}

/// A learning-rate schedule.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleSpec {
    /// The same rate throughout.
    Constant,
    /// Half a cosine from the first rate to zero over all steps (Loshchilov and Hutter, arXiv 1608.03983, one period).
    Cosine,
    /// Multiplied by `factor` every `every` epochs.
    Step {
        /// Epochs between two changes.
        every: usize,
        /// In (0, 1].
        factor: f64,
    },
}
