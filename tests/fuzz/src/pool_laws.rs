//! What must hold for a pool that loads, whatever it was read from.

use crate::pool::Pool;

/// It is whole: every sample has its numbers, its id, a class that there is, and a part of the split or one that stands for
/// it; and it holds all of itself.
pub fn check(pool: &Pool) {
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
