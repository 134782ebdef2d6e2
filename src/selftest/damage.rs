//! A store at rest whose files are damaged: it says what is wrong, or everything is there. Nothing in between.

use super::child::{Ended, Program, Role};
use super::violations::Violations;
use super::{Ground, SelftestError, workload};
use crate::faults::Faults;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the child works on what is damaged afterwards.
const WORK: Duration = Duration::from_millis(400);

/// Every so many damaged stores one is repaired, by turns with and without a copy.
const REPAIR_EVERY: u64 = 5;

/// What was tried, and what came of it.
#[derive(Debug, Default, Clone, Serialize)]
pub struct Damages {
    /// Damages made.
    pub damages: u64,
    /// Of these, told as an error that says what is wrong.
    pub told: u64,
    /// Of these, without effect: everything is there.
    pub harmless: u64,
    /// Repairs without a copy, each of which left a store that opens.
    pub repaired: u64,
    /// Repairs with a copy, each of which brought every event back.
    pub restored: u64,
}

/// Damages copies of a store in `wanted` ways.
pub(super) fn damages(
    ground: &Ground<'_>,
    program: &Program,
    wanted: u64,
    violations: &mut Violations,
) -> Result<Damages, SelftestError> {
    let folder = ground.folder()?;
    workload::write_pool(folder.path())?;
    let child = program.start(Role::Everything, folder.path(), None)?;
    child.work_for(WORK);
    drop(child.kill()?);
    let mut originals = Vec::new();
    for name in [workload::STORE, workload::CAMPAIGN] {
        let state = folder.path().join(name);
        // Twice: the first look gives leases back, the second one sees what stays.
        drop(workload::open(&state, &Faults::none())?);
        let looked = program.finish(Role::Inspect, &state, None)?;
        if !looked.status.success() {
            violations.add(format!("an undamaged store: {}", looked.errors.trim()));
        }
        originals.push((state, known(&looked)));
    }

    let mut tally = Damages::default();
    while tally.damages < wanted && !ground.is_over() {
        let number = tally.damages;
        let Some((original, facts)) = originals.get(usize::from(number % 2 == 1)) else { break };
        let copy = folder.path().join("copy");
        copy_folder(original, &copy)?;
        let what = spoil(ground, number, &copy)?;
        violations.at = format!("damage {number} ({what})");
        let looked = program.finish(Role::Inspect, &copy, None)?;
        tally.damages += 1;
        if looked.hung {
            violations.add("opening hung".to_owned());
        } else if looked.crashed() || looked.status.code().is_none() {
            violations.add(format!("opening crashed: {}", looked.errors.trim()));
        } else if looked.status.success() {
            tally.harmless += 1;
            let lost = facts.difference(&known(&looked)).count();
            if lost > 0 {
                violations.add(format!("{lost} facts are gone, and nobody said so"));
            }
        } else {
            tally.told += 1;
            if !looked.errors.contains("error: ") || looked.errors.trim().len() < 20 {
                violations.add(format!("nothing is said but {:?}", looked.errors));
            }
            if tally.told.is_multiple_of(REPAIR_EVERY) {
                let from =
                    tally.told.is_multiple_of(2 * REPAIR_EVERY).then_some(original.as_path());
                repair(program, &copy, from, facts, &mut tally, violations)?;
            }
        }
        fs::remove_dir_all(&copy)?;
        for old in fs::read_dir(folder.path())?.flatten() {
            if old.file_name().to_string_lossy().starts_with("copy.damaged-") {
                fs::remove_dir_all(old.path())?;
            }
        }
        ground.tell("damages", tally.damages, wanted);
    }
    Ok(tally)
}

