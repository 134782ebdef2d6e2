//! A pool file; its first byte says how the workflow describes it.
#![no_main]

use gleaner_fuzz::domain::definition::{Broken, Duplicates, PoolSource, PoolSpec};
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
            id_column: flag(0).then(|| "id".into()),
            scale: if flag(1) { 0.0625 } else { 1.0 },
            classes: if flag(2) { vec!["0".into(), "1".into()] } else { vec![] },
            validation: if flag(3) { 0.1 } else { 0.0 },
            test: if flag(4) { 0.3 } else { 0.0 },
            broken: if flag(5) { Broken::Skip } else { Broken::Fail },
            duplicates: if flag(6) { Duplicates::Keep } else { Duplicates::Once },
            seed: 7,
            ..PoolSpec::default()
        };
        if let Ok(pool) = Pool::load(&spec, Path::new("/")) {
            gleaner_fuzz::pool_laws::check(&pool);
        }
    });
});
