//! What can go wrong with a cross-encoder.

/// An error of a cross-encoder.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Files, tokenizer, runtime or graph.
    #[error(transparent)]
    Core(#[from] embedkit_core::Error),
    /// The description is of a model of another family.
    #[error("{id} is a model for {found}, not for rerank")]
    WrongTask {
        /// The model.
        id: String,
        /// The task in its description.
        found: &'static str,
    },
    /// An option was given that has no meaning for scores.
    #[error("{id} gives scores, for which `{option}` has no meaning")]
    Option {
        /// The model.
        id: String,
        /// The option.
        option: &'static str,
    },
    /// A score is no number, so that it has no place in an order.
    #[error("{id} gave no number for document {index}, so it cannot be ranked")]
    NotANumber {
        /// The model.
        id: String,
        /// The document, counted from 0.
        index: usize,
    },
}

impl embedkit_core::pipeline::RowError for Error {
    fn core(&self) -> Option<&embedkit_core::Error> {
        if let Self::Core(error) = self { Some(error) } else { None }
    }
}

impl Error {
    /// What the user can do about it, where we know.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Core(error) => error.hint(),
            _ => None,
        }
    }
}
