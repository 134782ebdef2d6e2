//! A run in one file: its log, what it names, and the proof that the log is part of what a checkpoint speaks of.
//!
//! A zip, nothing compressed, which any unzip opens:
//!
//! | entry | what it holds |
//! |---|---|
//! | `bundle.json` | which run, the places of its records in the tree over the store, and the proof: [`About`] |
//! | `log` | the records as they were stored, see [`Excerpt`] |
//! | `checkpoint` | the store's checkpoint when the bundle was made, if somebody signed it |
//! | `earlier/N` | checkpoints that were signed earlier; `bundle.json` has the proof that the store only grew since |
//! | `artifacts/DIGEST` | what the log names: workflows, manifests, models, scores; without those that were left out |
//!
//! A bundle proves no more than who signed its checkpoint vouches for: without a signature that somebody checks it shows that
//! its parts hold together, which a forger can have them do as well. Where the run ended the checkpoint says in a line of its
//! own, `gleaner run RUN EVENTS HEAD`, so that nobody can leave out the end of the log on the way.

use super::checkpoint::{Checkpoint, CheckpointError};
use super::key::VerifierKey;
use super::merkle::{
    Leaf, TreeHead, consistency_proof, partial_proof, verify_consistency, verify_partial,
};
use super::note::Note;
use super::tree;
use super::verify::{Verification, verify_apart};
use crate::artifacts::{ArtifactError, Artifacts};
use crate::domain::digest::Digest;
use crate::domain::event::Event;
use crate::domain::ids::RunId;
use crate::store::excerpt::{Excerpt, RawLog};
use crate::store::{StoreError, fold};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::ops::Range;
use std::path::Path;
use tempfile::TempDir;
use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

/// The format that is written now.
const FORMAT: u32 = 1;
/// No checkpoint is longer.
const NOTE_MAX: u64 = 1024 * 1024;

/// What a bundle says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// The format's version.
    pub format: u32,
    /// The run.
    pub run: RunId,
    /// How many records the store had.
    pub size: u64,
    /// The root of the tree over them, RFC 6962.
    pub root: Digest,
    /// Where the run's records stand in that tree, from 0: first and past the last, in ascending order.
    pub places: Vec<(u64, u64)>,
    /// The hashes of all that is not the run's, see [`partial_proof`].
    pub proof: Vec<Digest>,
    /// For each earlier checkpoint the proof that the store only grew since.
    pub earlier: Vec<Vec<Digest>>,
    /// Artifacts that the log names and the bundle does not hold, with their sizes in bytes where they were there.
    pub left_out: BTreeMap<Digest, Option<u64>>,
}

impl About {
    fn known(&self) -> Vec<Range<u64>> {
        self.places.iter().map(|&(from, to)| from..to).collect()
    }

    const fn head(&self) -> TreeHead {
        TreeHead { size: self.size, root: self.root }
    }
}

/// Why a bundle is not made, or not read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// It cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is no bundle, or one of a newer version.
    #[error("it is no bundle that can be read: {what}")]
    Malformed {
        /// What does not fit.
        what: String,
    },
    /// The store's log cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An artifact cannot be read.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The log names a file that is not there, though no event says that it was removed.
    #[error(
        "the artifact {artifact}, which the run names, is missing: `gleaner verify` tells where, `gleaner repair --copy` may have it"
    )]
    Missing {
        /// Which.
        artifact: Digest,
    },
    /// A checkpoint speaks of what the store does not begin with.
    #[error(
        "checkpoint {number} is not of this store: it speaks of {size} records that are others here, or are not here"
    )]
    OtherStore {
        /// Which of the checkpoints, from 1.
        number: usize,
        /// Its size.
        size: u64,
    },
}

impl From<ZipError> for BundleError {
    fn from(error: ZipError) -> Self {
        if let ZipError::Io(error) = error { Self::Io(error) } else { malformed(error) }
    }
}

fn malformed(what: impl ToString) -> BundleError {
    BundleError::Malformed { what: what.to_string() }
}

