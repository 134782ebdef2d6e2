//! An image, PNG or JPEG by its first bytes.
#![no_main]

use gleaner_fuzz::domain::definition::{Broken, ImageChannels, PoolSource, PoolSpec};
use gleaner_fuzz::pool_laws::load;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| load(bytes, "p.png", |flag| PoolSpec {
    broken: if flag(0) { Broken::Skip } else { Broken::Fail },
    classes: vec!["0".into(), "1".into()],
    source: PoolSource::Images,
    path: ".".into(),
    size: Some(if flag(1) { [2, 3] } else { [16, 16] }),
    channels: if flag(2) { ImageChannels::Grey } else { ImageChannels::Colour },
    ..PoolSpec::default()
}));
