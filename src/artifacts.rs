//! Content-addressed files: bytes too large for an event, each stored once under its SHA-256.
//!
//! `ab/cdef...` holds the bytes whose digest is `abcdef...`, so `sha256sum` checks an artifact and other programs open it
//! by its path. What is in them, and who may forget them, is not decided here: artifacts are never changed, and removed only
//! while nobody in this process can be about to name them.

use crate::domain::digest::{Digest, Hasher};
use crate::domain::ids::RunId;
use crate::faults::Faults;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tempfile::NamedTempFile;

const TEMPORARY: &str = ".writing-";

/// A folder of artifacts. Clones are handles of the same folder.
#[derive(Debug, Clone)]
pub struct Artifacts {
    root: Arc<Path>,
    faults: Faults,
    // What was stored or asked for through these handles: an event that names it may be on its way. Held for microseconds.
    counted_on: Arc<Mutex<BTreeSet<Digest>>>,
}

/// How many bytes are looked at at a time.
const PIECE: usize = 256 * 1024;

/// Why an artifact could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// Nobody stored it, or somebody removed it.
    #[error("artifact {} is missing: restore it from a copy", path.display())]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The file does not hold what its name says.
    #[error("artifact {} is damaged, it holds {actual}: restore it from a copy", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The digest of what it holds.
        actual: Digest,
    },
    /// It, or the folder it is in, is a link that may lead anywhere.
    #[error("{} is a link: artifacts are files; remove it and restore what it led to from a copy", path.display())]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// No room.
    #[error("no room for {} bytes in {}: free some space and resume", bytes, path.display())]
    Full {
        /// The folder.
        path: PathBuf,
        /// How many bytes did not fit.
        bytes: usize,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The folder cannot be written.
    #[error("{} cannot be written: make it writable or choose another state directory", path.display())]
    NotWritable {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The file system failed in another way.
    #[error("could not {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

impl Artifacts {
    /// Opens a folder, creates it durably if it is missing, and removes what a crash left half-written.
    ///
    /// # Errors
    /// [`ArtifactError::NotWritable`] or [`ArtifactError::Io`].
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, ArtifactError> {
        Self::open_with(dir, Faults::none())
    }

    /// A folder as it is, to be read: nothing is created, removed or changed.
    #[must_use]
    pub fn as_they_are(dir: impl Into<PathBuf>) -> Self {
        let root: PathBuf = dir.into();
        Self { root: root.into(), faults: Faults::none(), counted_on: Arc::default() }
    }

    /// As [`Artifacts::open`], on a disk that may be made to fail.
    pub(crate) fn open_with(
        dir: impl Into<PathBuf>,
        faults: Faults,
    ) -> Result<Self, ArtifactError> {
        let root: PathBuf = dir.into();
        create_directory(&root, &faults).map_err(failed("create", &root, 0))?;
        for entry in fs::read_dir(&root).map_err(failed("list", &root, 0))? {
            let path = entry.map_err(failed("list", &root, 0))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(TEMPORARY) {
                faults
                    .step("remove a leftover", || remove_leftover(&path))
                    .map_err(failed("remove", &path, 0))?;
            }
        }
        Ok(Self { root: root.into(), faults, counted_on: Arc::default() })
    }

    /// Stores bytes under their digest. When this answers `Ok`, they survive whatever the disk survives. Bytes that are
    /// there already are not written again.
    ///
    /// # Errors
    /// [`ArtifactError::Full`], [`ArtifactError::NotWritable`], [`ArtifactError::Link`] or [`ArtifactError::Io`]; a file
    /// under its final name is never half-written.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, ArtifactError> {
        let digest = self.write(bytes)?;
        self.sync([digest])?;
        Ok(digest)
    }

    /// Stores many, and syncs each folder once for all of them.
    ///
    /// # Errors
    /// As [`Artifacts::put`]; some may be stored then.
    pub fn put_all(&self, all: &[&[u8]]) -> Result<Vec<Digest>, ArtifactError> {
        let digests =
            all.iter().map(|bytes| self.write(bytes)).collect::<Result<Vec<Digest>, _>>()?;
        self.sync(digests.iter().copied())?;
        Ok(digests)
    }

    /// Begins an artifact that is written piece by piece, because it need not fit in memory.
    ///
    /// # Errors
    /// As [`Artifacts::put`].
    pub fn create(&self) -> Result<NewArtifact, ArtifactError> {
        let file = self.temporary().map_err(failed("create", &self.root, 0))?;
        let (artifacts, hasher) = (self.clone(), Hasher::default());
        Ok(NewArtifact { artifacts, file, hasher, buffer: Vec::new(), bytes: 0 })
    }

    /// The bytes of that digest, verified.
    ///
    /// # Errors
    /// [`ArtifactError::Missing`], [`ArtifactError::Damaged`], [`ArtifactError::Link`], or [`ArtifactError::Io`] if reading
    /// fails.
    pub fn get(&self, digest: &Digest) -> Result<Vec<u8>, ArtifactError> {
        let (path, mut file) = self.file(digest)?;
        let mut bytes = Vec::new();
        if let Err(source) = file.read_to_end(&mut bytes) {
            return Err(ArtifactError::Io { operation: "read", path, source });
        }
        let actual = Digest::of(&bytes);
        if actual != *digest {
            return Err(ArtifactError::Damaged { path, actual });
        }
        Ok(bytes)
    }

    /// Whether the bytes of that digest are there and sound; they need not fit in memory.
    ///
    /// # Errors
    /// As [`Artifacts::get`].
    pub fn check(&self, digest: &Digest) -> Result<(), ArtifactError> {
        let (path, mut file) = self.file(digest)?;
        let (mut hasher, mut piece) = (Hasher::default(), vec![0; PIECE]);
        loop {
            match file.read(&mut piece) {
                Ok(0) => break,
                Ok(length) => hasher.update(piece.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(ArtifactError::Io { operation: "read", path, source }),
            }
        }
        let actual = hasher.finish();
        if actual == *digest { Ok(()) } else { Err(ArtifactError::Damaged { path, actual }) }
    }

    fn file(&self, digest: &Digest) -> Result<(PathBuf, File), ArtifactError> {
        let path = self.path(digest);
        if let Some(link) = path.parent().into_iter().chain([path.as_path()]).find(|at| is_link(at))
        {
            return Err(ArtifactError::Link { path: link.to_path_buf() });
        }
        // Whoever opens a pipe waits for somebody to write to it.
        if fs::metadata(&path).is_ok_and(|about| !about.is_file()) {
            let source = io::Error::other("it is no file");
            return Err(ArtifactError::Io { operation: "read", path, source });
        }
        match File::open(&path) {
            Ok(file) => Ok((path, file)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(ArtifactError::Missing { path })
            }
            Err(source) => Err(ArtifactError::Io { operation: "read", path, source }),
        }
    }

    /// Where the bytes of that digest are, or would be.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        let (folder, file) = name.split_at(2);
        self.root.join(folder).join(file)
    }

    /// The file that is the production model of a run, for other processes: see `engine/published.rs`.
    #[must_use]
    pub fn current_model(&self, run: RunId) -> PathBuf {
        self.state().join("models").join(run.to_string()).join("current.onnx")
    }

    /// Whether there is a file for that digest; what it holds is not looked at. From now on it stays, see
    /// [`Artifacts::remove`]: who names an artifact that is there already asks this first.
    #[must_use]
    pub fn contains(&self, digest: &Digest) -> bool {
        self.counted_on().insert(*digest);
        self.path(digest).is_file()
    }

    /// Every artifact that is there with its length in bytes, in the order of digests. What has another name is no artifact
    /// and is left out; what the files hold is not looked at.
    ///
    /// # Errors
    /// [`ArtifactError::Io`] or [`ArtifactError::NotWritable`] if the folders cannot be read.
    pub fn list(&self) -> Result<BTreeMap<Digest, u64>, ArtifactError> {
        let mut found = BTreeMap::new();
        for folder in fs::read_dir(&self.root).map_err(failed("list", &self.root, 0))? {
            let folder = folder.map_err(failed("list", &self.root, 0))?;
            if !folder.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let path = folder.path();
            for file in fs::read_dir(&path).map_err(failed("list", &path, 0))? {
                let file = file.map_err(failed("list", &path, 0))?;
                let (begin, end) = (folder.file_name(), file.file_name());
                let name = format!("{}{}", begin.to_string_lossy(), end.to_string_lossy());
                if let (Ok(digest), Ok(about)) = (name.parse::<Digest>(), file.metadata())
                    && about.is_file()
                {
                    found.insert(digest, about.len());
                }
            }
        }
        Ok(found)
    }

    /// Whether it was stored or asked for since the folder was opened; then it stays until the next opening.
    #[must_use]
    pub fn is_counted_on(&self, digest: &Digest) -> bool {
        self.counted_on().contains(digest)
    }

    /// Removes the file of that digest; false where it stays, because it was stored or asked for since the folder was opened
    /// and an event that names it may be on its way. Who removes something says so durably *before*: a crash may leave the
    /// file, and a power cut may bring it back.
    ///
    /// # Errors
    /// [`ArtifactError::NotWritable`] or [`ArtifactError::Io`]; a file that is not there is no error.
    pub fn remove(&self, digest: &Digest) -> Result<bool, ArtifactError> {
        // Held until the file is gone: whoever stores the same bytes meanwhile comes before, and it stays, or finds nothing
        // and writes it anew.
        let counted_on = self.counted_on();
        if counted_on.contains(digest) {
            return Ok(false);
        }
        let path = self.path(digest);
        let gone = || match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        };
        self.faults.step("remove an artifact", gone).map_err(failed("remove", &path, 0))?;
        drop(counted_on);
        Ok(true)
    }

    fn counted_on(&self) -> MutexGuard<'_, BTreeSet<Digest>> {
        self.counted_on.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The state directory that the root lies in.
    #[must_use]
    pub fn state(&self) -> &Path {
        self.root().parent().unwrap_or_else(|| Path::new(""))
    }

    /// Puts a synced file under its final name; the folders are not synced yet.
    fn write(&self, bytes: &[u8]) -> Result<Digest, ArtifactError> {
        let digest = Digest::of(bytes);
        let path = self.path(&digest);
        self.counted_on().insert(digest);
        if let Some(folder) = path.parent().filter(|folder| is_link(folder)) {
            return Err(ArtifactError::Link { path: folder.to_path_buf() });
        }
        // Compared byte by byte: what is named from now on must be sound now. A link is replaced.
        if !is_link(&path) && fs::read(&path).is_ok_and(|found| found == bytes) {
            return Ok(digest);
        }
        let mut file = self.temporary().map_err(failed("create", &path, bytes.len()))?;
        let faults = &self.faults;
        faults.write("write an artifact", &mut file, bytes).map_err(failed(
            "write",
            &path,
            bytes.len(),
        ))?;
        self.name(file, &path, bytes.len())?;
        Ok(digest)
    }

    /// A file without its name yet.
    fn temporary(&self) -> io::Result<NamedTempFile> {
        // In the root and not beside its final place, so that leftovers are found without looking through every folder.
        let file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(&self.root)?;
        // Whoever opens the folder meanwhile sees by the lock that this is no leftover.
        file.as_file().lock()?;
        Ok(file)
    }

    /// Syncs a file and gives it its name; the folders are not synced yet.
    fn name(&self, file: NamedTempFile, path: &Path, bytes: usize) -> Result<(), ArtifactError> {
        let fail = |operation| failed(operation, path, bytes);
        let faults = &self.faults;
        faults.step("sync an artifact", || file.as_file().sync_all()).map_err(fail("sync"))?;
        if let Some(folder) = path.parent() {
            let create = || match fs::create_dir(folder) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
                Err(_) | Ok(()) => Ok(()),
            };
            faults
                .step("create an artifact's folder", create)
                .map_err(failed("create", folder, bytes))?;
        }
        faults
            .step("rename an artifact", || {
                file.persist(path).map(drop).map_err(|error| error.error)
            })
            .map_err(fail("rename"))
    }

    /// Syncs the folders of these artifacts. Of those that were there already too: whoever stored them may not have come
    /// to it. A folder without changes costs next to nothing.
    fn sync(&self, digests: impl IntoIterator<Item = Digest>) -> Result<(), ArtifactError> {
        let mut folders: BTreeSet<PathBuf> = digests
            .into_iter()
            .filter_map(|digest| self.path(&digest).parent().map(Path::to_path_buf))
            .collect();
        if !folders.is_empty() {
            folders.insert(self.root.to_path_buf());
        }
        folders.iter().try_for_each(|folder| {
            self.faults
                .step("sync an artifact's folder", || sync_directory(folder))
                .map_err(failed("sync", folder, 0))
        })
    }
}

