//! A new state directory from what is intact in a damaged one, and in a copy of it.
//!
//! sled is not asked: a file of it that is damaged anywhere may not open at all. Records carry their own checksum and hash,
//! so they are looked for byte by byte in whatever the log's files hold; artifacts are checked against their names. The
//! new directory is built beside the old one and takes its place at the end in one step, or not at all; the old one stays.

use super::disk::Disk;
use super::state_dir::{StateDir, lock_only, read_acknowledged, refuse_links};
use super::{SledOptions, SledStore};
use crate::artifacts::{Artifacts, sync_directory};
use crate::domain::digest::Digest;
use crate::domain::event::Event;
use crate::domain::ids::{CycleId, Position, Revision, RunId};
use crate::store::codec;
pub use crate::store::salvage::SavedRun;
use crate::store::salvage::{Found, RECORD_MAX, Salvage, carve, gaps, preferred, salvage};
use crate::store::writes::Writes;
use crate::store::{EventLog, Recorded, StoreError, fold};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// How many bytes of a file are looked through at a time.
const WINDOW: usize = 8 * 1024 * 1024;

/// About so many bytes are written in one step.
const STEP_BYTES: usize = 1024 * 1024;

/// What a repair found and did.
#[derive(Debug)]
#[non_exhaustive]
pub enum Repair {
    /// Every event and every artifact that an event names is intact; nothing was done.
    Healthy,
    /// The log is intact. Artifacts were damaged or missing.
    Artifacts {
        /// How many came from the copy.
        restored: u64,
        /// Those that are nowhere intact.
        missing: BTreeSet<Digest>,
    },
    /// A new state directory has taken the old one's place.
    Rebuilt(Repaired),
}

/// What could be saved, and what not.
#[derive(Debug)]
#[non_exhaustive]
pub struct Repaired {
    /// What was wrong.
    pub cause: String,
    /// Where the damaged directory is now.
    pub old: PathBuf,
    /// What became of each run.
    pub runs: Vec<SavedRun>,
    /// Stretches of positions whose events are lost, first and last.
    pub lost: Vec<(Position, Position)>,
    /// How many artifacts were kept.
    pub artifacts: u64,
    /// How many artifacts came from the copy.
    pub restored: u64,
    /// Artifacts that events name and that are nowhere intact.
    pub missing: BTreeSet<Digest>,
}

/// Repairs the state directory `state`, with the help of `copy`, an earlier or later copy of it.
///
/// # Errors
/// [`StoreError::Locked`], [`StoreError::TooNew`], [`StoreError::Link`], or [`StoreError::Backend`] if the new directory
/// cannot be written; the old one is as it was then.
pub async fn repair(
    state: &Path,
    copy: Option<&Path>,
    options: SledOptions,
) -> Result<Repair, StoreError> {
    copy.map_or(Ok(()), refuse_links)?;
    let cause = match examine(state, options.clone()).await {
        Ok(damaged) if damaged.is_empty() => return Ok(Repair::Healthy),
        Ok(damaged) => {
            let _lock = lock_only(state, &options.holder)?;
            let artifacts = Artifacts::open(state.join("artifacts")).map_err(io::Error::other);
            let artifacts = artifacts.map_err(failed("open the artifacts"))?;
            let mut sources = Sources { copy, kept: 0, restored: 0 };
            let missing =
                damaged.into_iter().filter(|digest| !sources.restore(digest, &artifacts)).collect();
            return Ok(Repair::Artifacts { restored: sources.restored, missing });
        }
        Err(
            cause @ (StoreError::Locked { .. }
            | StoreError::TooNew { .. }
            | StoreError::Link { .. }),
        ) => return Err(cause),
        Err(cause) => cause,
    };
    let _lock = lock_only(state, &options.holder)?;
    let mut repaired = build(state, copy, &options)?;
    repaired.cause = super::disk::with_sources(&cause);
    Ok(Repair::Rebuilt(repaired))
}

/// Reads everything that matters; answers which artifacts that events name are not intact.
///
/// # Errors
/// What is wrong with the log.
async fn examine(state: &Path, options: SledOptions) -> Result<BTreeSet<Digest>, StoreError> {
    let store = SledStore::open(state, options)?;
    let mut damaged = BTreeSet::new();
    for (run, _) in store.runs().await? {
        let wanted = fold(&store, run, Wanted::default(), |wanted, recorded| {
            wanted.take(&recorded.event);
            Ok::<_, StoreError>(true)
        })
        .await?;
        damaged.extend(wanted.artifacts().filter(|digest| store.artifacts().get(digest).is_err()));
    }
    Ok(damaged)
}

