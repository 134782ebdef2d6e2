//! What a workflow asks for, after every check: plain data, the same for the TOML file, the builder and the audit.
//!
//! The crate's `workflow` module reads the file; this is what it hands on. The digest of the canonical JSON of a
//! [`Definition`] is the *workflow digest* that each record carries.

use super::digest::Digest;
use super::metric::Metric;
use super::strategy::StrategySpec;
use super::task::Task;
use super::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// A checked workflow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// `[run]`
    pub run: RunSpec,
    /// `[pool]`
    pub pool: PoolSpec,
    /// `[selector]`
    pub selector: SelectorSpec,
    /// `[annotator]`: who labels.
    pub annotator: AnnotatorSpec,
    /// `[trainer]`
    pub trainer: TrainerSpec,
    /// `[model_selector]`
    pub model_selector: ModelSelectorSpec,
    /// `[kpi]`
    pub kpi: KpiSpec,
    /// `[stop]`
    pub stop: StopSpec,
    /// `[retry]`
    pub retry: RetrySpec,
    // What follows came later: a workflow that says nothing of it keeps its canonical bytes, and so its digest.
    /// `[annotator]`: how many answers a label takes, and what one costs.
    #[serde(default, skip_serializing_if = "is_default")]
    pub answers: AnswersSpec,
}

impl Definition {
    /// Whether what annotators say is kept answer by answer: one label may rest on several, and may change.
    #[must_use]
    pub fn votes(&self) -> bool {
        let AnswersSpec { votes, noise, .. } = self.answers;
        votes > 1
            || noise > 0.0
            || !self.pool.answers.is_empty()
            || self.selector.relabel_fraction > 0.0
    }

    /// The canonical bytes: compact JSON, fields in the order of this file.
    #[must_use]
    pub fn canonical_bytes(&self) -> Vec<u8> {
        // Plain structs, strings and finite numbers: serialising them has no way to fail.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The workflow digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.canonical_bytes())
    }
}

/// `[run]`: what this is and how it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunSpec {
    /// For people.
    pub name: String,
    /// What is learnt.
    pub task: Task,
    /// Who plays the annotator, and whether a gate guards training.
    pub mode: Mode,
    /// Where all chance comes from.
    pub seed: u64,
}

/// How much the run is allowed to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// A fully labelled data set plays the annotator; no audit arm; a test split measures.
    Development,
    /// Labels cost; each batch carries an audit arm.
    Production,
}

/// `[pool]`: where samples come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolSpec {
    /// The format of the source.
    pub source: PoolSource,
    /// The file, or the folder of images, relative to the workflow file's folder.
    pub path: String,
    /// The column, or the field, that holds the label.
    pub label_column: String,
    /// The column, or the field, that holds the sample id; without one, ids are the file's stem and the row number from 0.
    pub id_column: Option<String>,
    /// The shape of one sample as the model takes it, for example `[64]` or `[1, 8, 8]`; empty: one axis of all feature
    /// columns. The loaded pool knows which.
    pub shape: Vec<usize>,
    /// Each number in the file is multiplied by this.
    pub scale: f64,
    /// The class list, in index order; empty: the sorted distinct labels of the file.
    pub classes: Vec<String>,
    /// The share of samples held out for validation (choice of checkpoints), in [0, 1).
    pub validation: f64,
    /// The share of samples held out for the test, in [0, 1).
    pub test: f64,
    /// The seed of the split; the run's seed where the file gives none.
    pub seed: u64,
    // What follows came later: a workflow that says nothing of it keeps its canonical bytes, and so its digest.
    /// What labels are: `run.task`, so that whoever reads the pool need not know the run.
    #[serde(default, skip_serializing_if = "is_default")]
    pub task: Task,
    /// The file with the labels of an `.npy` pool: another `.npy`, of whole numbers (of the task's numbers in other tasks than
    /// classification), or a text with a label a line.
    #[serde(default, skip_serializing_if = "is_default")]
    pub labels: Option<String>,
    /// An `.npy` file with the class probabilities of every sample.
    #[serde(default, skip_serializing_if = "is_default")]
    pub predictions: Option<String>,
    /// The field of a JSONL pool whose text becomes features.
    #[serde(default, skip_serializing_if = "is_default")]
    pub text_field: Option<String>,
    /// The field of a JSONL pool, or the column of a Parquet pool, that holds a list of numbers: an embedding.
    #[serde(default, skip_serializing_if = "is_default")]
    pub features_field: Option<String>,
    /// How many features a text becomes; `None`: 1,024.
    #[serde(default, skip_serializing_if = "is_default")]
    pub width: Option<usize>,
    /// Height and width that images are brought to.
    #[serde(default, skip_serializing_if = "is_default")]
    pub size: Option<[usize; 2]>,
    /// In which order an image's numbers lie.
    #[serde(default, skip_serializing_if = "is_default")]
    pub layout: ImageLayout,
    /// How many channels an image has.
    #[serde(default, skip_serializing_if = "is_default")]
    pub channels: ImageChannels,
    /// Subtracted from each channel, after its values were brought to 0 to 1; one number, or one a channel; empty: 0.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mean: Vec<f64>,
    /// Each channel is divided by it then; one number, or one a channel; empty: 1.
    #[serde(default, skip_serializing_if = "is_default")]
    pub std: Vec<f64>,
    /// What a sample that cannot be read means.
    #[serde(default, skip_serializing_if = "is_default")]
    pub broken: Broken,
    /// What a sample with the same bytes as another means.
    #[serde(default, skip_serializing_if = "is_default")]
    pub duplicates: Duplicates,
    /// Columns that are no features, for queries.
    #[serde(default, skip_serializing_if = "is_default")]
    pub metadata: Vec<String>,
    /// The column with the seconds that the annotation of a sample takes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub seconds_column: Option<String>,
    /// Columns with what each annotator said: `annotator.columns`. Neither features nor seen by queries.
    #[serde(default, skip_serializing_if = "is_default")]
    pub answers: Vec<String>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Default for PoolSpec {
    /// A CSV file that names nothing and holds nothing out: for `..PoolSpec::default()`.
    fn default() -> Self {
        Self {
            source: PoolSource::Csv,
            path: String::new(),
            label_column: "label".to_owned(),
            id_column: None,
            shape: Vec::new(),
            scale: 1.0,
            classes: Vec::new(),
            validation: 0.0,
            test: 0.0,
            seed: 0,
            task: Task::default(),
            labels: None,
            predictions: None,
            text_field: None,
            features_field: None,
            width: None,
            size: None,
            layout: ImageLayout::default(),
            channels: ImageChannels::default(),
            mean: Vec::new(),
            std: Vec::new(),
            broken: Broken::default(),
            duplicates: Duplicates::default(),
            metadata: Vec::new(),
            seconds_column: None,
            answers: Vec::new(),
        }
    }
}

