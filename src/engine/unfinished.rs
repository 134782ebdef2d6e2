//! What a long training has come to, kept so that a crash costs little of it: `training/RUN-CYCLE.state` beside the
//! artifacts.
//!
//! It is a convenience and no fact: a training that finds none, or one that is damaged or of another training, begins anew
//! and ends the same.

use crate::artifacts::Artifacts;
use crate::domain::ids::CycleId;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A shorter training is not worth keeping a part of.
const EVERY: Duration = Duration::from_secs(5);

/// The file of one cycle's training.
pub(super) struct Unfinished {
    file: PathBuf,
    kept: Instant,
}

impl Unfinished {
    pub(super) fn of(artifacts: &Artifacts, cycle: CycleId) -> Self {
        let name = format!("{}-{}.state", cycle.run, cycle.cycle);
        Self { file: artifacts.state().join("training").join(name), kept: now() }
    }

    /// What was kept of the training; `None` where there is nothing.
    pub(super) fn read(&self) -> Option<Vec<u8>> {
        fs::read(&self.file).ok()
    }

    /// Keeps what `state` makes, if the last time is long ago.
    pub(super) fn keep(&mut self, state: &dyn Fn() -> Vec<u8>) {
        if self.kept.elapsed() >= EVERY {
            if let Err(error) = self.write(&state()) {
                tracing::warn!(%error, file = %self.file.display(), "cannot keep a part of the training");
            }
            self.kept = now();
        }
    }

    fn write(&self, state: &[u8]) -> io::Result<()> {
        let Some(folder) = self.file.parent() else { return Ok(()) };
        fs::create_dir_all(folder)?;
        let fresh = self.file.with_extension("new");
        fs::write(&fresh, state)?;
        fs::rename(&fresh, &self.file)
    }

    /// Removes it: the training is done.
    pub(super) fn remove(&self) {
        match fs::remove_file(&self.file) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tracing::warn!(%error, file = %self.file.display(), "cannot remove what was kept of a training");
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "how long a training takes in truth is what counts")]
fn now() -> Instant {
    Instant::now()
}
