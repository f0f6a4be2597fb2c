//! The routes in one process, and the server on sockets. No network beyond loopback.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod contract;
mod dialects;
mod fetch;
mod load;
mod models;
mod openapi;
mod sockets;
mod support;
mod tei;
mod vectors;
