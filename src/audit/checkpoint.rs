//! Checkpoints: the size and the root of a log, signed. The form is that of <https://c2sp.org/tlog-checkpoint>.
//!
//! ```text
//! example.org/runs                               origin: which log
//! 20852163                                       size
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=   root, in base64
//! any further lines, best none
//!
//! — example.org/runs Az3grlgtzPICa5OS8n...
//! ```
//!
//! A log that continues the one of a checkpoint proves it with
//! [`consistency_proof`](super::merkle::consistency_proof); one that was cut or rewritten cannot. That holds as long as the
//! checkpoint lies where the log's writer cannot change it.

use super::base64;
use super::key::VerifierKey;
use super::merkle::TreeHead;
use super::note::{Note, NoteError};
use super::proof::decimal;
use crate::domain::digest::Digest;
use std::fmt;
use std::str::FromStr;

/// Why a text is no checkpoint, or is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Not a note, or not signed by a known key.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// A line is missing, or not what stands there in a checkpoint.
    #[error("line {line} of the checkpoint is not {expected}")]
    Line {
        /// Which, counted from 1.
        line: usize,
        /// What stands there in a checkpoint.
        expected: &'static str,
    },
    /// It is a checkpoint of another log.
    #[error("the checkpoint is of {found:?}, not of {expected:?}: a key may sign for several logs")]
    Origin {
        /// Of which log it should be.
        expected: String,
        /// Of which it is.
        found: String,
    },
}

const ORIGIN: CheckpointError =
    CheckpointError::Line { line: 1, expected: "a log's name, without control characters" };
const SIZE: CheckpointError = CheckpointError::Line {
    line: 2,
    expected: "a size: a number below 2^64 without leading zeros",
};
const ROOT: CheckpointError =
    CheckpointError::Line { line: 3, expected: "a root: 32 bytes as 44 letters of base64" };
/// The state of a log that somebody vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    tree: TreeHead,
    extensions: Vec<String>,
}

impl Checkpoint {
    /// The checkpoint of the log `origin`, best the name of the key that signs it.
    ///
    /// # Errors
    /// [`CheckpointError::Line`] if `origin` is empty or holds control characters.
    pub fn new(origin: impl Into<String>, tree: TreeHead) -> Result<Self, CheckpointError> {
        let origin = origin.into();
        if !is_line(&origin) {
            return Err(ORIGIN);
        }
        Ok(Self { origin, tree, extensions: Vec::new() })
    }

    /// Reads a checkpoint and believes it: a known key signed it, no known key's signature is false, and it is of `origin`.
    ///
    /// # Errors
    /// [`CheckpointError::Note`] if it is not signed so, [`CheckpointError::Origin`] if it is of another log,
    /// [`CheckpointError::Line`] if the signed text is no checkpoint.
    pub fn open(note: &[u8], origin: &str, known: &[VerifierKey]) -> Result<Self, CheckpointError> {
        let note = Note::parse(note)?;
        note.verify(known)?;
        let checkpoint: Self = note.text().parse()?;
        if checkpoint.origin != origin {
            let (expected, found) = (origin.to_owned(), checkpoint.origin);
            return Err(CheckpointError::Origin { expected, found });
        }
        Ok(checkpoint)
    }

    /// Which log it is of.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// How long the log is, and its root.
    #[must_use]
    pub const fn tree(&self) -> &TreeHead {
        &self.tree
    }

    /// Further lines, whose meaning is up to the log. Ours say where a run ended, see [`bundle`](super::bundle).
    #[must_use]
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }

    /// The same checkpoint with one more line.
    ///
    /// # Errors
    /// [`CheckpointError::Line`] if it is empty or holds control characters.
    pub fn with(mut self, line: String) -> Result<Self, CheckpointError> {
        if !is_line(&line) {
            let (line, expected) = (self.extensions.len() + 4, "text without control characters");
            return Err(CheckpointError::Line { line, expected });
        }
        self.extensions.push(line);
        Ok(self)
    }

    /// The note to sign.
    ///
    /// # Errors
    /// [`NoteError::Length`] if the origin or the further lines are too long for one.
    pub fn to_note(&self) -> Result<Note, NoteError> {
        Note::new(self.to_string())
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = base64::encode(self.tree.root.as_bytes());
        writeln!(f, "{}\n{}\n{root}", self.origin, self.tree.size)?;
        self.extensions.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// Reads the text of a checkpoint, which says nothing as long as nobody vouched for it: see [`Checkpoint::open`].
impl FromStr for Checkpoint {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let Some(ended) = text.strip_suffix('\n') else {
            let line = text.split('\n').count();
            return Err(CheckpointError::Line { line, expected: "ended by a line break" });
        };
        let mut lines = ended.split('\n');
        let origin = lines.next().ok_or(ORIGIN)?;
        let size = lines.next().and_then(decimal).ok_or(SIZE)?;
        let root = lines.next().and_then(base64::decode);
        let root = root.and_then(|root| root.try_into().ok()).ok_or(ROOT)?;
        let tree = TreeHead { size, root: Digest::from_bytes(root) };
        let mut checkpoint = Self::new(origin, tree)?;
        for (index, line) in lines.enumerate() {
            if !is_line(line) {
                let expected = "text without control characters";
                return Err(CheckpointError::Line { line: index + 4, expected });
            }
            checkpoint.extensions.push(line.to_owned());
        }
        Ok(checkpoint)
    }
}

fn is_line(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c| c < ' ')
}

#[cfg(test)]
mod tests;