/// The format of a pool's source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PoolSource {
    /// Comma-separated values with a header line.
    Csv,
    /// A matrix of numbers as NumPy saves it: features, or embeddings computed elsewhere.
    Npy,
    /// One JSON object a line.
    Jsonl,
    /// A Parquet file.
    Parquet,
    /// A folder of PNG and JPEG files.
    Images,
}

/// In which order an image's numbers lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageLayout {
    /// Channel by channel, each row by row.
    #[default]
    Chw,
    /// Pixel by pixel, row by row.
    Hwc,
}

/// How many channels an image has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageChannels {
    /// Brightness.
    Grey,
    /// Red, green, blue.
    #[default]
    Colour,
}

/// What a sample that cannot be read means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Broken {
    /// The pool cannot be used.
    #[default]
    Fail,
    /// The sample is left out, and listed with the reason.
    Skip,
}

/// What a sample with the same bytes as another means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Duplicates {
    /// The first of them stands for all: the others are in no part of the split, and nobody is asked to label them.
    #[default]
    Once,
    /// Each is a sample of its own.
    Keep,
}

/// `[selector]`: how batches are picked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SelectorSpec {
    /// The strategy of the batch's strategy arm.
    pub strategy: StrategySpec,
    /// How many samples a batch has, both arms together.
    pub batch: usize,
    /// Labels of the first cycle, before there is a model.
    pub cold_start: ColdStart,
    /// The share of each batch that is uniformly random and measures the KPI; 0 in development mode.
    pub audit_fraction: f64,
    /// Which model scores the candidates.
    pub model: SelectorModel,
    /// Where inference runs.
    pub provider: ProviderChoice,
    /// The runtime library to use, and no other; `None`: the first that works.
    pub runtime: Option<String>,
    /// Samples per inference call; 0: found by a short warm-up.
    pub inference_batch: usize,
    /// What is kept of what a selection consumed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub keep: Keep,
    /// Who the members of a committee are.
    #[serde(default, skip_serializing_if = "is_default")]
    pub committee: Committee,
    /// Passes of the model with dropout, whose answers are members of the committee; 0: none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub passes: usize,
    /// What strategies are given as `embedding`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub embedding: EmbeddingSource,
    /// The number of the device among the visible ones, where inference runs on one.
    #[serde(default, skip_serializing_if = "is_default")]
    pub device: u32,
    /// A SQLite file that queries may read as the schema `user`, relative to the workflow file's folder.
    #[serde(default, skip_serializing_if = "is_default")]
    pub database: Option<String>,
    /// How long a query may run; 30 seconds where nothing is said.
    #[serde(default, skip_serializing_if = "is_default")]
    pub query_seconds: Option<u64>,
    /// The share of each batch that asks again for labels which are probably wrong, in [0, 1).
    #[serde(default, skip_serializing_if = "is_default")]
    pub relabel_fraction: f64,
}

