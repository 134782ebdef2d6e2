//! Signed notes: a text, and below it who signed it. The form is that of <https://c2sp.org/signed-note>.
//!
//! ```text
//! any text that ends with a line break
//!
//! — NAME base64(ID || signature)
//! ```
//!
//! What was read and not checked by [`Note::verify`] says nothing: anybody could have written it. Signatures by unknown keys
//! are kept and ignored, so that keys can change and witnesses can add theirs.

use super::base64;
use super::key::{KeyId, KeyName, SignerKey, VerifierKey};
use std::fmt;

/// The longest note, in bytes: as much as Go's reader takes.
pub const NOTE_MAX: usize = 1_000_000;

/// The most signatures of a note: as many as Go's reader takes. The form asks for at least 16.
pub const SIGNATURES_MAX: usize = 100;

/// The em dash and the space before each signature.
const MARK: &str = "\u{2014} ";

/// Why a text is no note, or is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// Too long.
    #[error("the note has {length} bytes, at most {NOTE_MAX} are read and written")]
    Length {
        /// How many bytes it has.
        length: usize,
    },
    /// Not text.
    #[error("the note is not UTF-8 text, or holds control characters: was it damaged on its way?")]
    Characters,
    /// The text does not end with a line break.
    #[error("the text of a note ends with a line break; this one does not")]
    Unended,
    /// No signatures.
    #[error(
        "no signatures: a note ends with an empty line and at least one line `{MARK}NAME SIGNATURE`"
    )]
    Unsigned,
    /// A line among the signatures is none.
    #[error("line {number} below the text is no signature: `{MARK}NAME SIGNATURE` is expected")]
    Line {
        /// Which, counted from 1.
        number: usize,
    },
    /// Too many signatures.
    #[error("more than {SIGNATURES_MAX} signatures")]
    Many,
    /// A known key did not make the signature in its name.
    #[error(
        "the signature of {name}+{id} does not fit: the text was changed since, or is not theirs"
    )]
    Forged {
        /// Whose key.
        name: KeyName,
        /// Which of theirs.
        id: KeyId,
    },
    /// Nobody known signed it.
    #[error("signed by no known key ({} known), but by {}", .known, .by.join(", "))]
    Unknown {
        /// How many keys are known.
        known: usize,
        /// Who did sign: the name and id of each key.
        by: Vec<String>,
    },
}

/// A line below a note's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    name: KeyName,
    id: KeyId,
    bytes: Vec<u8>,
}

impl Signature {
    /// Whose key is said to have made it.
    #[must_use]
    pub const fn name(&self) -> &KeyName {
        &self.name
    }

    /// Which of their keys.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    fn parse(line: &str) -> Option<Self> {
        let (name, bytes) = line.strip_prefix(MARK)?.split_once(' ')?;
        let bytes = base64::decode(bytes)?;
        let (id, bytes) = bytes.split_first_chunk()?;
        if bytes.is_empty() {
            return None;
        }
        Some(Self { name: name.parse().ok()?, id: KeyId::from_bytes(*id), bytes: bytes.to_vec() })
    }

    fn is_of(&self, key: &VerifierKey) -> bool {
        self.name == *key.name() && self.id == key.id()
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = base64::encode(&[self.id.as_bytes(), self.bytes.as_slice()].concat());
        writeln!(f, "{MARK}{} {bytes}", self.name)
    }
}

/// A text with its signatures. Its [`Display`](fmt::Display) is the form that is kept and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<Signature>,
}

impl Note {
    /// A note that nobody signed yet.
    ///
    /// # Errors
    /// [`NoteError::Unended`], [`NoteError::Characters`] or [`NoteError::Length`] if `text` cannot be one's.
    pub fn new(text: impl Into<String>) -> Result<Self, NoteError> {
        let text = text.into();
        check(&text)?;
        if !text.ends_with('\n') {
            return Err(NoteError::Unended);
        }
        Ok(Self { text, signatures: Vec::new() })
    }

    /// Reads a note without believing it.
    ///
    /// # Errors
    /// Any but [`NoteError::Forged`] and [`NoteError::Unknown`], if `bytes` are no note. Each note has one form only:
    /// what is read is written again byte for byte.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > NOTE_MAX {
            return Err(NoteError::Length { length: bytes.len() });
        }
        let whole = str::from_utf8(bytes).map_err(|_| NoteError::Characters)?;
        check(whole)?;
        // The last empty line: the text may hold others.
        let middle = whole.rfind("\n\n").ok_or(NoteError::Unsigned)?;
        let (text, below) = whole.split_at(middle + 1);
        let lines = below.strip_prefix('\n').and_then(|lines| lines.strip_suffix('\n'));
        let mut signatures = Vec::new();
        for (index, line) in lines.ok_or(NoteError::Unsigned)?.split('\n').enumerate() {
            if signatures.len() == SIGNATURES_MAX {
                return Err(NoteError::Many);
            }
            let signature = Signature::parse(line).ok_or(NoteError::Line { number: index + 1 })?;
            signatures.push(signature);
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// The text that is signed, its last line break included.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures, believed or not.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Signs the text with `key`. An older signature of the same key gives way.
    ///
    /// # Errors
    /// [`NoteError::Many`] or [`NoteError::Length`] if there is no room for one more; then nothing changes.
    pub fn sign(&mut self, key: &SignerKey) -> Result<(), NoteError> {
        let verifier = key.verifier();
        let mut signatures = self.signatures.clone();
        signatures.retain(|signature| !signature.is_of(verifier));
        if signatures.len() >= SIGNATURES_MAX {
            return Err(NoteError::Many);
        }
        signatures.push(Signature {
            name: verifier.name().clone(),
            id: verifier.id(),
            bytes: key.sign(self.text.as_bytes()).to_vec(),
        });
        let signed = Self { text: self.text.clone(), signatures };
        let length = signed.to_string().len();
        if length > NOTE_MAX {
            return Err(NoteError::Length { length });
        }
        *self = signed;
        Ok(())
    }

    /// Which of the `known` keys signed the text; at least one did.
    ///
    /// # Errors
    /// [`NoteError::Forged`] if a signature in a known key's name is not of that key, even if others are good;
    /// [`NoteError::Unknown`] if no known key signed.
    pub fn verify<'a>(&self, known: &'a [VerifierKey]) -> Result<Vec<&'a VerifierKey>, NoteError> {
        let mut signers: Vec<&VerifierKey> = Vec::new();
        for signature in &self.signatures {
            let mut keys = known.iter().filter(|key| signature.is_of(key)).peekable();
            if keys.peek().is_none() {
                continue;
            }
            // Ids are short: should two known keys share name and id, either may have signed.
            let signer = keys.find(|key| key.verifies(self.text.as_bytes(), &signature.bytes));
            let forged = || NoteError::Forged { name: signature.name.clone(), id: signature.id };
            let signer = signer.ok_or_else(forged)?;
            if !signers.contains(&signer) {
                signers.push(signer);
            }
        }
        if signers.is_empty() {
            let by = self.signatures.iter().map(|one| format!("{}+{}", one.name, one.id)).collect();
            return Err(NoteError::Unknown { known: known.len(), by });
        }
        Ok(signers)
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| signature.fmt(f))
    }
}

fn check(text: &str) -> Result<(), NoteError> {
    if text.len() > NOTE_MAX {
        return Err(NoteError::Length { length: text.len() });
    }
    if text.bytes().any(|byte| byte < b' ' && byte != b'\n') {
        return Err(NoteError::Characters);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
