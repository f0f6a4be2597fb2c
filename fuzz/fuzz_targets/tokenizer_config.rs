//! Configurations of tokenizers.

#![no_main]

#[path = "../../crates/core/tests/it/fuzzed.rs"]
mod fuzzed; // it needs nothing but the public interface

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::tokenizer_config(data));
