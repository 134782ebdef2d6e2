//! Stored bytes: how records, jobs and counters are written, and how they are read without trusting them.
//!
//! This is the only file that names bincode, which is pinned because the bytes are a contract and unmaintained
//! (RUSTSEC-2025-0141). wincode reads and writes the same bytes and is the way out. Every value is an *envelope*
//!
//! ```text
//! codec (1 byte: 1 = bincode 1, fixed-width little-endian integers) | version (1 byte) | CRC-32 of the rest (4) | rest
//! ```
//!
//! and a record's rest is
//!
//! ```text
//! header length (2) | header | form (1): 0 | payload
//!                                        1 | SHA-256 of the payload (32) | length of the payload (8)
//!                                        2 | SHA-256 of what the payload was (32) | payload
//!                                        3 | SHA-256 of what the payload was (32) | as 1
//! ```
//!
//! so that a payload above [`PAYLOAD_INLINE_MAX`] lies in an artifact. A record's hash is
//! `SHA-256(previous || header || SHA-256(payload))`; it covers the payload by its digest, hence all forms verify
//! alike: of a payload that was rewritten, because a sample was erased, by the digest that it had. Whether it may be another
//! one now, an event tells (`SampleErased`).
//! Where values are kept is the business of the backends.

use super::Recorded;
use crate::domain::digest::Digest;
use crate::domain::event::Event;
use crate::domain::ids::{CycleId, CycleNumber, EventId, JobId, Position, Revision, RunId};
use crate::domain::job::Job;
use crate::domain::time::Timestamp;
use crate::domain::upcast::{READABLE, Versioned, upcast};
use bincode::Options;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The longest value a store keeps in its tree, in bytes; see `store/sled.rs` for why.
pub const VALUE_MAX: usize = 4096;

/// The longest event kept beside its header; longer ones go to an artifact. With the longest header (actor of
/// [`ACTOR_MAX`] bytes) the value still fits into [`VALUE_MAX`].
pub const PAYLOAD_INLINE_MAX: usize = VALUE_MAX - 640;

/// The longest name of an actor or a worker, in bytes.
pub const ACTOR_MAX: usize = 256;

/// The longest dedupe key of a job, in bytes.
pub const DEDUPE_MAX: usize = 1024;

/// The longest event that is read back, in bytes: about a million labels.
pub const PAYLOAD_MAX: u64 = 256 * 1024 * 1024;

const CODEC_BINCODE_1: u8 = 1;
const VERSION: u8 = 1;
const ENVELOPE: usize = 6;
/// The longest header, in bytes.
const HEADER_MAX: usize = 151 + ACTOR_MAX;
const FORM_INLINE: u8 = 0;
const FORM_ARTIFACT: u8 = 1;
const FORM_REWRITTEN: u8 = 2;
const FORM_REWRITTEN_ARTIFACT: u8 = 3;

/// Why bytes could not be read, or a value not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The bytes end too early.
    #[error("{have} bytes where at least {need} are needed")]
    Short {
        /// How many are needed.
        need: usize,
        /// How many there are.
        have: usize,
    },
    /// Written by something else, or by a newer version.
    #[error(
        "codec {codec} version {version} is not known here (known: codec 1, version 1): use a newer gleaner"
    )]
    Unknown {
        /// The codec byte.
        codec: u8,
        /// The version byte.
        version: u8,
    },
    /// Bits changed since the value was written.
    #[error("the checksum does not match: bits changed since it was written")]
    Checksum,
    /// An event version without an upcaster.
    #[error(
        "event version {found} is not readable here (readable: up to {newest}): use a newer gleaner"
    )]
    EventVersion {
        /// The version found.
        found: u16,
        /// The newest that can be read.
        newest: u16,
    },
    /// The payload in the artifact is not the one the record names.
    #[error("the payload has {actual} bytes where the record names {expected}")]
    Length {
        /// The length the record names.
        expected: u64,
        /// The length found.
        actual: u64,
    },
    /// The bytes do not add up to a value.
    #[error("malformed: {0}")]
    Malformed(String),
}

