//! Functions, jobs and clusters. One program, since the engines take long to link.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "in tests")]

#[cfg(feature = "cluster")]
mod cluster;
mod costs;
mod functions;
mod job;
mod overhead;
mod support;
