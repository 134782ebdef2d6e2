//! How much memory a process group holds, read from Linux's `/proc` (proc_pid_stat(5), proc_pid_status(5)).

use std::fs;
use std::path::Path;

/// The resident memory of all processes of a group together, in bytes; a process that ends meanwhile counts as nothing.
pub(super) fn resident(proc: &Path, group: u32) -> u64 {
    let Ok(entries) = fs::read_dir(proc) else { return 0 };
    let folders = entries.filter_map(Result::ok).filter(|entry| {
        entry.file_name().to_str().is_some_and(|name| name.bytes().all(|b| b.is_ascii_digit()))
    });
    let kibibytes = folders.filter_map(|entry| {
        let stat = fs::read(entry.path().join("stat")).ok()?;
        if group_of(&String::from_utf8_lossy(&stat)) != Some(group) {
            return None;
        }
        let status = fs::read(entry.path().join("status")).ok()?;
        resident_kibibytes(&String::from_utf8_lossy(&status))
    });
    kibibytes.fold(0, u64::saturating_add).saturating_mul(1024)
}

/// The process group: the fifth field. The second is a name in parentheses, and may hold blanks and parentheses itself.
fn group_of(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(2)?.parse().ok()
}

/// What `VmRSS` says; a zombie has none.
fn resident_kibibytes(status: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    value.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_by_its_group_whatever_it_is_called() {
        assert_eq!(group_of("7 (a) b (c)) S 1 42 42 0 -1"), Some(42));
        assert_eq!(group_of("7 (a"), None);
        assert_eq!(group_of(""), None);
    }

    #[test]
    fn the_memory_of_a_group_is_the_sum_of_its_processes() {
        let proc = tempfile::tempdir().unwrap();
        for (pid, group, status) in [
            ("10", 10, "Name:\tx\nVmRSS:\t     100 kB\n"),
            ("11", 10, "VmRSS:\t20 kB\n"),
            ("12", 10, "State:\tZ (zombie)\n"),
            ("13", 9, "VmRSS:\t4000 kB\n"),
            ("self", 10, "VmRSS:\t4000 kB\n"),
        ] {
            let folder = proc.path().join(pid);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("stat"), format!("{pid} (x) S 1 {group} 0")).unwrap();
            fs::write(folder.join("status"), status).unwrap();
        }
        assert_eq!(resident(proc.path(), 10), 120 * 1024);
        assert_eq!(resident(&proc.path().join("absent"), 10), 0);
    }
}
