//! A copy of a state directory's log, for those who only look: sled writes to whatever it opens.

use super::disk::Disk;
use super::state_dir::{StateDir, check_format, refuse_links, share_lock};
use super::{SledOptions, SledStore};
use crate::artifacts::Artifacts;
use crate::store::StoreError;
use std::fs::{self, File};
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
        check_format(state, &options.faults)?;
        for name in ["format", "acknowledged"] {
            let from = state.join(name);
            if !from.is_file() {
                let what = format!("{} is missing beside a log", from.display());
                return Err(StoreError::Damaged { what });
            }
            copy_file(&from, &scratch.join(name))?;
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
        let kind = entry.file_type().map_err(not_copied)?;
        if kind.is_dir() {
            copy_folder(&from, &to)?;
        } else if kind.is_file() {
            copy_file(&from, &to)?;
        } else {
            // Whoever opens a pipe waits for somebody to write to it.
            let what = format!("{} is neither a file nor a folder", from.display());
            return Err(StoreError::Damaged { what });
        }
    }
    Ok(())
}

/// The bytes, and not the permissions: the copy is to be written to.
fn copy_file(from: &Path, to: &Path) -> Result<(), StoreError> {
    let mut read = File::open(from).map_err(not_copied)?;
    let mut written = File::create(to).map_err(not_copied)?;
    io::copy(&mut read, &mut written).map(drop).map_err(not_copied)
}

fn not_copied(error: io::Error) -> StoreError {
    let source = Box::new(error);
    StoreError::Backend { operation: "copy the event log", outcome_unknown: false, source }
}