fn bincode() -> impl Options {
    // Fixed-width integers make lengths predictable; trailing bytes are a sign of damage. Only slices are read: a text longer
    // than what is left of them is refused before it is allocated, and serde allocates a MiB of a list before its elements
    // are there. No stored type has zero-sized elements: a hostile length of those would loop for ever.
    bincode::DefaultOptions::new()
        .with_fixint_encoding()
        .with_little_endian()
        .reject_trailing_bytes()
}

fn to_bytes<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    let written = bincode().with_limit(PAYLOAD_MAX).serialize(value);
    written.map_err(|error| CodecError::Malformed(error.to_string()))
}

fn from_bytes<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, CodecError> {
    bincode().deserialize(bytes).map_err(|error| CodecError::Malformed(error.to_string()))
}

/// Puts an envelope around what `fill` writes.
fn envelope(capacity: usize, fill: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ENVELOPE + capacity);
    bytes.extend_from_slice(&[CODEC_BINCODE_1, VERSION, 0, 0, 0, 0]);
    fill(&mut bytes);
    let checksum = bytes.get(ENVELOPE..).map_or(0, crc32fast::hash).to_le_bytes();
    if let Some(place) = bytes.get_mut(2..ENVELOPE) {
        place.copy_from_slice(&checksum);
    }
    bytes
}

/// What is inside an envelope, once its checksum is verified.
fn open_envelope(bytes: &[u8]) -> Result<&[u8], CodecError> {
    let Some(([codec, version, a, b, c, d], rest)) = bytes.split_first_chunk::<ENVELOPE>() else {
        return Err(CodecError::Short { need: ENVELOPE, have: bytes.len() });
    };
    if (*codec, *version) != (CODEC_BINCODE_1, VERSION) {
        return Err(CodecError::Unknown { codec: *codec, version: *version });
    }
    if crc32fast::hash(rest) != u32::from_le_bytes([*a, *b, *c, *d]) {
        return Err(CodecError::Checksum);
    }
    Ok(rest)
}

/// The bytes of an event, encoded once, with their digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    bytes: Vec<u8>,
    digest: Digest,
}

impl Payload {
    /// Encodes an event in today's version.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] if it is longer than [`PAYLOAD_MAX`].
    pub fn of(event: &Event) -> Result<Self, CodecError> {
        let bytes = to_bytes(event)?;
        Ok(Self { digest: Digest::of(&bytes), bytes })
    }

    /// The encoded event.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The SHA-256 of the encoded event.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether it must lie in an artifact where values are limited to [`VALUE_MAX`].
    #[must_use]
    pub const fn is_large(&self) -> bool {
        self.bytes.len() > PAYLOAD_INLINE_MAX
    }
}

/// A header, stored in the order of its fields: integers little-endian, `causation` behind a byte that says whether there is
/// one, `actor` behind its length (8).
struct Header<'a> {
    id: EventId,
    run: RunId,
    cycle: CycleNumber,
    revision: Revision,
    position: Position,
    recorded: Timestamp,
    version: u16,
    workflow: Digest,
    previous: Digest,
    causation: Option<JobId>,
    actor: &'a str,
}

