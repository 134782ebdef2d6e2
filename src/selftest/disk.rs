//! What the disk is, and whether it keeps its promise of fsync as far as software can tell.

use super::{SelftestError, now};
use serde::Serialize;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// Small synced writes to look at.
const SYNCS: usize = 200;

/// No medium that keeps its bytes without power answers a synced write faster.
const TOO_FAST: Duration = Duration::from_micros(15);

/// File systems that are memory, or that live on another machine.
const VOLATILE: [&str; 3] = ["tmpfs", "ramfs", "devtmpfs"];
const REMOTE: [&str; 6] = ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs"];

/// What is known about a disk.
#[derive(Debug, Clone, Serialize)]
pub struct DiskFacts {
    /// The file system, for example `ext4`.
    pub file_system: String,
    /// How it is mounted.
    pub options: String,
    /// The device's own write cache: `write back` needs flushes, `write through` does not; empty where unknown.
    pub write_cache: String,
    /// The median time of a small write followed by fdatasync, in microseconds.
    pub sync_micros: u64,
    /// Why its promise is in doubt; empty where nothing speaks against it.
    pub doubts: Vec<String>,
}

/// Looks at the disk under `folder`.
pub(super) fn probe(folder: &Path) -> Result<DiskFacts, SelftestError> {
    let path = folder.join("probe");
    let mut file = File::create(&path)?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let started = now();
        file.write_all(&[0x5A; 512])?;
        file.sync_data()?;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    let median = times.get(SYNCS / 2).copied().unwrap_or_default();
    drop(file);
    fs::remove_file(&path)?;

    let (file_system, options) = mount_of(folder);
    let write_cache = write_cache_of(folder);
    let mut doubts = Vec::new();
    if VOLATILE.contains(&file_system.as_str()) {
        doubts.push(format!("{file_system} is memory: everything is gone with the power"));
    } else if median < TOO_FAST {
        doubts.push(format!(
            "a synced write takes {} microseconds, which no disk can do: something answers before the medium has the bytes",
            median.as_micros()
        ));
    }
    if REMOTE.contains(&file_system.as_str()) {
        doubts.push(format!("{file_system} is another machine's disk: ask there"));
    }
    for option in options.split(',') {
        if matches!(option, "nobarrier" | "barrier=0" | "nobarriers") {
            doubts
                .push(format!("it is mounted with {option}: the device's cache is never flushed"));
        }
    }
    if std::env::var("LD_PRELOAD").is_ok_and(|libraries| libraries.contains("eatmydata")) {
        doubts.push("libeatmydata is loaded: every sync is left out".to_owned());
    }
    Ok(DiskFacts {
        file_system,
        options,
        write_cache,
        sync_micros: u64::try_from(median.as_micros()).unwrap_or(u64::MAX),
        doubts,
    })
}

/// The type and options of the mount that holds a path.
fn mount_of(path: &Path) -> (String, String) {
    let unknown = || ("unknown".to_owned(), String::new());
    let (Ok(path), Ok(mounts)) = (fs::canonicalize(path), fs::read_to_string("/proc/self/mounts"))
    else {
        return unknown();
    };
    let mut best: Option<(usize, (String, String))> = None;
    for line in mounts.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [_, point, kind, options, ..] = words.as_slice() else { continue };
        // The kernel writes a space in a mount point as \040.
        let point = point.replace("\\040", " ");
        let length = point.len();
        // Of two mounts at the same place the later one covers the earlier.
        if path.starts_with(&point) && best.as_ref().is_none_or(|(longest, _)| length >= *longest) {
            best = Some((length, ((*kind).to_owned(), (*options).to_owned())));
        }
    }
    best.map_or_else(unknown, |(_, found)| found)
}

/// What the kernel says of the cache of the device under a path.
fn write_cache_of(path: &Path) -> String {
    let Ok(metadata) = fs::metadata(path) else { return String::new() };
    let device = metadata.dev();
    let (major, minor) = ((device >> 8) & 0xFFF, (device & 0xFF) | ((device >> 12) & 0xF_FF00));
    let base = format!("/sys/dev/block/{major}:{minor}");
    // A partition has no queue of its own; its disk is one folder up.
    [format!("{base}/queue/write_cache"), format!("{base}/../queue/write_cache")]
        .iter()
        .find_map(|file| fs::read_to_string(file).ok())
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}
