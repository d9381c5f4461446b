//! Names of objects, and file names that may stand for one.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        twocan::fuzzing::names(text);
    }
});
