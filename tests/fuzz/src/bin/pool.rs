//! A pool file; its first byte says how the workflow describes it.
#![no_main]

use gleaner_fuzz::domain::definition::{Broken, Duplicates, PoolSource, PoolSpec};
use gleaner_fuzz::pool_laws::load;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| load(bytes, "p.csv", |flag| PoolSpec {
    source: PoolSource::Csv,
    path: "p.csv".into(),
    id_column: flag(0).then(|| "id".into()),
    scale: if flag(1) { 0.0625 } else { 1.0 },
    classes: if flag(2) { vec!["0".into(), "1".into()] } else { vec![] },
    validation: if flag(3) { 0.1 } else { 0.0 },
    test: if flag(4) { 0.3 } else { 0.0 },
    broken: if flag(5) { Broken::Skip } else { Broken::Fail },
    duplicates: if flag(6) { Duplicates::Keep } else { Duplicates::Once },
    seed: 7,
    ..PoolSpec::default()
}));
