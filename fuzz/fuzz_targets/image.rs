//! Images of every format, from bytes to a tensor.

#![no_main]

#[path = "../../crates/image/tests/it/preprocess/fuzzed.rs"]
#[expect(dead_code, reason = "the other target's function")]
mod fuzzed; // it needs nothing but the public interface

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::image(data));