impl<'a> Header<'a> {
    fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_MAX);
        let mut put = |part: &[u8]| bytes.extend_from_slice(part);
        put(self.id.0.as_bytes());
        put(self.run.0.as_bytes());
        put(&self.cycle.0.to_le_bytes());
        put(&self.revision.0.to_le_bytes());
        put(&self.position.0.to_le_bytes());
        put(&self.recorded.0.to_le_bytes());
        put(&self.version.to_le_bytes());
        put(self.workflow.as_bytes());
        put(self.previous.as_bytes());
        put(&[u8::from(self.causation.is_some())]);
        if let Some(job) = self.causation {
            put(job.0.as_bytes());
        }
        put(&(self.actor.len() as u64).to_le_bytes());
        put(self.actor.as_bytes());
        bytes
    }

    /// By hand, because every reading of the log reads every header: through bincode a million took a quarter of a second.
    fn read(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let (id, rest) = split(bytes)?;
        let (run, rest) = split(rest)?;
        let (cycle, rest) = split(rest)?;
        let (revision, rest) = split(rest)?;
        let (position, rest) = split(rest)?;
        let (recorded, rest) = split(rest)?;
        let (version, rest) = split(rest)?;
        let (workflow, rest) = split(rest)?;
        let (previous, rest) = split(rest)?;
        let (causation, rest) = match split(rest)? {
            ([0], rest) => (None, rest),
            ([1], rest) => {
                let (job, rest) = split(rest)?;
                (Some(JobId(Uuid::from_bytes(*job))), rest)
            }
            ([found], _) => {
                return Err(CodecError::Malformed(format!("{found} where 0 or 1 is expected")));
            }
        };
        let (length, actor) = split(rest)?;
        let length = u64::from_le_bytes(*length);
        if length != actor.len() as u64 {
            let have = actor.len();
            return Err(CodecError::Malformed(format!(
                "a name of {length} bytes where {have} are left of the header"
            )));
        }
        Ok(Self {
            id: EventId(Uuid::from_bytes(*id)),
            run: RunId(Uuid::from_bytes(*run)),
            cycle: CycleNumber(u32::from_le_bytes(*cycle)),
            revision: Revision(u64::from_le_bytes(*revision)),
            position: Position(u64::from_le_bytes(*position)),
            recorded: Timestamp(i64::from_le_bytes(*recorded)),
            version: u16::from_le_bytes(*version),
            workflow: Digest::from_bytes(*workflow),
            previous: Digest::from_bytes(*previous),
            causation,
            actor: std::str::from_utf8(actor)
                .map_err(|error| CodecError::Malformed(format!("a name: {error}")))?,
        })
    }

    const fn cycle(&self) -> CycleId {
        CycleId { run: self.run, cycle: self.cycle }
    }
}

/// Encodes a record and fills in its hash. `artifact` says that the payload is kept elsewhere, under its digest.
///
/// # Errors
/// [`CodecError::Malformed`] if the header is too long; check the actor against [`ACTOR_MAX`] first.
pub fn encode_record(
    record: &mut Recorded,
    payload: &Payload,
    artifact: bool,
) -> Result<Vec<u8>, CodecError> {
    let header = Header {
        id: record.id,
        run: record.cycle.run,
        cycle: record.cycle.cycle,
        revision: record.revision,
        position: record.position,
        recorded: record.recorded,
        version: record.version,
        workflow: record.workflow,
        previous: record.previous,
        causation: record.causation,
        actor: &record.actor,
    };
    let header = header.write();
    record.hash = record_hash(record.previous, &header, record.original.unwrap_or(payload.digest));
    put_together(&header, record.original, payload, artifact)
}

fn put_together(
    header: &[u8],
    original: Option<Digest>,
    payload: &Payload,
    artifact: bool,
) -> Result<Vec<u8>, CodecError> {
    let length = u16::try_from(header.len()).map_err(|_| {
        CodecError::Malformed(format!("a header of {} bytes, 65535 are allowed", header.len()))
    })?;
    Ok(envelope(header.len() + payload.bytes.len() + 35, |bytes| {
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(header);
        bytes.push(match (original, artifact) {
            (None, false) => FORM_INLINE,
            (None, true) => FORM_ARTIFACT,
            (Some(_), false) => FORM_REWRITTEN,
            (Some(_), true) => FORM_REWRITTEN_ARTIFACT,
        });
        if let Some(original) = original {
            bytes.extend_from_slice(original.as_bytes());
        }
        if artifact {
            bytes.extend_from_slice(payload.digest.as_bytes());
            bytes.extend_from_slice(&(payload.bytes.len() as u64).to_le_bytes());
        } else {
            bytes.extend_from_slice(&payload.bytes);
        }
    }))
}

/// The record with another payload and the same hash: it keeps the digest of the payload that it was written with.
///
/// # Errors
/// [`CodecError`] if the bytes are no record.
pub(super) fn rewrite_record(
    bytes: &[u8],
    payload: &Payload,
    artifact: bool,
) -> Result<Vec<u8>, CodecError> {
    let parts = Parts::of(open_envelope(bytes)?)?;
    put_together(parts.header_bytes, Some(parts.covered()), payload, artifact)
}

