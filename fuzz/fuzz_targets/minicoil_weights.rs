//! MiniCOIL weight matrices.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| embedkit_sparse::fuzzing::minicoil_weights(data));