/// What goes into a bundle.
pub struct Contents<'a> {
    /// Which run.
    pub run: RunId,
    /// Its log.
    pub log: RawLog,
    /// The hash of every record of the store, in their order.
    pub records: &'a [Digest],
    /// The artifacts.
    pub artifacts: &'a Artifacts,
    /// Larger artifacts are left out, unless they are manifests or payloads of the log.
    pub largest: u64,
    /// The checkpoint of the store now, signed.
    pub checkpoint: Option<Note>,
    /// Earlier checkpoints, each with what it says.
    pub earlier: Vec<(Note, TreeHead)>,
}

/// Writes a bundle.
///
/// # Errors
/// [`BundleError`]; then `out` holds no whole bundle.
pub async fn write<W: Write + Seek>(contents: Contents<'_>, out: W) -> Result<About, BundleError> {
    let Contents { run, log: RawLog { bytes: log, payloads }, records, artifacts, .. } = contents;
    let named = Named::by(&Excerpt::read(run, &log, artifacts), run, payloads).await?;
    let leaf = |index: u64| tree::leaf_at(records, index);
    let size = records.len() as u64;
    let places = places(records, &named.records);
    let known: Vec<Range<u64>> = places.iter().map(|&(from, to)| from..to).collect();
    let proof = partial_proof(size, &known, leaf).map_err(malformed)?;
    let mut earlier = Vec::new();
    for (number, (_, then)) in contents.earlier.iter().enumerate() {
        let other = BundleError::OtherStore { number: number + 1, size: then.size };
        if tree::head(records, then.size) != Some(*then) {
            return Err(other);
        }
        let grew = consistency_proof(then.size, size, leaf);
        earlier.push(grew.map_err(|_| other)?);
    }
    let root = tree::head(records, size).map_or(Digest::ZERO, |head| head.root);
    let mut about = About {
        format: FORMAT,
        run,
        size,
        root,
        places,
        proof,
        earlier,
        left_out: BTreeMap::new(),
    };
    let mut zip = ZipWriter::new(out);
    let mut put = |name: &str, bytes: &[u8]| {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::default())
            .unix_permissions(0o644)
            .large_file(true);
        zip.start_file(name, options)?;
        zip.write_all(bytes)?;
        Ok::<_, BundleError>(())
    };
    put("log", &log)?;
    if let Some(checkpoint) = &contents.checkpoint {
        put("checkpoint", checkpoint.to_string().as_bytes())?;
    }
    for (number, (note, _)) in contents.earlier.iter().enumerate() {
        put(&format!("earlier/{}", number + 1), note.to_string().as_bytes())?;
    }
    for (digest, needed) in named.artifacts {
        let bytes = std::fs::metadata(artifacts.path(&digest)).ok().map(|about| about.len());
        if bytes.is_none() && (needed || !named.removed.contains(&digest)) {
            return Err(BundleError::Missing { artifact: digest });
        }
        if bytes.is_none_or(|bytes| bytes > contents.largest && !needed) {
            about.left_out.insert(digest, bytes);
        } else {
            put(&format!("artifacts/{digest}"), &artifacts.get(&digest)?)?;
        }
    }
    put("bundle.json", &serde_json::to_vec_pretty(&about).map_err(malformed)?)?;
    zip.finish()?;
    Ok(about)
}

/// What a log names.
struct Named {
    /// Each artifact, and whether the log cannot be verified without it.
    artifacts: BTreeMap<Digest, bool>,
    /// The hashes of the records.
    records: BTreeSet<Digest>,
    /// Artifacts that an event says are no longer kept.
    removed: BTreeSet<Digest>,
}

impl Named {
    /// The artifacts without which nobody can verify the log.
    fn needed(&self) -> impl Iterator<Item = Digest> {
        self.artifacts.iter().filter(|(_, needed)| **needed).map(|(artifact, _)| *artifact)
    }

    async fn by(log: &Excerpt, run: RunId, payloads: Vec<Digest>) -> Result<Self, StoreError> {
        let artifacts = payloads.into_iter().map(|payload| (payload, true)).collect();
        let named = Self { artifacts, records: BTreeSet::new(), removed: BTreeSet::new() };
        fold(log, run, named, |named, recorded| {
            named.records.insert(recorded.hash);
            for digest in recorded.event.artifacts() {
                named.artifacts.entry(digest).or_insert(false);
            }
            if let Event::RunStarted(started) = &recorded.event {
                named.artifacts.insert(started.workflow, true);
            } else if let Event::CycleStarted(started) = &recorded.event {
                named.artifacts.insert(started.pool, true);
            } else if let Event::ArtifactsRemoved(removed) = &recorded.event {
                named.removed.extend(removed.removed.iter().map(|gone| gone.artifact));
            }
            Ok(true)
        })
        .await
    }
}

