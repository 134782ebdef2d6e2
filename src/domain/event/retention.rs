//! What is no longer kept, and on whose word.

use crate::domain::digest::Digest;
use crate::domain::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Artifacts that events of this run name are removed, as somebody's policy says. Recorded before a file goes: what the log
/// names and is not there was either removed so, or is missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactsRemoved {
    /// Each of them; never empty.
    pub removed: Vec<RemovedArtifact>,
    /// What was to be kept, for people.
    pub policy: String,
    /// When.
    pub at: Timestamp,
}

/// An artifact that is no longer kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedArtifact {
    /// Its digest, by which a copy of it is still known.
    pub artifact: Digest,
    /// What it was.
    pub kind: ArtifactKind,
    /// How long it was, in bytes.
    pub bytes: u64,
}

/// What an artifact that may be removed is to its run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArtifactKind {
    /// What a batch was picked from.
    Scores,
    /// What models said of labels that they had not seen.
    Evidence,
    /// A checkpoint that never was in production.
    Checkpoint,
}

impl ArtifactKind {
    /// Several of them, for people.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Scores => "scores of batches",
            Self::Evidence => "evidence against labels",
            Self::Checkpoint => "checkpoints that never were in production",
        }
    }
}
