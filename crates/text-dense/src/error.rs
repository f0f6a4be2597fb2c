//! Buffers that do not fit the vectors.

use embedkit_types::{Error, ErrorKind};

/// A buffer does not have the size of the matrix that is written into it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a buffer for {rows} vectors of dimension {dim}, got one of {found} components")]
pub struct WrongBuffer {
    /// Number of vectors.
    pub rows: usize,
    /// Dimension of the vectors.
    pub dim: usize,
    /// Components of the buffer.
    pub found: usize,
}

impl WrongBuffer {
    /// Class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidInput
    }
}

impl From<WrongBuffer> for Error {
    fn from(error: WrongBuffer) -> Self {
        Self::new(error.kind(), error)
    }
}
