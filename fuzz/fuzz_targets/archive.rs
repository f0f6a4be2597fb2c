//! Archives of models.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| embedkit_hub::fuzzing::archive(data));