/// What is kept of what a selection consumed, so that the batch can be picked again without the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// All that the strategy looked at, bit for bit.
    #[default]
    F32,
    /// The same in half the space: the strategy is given numbers that were rounded to 16 bits before.
    F16,
    /// The score of each candidate; for strategies that do not score each one by one, as `F32`.
    Scores,
    /// Nothing: the batch can be picked again only by running the model again.
    Nothing,
}

/// Who the members of a committee are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Committee {
    /// There is none.
    #[default]
    Nobody,
    /// The checkpoints of the last training (a snapshot ensemble: Huang et al., arXiv 1704.00109).
    Checkpoints,
    /// These ONNX files, relative to the workflow file's folder.
    Files(Vec<String>),
}

/// What strategies are given as `embedding`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmbeddingSource {
    /// The model's output `embedding`; before there is a model, the pool's features.
    #[default]
    Model,
    /// The pool's features.
    Features,
    /// The output `embedding`, or else the only one, of a frozen ONNX file, relative to the workflow file's folder. It runs
    /// once for each sample, however many cycles there are.
    File(String),
}

/// How the first batch is picked, before there is a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColdStart {
    /// So many of each class, drawn at random; needs a pool whose labels are known (development mode).
    PerClass(usize),
    /// So many samples, drawn uniformly.
    Random(usize),
    /// So many samples, by a strategy that needs no model.
    Strategy(StrategySpec, usize),
}

/// Which model scores the candidates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SelectorModel {
    /// The checkpoint promoted last.
    Production,
    /// An ONNX file, relative to the workflow file's folder, from the first cycle on.
    File(String),
    /// No model: the pool has predictions of its own (`pool.predictions`).
    Pool,
}

/// Where inference runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderChoice {
    /// The fastest that works; says which and why.
    Auto,
    /// CUDA or an error.
    Cuda,
    /// TensorRT or an error.
    Tensorrt,
    /// The processor.
    Cpu,
}

/// `[annotator]`: who labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnnotatorSpec {
    /// The pool's own labels.
    Oracle,
}

/// `[annotator]`: how many answers a label takes, and what one costs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AnswersSpec {
    /// How many annotators are asked for each sample, at least 1.
    pub votes: usize,
    /// How several answers become one label.
    pub consensus: Consensus,
    /// How often an annotator that the oracle plays is wrong, in [0, 1).
    pub noise: f64,
    /// What an answer costs, in whatever currency the workflow means.
    pub price: f64,
    /// What an hour of annotation costs.
    pub price_per_hour: f64,
}

impl Default for AnswersSpec {
    /// One answer a label, which is right and costs nothing.
    fn default() -> Self {
        Self {
            votes: 1,
            consensus: Consensus::default(),
            noise: 0.0,
            price: 0.0,
            price_per_hour: 0.0,
        }
    }
}

impl AnswersSpec {
    /// What so many answers cost that took so long together.
    #[must_use]
    pub fn cost(&self, answers: u64, spent: Duration) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "money, to fifteen digits")]
        let answers = answers as f64;
        answers.mul_add(self.price, spent.as_secs_f64() / 3600.0 * self.price_per_hour)
    }

    /// Whether anything costs something.
    #[must_use]
    pub fn is_priced(&self) -> bool {
        self.price > 0.0 || self.price_per_hour > 0.0
    }
}

/// How several answers become one label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consensus {
    /// The class that most say.
    #[default]
    Majority,
    /// By how reliable each annotator proves to be (Dawid and Skene, 1979).
    DawidSkene,
}

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

/// `[model_selector]`: which checkpoint goes to production.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelSelectorSpec {
    /// The metric that decides, measured on the validation split, for example `validation.accuracy`.
    pub criterion: String,
    /// Whether more is better.
    pub direction: Direction,
    /// A challenger must beat the incumbent by more than this.
    pub min_gain: f64,
    /// Of checkpoints that are equal by the criterion, the better one by this goes to production.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tie_break: Option<String>,
    /// A challenger must beat the incumbent by more than luck.
    #[serde(default, skip_serializing_if = "is_default")]
    pub significant: bool,
    /// How sure that must be, and how wide the intervals of comparisons are, in (0, 1).
    #[serde(default = "usual_confidence", skip_serializing_if = "is_usual_confidence")]
    pub confidence: f64,
    /// A larger file does not go to production, in bytes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_bytes: Option<u64>,
    /// A model that takes longer for one sample, on this machine and by itself, does not go to production, in milliseconds.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_latency_ms: Option<f64>,
    /// A model whose recall of some class is lower does not go to production, in [0, 1].
    #[serde(default, skip_serializing_if = "is_default")]
    pub class_floor: Option<f64>,
}

