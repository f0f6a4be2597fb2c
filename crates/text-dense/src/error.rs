//! What can go wrong with a dense text model.

/// An error of a dense text model.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Files, tokenizer, runtime or graph.
    #[error(transparent)]
    Core(#[from] embedkit_core::Error),
    /// The description is of a model of another family.
    #[error("{id} is a model for {found}, not for text-dense")]
    WrongTask {
        /// The model.
        id: String,
        /// The task in its description.
        found: &'static str,
    },
    /// This build cannot run the model's kind of encoder.
    #[error("{id} needs the feature `{feature}` of embedkit-text-dense, which this build lacks")]
    NotCompiled {
        /// The model.
        id: String,
        /// The feature that is missing.
        feature: &'static str,
    },
    /// A task was asked for that the model does not have.
    #[error("{id} has no task {task:?}; it has {known:?}")]
    UnknownTask {
        /// The model.
        id: String,
        /// The task asked for.
        task: String,
        /// The tasks of the model; empty for a model without tasks.
        known: Vec<String>,
    },
    /// Prompts were asked for, but the text of this model's prompts is not known.
    #[error("{id} needs a prompt before queries or passages, but its text is not known here")]
    PromptUnknown {
        /// The model.
        id: String,
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
            Self::PromptUnknown { .. } => Some(
                "put the prompt that the model's authors give before the texts yourself".to_owned(),
            ),
            _ => None,
        }
    }
}
