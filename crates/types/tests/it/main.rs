//! Descriptions of models that others wrote.

#![cfg(feature = "serde")]
#![allow(clippy::unwrap_used, reason = "in tests")]

mod fuzzed;
