//! Layers that PyTorch has saved.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| embedkit_core::fuzzing::torch_state(data));
