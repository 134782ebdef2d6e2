//! Proofs as texts that travel: that a record is in a log, and that a log only grew. Each carries the checkpoint that it
//! leads to, so that whoever has the signer's public key needs nothing else.
//!
//! ```text
//! c2sp.org/tlog-proof@v1                         a record is there: <https://c2sp.org/tlog-proof>
//! index 17                                       at this place, counted from 0
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=   hashes, see [`inclusion_proof`]
//!
//! a checkpoint                                   see [`checkpoint`](super::checkpoint)
//! ```
//!
//! ```text
//! old 12                                         the log only grew since it had 12 records: the form in which
//! CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=   <https://c2sp.org/tlog-witness> is asked, see [`consistency_proof`]
//!
//! a checkpoint
//! ```
//!
//! [`inclusion_proof`]: super::merkle::inclusion_proof
//! [`consistency_proof`]: super::merkle::consistency_proof

use super::base64;
use super::checkpoint::{Checkpoint, CheckpointError};
use super::key::VerifierKey;
use super::merkle::{Leaf, ProofError, TreeHead, verify_consistency, verify_inclusion};
use super::note::Note;
use crate::domain::digest::Digest;
use std::fmt;
use std::str::FromStr;

/// A proof has at most so many hashes: a tree of 2^63 leaves has such paths.
const HASHES_MAX: usize = 128;

const INCLUSION: &str = "c2sp.org/tlog-proof@v1";

/// What is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// A record is in the log, at this place, counted from 0.
    Included(u64),
    /// The log began with so many records that it still begins with.
    GrewFrom(u64),
}

/// A proof and the checkpoint that it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// What it is a proof of.
    pub claim: Claim,
    /// The hashes.
    pub hashes: Vec<Digest>,
    /// The signed checkpoint, not believed yet.
    pub checkpoint: Note,
}

/// Why a text is no proof, or does not convince.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofTextError {
    /// A line is missing, or not what stands there in a proof.
    #[error("line {line} of the proof is not {expected}")]
    Line {
        /// Which, counted from 1.
        line: usize,
        /// What stands there in a proof.
        expected: &'static str,
    },
    /// It does not prove what was asked.
    #[error("it is a proof that {found}, not that {wanted}")]
    OtherClaim {
        /// What it proves.
        found: &'static str,
        /// What was asked.
        wanted: &'static str,
    },
    /// The checkpoint is not believed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The hashes do not lead there.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

impl Claim {
    const fn words(self) -> &'static str {
        match self {
            Self::Included(_) => "a record is in a log",
            Self::GrewFrom(_) => "a log only grew",
        }
    }
}

impl Proof {
    /// Checks that the record of this hash is in the log `origin`, whose checkpoints are signed by `known`; answers its place
    /// and the log's head then.
    ///
    /// # Errors
    /// [`ProofTextError`] says what does not hold.
    pub fn includes(
        &self,
        record: Digest,
        origin: &str,
        known: &[VerifierKey],
    ) -> Result<(u64, TreeHead), ProofTextError> {
        let Claim::Included(index) = self.claim else {
            return Err(self.other(Claim::Included(0)));
        };
        let head = self.head(origin, known)?;
        verify_inclusion(Leaf::of(record.as_bytes()), index, &head, &self.hashes)?;
        Ok((index, head))
    }

    /// Checks that the log `origin` still begins with what `old` speaks of; answers its head now.
    ///
    /// # Errors
    /// [`ProofTextError`] says what does not hold.
    pub fn continues(
        &self,
        old: &TreeHead,
        origin: &str,
        known: &[VerifierKey],
    ) -> Result<TreeHead, ProofTextError> {
        let wanted = Claim::GrewFrom(old.size);
        if self.claim != wanted {
            return Err(self.other(wanted));
        }
        let head = self.head(origin, known)?;
        verify_consistency(old, &head, &self.hashes)?;
        Ok(head)
    }

    fn head(&self, origin: &str, known: &[VerifierKey]) -> Result<TreeHead, ProofTextError> {
        let note = self.checkpoint.to_string();
        Ok(*Checkpoint::open(note.as_bytes(), origin, known)?.tree())
    }

