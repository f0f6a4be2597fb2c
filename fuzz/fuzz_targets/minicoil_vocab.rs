//! MiniCOIL vocabularies.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| embedkit_sparse::fuzzing::minicoil_vocab(data));
