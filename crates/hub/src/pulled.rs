//! The result of a download.

use embedkit_types::{FileDigest, ModelFiles};

/// A model that [`Hub::pull`](crate::Hub::pull) brought up to date.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Pulled {
    /// The files, ready to be opened.
    pub files: ModelFiles,
    /// The commit that they belong to; the SHA-256 of an archive that was just unpacked, empty for one
    /// that was there.
    pub commit: String,
    /// Each file that the model needs, in no particular order; empty where the network was not needed.
    pub fetched: Vec<FetchedFile>,
}

/// One file of a download.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FetchedFile {
    /// Its name in the repository, its size and its hash.
    pub file: FileDigest,
    /// True if it was in the cache already, with the right content.
    pub reused: bool,
}
