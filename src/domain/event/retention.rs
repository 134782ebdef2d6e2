//! What is no longer kept, and on whose word.

use super::Event;
use crate::domain::digest::Digest;
use crate::domain::ids::{CycleNumber, Revision, SampleId};
use crate::domain::label::Label;
use crate::domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Artifacts that events of this run name are removed, as somebody's policy says. Recorded before a file goes, and by a fork
/// of what is gone already: what the log names and is not there was either removed so, or is missing. What an event names once
/// more after that is needed again.
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

/// On somebody's request the log forgot what a sample's labels are. Records that told it were rewritten; their hashes are as
/// before, because a hash covers the digest of a payload, and each keeps the digest of the payload that it had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleErased {
    /// Which sample.
    pub sample: SampleId,
    /// Why, for people.
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// Each record that was rewritten, in the order of the log; none where the run never had a label of it.
    pub rewritten: Vec<RewrittenRecord>,
}

/// A record of the run that holds another payload than it was hashed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RewrittenRecord {
    /// Its cycle.
    pub cycle: CycleNumber,
    /// Its revision in the cycle's log.
    pub revision: Revision,
    /// The digest of the payload that it was written with.
    pub original: Digest,
    /// The digest of the payload that it has now.
    pub now: Digest,
}

impl Event {
    /// The event without what it says a sample is; `None` where it does not say that. Who answered, when and at what cost
    /// stays.
    #[must_use]
    pub fn without_labels_of(&self, sample: &SampleId) -> Option<Self> {
        let mut event = self.clone();
        let erase = |label: &mut Label| {
            let known = !label.is_erased();
            *label = Label::Erased(label.task());
            known
        };
        let mut erased = false;
        if let Self::Annotated(annotated) = &mut event {
            for said in annotated.labels.iter_mut().filter(|said| said.sample == *sample) {
                erased |= erase(&mut said.label);
            }
        } else if let Self::Voted(voted) = &mut event {
            for vote in voted.votes.iter_mut().filter(|vote| vote.sample == *sample) {
                erased |= erase(&mut vote.label);
            }
        } else if let Self::Relabelled(relabelled) = &mut event {
            for label in relabelled.labels.iter_mut().filter(|label| label.sample == *sample) {
                erased |= erase(&mut label.before);
                erased |= erase(&mut label.after);
            }
        }
        erased.then_some(event)
    }

    /// The samples of which the event says that their labels are erased, and nowhere what they are.
    #[must_use]
    pub fn erased_samples(&self) -> BTreeSet<&SampleId> {
        let labels: Vec<(&SampleId, Label)> = if let Self::Annotated(annotated) = self {
            annotated.labels.iter().map(|said| (&said.sample, said.label)).collect()
        } else if let Self::Voted(voted) = self {
            voted.votes.iter().map(|vote| (&vote.sample, vote.label)).collect()
        } else if let Self::Relabelled(relabelled) = self {
            let both = relabelled.labels.iter().map(|label| (label, [label.before, label.after]));
            both.flat_map(|(label, both)| both.map(|of| (&label.sample, of))).collect()
        } else {
            return BTreeSet::new();
        };
        let (erased, known): (Vec<_>, Vec<_>) =
            labels.into_iter().partition(|(_, label)| label.is_erased());
        let known: BTreeSet<&SampleId> = known.into_iter().map(|(sample, _)| sample).collect();
        erased.into_iter().map(|(sample, _)| sample).filter(|of| !known.contains(of)).collect()
    }
}