    fn other(&self, wanted: Claim) -> ProofTextError {
        let found = match (self.claim, wanted) {
            (Claim::GrewFrom(_), Claim::GrewFrom(_)) => "a log grew from another size",
            (claim, _) => claim.words(),
        };
        ProofTextError::OtherClaim { found, wanted: wanted.words() }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.claim {
            Claim::Included(index) => writeln!(f, "{INCLUSION}\nindex {index}")?,
            Claim::GrewFrom(old) => writeln!(f, "old {old}")?,
        }
        for hash in &self.hashes {
            writeln!(f, "{}", base64::encode(hash.as_bytes()))?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for Proof {
    type Err = ProofTextError;

    fn from_str(text: &str) -> Result<Self, ProofTextError> {
        let wrong = |line, expected| ProofTextError::Line { line, expected };
        let (head, note) = text
            .split_once("\n\n")
            .ok_or_else(|| wrong(text.lines().count() + 1, "empty, with a checkpoint below"))?;
        let mut lines =
            head.split('\n').enumerate().map(|(index, line)| (index + 1, line)).peekable();
        let is_inclusion = lines.next_if(|(_, line)| *line == INCLUSION).is_some();
        // Anything may stand here, and nothing we check depends on it.
        lines.next_if(|(_, line)| is_inclusion && line.starts_with("extra "));
        let (line, first) = lines.next().ok_or_else(|| wrong(2, "an index"))?;
        let (word, expected) = match is_inclusion {
            true => ("index ", "`index ` and a number"),
            false => ("old ", "`c2sp.org/tlog-proof@v1`, or `old ` and a number"),
        };
        let number = first.strip_prefix(word).and_then(decimal);
        let number = number.ok_or_else(|| wrong(line, expected))?;
        let claim = if is_inclusion { Claim::Included(number) } else { Claim::GrewFrom(number) };
        let mut hashes = Vec::new();
        for (line, text) in lines {
            let hash = base64::decode(text).and_then(|bytes| bytes.try_into().ok());
            let hash = hash.filter(|_| hashes.len() < HASHES_MAX);
            let hash = hash.ok_or_else(|| wrong(line, "a hash, one of at most 128"))?;
            hashes.push(Digest::from_bytes(hash));
        }
        let checkpoint = Note::parse(note.as_bytes()).map_err(CheckpointError::from)?;
        Ok(Self { claim, hashes, checkpoint })
    }
}

/// A number as it is written: `+1`, `01` and ` 1` are other texts.
pub(super) fn decimal(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::key::SignerKey;
    use crate::audit::merkle::{Frontier, consistency_proof, inclusion_proof};

    const ORIGIN: &str = "example.org/runs";

    fn record(index: u64) -> Digest {
        Digest::of(&index.to_be_bytes())
    }

    fn head(size: u64) -> TreeHead {
        let mut tree = Frontier::default();
        (0..size).for_each(|index| tree.append(Leaf::of(record(index).as_bytes())));
        tree.head()
    }

    fn leaf(index: u64) -> Result<Leaf, ProofError> {
        Ok(Leaf::of(record(index).as_bytes()))
    }

    fn signed(size: u64) -> (Note, [VerifierKey; 1]) {
        let key = SignerKey::from_seed(ORIGIN.parse().unwrap(), &[7; 32]).unwrap();
        let mut note = Checkpoint::new(ORIGIN, head(size)).unwrap().to_note().unwrap();
        note.sign(&key).unwrap();
        (note, [key.verifier().clone()])
    }

    #[test]
    fn a_proof_of_a_record_travels_as_text_and_convinces_for_that_record_alone() {
        let (checkpoint, known) = signed(11);
        for index in 0..11 {
            let hashes = inclusion_proof(index, 11, leaf).unwrap();
            let claim = Claim::Included(index);
            let proof = Proof { claim, hashes, checkpoint: checkpoint.clone() };
            let text = proof.to_string();
            assert!(text.starts_with("c2sp.org/tlog-proof@v1\nindex "));
            let read: Proof = text.parse().unwrap();
            assert_eq!(read, proof);
            assert_eq!(read.includes(record(index), ORIGIN, &known).unwrap(), (index, head(11)));
            assert!(read.includes(record(index + 1), ORIGIN, &known).is_err());
            assert!(read.includes(record(index), "example.org/others", &known).is_err());
            let with_extra = text.replacen("index", "extra YQ==\nindex", 1);
            assert_eq!(with_extra.parse::<Proof>().unwrap(), proof);
        }
    }

    #[test]
    fn a_proof_that_a_log_only_grew_convinces_for_that_beginning_alone() {
        let (checkpoint, known) = signed(11);
        for old in 0..=11 {
            let hashes = consistency_proof(old, 11, leaf).unwrap();
            let claim = Claim::GrewFrom(old);
            let proof = Proof { claim, hashes, checkpoint: checkpoint.clone() };
            let read: Proof = proof.to_string().parse().unwrap();
            assert_eq!(read, proof);
            assert_eq!(read.continues(&head(old), ORIGIN, &known).unwrap(), head(11));
            let other = TreeHead { root: record(99), ..head(old) };
            assert!(read.continues(&other, ORIGIN, &known).is_err(), "{old}");
            assert!(read.continues(&head(old + 1), ORIGIN, &known).is_err());
            let error = read.includes(record(0), ORIGIN, &known).unwrap_err().to_string();
            assert!(error.contains("a log only grew"), "{error}");
        }
    }

    #[test]
    fn what_is_no_proof_is_refused_with_the_line() {
        let (checkpoint, _) = signed(3);
        for (head, line) in [
            ("", "line 1"),
            ("index 3", "line 1"),
            ("c2sp.org/tlog-proof@v1", "line 2"),
            ("c2sp.org/tlog-proof@v1\nindex 03", "line 2"),
            ("c2sp.org/tlog-proof@v1\nindex 3\nAA==", "line 3"),
            ("old -1", "line 1"),
            ("old 18446744073709551616", "line 1"),
        ] {
            let error = format!("{head}\n\n{checkpoint}").parse::<Proof>().unwrap_err().to_string();
            assert!(error.starts_with(line), "{head}: {error}");
        }
        assert!("old 3".parse::<Proof>().unwrap_err().to_string().contains("a checkpoint below"));
        assert!("old 3\n\nnonsense".parse::<Proof>().is_err());
    }
}
