//! Progress events of a download or conversion.

use std::time::Duration;

use crate::Error;

/// One step of a download or conversion. Files are named as the repository names them.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Another process is downloading or converting the same files; this one waits for it.
    Waiting {
        /// Id of the model.
        model: &'a str,
    },
    /// The transfer of a file begins.
    Started {
        /// The file.
        file: &'a str,
        /// Its size in bytes, where it is known.
        size: Option<u64>,
    },
    /// So many bytes of the file are here. Goes back where a transfer has to start over.
    Received {
        /// The file.
        file: &'a str,
        /// Bytes from the start of the file.
        bytes: u64,
    },
    /// A fault that may pass; the request is made again.
    Retrying {
        /// The file, or the repository where its list of files is asked for.
        file: &'a str,
        /// The fault.
        error: &'a Error,
        /// The wait before the next request.
        wait: Duration,
    },
    /// The file is complete, checked and in its place.
    Finished {
        /// The file.
        file: &'a str,
        /// Its size in bytes.
        size: u64,
    },
    /// A graph is being made from the model's files.
    Converting {
        /// Id of the model.
        model: &'a str,
    },
    /// So many bytes of the graph are written.
    Writing {
        /// Id of the model.
        model: &'a str,
        /// Bytes from the start of the graph.
        bytes: u64,
        /// Bytes of the whole graph.
        size: u64,
    },
    /// The graph is complete and in its place.
    Converted {
        /// Id of the model.
        model: &'a str,
    },
}
