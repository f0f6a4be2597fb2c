//! The program as scripts see it: statuses, standard output, standard error. No network, and nothing
//! of the machine's own caches and settings.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod compare;
mod convert;
mod doctor;
mod embed;
mod failures;
mod hybrid;
mod images;
mod late;
mod models;
mod names;
mod output;
mod plot;
mod precision;
mod program;
#[cfg(unix)]
mod python;
mod quantize;
mod rerank;
mod runtime;
mod search;
#[cfg(all(unix, feature = "serve"))]
mod serve;
#[cfg(target_os = "linux")]
mod signals;
mod sparse;
#[cfg(target_os = "linux")]
mod terminal;
