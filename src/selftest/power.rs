//! A power cut: the disk as it is at one instant, without anything that was never synced.
//!
//! The store lies on an ext4 image that is mounted through a loop device. The child is stopped, the image is copied - what
//! the file system still holds in memory is not in it - and the copy is mounted and checked. Needs root.

use super::child::{Program, Role};
use super::facts::Facts;
use super::violations::Violations;
use super::{Ground, SelftestError, workload};
use rustix::process::Signal;
use serde::Serialize;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const IMAGE_BYTES: u64 = 96 * 1024 * 1024;

/// Cuts that one image survives before the next one begins.
const CUTS_PER_IMAGE: u64 = 10;

/// A cut comes within so much time.
const AT_WORK: Duration = Duration::from_millis(400);

/// How often a disk that is still written to is looked at again, and how long in between.
const QUIET_TRIES: u32 = 500;
const QUIET: Duration = Duration::from_millis(4);

/// What was tried.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Cuts {
    /// Power cuts.
    pub cuts: u64,
    /// Facts that were acknowledged and found again.
    pub facts: u64,
    /// Why none could be made here.
    pub skipped: Option<String>,
}

/// Cuts the power until it was done `wanted` times or the time is over.
pub(super) fn cuts(
    ground: &Ground<'_>,
    program: &Program,
    wanted: u64,
    violations: &mut Violations,
) -> Result<Cuts, SelftestError> {
    let mut tally = Cuts::default();
    while tally.cuts < wanted && !ground.is_over() {
        let folder = ground.folder()?;
        let mut image = folder.path().join("disk-0");
        let mut disk = match make(&image).and_then(|()| Mounted::mount(&image)) {
            Ok(disk) => disk,
            Err(why) if tally.cuts == 0 => {
                tally.skipped = Some(why);
                return Ok(tally);
            }
            Err(why) => return Err(SelftestError::Harness(why)),
        };
        workload::write_pool(&disk.point)?;
        File::open(disk.point.join("pool.csv"))?.sync_all()?;
        File::open(&disk.point)?.sync_all()?;
        let mut facts = Facts::default();
        for life in 1..=CUTS_PER_IMAGE {
            if tally.cuts >= wanted || ground.is_over() {
                break;
            }
            violations.at = format!("power cut {}", tally.cuts + 1);
            let child = program.start(Role::Everything, &disk.point, None)?;
            child.work_for(AT_WORK.mul_f64(ground.chance("cut", tally.cuts)));
            child.signal(Signal::STOP);
            let copy = folder.path().join(format!("disk-{life}"));
            disk.copy(&image, &copy)?;
            let ended = child.kill()?;
            if !ended.was_killed() || ended.crashed() {
                violations.add(format!("a child ended by itself: {}", ended.errors.trim()));
            }
            drop(disk);
            fs::remove_file(&image)?;
            image = copy;
            disk = Mounted::mount(&image).map_err(SelftestError::Harness)?;
            for line in &ended.lines {
                facts.note(line);
            }
            tally.cuts += 1;
            ground.block_on(facts.check(&disk.point, violations))?;
            ground.tell("power cuts", tally.cuts, wanted);
        }
        tally.facts += facts.len();
    }
    Ok(tally)
}

/// Makes an empty image.
fn make(image: &Path) -> Result<(), String> {
    let made = File::create(image).and_then(|file| file.set_len(IMAGE_BYTES));
    made.map_err(|error| format!("no disk image could be made: {error}"))?;
    system("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), image.as_ref()]).map(drop)
}

/// A mounted image; unmounted when dropped.
struct Mounted {
    point: PathBuf,
    /// Where the kernel counts what the loop device did.
    counters: PathBuf,
}

impl Mounted {
    fn mount(image: &Path) -> Result<Self, String> {
        // The same place for every copy, because a run remembers where its pool is.
        let point = image.with_file_name("mounted");
        fs::create_dir_all(&point).map_err(|error| error.to_string())?;
        // The journal is committed by nobody but fsync, so that a copy is of one instant.
        let options = "loop,commit=300,noatime";
        system("mount", &["-o".as_ref(), options.as_ref(), image.as_ref(), point.as_ref()])?;
        let mut mounted = Self { point, counters: PathBuf::new() };
        let ask = ["-n".as_ref(), "-O".as_ref(), "NAME".as_ref(), "-j".as_ref(), image.as_ref()];
        let device = system("losetup", &ask)?;
        let name = device.trim().rsplit('/').next().unwrap_or_default();
        mounted.counters = Path::new("/sys/block").join(name).join("stat");
        Ok(mounted)
    }

    /// Copies the image at an instant at which nothing is written to it.
    fn copy(&self, image: &Path, copy: &Path) -> Result<(), SelftestError> {
        for _ in 0..QUIET_TRIES {
            let before = self.written()?;
            std::thread::park_timeout(QUIET);
            if before.under_way == 0 && self.written()? == before {
                system("cp", &["--sparse=always".as_ref(), image.as_ref(), copy.as_ref()])
                    .map_err(SelftestError::Harness)?;
                if self.written()? == before {
                    return Ok(());
                }
            }
        }
        Err(SelftestError::Harness("the stopped disk is written to without end".to_owned()))
    }

    fn written(&self) -> Result<Written, SelftestError> {
        let text = fs::read_to_string(&self.counters)?;
        let numbers: Vec<u64> =
            text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let at = |index: usize| numbers.get(index).copied().unwrap_or_default();
        Ok(Written { writes: at(4), sectors: at(6), under_way: at(8) })
    }
}

/// What a device has done so far; Documentation/block/stat.rst of Linux.
#[derive(PartialEq, Eq, Clone, Copy)]
struct Written {
    writes: u64,
    sectors: u64,
    under_way: u64,
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // What has just died may hold it for a moment; lazily, then.
        let point = self.point.as_ref();
        if system("umount", &[point]).is_err() {
            let _left_to_the_system = system("umount", &["-l".as_ref(), point]);
        }
    }
}

/// Runs a program of the system, without a shell; answers what it printed, or why it failed.
fn system(program: &str, arguments: &[&OsStr]) -> Result<String, String> {
    let path = "/usr/sbin:/usr/bin:/sbin:/bin";
    let output = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", path)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program} could not be run: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program} failed: {}", text.trim()))
}
