//! Answers of annotators, and labels that are asked again.

use super::Annotation;
use crate::domain::digest::Digest;
use crate::domain::ids::SampleId;
use crate::domain::label::Label;
use serde::{Deserialize, Serialize};

/// Answers of annotators. What they come to is told by [`Annotated`](super::Annotated) and [`Relabelled`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Voted {
    /// The answers, each for a pick of this cycle that waits for its label; no annotator twice on a sample in a run.
    pub votes: Vec<Annotation>,
}

/// What became of labels that were known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Relabelled {
    /// Each label that changed, and each that was asked again and stands.
    pub labels: Vec<Relabel>,
}

/// What became of one label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Relabel {
    /// Of which sample.
    pub sample: SampleId,
    /// What it was.
    pub before: Label,
    /// What it is from now on.
    pub after: Label,
}

/// Known labels, held against models that had not seen them (cross-validation).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabelsDoubted {
    /// How many labels.
    pub labels: u64,
    /// Into how many parts they were split; each part was judged by a model that learnt the others.
    pub folds: u32,
    /// How many of them look wrong.
    pub suspects: u64,
    /// The share of wrong labels that confident learning estimates, in [0, 1]; too high where labels are few and the models
    /// that judge them poor.
    pub error_rate: f64,
    /// The artifact with the probabilities: an `.npy` file, a row for each known label in the order of sample ids.
    pub evidence: Digest,
}