fn build(state: &Path, copy: Option<&Path>, options: &SledOptions) -> Result<Repaired, StoreError> {
    let parent = match state.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    let name = state.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let new = tempfile::Builder::new()
        .prefix(&format!("{name}.repairing-"))
        .tempdir_in(parent)
        .map_err(failed("create a new state directory"))?;

    let mut files = Vec::new();
    for root in roots(state, copy) {
        log_files(&root.join("log"), &mut files);
    }
    let mut found = Vec::new();
    for (number, file) in files.iter().enumerate() {
        carve_file(file, |place, record| found.push(Found { record, place: (number, place) }))
            .map_err(failed("read the damaged log"))?;
    }

    let state_dir = StateDir::open(new.path(), &options.holder, &options.faults)?;
    let disk = Disk::open(state_dir, None, options)?;
    let mut sources = Sources { copy, kept: 0, restored: 0 };
    sources.keep_intact(state, disk.artifacts()).map_err(failed("keep the artifacts"))?;
    let copied = copy.map(|copy| Artifacts::as_they_are(copy.join("artifacts")));
    let told = told(&found, |found| {
        let bytes = bytes_of(found, &files).ok()?;
        let missing = || codec::CodecError::Malformed("its payload is nowhere".to_owned());
        let held = |digest: &Digest| {
            let places = [Some(disk.artifacts()), copied.as_ref()];
            places.into_iter().flatten().find_map(|of| of.get(digest).ok()).ok_or_else(missing)
        };
        codec::decode_record(&bytes, held).ok()
    });
    let found = preferred(found, |record| told.get(&(record.cycle, record.revision)).copied());
    // Only of the form that counts: another one may hold what was erased.
    for record in &found {
        if let Some(digest) = record.record.payload {
            let _nowhere =
                disk.artifacts().contains(&digest) || sources.restore(&digest, disk.artifacts());
        }
    }
    let Salvage { records, runs } = salvage(found, |record| {
        record.payload.is_none_or(|digest| disk.artifacts().contains(&digest))
    });
    let acknowledged =
        roots(state, copy).map(read_acknowledged).max().map_or(Position(0), Position);
    let lost = gaps(&records, acknowledged);

    let mut wanted: BTreeMap<RunId, Wanted> = BTreeMap::new();
    let mut writes = Writes::default();
    let mut open_gaps = lost.iter().peekable();
    for (position, found) in &records {
        while let Some((first, last)) = open_gaps.next_if(|(first, _)| first < position) {
            writes.gap(*first, *last).map_err(unencodable)?;
        }
        let bytes = bytes_of(found, &files).map_err(failed("read the damaged log"))?;
        let recorded = codec::decode_record(&bytes, |digest| {
            disk.artifacts()
                .get(digest)
                .map_err(|error| codec::CodecError::Malformed(error.to_string()))
        });
        if let Ok(recorded) = recorded {
            wanted.entry(recorded.cycle.run).or_default().take(&recorded.event);
        }
        writes.record(found.record.cycle, found.record.hash, &bytes);
        if writes.bytes() > STEP_BYTES {
            disk.write(std::mem::take(&mut writes))?;
        }
    }
    for (first, last) in open_gaps {
        writes.gap(*first, *last).map_err(unencodable)?;
    }
    disk.write(writes)?;
    let wanted: BTreeSet<Digest> = wanted.values().flat_map(Wanted::artifacts).collect();
    let missing = wanted
        .into_iter()
        .filter(|digest| {
            !disk.artifacts().contains(digest) && !sources.restore(digest, disk.artifacts())
        })
        .collect();
    let (artifacts, restored) = (sources.kept, sources.restored);
    drop(disk);
    // Opening it checks everything once more, and notes how far it is acknowledged.
    drop(SledStore::open(new.path(), options.clone())?);

    let old = swap(new.keep(), state, parent, &name)
        .map_err(failed("put the new state directory in place"))?;
    Ok(Repaired { cause: String::new(), old, runs, lost, artifacts, restored, missing })
}

/// Where intact bytes may be; the damaged directory comes first.
fn roots<'a>(state: &'a Path, copy: Option<&'a Path>) -> impl Iterator<Item = &'a Path> {
    [Some(state), copy].into_iter().flatten()
}

/// Puts `new` in the place of `state` in one step; answers where the old one is.
fn swap(new: PathBuf, state: &Path, parent: &Path, name: &str) -> io::Result<PathBuf> {
    let free = (1..u32::MAX)
        .map(|number| parent.join(format!("{name}.damaged-{number}")))
        .find(|path| fs::symlink_metadata(path).is_err());
    let old = free.ok_or_else(|| io::Error::other("there are too many damaged directories"))?;
    match renameat_with(CWD, &new, CWD, state, RenameFlags::EXCHANGE) {
        Ok(()) => fs::rename(&new, &old)?,
        // A file system that cannot exchange names.
        Err(_) => {
            fs::rename(state, &old)?;
            fs::rename(&new, state)?;
        }
    }
    sync_directory(parent)?;
    Ok(old)
}

/// What a run needs of what it names: not what it says is removed, unless it names it once more after that.
#[derive(Default)]
struct Wanted(BTreeSet<Digest>);

impl Wanted {
    /// Takes in the run's next event.
    fn take(&mut self, event: &Event) {
        self.0.extend(event.artifacts());
        if let Event::ArtifactsRemoved(removed) = event {
            for gone in &removed.removed {
                self.0.remove(&gone.artifact);
            }
        }
    }

    fn artifacts(&self) -> impl Iterator<Item = Digest> {
        self.0.iter().copied()
    }
}

