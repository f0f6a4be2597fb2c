//! Tables of static models.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| embedkit_text_dense::fuzzing::static_table(data));