/// A record taken apart but its event not decoded.
struct Parts<'a> {
    header: Header<'a>,
    header_bytes: &'a [u8],
    /// The digest of the payload that it was written with, where it is another one now.
    original: Option<Digest>,
    payload: Form<'a>,
}

/// Where a payload is.
enum Form<'a> {
    Inline(&'a [u8]),
    Artifact { digest: Digest, length: u64 },
}

impl Form<'_> {
    fn digest(&self) -> Digest {
        match self {
            Self::Inline(bytes) => Digest::of(bytes),
            Self::Artifact { digest, .. } => *digest,
        }
    }
}

impl<'a> Parts<'a> {
    /// Of what is inside an envelope.
    fn of(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let (length, rest) = split::<2>(bytes)?;
        let (header_bytes, rest) = split_at(rest, usize::from(u16::from_le_bytes(*length)))?;
        let header = Header::read(header_bytes)?;
        let ([form], rest) = split::<1>(rest)?;
        let (original, rest) = match *form {
            FORM_REWRITTEN | FORM_REWRITTEN_ARTIFACT => {
                let (original, rest) = split::<32>(rest)?;
                (Some(Digest::from_bytes(*original)), rest)
            }
            _ => (None, rest),
        };
        let payload = match *form {
            FORM_INLINE | FORM_REWRITTEN => Form::Inline(rest),
            FORM_ARTIFACT | FORM_REWRITTEN_ARTIFACT => {
                let (digest, rest) = split::<32>(rest)?;
                let (length, rest) = split::<8>(rest)?;
                if !rest.is_empty() {
                    return Err(CodecError::Malformed("bytes after the payload's name".into()));
                }
                let digest = Digest::from_bytes(*digest);
                Form::Artifact { digest, length: u64::from_le_bytes(*length) }
            }
            form => return Err(CodecError::Malformed(format!("payload form {form}"))),
        };
        Ok(Self { header, header_bytes, original, payload })
    }

    /// The digest that the hash covers. What a rewritten payload is, an event tells, and verification compares.
    fn covered(&self) -> Digest {
        self.original.unwrap_or_else(|| self.payload.digest())
    }

    fn hash(&self) -> Digest {
        record_hash(self.header.previous, self.header_bytes, self.covered())
    }

    /// The record whose hash is known. `load` fetches a payload that is an artifact.
    fn decode<P: AsRef<[u8]>, E: From<CodecError>>(
        self,
        hash: Digest,
        load: impl FnOnce(&Digest) -> Result<P, E>,
    ) -> Result<Recorded, E> {
        let Self { header, original, payload, .. } = self;
        let event = match payload {
            Form::Inline(payload) => decode_event(header.version, payload)?,
            Form::Artifact { digest, length: expected } => {
                let payload = load(&digest)?;
                let payload = payload.as_ref();
                let actual = payload.len() as u64;
                if expected != actual {
                    return Err(CodecError::Length { expected, actual }.into());
                }
                decode_event(header.version, payload)?
            }
        };
        Ok(Recorded {
            id: header.id,
            cycle: header.cycle(),
            revision: header.revision,
            position: header.position,
            recorded: header.recorded,
            causation: header.causation,
            actor: header.actor.into(),
            version: header.version,
            workflow: header.workflow,
            previous: header.previous,
            hash,
            original,
            event,
        })
    }
}

/// Whether the bytes begin like an envelope; what is in it is not looked at.
pub(super) fn may_be_record(bytes: &[u8]) -> bool {
    bytes.starts_with(&[CODEC_BINCODE_1, VERSION])
}

/// Where a record stands, and how it hangs in the chain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Skimmed {
    /// The log that holds it.
    pub(super) cycle: CycleId,
    /// Its place in that log.
    pub(super) revision: Revision,
    /// Its place in the store.
    pub(super) position: Position,
    /// The hash of the record before it.
    pub(super) previous: Digest,
    /// Its hash.
    pub(super) hash: Digest,
    /// When it was recorded.
    pub(super) recorded: Timestamp,
    /// The artifact that holds its payload, if one does.
    pub(super) payload: Option<Digest>,
    /// The digest of its payload, if it had another one once.
    pub(super) now: Option<Digest>,
}

