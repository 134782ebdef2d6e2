//! Lines of JSON; the first byte says how the workflow describes them.
#![no_main]

use gleaner_fuzz::domain::definition::{Broken, PoolSource, PoolSpec};
use gleaner_fuzz::pool::Pool;
use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use std::fs;
use tempfile::TempDir;

thread_local! {
    /// A pool is loaded from files, so there is a folder, written anew each time.
    static FOLDER: RefCell<TempDir> = RefCell::new(tempfile::tempdir().unwrap());
}

fuzz_target!(|bytes: &[u8]| {
    let Some((flags, bytes)) = bytes.split_first() else { return };
    let flag = |bit: u8| flags & (1 << bit) != 0;
    FOLDER.with_borrow(|folder| {
        fs::write(folder.path().join("p.jsonl"), bytes).unwrap();
        let spec = PoolSpec {
            broken: if flag(0) { Broken::Skip } else { Broken::Fail },
            classes: vec!["0".into(), "1".into()],
            source: PoolSource::Jsonl,
            path: "p.jsonl".into(),
            text_field: (!flag(1)).then(|| "t".into()),
            features_field: flag(1).then(|| "e".into()),
            id_column: flag(2).then(|| "id".into()),
            metadata: if flag(3) { vec!["m".into()] } else { vec![] },
            seconds_column: flag(4).then(|| "s".into()),
            width: Some(8),
            ..PoolSpec::default()
        };
        if let Ok(pool) = Pool::load(&spec, folder.path()) {
            gleaner_fuzz::pool_laws::check(&pool);
        }
    });
});
