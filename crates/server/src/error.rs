//! Errors of starting the server.

use std::{io, path::PathBuf};

/// Reason why the server does not start, or ends.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// No model is given.
    #[error("there is no model to serve")]
    NoModel,
    /// Two models have one name.
    #[error("two models have the name {name:?}")]
    SameName {
        /// The name.
        name: String,
    },
    /// A model cannot be described or loaded.
    #[error("{name} cannot be served: {source}")]
    Model {
        /// The name for clients.
        name: String,
        /// Cause.
        source: embedkit::Error,
    },
    /// A file of keys cannot be used.
    #[error("{} is no file of keys: {reason}", path.display())]
    Keys {
        /// The file.
        path: PathBuf,
        /// Reason.
        reason: String,
    },
    /// An origin of pages is none.
    #[error("{origin:?} is no origin, expected such as https://example.com, or *")]
    Origin {
        /// The text.
        origin: String,
    },
    /// A limit is 0.
    #[error("the limit `{limit}` is 0, expected more")]
    Zero {
        /// Name of the field.
        limit: &'static str,
    },
    /// A file for HTTPS cannot be used.
    #[error("{} cannot be used for HTTPS: {reason}", path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// Reason.
        reason: String,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: String,
        /// Cause.
        source: io::Error,
    },
    /// The system has no threads or signals for the server.
    #[error("the server cannot run: {0}")]
    Runtime(io::Error),
}
