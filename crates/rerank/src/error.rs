//! Scores that cannot be ranked.

use embedkit_types::ErrorKind;

/// A score is no number, so that it has no place in an order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{id} gave no number for document {index}, so it cannot be ranked")]
pub struct NotANumber {
    /// Id of the model.
    pub id: String,
    /// Position of the document, from 0.
    pub index: usize,
}

impl NotANumber {
    /// Class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Runtime
    }
}

impl From<NotANumber> for embedkit_types::Error {
    fn from(error: NotANumber) -> Self {
        Self::new(error.kind(), error)
    }
}
