//! A chunk of records, as it is indexed when a store opens and read afterwards.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gleaner_fuzz::store::laws::a_chunk_is_read_or_damaged(
    bytes
));
