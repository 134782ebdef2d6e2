//! A copy of a state directory with which nobody works: of its log, for those who only look, because sled writes to whatever
//! it opens; or of all of it.

use super::backup::copy_artifacts;
use super::disk::Disk;
use super::state_dir::{StateDir, check_format, refuse_links, share_lock};
use super::{SledOptions, SledStore};
use crate::artifacts::Artifacts;
use crate::faults::Faults;
use crate::store::StoreError;
use std::fs::{self, File};
use std::io;
use std::path::Path;

impl SledStore {
    /// Opens a copy of the log of the state directory `state`, which is made in `scratch`, an empty folder. Nothing is written
    /// to `state`. Artifacts are read where they are, so keep the lock, which is the other half of the answer, until all is
    /// read: it keeps everybody out who would write there.
    ///
    /// # Errors
    /// As [`SledStore::open`]; [`StoreError::Backend`] if the log cannot be copied, for example because the disk of `scratch` is
    /// full.
    pub fn open_copy(
        state: &Path,
        scratch: &Path,
        options: SledOptions,
    ) -> Result<(Self, Option<File>), StoreError> {
        let lock = copy_log(state, scratch, &options.faults)?;
        let dir = StateDir::open(scratch, &options.holder, &options.faults)?;
        let artifacts = Artifacts::as_they_are(state.join("artifacts"));
        Ok((Self::of(Disk::open(dir, Some(artifacts), &options)?)?, lock))
    }

    /// Copies the state directory `state`, with which nobody works, to the empty folder `to`; it is locked against others
    /// meanwhile, and nothing is written to it. The copy is not verified, and not durable before it is synced.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::TooNew`], [`StoreError::Link`], [`StoreError::Damaged`], or [`StoreError::Backend`]
    /// if it cannot be copied.
    pub fn copy_closed(state: &Path, to: &Path) -> Result<(), StoreError> {
        let _lock = copy_log(state, to, &Faults::none())?;
        copy_artifacts(&state.join("artifacts"), &to.join("artifacts"))
    }
}

/// Copies the log and the small files beside it; answers the lock that keeps others out.
fn copy_log(state: &Path, to: &Path, faults: &Faults) -> Result<Option<File>, StoreError> {
    refuse_links(state)?;
    let lock = share_lock(state)?;
    check_format(state, faults)?;
    for name in ["format", "acknowledged"] {
        let from = state.join(name);
        if !from.is_file() {
            let what = format!("{} is missing beside a log", from.display());
            return Err(StoreError::Damaged { what });
        }
        copy_file(&from, &to.join(name)).map_err(not_copied)?;
    }
    copy_folder(&state.join("log"), &to.join("log"))?;
    Ok(lock)
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
            copy_file(&from, &to).map_err(not_copied)?;
        } else {
            // Whoever opens a pipe waits for somebody to write to it.
            let what = format!("{} is neither a file nor a folder", from.display());
            return Err(StoreError::Damaged { what });
        }
    }
    Ok(())
}

/// The bytes, and not the permissions: the copy is to be written to.
pub(super) fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let mut read = File::open(from)?;
    let mut written = File::create(to)?;
    io::copy(&mut read, &mut written).map(drop)
}

pub(super) fn not_copied(error: io::Error) -> StoreError {
    let source = Box::new(error);
    StoreError::Backend { operation: "copy the state directory", outcome_unknown: false, source }
}
