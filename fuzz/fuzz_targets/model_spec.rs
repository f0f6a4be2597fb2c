//! Descriptions of models.

#![no_main]

#[path = "../../crates/types/tests/it/fuzzed.rs"]
mod fuzzed; // it needs nothing but the public interface

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::model_spec(data));