/// Repairs a damaged store, and looks what came of it: with a copy every event; without one no event that was not there.
fn repair(
    program: &Program,
    state: &Path,
    copy: Option<&Path>,
    facts: &BTreeSet<String>,
    tally: &mut Damages,
    violations: &mut Violations,
) -> Result<(), SelftestError> {
    let repaired = program.repair(state, copy)?;
    if !repaired.status.success() {
        // What a newer version wrote is not damaged, as far as this one can tell.
        if !repaired.errors.contains("use a newer gleaner") {
            violations.add(format!("repair failed: {}", repaired.errors.trim()));
        }
        return Ok(());
    }
    let looked = program.finish(Role::Inspect, state, None)?;
    let told_lost = |line: &String| {
        let digest = line.strip_prefix("lost: artifact ")?;
        Some(looked.errors.contains(digest.get(2..)?))
    };
    if copy.is_none() && repaired.lines.iter().filter_map(told_lost).any(|named| named) {
        tally.repaired += 1;
        return Ok(());
    }
    if !looked.status.success() {
        violations.add(format!("after the repair: {}", looked.errors.trim()));
        return Ok(());
    }
    let events = |facts: &BTreeSet<String>| -> BTreeSet<String> {
        facts.iter().filter(|line| line.starts_with("event ")).cloned().collect()
    };
    let (before, after) = (events(facts), events(&known(&looked)));
    let (lost, made_up) = (before.difference(&after).count(), after.difference(&before).count());
    if made_up > 0 {
        violations.add(format!("repair brought {made_up} events that were not there"));
    }
    match copy {
        Some(_) if lost > 0 => violations.add(format!("{lost} events of the copy are lost")),
        Some(_) => tally.restored += 1,
        None => tally.repaired += 1,
    }
    Ok(())
}

/// The facts that a child found.
fn known(ended: &Ended) -> BTreeSet<String> {
    ended.lines.iter().cloned().collect()
}

/// Does one damage, and says which.
fn spoil(ground: &Ground<'_>, number: u64, state: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    list(state, &mut files)?;
    let draw = |purpose: &str, below: usize| {
        usize::try_from(ground.draw(purpose, number, below as u64)).unwrap_or_default()
    };
    // Half of the time the log itself, else any file.
    let log = state.join("log").join("db");
    let any = files.get(draw("file", files.len())).cloned().unwrap_or_else(|| log.clone());
    let path = if draw("log or any", 2) == 0 { log } else { any };
    let other = files.get(draw("other file", files.len())).cloned().unwrap_or_else(|| path.clone());
    let name = path.strip_prefix(state).unwrap_or(&path).display().to_string();
    let length = fs::metadata(&path)?.len();
    let place = ground.draw("place", number, length);
    let file = OpenOptions::new().read(true).write(true).open(&path)?;
    Ok(match draw("kind", 6) {
        0 | 1 => {
            flip(&file, length, place, draw("bit", 8))?;
            format!("a flipped bit at {place} of {name}")
        }
        2 => {
            for flip_number in 0..64_u64 {
                let key = number * 64 + flip_number;
                flip(&file, length, ground.draw("places", key, length), draw("bits", 8))?;
            }
            format!("64 flipped bits in {name}")
        }
        3 => {
            file.set_len(place)?;
            format!("{name} cut to {place} of {length} bytes")
        }
        4 => {
            let sector = place / 512 * 512;
            let end = length.min(sector + 512);
            file.write_all_at(&vec![0; usize::try_from(end - sector).unwrap_or(0)], sector)?;
            format!("a sector of zeros at {sector} of {name}")
        }
        _ if other != path => {
            let swap = state.join("swap");
            fs::rename(&path, &swap)?;
            fs::rename(&other, &path)?;
            fs::rename(&swap, &other)?;
            format!("{name} swapped with {}", other.strip_prefix(state).unwrap_or(&other).display())
        }
        _ => {
            fs::remove_file(&path)?;
            format!("{name} removed")
        }
    })
}

fn flip(file: &File, length: u64, place: u64, bit: usize) -> io::Result<()> {
    if place >= length {
        return Ok(());
    }
    let mut byte = [0];
    file.read_exact_at(&mut byte, place)?;
    byte = byte.map(|byte| byte ^ (1 << bit));
    file.write_all_at(&byte, place)
}

/// Every file under a folder, in order.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>()?;
    entries.sort_unstable();
    for path in entries {
        if path.is_dir() {
            list(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// Copies a state directory as it lies there. Of one that is open, the copy is what a kill at this instant would leave behind.
///
/// # Errors
/// What the system says.
pub fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_folder(&path, &target)?;
        } else {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}
