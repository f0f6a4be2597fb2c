//! Images that cannot be embedded.

use std::path::PathBuf;

use embedkit_types::{Error, ErrorKind, Hint};

use crate::PreprocessError;

/// An image cannot be read, decoded or preprocessed.
#[derive(Debug, thiserror::Error)]
#[error("{} {source}", path.as_ref().map_or("the image".into(), |path| path.to_string_lossy()))]
pub struct ImageError {
    /// File of the image, where it came as a path.
    pub path: Option<PathBuf>,
    /// The fault of the image.
    pub source: PreprocessError,
}

impl ImageError {
    /// The error of one image, which is named once.
    pub(super) fn new(path: Option<PathBuf>, error: PreprocessError) -> Self {
        let source = match error {
            PreprocessError::File { source, .. } => *source,
            error => error,
        };
        Self { path, source }
    }

    /// Class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.source.kind()
    }

    /// Advice, where something can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<Hint> {
        self.source.hint()
    }
}

impl From<ImageError> for Error {
    fn from(error: ImageError) -> Self {
        let hint = error.hint();
        Self::new(error.kind(), error).with_hint(hint)
    }
}
