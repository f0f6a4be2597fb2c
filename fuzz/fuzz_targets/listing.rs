//! The hub's list of a repository's files.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| embedkit_hub::fuzzing::listing(data));