impl Default for ModelSelectorSpec {
    /// The best accuracy, without limits: for `..ModelSelectorSpec::default()`.
    fn default() -> Self {
        Self {
            criterion: "validation.accuracy".to_owned(),
            direction: Direction::Max,
            min_gain: 0.0,
            tie_break: None,
            significant: false,
            confidence: usual_confidence(),
            max_bytes: None,
            max_latency_ms: None,
            class_floor: None,
        }
    }
}

const fn usual_confidence() -> f64 {
    0.95
}

fn is_usual_confidence(confidence: &f64) -> bool {
    confidence.total_cmp(&usual_confidence()).is_eq()
}

/// Whether more is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Higher is better.
    Max,
    /// Lower is better.
    Min,
}

impl Direction {
    /// How much better `a` is than `b`; below 0 where it is worse.
    #[must_use]
    pub fn gain(self, a: f64, b: f64) -> f64 {
        match self {
            Self::Max => a - b,
            Self::Min => b - a,
        }
    }
}

/// `[kpi]`: what the production model must reach.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KpiSpec {
    /// What is measured.
    pub metric: Metric,
    /// What it must reach: at least, or at most where less is better; in the unit of the metric.
    pub target: f64,
    /// Whether new labels are checked before a training; off, every cycle trains.
    pub gate: bool,
    /// Which labels the gate reads.
    pub estimator: GateEstimator,
    /// The confidence of the interval, in (0, 1).
    pub confidence: f64,
    /// What follows a gate that cannot tell.
    #[serde(default, skip_serializing_if = "is_default")]
    pub inconclusive: Inconclusive,
    /// A gate that is met leads to a training all the same where the samples that came since the production model was
    /// trained differ from those before at this level of significance, in (0, 1); `None`: nobody looks.
    #[serde(default, skip_serializing_if = "is_default")]
    pub drift: Option<f64>,
    /// Whether each training is accompanied by one on the randomly drawn labels alone, which tells how many labels random
    /// selection would have taken.
    #[serde(default, skip_serializing_if = "is_default")]
    pub savings: bool,
}

/// What follows a gate that cannot tell whether the target is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inconclusive {
    /// A training.
    #[default]
    Train,
    /// More labels first: the cycle ends, the model stays, and its audit labels go on accumulating.
    Label,
}

/// Which labels the gate reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateEstimator {
    /// The audit labels since the production model was trained: unbiased.
    Audit,
    /// The picks of a strategy that draws by chance, since the production model was trained, each weighted by the probability
    /// with which it was drawn, so that the estimate is unbiased (R_LURE: Farquhar et al., arXiv 2101.11665). Needs `power`,
    /// `softmax` or `softrank`.
    Lure,
    /// The whole of the newest batch. Biased: an actively chosen batch is harder than the pool (about -0.47 measured
    /// on digits with margin sampling), so this gate nearly always says `missed`.
    Batch,
}

/// `[stop]`: when the run ends. A pool without candidates always ends it, and so does `max_labels`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct StopSpec {
    /// When the KPI is met: by the gate, or in development mode by the test split.
    pub kpi: bool,
    /// After so many cycles.
    pub max_cycles: Option<u32>,
    /// Before the labels would exceed this number; the last batch is made smaller to fit.
    pub max_labels: Option<usize>,
    /// Whether one of the rules is enough, or all that are named must hold.
    #[serde(default, skip_serializing_if = "is_default")]
    pub when: StopWhen,
    /// When annotators have spent so many hours.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_hours: Option<f64>,
    /// At the end of the first cycle after this instant.
    #[serde(default, skip_serializing_if = "is_default")]
    pub deadline: Option<Timestamp>,
    /// When so many cycles have brought no better measurement.
    #[serde(default, skip_serializing_if = "is_default")]
    pub plateau: Option<u32>,
    /// A measurement is better if it gains more than this.
    #[serde(default, skip_serializing_if = "is_default")]
    pub plateau_gain: f64,
    /// When the predictions of one model and the next agree so well, as Cohen's kappa in the mean of three cycles.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stable: Option<f64>,
    /// When answers have cost so much.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_cost: Option<f64>,
}

/// How rules of `[stop]` combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopWhen {
    /// One is enough.
    #[default]
    Any,
    /// All that are named must hold.
    All,
}

/// `[retry]`: what happens when a step fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetrySpec {
    /// How often a step is tried before the cycle fails.
    pub attempts: u32,
    /// The wait before the second try; doubles each time.
    pub backoff: Duration,
    /// The longest wait.
    pub backoff_max: Duration,
    /// How long a step may go without a sign of life from its process.
    pub lease: Duration,
}
