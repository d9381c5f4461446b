//! The receiver before a ring of any bytes: end word, discard word and the ways of receiving (8
//! bytes each), then the ring, which begins at position 0.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| twocan::fuzzing::records(bytes));