/// The line that says where the log of a run ended.
#[must_use]
pub fn end(run: RunId, hashes: &[Digest]) -> String {
    let head = hashes.last().copied().unwrap_or(Digest::ZERO);
    run_line(run, &format!("{} {head}", hashes.len()))
}

fn run_line(run: RunId, end: &str) -> String {
    format!("gleaner run {run} {end}")
}

/// Where some records stand among all of them.
fn places(records: &[Digest], some: &BTreeSet<Digest>) -> Vec<(u64, u64)> {
    let mut places: Vec<(u64, u64)> = Vec::new();
    for (index, _) in (0..).zip(records).filter(|(_, record)| some.contains(record)) {
        match places.last_mut() {
            Some((_, end)) if *end == index => *end += 1,
            _ => places.push((index, index + 1)),
        }
    }
    places
}

/// What was found of a bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BundleVerification {
    /// The run's log and what it names.
    pub verification: Verification,
    /// How many records the store had.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Digest,
    /// Who signed that, by a key that was given to check it; `None` where the checkpoint is not signed or no key was given.
    pub signed_by: Option<String>,
    /// How many earlier checkpoints the store was proved to continue, as far as their signatures were checked.
    pub earlier: u64,
    /// How many artifacts the bundle knows by their digests alone.
    pub left_out: u64,
    /// Whether what was signed says that the run ended here, as far as the store knew; else its log may have gone on.
    pub is_whole: bool,
    /// What does not hold beside the log.
    pub findings: Vec<String>,
}

impl BundleVerification {
    /// Whether everything holds.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty() && self.verification.is_sound()
    }
}

/// Verifies a bundle, which needs nothing but the file; signatures by `key`, if there is one. Artifacts are unpacked into the
/// system's folder for temporary files meanwhile. Blocks: all of it is read.
///
/// # Errors
/// [`BundleError`] for a file that is no bundle or cannot be read; what does not hold is a finding.
pub async fn verify(
    file: &Path,
    key: Option<&VerifierKey>,
) -> Result<BundleVerification, BundleError> {
    let mut bundle = Bundle::open(file)?;
    let about: About = serde_json::from_slice(&bundle.bytes("bundle.json")?).map_err(malformed)?;
    if about.format != FORMAT {
        return Err(malformed(format!("format {} is not known", about.format)));
    }
    let scratch = tempfile::Builder::new().prefix("gleaner-bundle-").tempdir()?;
    let artifacts = bundle.unpack(&scratch)?;
    let log = Excerpt::read(about.run, &bundle.bytes("log")?, &artifacts);
    let left_out: BTreeSet<Digest> = about.left_out.keys().copied().collect();
    let mut found = BundleVerification {
        verification: verify_apart(&log, &artifacts, about.run, &left_out)?,
        size: about.size,
        root: about.root,
        signed_by: None,
        earlier: 0,
        left_out: left_out.len() as u64,
        is_whole: false,
        findings: Vec::new(),
    };
    let named = Named::by(&log, about.run, Vec::new()).await;
    let needed = named.iter().flat_map(Named::needed);
    for missing in needed.filter(|needed| left_out.contains(needed)) {
        found.findings.push(format!("{missing} is not in it, which no bundle may leave out"));
    }
    if let Some(hashes) = log.hashes() {
        let leaves: Vec<Leaf> = hashes.iter().map(tree::leaf).collect();
        let proved = verify_partial(&leaves, &about.known(), &about.head(), &about.proof);
        if let Err(error) = proved {
            found.findings.push(format!("the log is not part of the store's tree: {error}"));
        }
    }
    found.check_notes(&mut bundle, &about, &log, key)?;
    Ok(found)
}

