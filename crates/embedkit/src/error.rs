//! What can go wrong anywhere.

use embedkit_core::registry::LookupError;

/// An error of any part of embedkit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No model of that name.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The model's files cannot be had.
    #[cfg(feature = "hub")]
    #[error(transparent)]
    Hub(#[from] embedkit_hub::Error),
    /// A dense text model.
    #[cfg(feature = "text-dense")]
    #[error(transparent)]
    TextDense(#[from] embedkit_text_dense::Error),
}

impl Error {
    /// What the user can do about it, where we know.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Lookup(error) => Some(error.hint()),
            #[cfg(feature = "hub")]
            Self::Hub(error) => error.hint(),
            #[cfg(feature = "text-dense")]
            Self::TextDense(error) => error.hint(),
        }
    }
}
