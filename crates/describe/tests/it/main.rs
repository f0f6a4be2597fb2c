//! Descriptions of folders, and models that were opened by them.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "in tests")]

mod decoders;
mod golden;
mod kinds;
mod memory;
mod plain;
