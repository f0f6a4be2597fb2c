//! Configurations of checkpoints for conversion.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| embedkit_convert::fuzzing::config(data));
