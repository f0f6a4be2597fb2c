//! ONNX files before loading, as far as they are inspected.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| embedkit_core::fuzzing::onnx_outline(data));
