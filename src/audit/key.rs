//! Keys of signed notes: their names, ids and text forms. Where a private one lies is the business of [`file`](mod@file).
//!
//! The text forms are those of Go's `golang.org/x/mod/sumdb/note`, which other verifiers of transparency logs read too:
//!
//! ```text
//! verifier key:  NAME+ID+base64(0x01 || public key)
//! private key:   PRIVATE+KEY+NAME+ID+base64(0x01 || seed)
//! ID:            the first 4 bytes of SHA-256(NAME || 0x0A || 0x01 || public key), in hex
//! ```
//!
//! The id is short: it finds a key, it does not stand for one. 0x01 says Ed25519, the only algorithm here.
//!
//! No error repeats the text that was not understood, because it may be a private key in the wrong place.

pub mod file;

use super::base64;
use super::ed25519::{Private, Public, SIGNATURE};
use crate::domain::digest::Digest;
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

/// The longest name of a key that is made here, in bytes.
pub const NAME_MAX: usize = 256;

const ED25519: u8 = 1;
const PRIVATE: &str = "PRIVATE+KEY+";

/// Why a text is no key, or a key not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The name is empty or holds what a note cannot.
    #[error(
        "a key's name holds no spaces, control characters or `+`, and is not empty: take for example `example.org/runs`"
    )]
    Name,
    /// The name is too long.
    #[error("the key's name has {length} bytes, at most {NAME_MAX} are allowed")]
    NameLength {
        /// How many bytes it has.
        length: usize,
    },
    /// Not the form of a verifier key.
    #[error(
        "not a verifier key: NAME+ID+KEY is expected, ID as 8 hex digits and KEY as 44 letters of base64"
    )]
    NotVerifier,
    /// A private key, where the public part is asked for.
    #[error(
        "this is a private key: keep it to yourself, and give the verifier key that was printed when it was made"
    )]
    NotPublic,
    /// Not the form of a private key.
    #[error(
        "not a private key: PRIVATE+KEY+NAME+ID+KEY is expected, ID as 8 hex digits and KEY as 44 letters of base64"
    )]
    NotPrivate,
    /// Another algorithm.
    #[error("keys of algorithm {0} are not known here (known: 1, Ed25519)")]
    Algorithm(u8),
    /// The parts do not belong together.
    #[error(
        "the key's id does not fit its name and its bytes: some of it was changed, copy it anew"
    )]
    Id,
    /// Not a public key of Ed25519.
    #[error("the bytes are no public key of Ed25519, or one for which anybody can make signatures")]
    Point,
    /// The operating system gave no random bytes.
    #[error("no random bytes from the operating system: {0}")]
    Random(String),
}

/// Who a key belongs to: best an address without `https://`, such as `example.org/runs`, which nothing has to answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyName(String);

impl KeyName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyName {
    type Err = KeyError;

