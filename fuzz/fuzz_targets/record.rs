//! The record of downloaded files.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| embedkit_hub::fuzzing::record(data));
