//! `[pool]`: where samples come from.

use super::is_default;
use crate::domain::task::Task;
use serde::{Deserialize, Serialize};

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
