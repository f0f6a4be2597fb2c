//! ONNX files that are to be loaded, as far as we look at them.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| embedkit_core::fuzzing::onnx_outline(data));
