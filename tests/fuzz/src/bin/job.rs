//! A queued job and the other small values of a store: what is read is written as the same bytes again.
#![no_main]

use gleaner_fuzz::store::codec::{decode_job, encode_job};
use gleaner_fuzz::store::laws;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    let mut sealed = bytes.to_vec();
    laws::seal(&mut sealed);
    check(&sealed);
});

fn check(bytes: &[u8]) {
    if let Ok(job) = decode_job(bytes) {
        assert_eq!(encode_job(&job).unwrap(), bytes);
    }
    laws::a_counter_is_written_as_it_was_read(bytes);
}
