//! What must hold for a pool that loads, whatever it was read from.

use crate::domain::definition::PoolSpec;
use crate::pool::Pool;
use std::cell::RefCell;
use std::fs;
use tempfile::TempDir;

thread_local! {
    /// A pool is loaded from files, so there is a folder, written anew each time.
    static FOLDER: RefCell<TempDir> = RefCell::new(tempfile::tempdir().unwrap());
}

/// Flags from the first byte, the rest as the file `name`: whatever pool `spec` reads from it must be whole.
pub fn load(bytes: &[u8], name: &str, spec: impl FnOnce(&dyn Fn(u8) -> bool) -> PoolSpec) {
    let Some((flags, bytes)) = bytes.split_first() else { return };
    let spec = spec(&|bit| flags & (1 << bit) != 0);
    FOLDER.with_borrow(|folder| {
        fs::write(folder.path().join(name), bytes).unwrap();
        if let Ok(pool) = Pool::load(&spec, folder.path()) {
            check(&pool);
        }
    });
}

/// It is whole: every sample has its numbers, its id, a class that there is, and a part of the split or one that stands for
/// it; and it holds all of itself.
fn check(pool: &Pool) {
    let count = pool.len();
    assert!(count > 0);
    let rows: Vec<usize> = (0..count).collect();
    let features = pool.gather(&rows).expect("what was opened can be read");
    assert_eq!(features.first_non_finite(), None);
    for row in 0..count {
        assert_eq!(pool.index_of(&pool.sample(row)), Some(row));
        assert!(pool.label(row).is_none_or(|label| (label as usize) < pool.classes().len()));
    }
    let split = pool.split();
    let mut parts: Vec<usize> = split.train.iter().collect();
    parts.extend(split.validation.iter().chain(&split.test));
    parts.extend((0..count).filter(|&row| pool.duplicate_of(row).is_some()));
    parts.sort_unstable();
    assert_eq!(parts, rows);
    let mut measured = split.validation.iter().chain(&split.test);
    assert!(measured.all(|&row| pool.label(row).is_some()));
    let manifest = pool.manifest().expect("what was opened can be read");
    assert_eq!(crate::domain::digest::Digest::of(&manifest), pool.version());
}
