//! The state directory: who may open it, in which format it is, and what was acknowledged in it.
//!
//! Checked before sled is opened, because sled writes to what it opens. What is inside the log is not known here, and what
//! the small files beside it say is the business of `marks`.

use super::marks::{self, FORMAT};
use crate::artifacts::{create_directory, is_link, sync_directory};
use crate::faults::Faults;
use crate::store::StoreError;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The folder that [`StateDir::rewriting`] names.
const REWRITING: &str = "rewriting";

/// An open and locked state directory.
#[derive(Debug)]
pub(super) struct StateDir {
    path: PathBuf,
    acknowledged: File,
    faults: Faults,
    // Held for as long as the store is open; the system gives it back when the process ends, however it ends.
    _lock: File,
}

impl StateDir {
    /// Creates what is missing, takes the lock, and checks the format.
    pub(super) fn open(path: &Path, holder: &str, faults: &Faults) -> Result<Self, StoreError> {
        create_directory(path, faults).map_err(not_opened(path))?;
        refuse_links(path)?;
        let lock = take_lock(path, holder)?;
        // What a rewriting of the log left: half of a new one, or the old one, whose bytes are not wanted any more.
        remove_folder(&path.join(REWRITING)).map_err(not_opened(path))?;
        check_format(path, faults)?;
        let acknowledged = options().open(path.join("acknowledged")).map_err(not_opened(path))?;
        faults
            .step("sync the state directory", || sync_directory(path))
            .map_err(not_opened(path))?;
        Ok(Self { path: path.to_path_buf(), acknowledged, faults: faults.clone(), _lock: lock })
    }

    /// Where the log is written anew, before it takes the other's place.
    pub(super) fn rewriting(&self) -> PathBuf {
        self.path.join(REWRITING)
    }