/// Reads all of a record but its event. The bytes may be anything.
///
/// # Errors
/// [`CodecError`] if the bytes are no record.
pub(super) fn skim_record(bytes: &[u8]) -> Result<Skimmed, CodecError> {
    let parts = Parts::of(open_envelope(bytes)?)?;
    let Parts { header, payload, original, .. } = &parts;
    Ok(Skimmed {
        cycle: header.cycle(),
        revision: header.revision,
        position: header.position,
        previous: header.previous,
        hash: parts.hash(),
        recorded: header.recorded,
        payload: match payload {
            Form::Inline(_) => None,
            Form::Artifact { digest, .. } => Some(*digest),
        },
        now: original.map(|_| payload.digest()),
    })
}

/// Decodes a record and derives its hash. `load` fetches the payload of a record whose payload is an artifact.
///
/// The bytes may be anything: this never panics and never allocates much more than they are long.
///
/// # Errors
/// [`CodecError`] if the bytes are no record, and whatever `load` fails with.
pub fn decode_record<E: From<CodecError>>(
    bytes: &[u8],
    load: impl FnOnce(&Digest) -> Result<Vec<u8>, E>,
) -> Result<Recorded, E> {
    let parts = Parts::of(open_envelope(bytes)?)?;
    let hash = parts.hash();
    parts.decode(hash, load)
}

/// Decodes a record that [`skim_record`] has read, which is not done again: `hash` is the one that it found, and `payload` what
/// the artifact holds that it named.
///
/// # Errors
/// [`CodecError`] if its event cannot be decoded.
pub(super) fn decode_skimmed(
    bytes: &[u8],
    hash: Digest,
    payload: Option<&[u8]>,
) -> Result<Recorded, CodecError> {
    let (_, rest) = split::<ENVELOPE>(bytes)?;
    Parts::of(rest)?.decode(hash, |_| Ok(payload.unwrap_or_default()))
}

fn record_hash(previous: Digest, header: &[u8], payload: Digest) -> Digest {
    Digest::of_parts([previous.as_bytes().as_slice(), header, payload.as_bytes().as_slice()])
}

fn decode_event(version: u16, bytes: &[u8]) -> Result<Event, CodecError> {
    match version {
        1 => Ok(upcast(Versioned::V1(from_bytes(bytes)?))),
        found => Err(CodecError::EventVersion { found, newest: *READABLE.end() }),
    }
}

/// Encodes a small value: a queued job, a counter.
pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    let bytes = to_bytes(value)?;
    Ok(envelope(bytes.len(), |envelope| envelope.extend_from_slice(&bytes)))
}

/// Decodes a small value.
pub(super) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, CodecError> {
    from_bytes(open_envelope(bytes)?)
}

/// A job with its place in the line, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedJob {
    /// Grows with every job enqueued, so that equal priorities keep their order over a restart.
    pub sequence: u64,
    /// The job.
    pub job: Job,
}

/// Encodes a job.
///
/// # Errors
/// [`CodecError::Malformed`] if it is longer than [`PAYLOAD_MAX`].
pub fn encode_job(job: &QueuedJob) -> Result<Vec<u8>, CodecError> {
    encode(job)
}

/// Decodes a job. The bytes may be anything.
///
/// # Errors
/// [`CodecError`] if the bytes are no job.
pub fn decode_job(bytes: &[u8]) -> Result<QueuedJob, CodecError> {
    decode(bytes)
}

fn split<const N: usize>(bytes: &[u8]) -> Result<(&[u8; N], &[u8]), CodecError> {
    bytes.split_first_chunk().ok_or(CodecError::Short { need: N, have: bytes.len() })
}

fn split_at(bytes: &[u8], at: usize) -> Result<(&[u8], &[u8]), CodecError> {
    bytes.split_at_checked(at).ok_or(CodecError::Short { need: at, have: bytes.len() })
}
