//! ONNX files for quantisation.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| embedkit_convert::fuzzing::quantize(data));
