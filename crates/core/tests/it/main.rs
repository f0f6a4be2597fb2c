//! The core against the original's tokens, and its pipeline against every way a step can go.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "in tests")]

mod engine;
mod external;
mod faults;
mod fuzzed;
mod operators;
mod pipeline;
mod spans;
mod template;
mod tokens;
