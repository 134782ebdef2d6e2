//! `models/RUN/current.onnx` beside the artifacts: always a complete file, the production model's.
//!
//! Other processes may read it at any time: a link to the artifact takes the old one's place in one step. It tells what the
//! log says, never the other way round, so a crash in between is made good when the run is opened next.

use crate::artifacts::Artifacts;
use crate::domain::digest::Digest;
use crate::domain::ids::RunId;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Makes it the model of this digest.
pub(super) fn publish(artifacts: &Artifacts, run: RunId, model: &Digest) -> io::Result<()> {
    let current = artifacts.current_model(run);
    let artifact = artifacts.path(model);
    let Some(folder) = current.parent() else { return Ok(()) };
    if fs::read_link(&current).is_ok_and(|target| folder.join(target) == linked(folder, &artifact))
    {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    let fresh = folder.join(".current.onnx");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    put(&artifact, folder, &fresh)?;
    fs::rename(&fresh, &current)
}

/// The artifact as seen from `folder`: relative where both lie in one state directory, so that the directory can be moved.
fn linked(folder: &Path, artifact: &Path) -> PathBuf {
    let state = folder.ancestors().nth(2);
    match state.and_then(|state| artifact.strip_prefix(state).ok()) {
        Some(below) => folder.join("../..").join(below),
        None => artifact.to_path_buf(),
    }
}

#[cfg(unix)]
fn put(artifact: &Path, folder: &Path, fresh: &Path) -> io::Result<()> {
    let target = linked(folder, artifact);
    let target = target.strip_prefix(folder).unwrap_or(&target);
    std::os::unix::fs::symlink(target, fresh)
}

#[cfg(not(unix))]
fn put(artifact: &Path, _: &Path, fresh: &Path) -> io::Result<()> {
    fs::copy(artifact, fresh).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_current_is_complete_and_moves_with_the_state_directory() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let artifacts = Artifacts::open(state.join("artifacts")).unwrap();
        let run = RunId(uuid::Uuid::from_u128(7));
        for bytes in [b"first".as_slice(), b"second", b"second", b"first"] {
            let model = artifacts.put(bytes).unwrap();
            publish(&artifacts, run, &model).unwrap();
            assert_eq!(fs::read(artifacts.current_model(run)).unwrap(), bytes);
        }
        let moved = folder.path().join("moved");
        fs::rename(&state, &moved).unwrap();
        let current = moved.join("models").join(run.to_string()).join("current.onnx");
        assert_eq!(fs::read(current).unwrap(), b"first");
    }
}
