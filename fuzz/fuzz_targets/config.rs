//! Configurations of checkpoints that are to be converted.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| embedkit_convert::fuzzing::config(data));