impl BundleVerification {
    fn check_notes(
        &mut self,
        bundle: &mut Bundle,
        about: &About,
        log: &Excerpt,
        key: Option<&VerifierKey>,
    ) -> Result<(), BundleError> {
        let open = |bytes: &[u8]| {
            let Some(key) = key else {
                let note = Note::parse(bytes).map_err(|error| error.to_string())?;
                return note.text().parse().map_err(|e: CheckpointError| e.to_string());
            };
            let known = std::slice::from_ref(key);
            Checkpoint::open(bytes, key.name().as_str(), known).map_err(|error| error.to_string())
        };
        if let Some(bytes) = bundle.note("checkpoint")? {
            match open(&bytes) {
                Ok(checkpoint) if *checkpoint.tree() == about.head() => {
                    self.signed_by = key.map(|key| key.name().as_str().to_owned());
                    let of_run = |line: &&String| line.starts_with(&run_line(about.run, ""));
                    let said = checkpoint.extensions().iter().find(of_run);
                    self.is_whole = said.is_some() && key.is_some();
                    let ended = log.hashes().map(|hashes| end(about.run, &hashes));
                    if said.is_some() && said != ended.as_ref() {
                        let what = "the log does not end where the checkpoint says that it did";
                        self.findings.push(what.to_owned());
                    }
                }
                Ok(_) => self.findings.push("the checkpoint is of another tree".to_owned()),
                Err(why) => self.findings.push(format!("the checkpoint is not believed: {why}")),
            }
        } else if key.is_some() {
            self.findings.push("it holds no checkpoint that the key could have signed".to_owned());
        }
        for (number, proof) in (1..).zip(&about.earlier) {
            let name = format!("earlier/{number}");
            let note =
                bundle.note(&name)?.ok_or_else(|| malformed(format!("{name} is missing")))?;
            let proved = open(&note).and_then(|then| {
                verify_consistency(then.tree(), &about.head(), proof).map_err(|e| e.to_string())
            });
            match proved {
                Ok(()) => self.earlier += u64::from(key.is_some()),
                Err(why) => self.findings.push(format!("checkpoint {number} of earlier: {why}")),
            }
        }
        Ok(())
    }
}

/// A bundle, opened.
struct Bundle {
    zip: ZipArchive<File>,
    len: u64,
}

impl Bundle {
    fn open(path: &Path) -> Result<Self, BundleError> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self { zip: ZipArchive::new(file)?, len })
    }

    fn bytes(&mut self, name: &str) -> Result<Vec<u8>, BundleError> {
        self.read(name, self.len)?.ok_or_else(|| malformed(format!("{name} is missing")))
    }

    fn note(&mut self, name: &str) -> Result<Option<Vec<u8>>, BundleError> {
        self.read(name, NOTE_MAX)
    }

    /// An entry, at most `most` bytes of it; nothing in a file is longer than the file.
    fn read(&mut self, name: &str, most: u64) -> Result<Option<Vec<u8>>, BundleError> {
        let of_content = [ErrorKind::InvalidData, ErrorKind::UnexpectedEof, ErrorKind::Other];
        let changed = |error: io::Error| match of_content.contains(&error.kind()) {
            true => malformed(format!("{name}: {error}")),
            false => BundleError::Io(error),
        };
        let mut entry = match self.zip.by_name(name) {
            Ok(entry) => entry,
            Err(ZipError::FileNotFound) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if entry.compression() != CompressionMethod::Stored {
            return Err(malformed(format!("{name} is compressed")));
        }
        let mut bytes = Vec::new();
        entry.by_ref().take(most).read_to_end(&mut bytes).map_err(changed)?;
        Ok(Some(bytes))
    }

    /// Puts the artifacts where they are looked for: under the digests that they have.
    fn unpack(&mut self, scratch: &TempDir) -> Result<Artifacts, BundleError> {
        let artifacts = Artifacts::open(scratch.path().join("artifacts"))?;
        let names: Vec<String> = self
            .zip
            .file_names()
            .filter_map(Result::ok)
            .filter(|name| name.starts_with("artifacts/"))
            .map(Cow::into_owned)
            .collect();
        let mut unpacked = 0;
        for name in names {
            let bytes = self.bytes(&name)?;
            unpacked += bytes.len() as u64;
            // Entries may overlap; what they hold together is no more than the file all the same.
            if unpacked > self.len {
                return Err(malformed("its artifacts are longer than the file"));
            }
            artifacts.put(&bytes)?;
        }
        Ok(artifacts)
    }
}