/// Where intact artifacts come from.
struct Sources<'a> {
    copy: Option<&'a Path>,
    kept: u64,
    restored: u64,
}

impl Sources<'_> {
    /// Keeps every intact artifact of the damaged directory.
    fn keep_intact(&mut self, state: &Path, to: &Artifacts) -> io::Result<()> {
        let Ok(folders) = fs::read_dir(state.join("artifacts")) else { return Ok(()) };
        for folder in folders.flatten() {
            let Ok(files) = fs::read_dir(folder.path()) else { continue };
            for file in files.flatten() {
                let name = format!(
                    "{}{}",
                    folder.file_name().to_string_lossy(),
                    file.file_name().to_string_lossy()
                );
                let Ok(digest) = name.parse::<Digest>() else { continue };
                if bring(state, &digest, to)? {
                    self.kept = self.kept.saturating_add(1);
                }
            }
        }
        Ok(())
    }

    /// Has an artifact from the copy, if it is intact there.
    fn restore(&mut self, digest: &Digest, to: &Artifacts) -> bool {
        let brought = self.copy.is_some_and(|copy| bring(copy, digest, to).unwrap_or(false));
        self.restored = self.restored.saturating_add(u64::from(brought));
        brought
    }
}

/// Whether the artifact was intact in the state directory `root`, and is in `to` now.
fn bring(root: &Path, digest: &Digest, to: &Artifacts) -> io::Result<bool> {
    let name = digest.to_string();
    let (folder, file) = name.split_at(2);
    let path = root.join("artifacts").join(folder).join(file);
    let is_file = fs::symlink_metadata(&path).is_ok_and(|found| found.is_file());
    let bytes = if is_file { fs::read(&path).ok() } else { None };
    let Some(bytes) = bytes.filter(|bytes| Digest::of(bytes) == *digest) else {
        return Ok(false);
    };
    to.put(&bytes).map_err(io::Error::other)?;
    Ok(true)
}

/// A record within a file: where it begins, and its length.
type Place = (u64, usize);

/// What the last erasure of each run says of the digest that a record's payload has now. Only asked where records turned up that
/// were rewritten more than once; nothing is told otherwise.
fn told(
    found: &[Found<(usize, Place)>],
    read: impl Fn(&Found<(usize, Place)>) -> Option<Recorded>,
) -> BTreeMap<(CycleId, Revision), Digest> {
    let mut forms: HashMap<Digest, Digest> = HashMap::new();
    let mut rewritten = found.iter().filter_map(|of| Some((of.record.hash, of.record.now?)));
    if !rewritten.any(|(hash, now)| *forms.entry(hash).or_insert(now) != now) {
        return BTreeMap::new();
    }
    let mut told: BTreeMap<(CycleId, Revision), (Position, Digest)> = BTreeMap::new();
    for recorded in found.iter().filter(|of| of.record.now.is_none()).filter_map(read) {
        let (run, position) = (recorded.cycle.run, recorded.position);
        let Event::SampleErased(erased) = recorded.event else { continue };
        for record in erased.rewritten {
            let place = (CycleId { run, cycle: record.cycle }, record.revision);
            let last = told.entry(place).or_insert((position, record.now));
            *last = (position, record.now).max(*last);
        }
    }
    told.into_iter().map(|(place, (_, now))| (place, now)).collect()
}

/// A record that was found in one of the files.
fn bytes_of(found: &Found<(usize, Place)>, files: &[PathBuf]) -> io::Result<Vec<u8>> {
    let (file, place) = found.place;
    let file = files.get(file).ok_or_else(|| io::Error::other("a file that was there is gone"))?;
    read_at(file, place)
}

fn read_at(file: &Path, (at, length): Place) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    File::open(file)?.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

/// Shows every sound record that lies anywhere in a file.
fn carve_file(path: &Path, mut visit: impl FnMut(Place, codec::Skimmed)) -> io::Result<()> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut window = vec![0; WINDOW.min(usize::try_from(length).unwrap_or(WINDOW))];
    let mut start = 0;
    while start < length {
        let size = window.len().min(usize::try_from(length - start).unwrap_or(WINDOW));
        let Some(bytes) = window.get_mut(..size) else { break };
        file.read_exact_at(bytes, start)?;
        for (place, record, skimmed) in carve(bytes) {
            visit((start.saturating_add(place as u64), record.len()), skimmed);
        }
        // A record may lie across the end of the window.
        let overlap = if start + (size as u64) < length { RECORD_MAX } else { 0 };
        start += size.saturating_sub(overlap).max(1) as u64;
    }
    Ok(())
}

/// The files of sled's log in which records can be: its pages, and pages that it put into files of their own.
fn log_files(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort_unstable();
    for path in paths {
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => log_files(&path, files),
            Ok(found) if found.is_file() => files.push(path),
            Ok(_) | Err(_) => {}
        }
    }
}

fn unencodable(error: codec::CodecError) -> StoreError {
    failed("write the new state directory")(io::Error::other(error))
}

fn failed(operation: &'static str) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError::Backend {
        operation,
        outcome_unknown: false,
        source: Box::new(source),
    }
}
