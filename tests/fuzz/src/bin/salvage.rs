//! A damaged file of a store, in which records are looked for.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gleaner_fuzz::store::laws::what_is_salvaged_is_whole(
    bytes
));
