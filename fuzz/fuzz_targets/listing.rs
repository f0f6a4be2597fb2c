//! The hub's file list of a repository.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| embedkit_hub::fuzzing::listing(data));
