//! What can go wrong anywhere.

use embedkit_core::registry::LookupError;
use embedkit_types::ErrorKind;

/// An error of any part of embedkit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No model of that name.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// A model was opened without files that needs some.
    #[error("{id} cannot be opened without its files")]
    NeedsFiles {
        /// The model.
        id: String,
    },
    /// An input or output that does not fit the model.
    #[error(transparent)]
    Model(#[from] embedkit_types::Error),
    /// The model's files cannot be had.
    #[cfg(feature = "hub")]
    #[error(transparent)]
    Hub(#[from] embedkit_hub::Error),
    /// A dense text model.
    #[cfg(feature = "text-dense")]
    #[error(transparent)]
    TextDense(#[from] embedkit_text_dense::Error),
    /// A sparse text model.
    #[cfg(feature = "any-sparse")]
    #[error(transparent)]
    Sparse(#[from] embedkit_sparse::Error),
    /// A late-interaction model, MaxSim or token pooling.
    #[cfg(feature = "late-interaction")]
    #[error(transparent)]
    LateInteraction(#[from] embedkit_late_interaction::Error),
    /// An image model.
    #[cfg(feature = "image")]
    #[error(transparent)]
    Image(#[from] embedkit_image::Error),
    /// A cross-encoder.
    #[cfg(feature = "rerank")]
    #[error(transparent)]
    Rerank(#[from] embedkit_rerank::Error),
    /// MUVERA.
    #[cfg(feature = "postprocess")]
    #[error(transparent)]
    Postprocess(#[from] embedkit_postprocess::Error),
}

impl Error {
    #[cfg(feature = "any-model")]
    pub(crate) fn new(
        kind: ErrorKind,
        cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Model(embedkit_types::Error::new(kind, cause))
    }

    /// What the user can do about it, where we know.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Lookup(error) => Some(error.hint()),
            Self::Model(error) => error.hint().map(ToString::to_string),
            Self::NeedsFiles { .. } => Some("give the folder with the model's files".to_owned()),
            #[cfg(feature = "hub")]
            Self::Hub(error) => error.hint(),
            #[cfg(feature = "text-dense")]
            Self::TextDense(error) => error.hint(),
            #[cfg(feature = "any-sparse")]
            Self::Sparse(error) => error.hint(),
            #[cfg(feature = "late-interaction")]
            Self::LateInteraction(error) => error.hint(),
            #[cfg(feature = "image")]
            Self::Image(error) => error.hint(),
            #[cfg(feature = "rerank")]
            Self::Rerank(error) => error.hint(),
            #[cfg(feature = "postprocess")]
            Self::Postprocess(error) => error.hint(),
        }
    }
}
