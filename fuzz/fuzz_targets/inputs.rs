//! Input files, as lines and as JSON lines.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| embedkit_cli::fuzzing::inputs(data));
