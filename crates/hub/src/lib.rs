//! embedkit crate.
