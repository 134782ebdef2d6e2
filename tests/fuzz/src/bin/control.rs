//! A line on the control socket, in either direction.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gleaner_fuzz::control::laws::a_line_reads_back(bytes));
