//! A copy of a store that somebody works with: another state directory, as of one instant.
//!
//! Work waits only while jobs and counters are read, which are few. Chunks and artifacts are never changed, and an artifact is
//! there before the record that names it; so chunks are copied next, up to how many there were, and artifacts last. Artifacts
//! may be removed: whoever does so and whoever copies exclude each other (the engine has them wait), or the copy lacks what
//! was removed after its log had been copied.

use super::copy::{copy_file, not_copied};
use super::disk::Disk;
use super::state_dir::StateDir;
use super::{SledOptions, SledStore};
use crate::domain::digest::Digest;
use crate::faults::Faults;
use crate::store::ledger::Source as _;
use crate::store::writes::ChunkNumber;
use crate::store::{StoreError, keys};
use rayon::prelude::*;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// About so many bytes are written in one step.
const STEP_BYTES: usize = 1024 * 1024;

impl SledStore {
    pub(super) async fn back_up_to(&self, to: PathBuf) -> Result<(), StoreError> {
        let disk = Arc::clone(&self.disk);
        super::blocking(move || {
            copy_log(&disk, &to)?;
            // What a failed step left must not pass for what was acknowledged.
            disk.check_poison()?;
            copy_artifacts(disk.artifacts().root(), &to.join("artifacts"))
        })
        .await
    }
}

fn copy_log(disk: &Disk, to: &Path) -> Result<(), StoreError> {
    let (mut writes, end) = disk.beside_chunks()?;
    let options = SledOptions::default();
    let state_dir = StateDir::open(to, &options.holder, &Faults::none())?;
    let copy = Disk::open(state_dir, None, &options)?;
    copy.make_places(ChunkNumber::default(), end)?;
    for number in (0..end.0).map(ChunkNumber) {
        let key = keys::chunk(number);
        let chunk = disk.get(&key)?.ok_or_else(|| StoreError::Damaged {
            what: format!("chunk {} of {} of the event log is missing", number.0, end.0),
        })?;
        writes.put(key, chunk.to_vec());
        if writes.bytes() > STEP_BYTES {
            copy.write(std::mem::take(&mut writes))?;
        }
    }
    copy.write(writes)
}

/// Copies every file that is called like an artifact. What is in them is compared by whoever verifies the copy.
pub(super) fn copy_artifacts(from: &Path, to: &Path) -> Result<(), StoreError> {
    let folders = match fs::read_dir(from) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()), // whatever is named is missing
        folders => folders.map_err(not_copied)?,
    };
    let mut files = Vec::new();
    for folder in folders {
        let folder = folder.map_err(not_copied)?;
        if !folder.file_type().map_err(not_copied)?.is_dir() {
            continue; // being written, or a stranger's
        }
        let name = folder.file_name();
        fs::create_dir_all(to.join(&name)).map_err(not_copied)?;
        for file in fs::read_dir(folder.path()).map_err(not_copied)? {
            let file = file.map_err(not_copied)?;
            let digest = format!("{}{}", name.display(), file.file_name().display());
            let is_file = file.file_type().map_err(not_copied)?.is_file();
            if is_file && digest.parse::<Digest>().is_ok() {
                files.push((file.path(), to.join(&name).join(file.file_name())));
            }
        }
    }
    files.par_iter().try_for_each(|(from, to)| match copy_file(from, to) {
        // Taken away by hand, or against the rule above: whoever verifies the copy finds out.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        copied => copied.map_err(not_copied),
    })
}