/// An artifact under construction; dropped before [`NewArtifact::finish`], it leaves nothing.
#[derive(Debug)]
pub struct NewArtifact {
    artifacts: Artifacts,
    file: NamedTempFile,
    hasher: Hasher,
    buffer: Vec<u8>,
    bytes: usize,
}

impl NewArtifact {
    /// Bytes that are written at once.
    const BUFFER: usize = 1024 * 1024;

    /// Stores what was written under its digest, as durably as [`Artifacts::put`].
    ///
    /// # Errors
    /// As [`Artifacts::put`].
    pub fn finish(mut self) -> Result<Digest, ArtifactError> {
        let root = Arc::clone(&self.artifacts.root);
        self.write_out().map_err(failed("write", &root, self.bytes))?;
        let digest = std::mem::take(&mut self.hasher).finish();
        let path = self.artifacts.path(&digest);
        self.artifacts.counted_on().insert(digest);
        if let Some(folder) = path.parent().filter(|folder| is_link(folder)) {
            return Err(ArtifactError::Link { path: folder.to_path_buf() });
        }
        let there = File::open(&path).and_then(Digest::of_reader);
        if is_link(&path) || there.ok() != Some(digest) {
            self.artifacts.name(self.file, &path, self.bytes)?;
        }
        self.artifacts.sync([digest])?;
        Ok(digest)
    }

