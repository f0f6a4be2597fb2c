//! File lists of wheels.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| embedkit_hub::fuzzing::wheel_record(data));
