//! A pool file; its first byte says how the workflow describes it.
#![no_main]

use gleaner_fuzz::domain::definition::{PoolSource, PoolSpec};
use gleaner_fuzz::pool::Pool;
use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use std::fs;
use std::path::Path;
use tempfile::NamedTempFile;

thread_local! {
    /// A pool is loaded from a file, so there is one, written anew each time.
    static FILE: RefCell<NamedTempFile> = RefCell::new(NamedTempFile::new().unwrap());
}

fuzz_target!(|bytes: &[u8]| {
    let Some((flags, text)) = bytes.split_first() else { return };
    let flag = |bit: u8| flags & (1 << bit) != 0;
    FILE.with_borrow(|file| {
        fs::write(file.path(), text).unwrap();
        let spec = PoolSpec {
            source: PoolSource::Csv,
            path: file.path().to_str().unwrap().to_owned(),
            label_column: "label".into(),
            id_column: flag(0).then(|| "id".into()),
            shape: vec![],
            scale: if flag(1) { 0.0625 } else { 1.0 },
            classes: if flag(2) { vec!["0".into(), "1".into()] } else { vec![] },
            validation: if flag(3) { 0.1 } else { 0.0 },
            test: if flag(4) { 0.3 } else { 0.0 },
            seed: 7,
        };
        if let Ok(pool) = Pool::load(&spec, Path::new("/")) {
            check(&pool);
        }
    });
});

/// A pool that loads is whole: every sample has its number, its id, a class that there is, and a part of the split.
fn check(pool: &Pool) {
    let count = pool.ids().len();
    assert_eq!(pool.features().rows(), count);
    assert_eq!(pool.features().first_non_finite(), None);
    for (index, id) in pool.ids().iter().enumerate() {
        assert_eq!(pool.index_of(id), Some(index));
        assert!(pool.label(index).is_none_or(|label| (label as usize) < pool.classes().len()));
    }
    let split = pool.split();
    let mut rows: Vec<usize> =
        [&split.train, &split.validation, &split.test].into_iter().flatten().copied().collect();
    rows.sort_unstable();
    assert!(rows.iter().copied().eq(0..count), "{rows:?} are not the {count} rows");
    let measured = split.validation.iter().chain(&split.test);
    assert!(measured.copied().all(|row| pool.label(row).is_some()));
}
