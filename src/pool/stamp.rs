//! Whether a pool's files are still those that were read: a look at lengths and times, not at bytes.

use crate::domain::definition::{PoolSource, PoolSpec};
use crate::domain::digest::{Digest, Hasher};
use std::fs::Metadata;
use std::path::Path;
use std::time::UNIX_EPOCH;

/// Changes when a file of the pool comes, goes, or is written. A file that cannot be looked at counts as one that is not
/// there: reading it says why.
pub(super) fn of(spec: &PoolSpec, folder: &Path) -> Digest {
    let mut hasher = Hasher::default();
    let mut file = |path: &Path, about: Option<Metadata>| {
        let length = about.as_ref().map_or(u64::MAX, Metadata::len);
        let changed =
            about.and_then(|about| about.modified().ok()?.duration_since(UNIX_EPOCH).ok());
        hasher.update(path.as_os_str().as_encoded_bytes());
        hasher.update(&length.to_be_bytes());
        hasher.update(&changed.map_or(0, |since| since.as_nanos()).to_be_bytes());
    };
    for name in
        [Some(&spec.path), spec.labels.as_ref(), spec.predictions.as_ref()].into_iter().flatten()
    {
        let path = folder.join(name);
        file(&path, std::fs::metadata(&path).ok());
    }
    if spec.source == PoolSource::Images {
        for entry in super::folder::walk(&folder.join(&spec.path)).into_iter().flatten() {
            file(&entry.path, std::fs::metadata(&entry.path).ok());
        }
    }
    hasher.finish()
}
