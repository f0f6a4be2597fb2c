//! Options that a kind of model does not have, and values that they cannot have.

use embedkit_types::{Error, ErrorKind, Hint};

/// An error of an option of a sparse model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionError {
    /// The kind of model does not have the option.
    #[error("{kind} has no option {option:?}; it has {known:?}")]
    Unknown {
        /// Kind of model, as in its description.
        kind: &'static str,
        /// Name of the option.
        option: String,
        /// Options that the kind has.
        known: &'static [&'static str],
    },
    /// The value is not one of those allowed.
    #[error("the option {option} cannot be {value}, expected {expected}")]
    Value {
        /// Name of the option.
        option: &'static str,
        /// The value.
        value: String,
        /// Values allowed, in words.
        expected: &'static str,
    },
    /// There is no stemmer for the language.
    #[error("there is no stemmer for the language {language:?}; there are stemmers for {known:?}")]
    UnknownLanguage {
        /// Language asked for.
        language: String,
        /// Languages with stemmers.
        known: Vec<&'static str>,
    },
    /// A stemmer was given, and stemming switched off.
    #[error("a stemmer of one's own and `disable_stemmer` exclude each other")]
    StemmerAndDisabled,
}

impl OptionError {
    /// Class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::InvalidInput
    }

    /// Advice, where something can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<Hint> {
        matches!(self, Self::UnknownLanguage { .. }).then(|| {
            Hint::Advice(
                "with `disable_stemmer`, or a stemmer of your own, any language will do".into(),
            )
        })
    }
}

impl From<OptionError> for Error {
    fn from(error: OptionError) -> Self {
        let hint = error.hint();
        Self::new(error.kind(), error).with_hint(hint)
    }
}
