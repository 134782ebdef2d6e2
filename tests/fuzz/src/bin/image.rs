//! An image, PNG or JPEG by its first bytes.
#![no_main]

use gleaner_fuzz::domain::definition::{Broken, ImageChannels, PoolSource, PoolSpec};
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
        fs::write(folder.path().join("p.png"), bytes).unwrap();
        let spec = PoolSpec {
            broken: if flag(0) { Broken::Skip } else { Broken::Fail },
            classes: vec!["0".into(), "1".into()],
            source: PoolSource::Images,
            path: ".".into(),
            size: Some(if flag(1) { [2, 3] } else { [16, 16] }),
            channels: if flag(2) { ImageChannels::Grey } else { ImageChannels::Colour },
            ..PoolSpec::default()
        };
        if let Ok(pool) = Pool::load(&spec, folder.path()) {
            gleaner_fuzz::pool_laws::check(&pool);
        }
    });
});
