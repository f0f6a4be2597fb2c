//! Functions, jobs and clusters. One program, since the engines take long to link.

#[cfg(feature = "cluster")]
mod cluster;
mod costs;
mod functions;
mod job;
mod overhead;
mod support;
