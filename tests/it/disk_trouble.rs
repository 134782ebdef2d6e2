//! A disk that is full, or that the system has made read-only, in the middle of a run: the program says so and ends, and
//! goes on once there is room again. On a real file system, in an image of its own; needs root.

use crate::program::{FAILED, Folder, Live, STATE};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const IMAGE_BYTES: u64 = 16 * 1024 * 1024;

/// Long enough to be caught in its middle.
const SETS: [&str; 3] = ["selector.batch=1", "stop.max_cycles=12", "trainer.epochs=200"];

/// A small file system; unmounted when dropped.
struct Disk {
    image: PathBuf,
    point: PathBuf,
}

impl Disk {
    /// Mounts a new one; says why, if none can be had here.
    fn new(image: PathBuf, point: PathBuf) -> Option<Self> {
        fs::create_dir_all(&point).unwrap();
        File::create(&image).unwrap().set_len(IMAGE_BYTES).unwrap();
        let disk = Self { image, point };
        let made = system("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), &disk.image]);
        match made.and_then(|()| disk.mount()) {
            Ok(()) => Some(disk),
            Err(why) => {
                eprintln!("SKIPPED: no disk image could be mounted: {why}");
                None
            }
        }
    }

    fn mount(&self) -> Result<(), String> {
        system("mount", &["-o".as_ref(), "loop".as_ref(), &self.image, &self.point])
    }

    /// Leaves no byte.
    fn fill(&self) {
        let mut ballast = File::create(self.ballast()).unwrap();
        for size in [4096, 1] {
            while ballast.write_all(&vec![1; size]).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.point.join("ballast")
    }

    /// What the kernel does to a file system whose disk fails: nothing is written to it any more.
    fn abort(&self) {
        system("mount", &["-o".as_ref(), "remount,abort".as_ref(), &self.point]).unwrap();
    }

    fn mount_again(&self) {
        system("umount", &[&self.point]).unwrap();
        self.mount().unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        drop(system("umount", &["-l".as_ref(), &self.point])); // it may be unmounted already
    }
}

fn system(program: &str, arguments: &[&Path]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(complaint) }
}

/// A run that is stopped in its middle while `trouble` comes over its disk.
fn troubled(folder: &Folder, trouble: impl FnOnce()) -> Output {
    let mut live = Live::start(folder.running(&SETS));
    live.until("    2 ");
    live.signal("STOP");
    trouble();
    live.signal("CONT");
    live.end()
}

/// The program ended with an error that holds all `words`.
#[track_caller]
fn told(output: &Output, words: &[&str]) {
    let said = [&output.stdout[..], &output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(matches!(output.status.code(), Some(FAILED | STATE)), "{output:?}");
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

/// The run goes on, and ends as it would have ended without the trouble.
fn recovers(folder: &Folder) {
    let smooth = Folder::new();
    assert!(smooth.run(&SETS).status.success());
    let resumed = folder.gleaner(&["resume"]).output().unwrap();
    assert_eq!(resumed.status.code(), Some(0), "{resumed:?}");
    assert_eq!(folder.digest(), smooth.digest());
}

#[test]
fn a_full_disk_ends_the_program_and_with_room_again_the_run_goes_on() {
    // Full may be the disk of everything, or only that of the log or of the artifacts.
    for place in ["state", "state/log", "state/artifacts"] {
        let folder = Folder::new();
        let Some(disk) = Disk::new(folder.path("image"), folder.path(place)) else { return };
        let mut output = troubled(&folder, || disk.fill());
        if output.status.success() {
            // The log had grown far enough ahead for this run; then the next opening is told.
            output = folder.gleaner(&["status"]).output().unwrap();
        }
        told(&output, &["no room", "free some space"]);
        disk.free();
        recovers(&folder);
    }
}

#[test]
fn a_disk_that_becomes_read_only_ends_the_program_and_mounted_anew_the_run_goes_on() {
    let folder = Folder::new();
    let Some(disk) = Disk::new(folder.path("image"), folder.path("state")) else { return };
    let output = troubled(&folder, || disk.abort());
    told(&output, &["could not", "read-only", "gleaner resume"]);
    told(&folder.gleaner(&["resume"]).output().unwrap(), &["cannot be written", "Read-only"]);
    disk.mount_again();
    recovers(&folder);
}
