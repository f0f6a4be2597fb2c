//! What can go wrong with a sparse model.

/// An error of a sparse model.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Files, tokenizer, runtime or graph.
    #[error(transparent)]
    Core(#[from] embedkit_core::Error),
    /// The description is of a model of another family.
    #[error("{id} is a model for {found}, not for sparse")]
    WrongTask {
        /// The model.
        id: String,
        /// The task in its description.
        found: &'static str,
    },
    /// This build cannot run this kind of model.
    #[error("{id} needs the feature `{feature}` of embedkit-sparse, which this build lacks")]
    NotCompiled {
        /// The model.
        id: String,
        /// The feature that is missing.
        feature: &'static str,
    },
    /// A model was opened without files that needs some.
    #[error("{id} cannot be opened without its files; only BM25 can")]
    NeedsFiles {
        /// The model.
        id: String,
    },
    /// There is no stemmer for the language.
    #[error("there is no stemmer for the language {language:?}; there are stemmers for {known:?}")]
    UnknownLanguage {
        /// The language asked for.
        language: String,
        /// The languages with stemmers.
        known: Vec<&'static str>,
    },
    /// An option was given that this kind of model does not have, or whose value it cannot have.
    #[error(transparent)]
    Option(#[from] OptionError),
}

/// What is wrong with an option.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum OptionError {
    /// The kind of model does not have it.
    #[error("{kind} has no option {option:?}; it has {known:?}")]
    Unknown {
        /// The kind of model, as in its description.
        kind: &'static str,
        /// The option.
        option: String,
        /// Those that it has.
        known: &'static [&'static str],
    },
    /// The value is not one of those allowed.
    #[error("the option {option} cannot be {value}, expected is {expected}")]
    Value {
        /// The option.
        option: &'static str,
        /// The value.
        value: String,
        /// The values allowed, in words.
        expected: &'static str,
    },
    /// A stemmer was given, and stemming switched off.
    #[error("a stemmer of one's own and `disable_stemmer` exclude each other")]
    StemmerAndDisabled,
    /// A file that an option names cannot be used.
    #[error(transparent)]
    File(#[from] embedkit_core::Error),
}

impl embedkit_core::pipeline::RowError for Error {
    fn core(&self) -> Option<&embedkit_core::Error> {
        if let Self::Core(error) = self { Some(error) } else { None }
    }
}

impl Error {
    /// [`Error::NotCompiled`] for a kind of model.
    #[cfg(any(feature = "bm25", feature = "splade", feature = "bm42", feature = "minicoil"))]
    pub(crate) fn not_compiled(id: &str, kind: &embedkit_types::SparseKind) -> Self {
        Self::NotCompiled { id: id.to_owned(), feature: Self::feature(kind) }
    }

    /// The feature that a kind of model belongs to.
    #[cfg(any(feature = "bm25", feature = "splade", feature = "bm42", feature = "minicoil"))]
    pub(crate) fn feature(kind: &embedkit_types::SparseKind) -> &'static str {
        match kind.name() {
            "if-splade" => "splade",
            name => name,
        }
    }

    /// What the user can do about it, where we know.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Core(error) => error.hint(),
            Self::NeedsFiles { .. } => Some("give the folder with the model's files".to_owned()),
            Self::UnknownLanguage { .. } => Some(
                "with `disable_stemmer`, or a stemmer of your own, any language will do".to_owned(),
            ),
            _ => None,
        }
    }
}