    fn from_str(name: &str) -> Result<Self, KeyError> {
        let wrong = |c: char| c.is_whitespace() || c < ' ' || c == '+';
        if name.is_empty() || name.contains(wrong) {
            return Err(KeyError::Name);
        }
        Ok(Self(name.to_owned()))
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which of the keys of a name it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId([u8; 4]);

impl KeyId {
    fn of(name: &KeyName, public: &Public) -> Self {
        let parts = [name.0.as_bytes(), b"\n", &[ED25519], public.as_bytes()];
        let [a, b, c, d, ..] = *Digest::of_parts(parts).as_bytes();
        Self([a, b, c, d])
    }

    pub(super) const fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    pub(super) const fn as_bytes(&self) -> &[u8; 4] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The public half of a key: checks signatures, and may be given to everybody.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: KeyName,
    id: KeyId,
    public: Public,
}

impl VerifierKey {
    fn new(name: KeyName, public: Public) -> Self {
        Self { id: KeyId::of(&name, &public), name, public }
    }

    /// Whose key it is.
    #[must_use]
    pub const fn name(&self) -> &KeyName {
        &self.name
    }

    /// Which of the keys of that name it is.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Whether `signature` was made for `text` by this key's private half.
    #[must_use]
    pub fn verifies(&self, text: &[u8], signature: &[u8]) -> bool {
        let signature: Result<&[u8; SIGNATURE], _> = signature.try_into();
        signature.is_ok_and(|signature| self.public.verifies(text, signature))
    }
}

impl FromStr for VerifierKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text.starts_with(PRIVATE) {
            return Err(KeyError::NotPublic);
        }
        let Parts { name, id, key } = Parts::of(text, KeyError::NotVerifier)?;
        let key = Self::new(name, Public::from_bytes(&key).ok_or(KeyError::Point)?);
        if key.id.to_string() == id { Ok(key) } else { Err(KeyError::Id) }
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = base64::encode(&[&[ED25519], self.public.as_bytes().as_slice()].concat());
        write!(f, "{}+{}+{key}", self.name, self.id)
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A whole key: makes signatures, and is never shown. Overwritten with zeros when it is dropped.
#[derive(Clone)]
pub struct SignerKey {
    private: Private,
    verifier: VerifierKey,
}

impl SignerKey {
    /// A new key from 32 random bytes of the operating system.
    ///
    /// # Errors
    /// [`KeyError::NameLength`] for a name above [`NAME_MAX`], [`KeyError::Random`] if there are no random bytes.
    pub fn generate(name: KeyName) -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut()).map_err(|error| KeyError::Random(error.to_string()))?;
        Self::from_seed(name, &seed)
    }

    /// The key that follows from `seed`, which must be random and secret.
    ///
    /// # Errors
    /// [`KeyError::NameLength`] for a name above [`NAME_MAX`].
    pub fn from_seed(name: KeyName, seed: &[u8; 32]) -> Result<Self, KeyError> {
        if name.0.len() > NAME_MAX {
            return Err(KeyError::NameLength { length: name.0.len() });
        }
        let private = Private::from_seed(seed);
        let verifier = VerifierKey::new(name, private.public());
        Ok(Self { private, verifier })
    }

    /// The public half.
    #[must_use]
    pub const fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    pub(super) fn sign(&self, text: &[u8]) -> [u8; SIGNATURE] {
        self.private.sign(text)
    }

    /// The text form, which holds the secret.
    fn to_private_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([ED25519; 33]);
        if let Some(place) = bytes.get_mut(1..) {
            place.copy_from_slice(self.private.seed().as_slice());
        }
        let key = Zeroizing::new(base64::encode(bytes.as_slice()));
        let VerifierKey { name, id, .. } = &self.verifier;
        let mut text = Zeroizing::new(String::with_capacity(PRIVATE.len() + NAME_MAX + 64));
        let id = id.to_string();
        for part in [PRIVATE, name.as_str(), "+", &id, "+", &key] {
            text.push_str(part);
        }
        text
    }

    fn from_private_text(text: &str) -> Result<Self, KeyError> {
        let text = text.strip_prefix(PRIVATE).ok_or(KeyError::NotPrivate)?;
        let Parts { name, id, key } = Parts::of(text, KeyError::NotPrivate)?;
        let key = Self::from_seed(name, &key)?;
        if key.verifier.id.to_string() == id { Ok(key) } else { Err(KeyError::Id) }
    }
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignerKey({}+{}, private)", self.verifier.name, self.verifier.id)
    }
}

/// A key's text, taken apart. Nothing says yet that the parts belong together.
struct Parts<'a> {
    name: KeyName,
    id: &'a str,
    key: Zeroizing<[u8; 32]>,
}

impl<'a> Parts<'a> {
    /// `malformed` says what was expected.
    fn of(text: &'a str, malformed: KeyError) -> Result<Self, KeyError> {
        let mut parts = text.splitn(3, '+'); // base64 may hold further ones
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed);
        };
        let Some(bytes) = base64::decode(key).map(Zeroizing::new) else { return Err(malformed) };
        match bytes.split_first() {
            Some((&ED25519, key)) => {
                let key = key.try_into().map_err(|_| malformed)?;
                Ok(Self { name: name.parse()?, id, key: Zeroizing::new(key) })
            }
            Some((&other, _)) => Err(KeyError::Algorithm(other)),
            None => Err(malformed),
        }
    }
}

#[cfg(test)]
mod tests;
