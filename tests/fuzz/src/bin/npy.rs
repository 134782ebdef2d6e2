//! A NumPy matrix: as a pool, as its labels, and as its predictions.
#![no_main]

use gleaner_fuzz::domain::definition::{Broken, PoolSource, PoolSpec};
use gleaner_fuzz::pool_laws::load;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| load(bytes, "p.npy", |flag| PoolSpec {
    broken: if flag(0) { Broken::Skip } else { Broken::Fail },
    classes: vec!["0".into(), "1".into()],
    source: PoolSource::Npy,
    path: "p.npy".into(),
    labels: flag(1).then(|| "p.npy".into()),
    predictions: flag(2).then(|| "p.npy".into()),
    scale: if flag(3) { 1e30 } else { 1.0 },
    ..PoolSpec::default()
}));