    fn write_out(&mut self) -> io::Result<()> {
        self.bytes += self.buffer.len();
        self.hasher.update(&self.buffer);
        let faults = &self.artifacts.faults;
        faults.write("write an artifact", &mut self.file, &self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl Write for NewArtifact {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + bytes.len() > Self::BUFFER && !self.buffer.is_empty() {
            self.write_out()?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    /// Nothing is durable before [`NewArtifact::finish`], so nothing is written out early.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Removes a temporary file unless somebody is writing it.
fn remove_leftover(path: &Path) -> io::Result<()> {
    let gone = |error: io::Error| {
        if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) }
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return gone(error),
    };
    match file.try_lock() {
        Ok(()) => fs::remove_file(path).or_else(gone),
        Err(TryLockError::WouldBlock) => Ok(()),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether there is a symbolic link of that name. What lies in a state directory is never one: it could have what is
/// written there go anywhere.
pub(crate) fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink())
}

/// Makes the names in a folder durable.
///
/// # Errors
/// Whatever the file system fails with.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Creates a folder and its missing parents, and makes their names durable.
///
/// # Errors
/// Whatever the file system fails with.
pub(crate) fn create_directory(path: &Path, faults: &Faults) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    create_directory(parent, faults)?;
    faults.step("create a folder", || match fs::create_dir(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        created => created,
    })?;
    faults.step("sync a new folder", || sync_directory(path))?;
    faults.step("sync a new folder's parent", || sync_directory(parent))
}

fn failed(
    operation: &'static str,
    path: &Path,
    bytes: usize,
) -> impl FnOnce(io::Error) -> ArtifactError {
    let path = path.to_path_buf();
    move |source| {
        let kind = source.kind();
        if matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded) {
            ArtifactError::Full { path, bytes, source }
        } else if matches!(kind, ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) {
            ArtifactError::NotWritable { path, source }
        } else {
            ArtifactError::Io { operation, path, source }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Artifacts) {
        let folder = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(folder.path().join("new").join("artifacts")).unwrap();
        (folder, artifacts)
    }

    #[test]
    fn what_was_put_is_found_by_digest_and_by_path() {
        let (_folder, artifacts) = folder();
        let digest = artifacts.put(b"a model").unwrap();
        assert_eq!(digest, Digest::of(b"a model"));
        assert!(artifacts.contains(&digest));
        assert_eq!(artifacts.get(&digest).unwrap(), b"a model");
        assert_eq!(fs::read(artifacts.path(&digest)).unwrap(), b"a model");
        let text = digest.to_string();
        assert!(artifacts.path(&digest).ends_with(format!("{}/{}", &text[..2], &text[2..])));
    }

    #[test]
    fn the_same_bytes_are_written_once() {
        let (_folder, artifacts) = folder();
        let digest = artifacts.put(b"scores").unwrap();
        let written = fs::metadata(artifacts.path(&digest)).unwrap().modified().unwrap();
        assert_eq!(artifacts.put_all(&[b"scores", b"more"]).unwrap()[0], digest);
        assert_eq!(fs::metadata(artifacts.path(&digest)).unwrap().modified().unwrap(), written);
    }

    #[test]
    fn an_artifact_written_piece_by_piece_is_the_same_artifact() {
        let (_folder, artifacts) = folder();
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        for _ in 0..2 {
            let mut piecewise = artifacts.create().unwrap();
            bytes.chunks(700_001).for_each(|piece| piecewise.write_all(piece).unwrap());
            assert_eq!(piecewise.finish().unwrap(), Digest::of(&bytes));
        }
        assert_eq!(artifacts.get(&Digest::of(&bytes)).unwrap(), bytes);
        artifacts.create().unwrap().write_all(b"never finished").unwrap();
        assert_eq!(fs::read_dir(artifacts.root()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_file_and_a_changed_one_are_errors_that_name_it() {
        let (_folder, artifacts) = folder();
        let digest = artifacts.put(b"weights").unwrap();
        let path = artifacts.path(&digest);
        fs::write(&path, b"Weights").unwrap();
        let error = artifacts.get(&digest).unwrap_err();
        assert!(matches!(&error, ArtifactError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        fs::remove_file(&path).unwrap();
        let error = artifacts.get(&digest).unwrap_err();
        assert!(matches!(&error, ArtifactError::Missing { .. }), "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }

    #[test]
    fn a_damaged_file_is_written_again() {
        let (_folder, artifacts) = folder();
        let digest = artifacts.put(b"weights").unwrap();
        for damaged in [b"wei".as_slice(), b"Weights"] {
            fs::write(artifacts.path(&digest), damaged).unwrap();
            artifacts.put(b"weights").unwrap();
            assert_eq!(artifacts.get(&digest).unwrap(), b"weights");
        }
    }

    #[test]
    #[cfg(unix)]
    fn links_are_not_followed() {
        use std::os::unix::fs::symlink;
        let (outside, artifacts) = folder();
        let digest = artifacts.put(b"weights").unwrap();
        let (path, elsewhere) = (artifacts.path(&digest), outside.path().join("elsewhere"));
        fs::rename(&path, &elsewhere).unwrap();
        symlink(&elsewhere, &path).unwrap();
        let error = artifacts.get(&digest).unwrap_err();
        assert!(matches!(&error, ArtifactError::Link { path: link } if *link == path), "{error}");
        // Written again, it is a file, and where the link led is as it was.
        artifacts.put(b"weights").unwrap();
        assert_eq!(artifacts.get(&digest).unwrap(), b"weights");
        assert!(!is_link(&path) && fs::read(&elsewhere).unwrap() == b"weights");

        let folder = path.parent().unwrap();
        fs::remove_dir_all(folder).unwrap();
        fs::create_dir(outside.path().join("folder")).unwrap();
        symlink(outside.path().join("folder"), folder).unwrap();
        for error in [artifacts.put(b"weights").unwrap_err(), artifacts.get(&digest).unwrap_err()] {
            assert!(matches!(&error, ArtifactError::Link { path } if path == folder), "{error}");
        }
        assert_eq!(fs::read_dir(outside.path().join("folder")).unwrap().count(), 0);
    }

    #[test]
    fn leftovers_of_a_crash_are_removed_at_opening_but_not_what_is_being_written() {
        let (_folder, artifacts) = folder();
        let leftover = artifacts.root().join(".writing-abc");
        let busy = artifacts.root().join(".writing-def");
        fs::write(&leftover, b"half").unwrap();
        let writer = File::create(&busy).unwrap();
        writer.lock().unwrap();
        Artifacts::open(artifacts.root()).unwrap();
        assert!(!leftover.exists());
        assert!(busy.exists());
    }

    #[test]
    fn what_was_stored_since_the_opening_stays_and_the_rest_may_go() {
        let (_folder, artifacts) = folder();
        let [old, again, asked] =
            [b"old".as_slice(), b"again", b"asked"].map(|bytes| artifacts.put(bytes).unwrap());
        assert!(!artifacts.remove(&old).unwrap(), "whoever stored it may be about to name it");
        let artifacts = Artifacts::open(artifacts.root()).unwrap();
        fs::write(artifacts.root().join("README"), b"no artifact").unwrap();
        assert_eq!(artifacts.list().unwrap(), [(old, 3), (again, 5), (asked, 5)].into());
        artifacts.clone().put(b"again").unwrap();
        assert!(artifacts.contains(&asked));
        for (digest, goes) in [(old, true), (again, false), (asked, false), (old, true)] {
            assert_eq!(artifacts.is_counted_on(&digest), !goes);
            assert_eq!(artifacts.remove(&digest).unwrap(), goes);
            assert_eq!(artifacts.path(&digest).exists(), !goes);
        }
        artifacts.put(b"old").unwrap();
        assert_eq!(artifacts.get(&old).unwrap(), b"old");
    }

    #[test]
    fn a_folder_that_cannot_be_created_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), b"").unwrap();
        let error = Artifacts::open(folder.path().join("file").join("artifacts")).unwrap_err();
        assert!(error.to_string().contains("file/artifacts"), "{error}");
    }
}
