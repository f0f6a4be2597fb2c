//! Descriptions, builds and options that do not go together.

use crate::{Error, ErrorKind, Hint, ModelSpec, Outputs, TaskKind};

/// Why a model is not opened as it was asked for. The same for all families.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// The description is of a model of another family.
    #[error("{id} is a model for {found}, not for {expected}")]
    WrongTask {
        /// Id of the model.
        id: String,
        /// Task of the family.
        expected: &'static str,
        /// Task in the description.
        found: &'static str,
    },
    /// This build lacks the feature for this kind of model.
    #[error("{id} needs the feature `{feature}` of {package}, which this build lacks")]
    NotCompiled {
        /// Id of the model.
        id: String,
        /// Package with the feature.
        package: &'static str,
        /// Name of the feature.
        feature: &'static str,
    },
    /// This version does not know the kind of model.
    #[error("{id} is of the kind {kind}, which is not known here")]
    UnknownKind {
        /// Id of the model.
        id: String,
        /// Kind in the description.
        kind: &'static str,
    },
    /// The model cannot be opened without its files.
    #[error("{id} cannot be opened without its files")]
    NeedsFiles {
        /// Id of the model.
        id: String,
    },
    /// The model does not have the task that was asked for.
    #[error("{id} has no task {task:?}; it has {known:?}")]
    UnknownTask {
        /// Id of the model.
        id: String,
        /// Task that was asked for.
        task: String,
        /// Tasks of the model; empty for a model without tasks.
        known: Vec<String>,
    },
    /// Prompts were asked for, and the text of this model's prompts is not known.
    #[error("{id} needs a prompt before queries or passages, but its text is not known here")]
    PromptUnknown {
        /// Id of the model.
        id: String,
    },
    /// A kind of embedding was asked for that the model does not give.
    #[error("{id} gives {}, and {asked} is asked for", some(*known))]
    NoOutput {
        /// Id of the model.
        id: String,
        /// Kinds asked for.
        asked: Outputs,
        /// Kinds that the model gives.
        known: Outputs,
    },
    /// An option was given that the model has no use for.
    #[error("the option `{option}` has no meaning for {id}")]
    UnusedOption {
        /// Id of the model.
        id: String,
        /// Name of the option.
        option: &'static str,
    },
}

impl SpecError {
    /// [`WrongTask`](Self::WrongTask) for a description that a family cannot open.
    #[must_use]
    pub fn wrong_task(spec: &ModelSpec, expected: TaskKind) -> Self {
        let (id, found) = (spec.id.to_string(), spec.task.name());
        Self::WrongTask { id, expected: expected.name(), found }
    }

    /// Class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::WrongTask { .. }
            | Self::NeedsFiles { .. }
            | Self::UnknownTask { .. }
            | Self::NoOutput { .. }
            | Self::UnusedOption { .. } => ErrorKind::InvalidInput,
            Self::NotCompiled { .. } | Self::UnknownKind { .. } | Self::PromptUnknown { .. } => {
                ErrorKind::Unsupported
            }
        }
    }

    /// Advice, where something can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<Hint> {
        match self {
            Self::WrongTask { id, found, .. } => {
                Some(Hint::OpenAs { id: id.clone(), tasks: vec![found] })
            }
            Self::NeedsFiles { .. } => Some(Hint::OpenFromFolder),
            Self::PromptUnknown { .. } => Some(Hint::GivePrompt),
            Self::NotCompiled { .. }
            | Self::UnknownKind { .. }
            | Self::UnknownTask { .. }
            | Self::NoOutput { .. }
            | Self::UnusedOption { .. } => None,
        }
    }
}

impl From<SpecError> for Error {
    fn from(error: SpecError) -> Self {
        let hint = error.hint();
        Self::new(error.kind(), error).with_hint(hint)
    }
}

/// The kinds of embedding in words, also where there is none.
fn some(outputs: Outputs) -> String {
    if outputs.count() == 0 { "no embeddings".to_owned() } else { outputs.to_string() }
}