    /// Where sled is.
    pub(super) fn log(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Where artifacts are.
    pub(super) fn artifacts(&self) -> PathBuf {
        self.path.join("artifacts")
    }

    /// Notes the last durable position, after its barrier. Not synced itself: it then never says more than the log
    /// holds, and still tells a log that was cut or replaced by an older one, which sled takes for a crash.
    pub(super) fn note_acknowledged(&self, position: u64) -> io::Result<()> {
        self.faults.step("note what is acknowledged", || {
            self.acknowledged.write_all_at(marks::acknowledgement(position).as_bytes(), 0)
        })
    }

    /// The last position noted; 0 where nothing readable was.
    pub(super) fn acknowledged(&self) -> u64 {
        let mut file = &self.acknowledged;
        let bytes = file.rewind().and_then(|()| read_mark(file));
        bytes.ok().and_then(|bytes| marks::acknowledged(&bytes)).unwrap_or(0)
    }
}

/// Removes a folder and all that is in it, if there is one. What is a link is removed, and where it leads is left alone.
fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The last position noted in a state directory that is not open; 0 where nothing readable was.
pub(super) fn read_acknowledged(path: &Path) -> u64 {
    let bytes = File::open(path.join("acknowledged")).and_then(|file| read_mark(&file));
    bytes.ok().and_then(|bytes| marks::acknowledged(&bytes)).unwrap_or(0)
}

/// What a small file says, and nothing of what does not belong there.
fn read_mark(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(marks::BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Refuses a directory in which something is a link: it may come from a stranger, a backup for instance. What it is called
/// itself may be one, because whoever runs this program chose it.
pub(super) fn refuse_links(path: &Path) -> Result<(), StoreError> {
    let names = ["lock", "format", "acknowledged", "log", "artifacts"];
    let mut found: Vec<PathBuf> = names.map(|name| path.join(name)).into();
    let refuse = |paths: &[PathBuf]| match paths.iter().find(|path| is_link(path)) {
        Some(link) => Err(StoreError::Link { path: link.clone() }),
        None => Ok(()),
    };
    refuse(&found)?;
    // sled opens what it finds; each folder is looked into only once it is known to be none.
    for folder in ["log", "log/blobs", "artifacts"] {
        let entries = fs::read_dir(path.join(folder)).into_iter().flatten().flatten();
        found = entries.map(|entry| entry.path()).collect();
        refuse(&found)?;
    }
    Ok(())
}

/// The lock of a state directory, whatever else is wrong with it. Held until it is dropped.
pub(super) fn lock_only(path: &Path, holder: &str) -> Result<File, StoreError> {
    refuse_links(path)?;
    take_lock(path, holder)
}

/// Keeps others out while somebody reads, and writes nothing; `None` where there is no lock, and so nobody.
pub(super) fn share_lock(path: &Path) -> Result<Option<File>, StoreError> {
    let file = match File::open(path.join("lock")) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(not_opened(path)(error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => {
            let holder = marks::holder(&read_mark(&file).unwrap_or_default());
            Err(StoreError::Locked { path: path.to_path_buf(), holder })
        }
        Err(TryLockError::Error(error)) => Err(not_opened(path)(error)),
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options
}

/// How often, and how long each time, this process waits for a lock that it has itself: 1 s together.
const LOCK_TRIES: u32 = 100;
const LOCK_WAIT: Duration = Duration::from_millis(10);

/// Takes the lock, or says who has it.
///
/// A lock of this very process is waited for a little. An earlier store may just be going away, and a program that the host
/// starts shares every lock for the instant between fork and exec.
fn take_lock(path: &Path, holder: &str) -> Result<File, StoreError> {
    let mut tries = 0;
    loop {
        match try_lock(path, holder) {
            Err(StoreError::Locked { holder: found, .. })
                if found == marks::one_line(holder) && tries < LOCK_TRIES =>
            {
                tries += 1;
                std::thread::park_timeout(LOCK_WAIT);
            }
            result => return result,
        }
    }
}

/// Takes the lock, or says who has it. The file is never removed: two processes could then hold locks on two files of
/// the same name. What it says counts only while somebody holds the lock.
fn try_lock(path: &Path, holder: &str) -> Result<File, StoreError> {
    let mut file = options().open(path.join("lock")).map_err(not_opened(path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            // A holder that has not yet written its name is a holder all the same.
            let holder = marks::holder(&read_mark(&file).unwrap_or_default());
            return Err(StoreError::Locked { path: path.to_path_buf(), holder });
        }
        Err(TryLockError::Error(error)) => return Err(not_opened(path)(error)),
    }
    let line = marks::one_line(holder);
    file.set_len(0)
        .and_then(|()| file.write_all(format!("{line}\n").as_bytes()))
        .map_err(not_opened(path))?;
    Ok(file)
}

/// Reads the format, or writes today's into a new directory.
pub(super) fn check_format(path: &Path, faults: &Faults) -> Result<(), StoreError> {
    let file = path.join("format");
    let bytes = match File::open(&file).and_then(|file| read_mark(&file)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if path.join("log").join("db").exists() {
                return Err(StoreError::Damaged {
                    what: format!("{} is missing beside a log", file.display()),
                });
            }
            return write_format(path, faults).map_err(not_opened(path));
        }
        Err(error) => return Err(not_opened(path)(error)),
    };
    match marks::format(&bytes) {
        Some(FORMAT) => Ok(()),
        Some(found) if found > FORMAT => {
            Err(StoreError::TooNew { path: path.to_path_buf(), found, supported: FORMAT })
        }
        Some(found @ 1..FORMAT) => Err(StoreError::Damaged {
            what: format!("{} has format {found}, from before the first release", path.display()),
        }),
        Some(_) | None => Err(StoreError::Damaged {
            what: format!(
                "{} holds {:?}, not a format number",
                file.display(),
                String::from_utf8_lossy(&bytes).trim()
            ),
        }),
    }
}

/// Writes the format whole or not at all.
fn write_format(path: &Path, faults: &Faults) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(path)?;
    faults.write("write the format", &mut file, format!("{FORMAT}\n").as_bytes())?;
    faults.step("sync the format", || file.as_file().sync_all())?;
    faults.step("rename the format", || {
        file.persist(path.join("format")).map(drop).map_err(|error| error.error)
    })?;
    faults.step("sync the format's folder", || sync_directory(path))
}

fn not_opened(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_path_buf();
    move |source| StoreError::NotWritable { path, source }
}
