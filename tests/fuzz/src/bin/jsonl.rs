//! Lines of JSON; the first byte says how the workflow describes them.
#![no_main]

use gleaner_fuzz::domain::definition::{Broken, PoolSource, PoolSpec};
use gleaner_fuzz::pool_laws::load;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| load(bytes, "p.jsonl", |flag| PoolSpec {
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
}));
