//! Short texts: ids, digests, and the small files of a state directory.
#![no_main]

use gleaner_fuzz::domain::digest::Digest;
use gleaner_fuzz::domain::ids::RunId;
use gleaner_fuzz::faults::Fault;
use gleaner_fuzz::store::laws;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    laws::marks_are_read_as_written(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text.to_lowercase());
    }
    if let Ok(run) = text.parse::<RunId>() {
        assert_eq!(run.to_string().parse(), Ok(run));
    }
    if let Some(fault) = Fault::named(text) {
        assert_eq!(fault.name(), text);
    }
});
