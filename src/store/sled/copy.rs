//! A copy of a state directory's log, for those who only look: sled writes to whatever it opens.

use super::disk::Disk;
use super::state_dir::{StateDir, refuse_links, share_lock};
use super::{SledOptions, SledStore};
use crate::artifacts::Artifacts;
use crate::store::StoreError;
use std::fs;
use std::io;
use std::path::Path;

impl SledStore {
    /// Opens a copy of the log of the state directory `state`, which is made in `scratch`, an empty folder. Nothing is written
    /// to `state`; it is locked against others while the log is copied. Artifacts are read where they are.
    ///
    /// # Errors
    /// As [`SledStore::open`]; [`StoreError::Backend`] if the log cannot be copied, for example because the disk of `scratch` is
    /// full.
    pub fn open_copy(
        state: &Path,
        scratch: &Path,
        options: SledOptions,
    ) -> Result<Self, StoreError> {
        refuse_links(state)?;
        let lock = share_lock(state)?;
        for name in ["format", "acknowledged"] {
            copy_if_there(&state.join(name), &scratch.join(name))?;
        }
        copy_folder(&state.join("log"), &scratch.join("log"))?;
        drop(lock);
        let dir = StateDir::open(scratch, &options.holder, &options.faults)?;
        let artifacts = Artifacts::as_they_are(state.join("artifacts"));
        Self::of(Disk::open(dir, Some(artifacts), &options)?)
    }
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(to).map_err(not_copied)?;
    for entry in fs::read_dir(from).map_err(not_copied)? {
        let entry = entry.map_err(not_copied)?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().map_err(not_copied)?.is_dir() {
            copy_folder(&from, &to)?;
        } else {
            fs::copy(&from, &to).map_err(not_copied)?;
        }
    }
    Ok(())
}

fn copy_if_there(from: &Path, to: &Path) -> Result<(), StoreError> {
    match fs::copy(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(not_copied(error)),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn not_copied(error: io::Error) -> StoreError {
    let source = Box::new(error);
    StoreError::Backend { operation: "copy the event log", outcome_unknown: false, source }
}
