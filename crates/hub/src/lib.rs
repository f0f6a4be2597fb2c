//! The files of models, from a folder, a cache, or the hub itself.
//!
//! [`Hub`] turns a [`ModelSpec`](embedkit_types::ModelSpec) into files on disk. A model that is
//! complete in a cache is opened without any network: in our own cache, or in that of the hub's
//! other tools, whose layout ours shares. Otherwise its files are downloaded, all of one commit,
//! and each becomes visible only once its size and hash are right; a model may also come as one
//! archive from an address of its own. [`Hub::verify`] hashes cached files again, [`Hub::look_up`] asks
//! for the commit and hashes that a model's description could pin. [`local`] takes a folder of the
//! user's own.
//!
//! A repository without a description is a [`Snapshot`]: [`Hub::snapshot`] lists its files at one commit
//! and [`Hub::fetch`] brings those to the disk that describe the model. [`Hub::converted`] keeps graphs that
//! were made from a model's files.
//!
//! ```
//! use embedkit_hub::{Error, Hub};
//! use embedkit_types::{ModelSpec, Source};
//!
//! let spec = ModelSpec {
//!     id: "me/my-model".into(),
//!     source: Source { repo: Some("me/my-model-onnx".into()), ..Source::DEFAULT },
//!     ..ModelSpec::DEFAULT
//! };
//! let mut hub = Hub::new("an/empty/folder");
//! hub.offline = true;
//! let Err(Error::Offline { missing, .. }) = hub.files(&spec) else { panic!() };
//! assert!(missing.contains(&"tokenizer.json".to_string()));
//! ```
//!
//! [`runtime`] installs the ONNX Runtime library; [`pip`] and [`wheel`] fetch and open the Python
//! packages that it and the project's own tests come from.
//!
//! This is the only library of the project that opens a socket. The layout of the cache, with the names
//! of its folders, is that of the crate `hf-hub` 0.5 without its features: three small crates come with
//! it and no HTTP client. The transfer is our own: that of `hf-hub` 0.5 resumes without checking
//! that the server agreed to, and compares neither size nor hash of the content; version 1.0 brings an
//! asynchronous runtime and some 220 crates along with its types. `ureq` is a small,
//! blocking HTTP client with TLS in Rust; the list of trusted certificates is built in, so that bare
//! containers work, and `SSL_CERT_FILE` replaces it.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod archive;
mod config;
mod converted;
mod digest;
mod download;
mod error;
mod event;
mod external;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod hub;
mod inspect;
mod isolated;
mod layout;
mod listing;
mod lock;
mod look_up;
mod names;
mod needed;
pub mod pip;
mod probe;
mod pulled;
mod record;
mod retry;
pub mod runtime;
mod search;
mod snapshot;
mod staging;
mod state;
mod transfer;
mod unpack;
mod verify;
pub mod wheel;

pub use config::{Hub, OnEvent, Retries, Timeouts, Token};
pub use converted::Conversion;
pub use error::Error;
pub use event::Event;
pub use look_up::LookedUp;
pub use needed::{NeededFiles, local, needed_files};
pub use probe::Probe;
pub use pulled::{FetchedFile, Pulled};
pub use snapshot::Snapshot;
pub use state::CacheState;
pub use verify::{Outcome, VerifiedFile};
