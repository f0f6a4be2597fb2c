//! Errors of a description, with hints.

use std::{fmt, io};

use embedkit_types::{Error, ErrorKind, Hint};

/// Reason why files do not describe a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DescribeError {
    /// No file says what the model does.
    #[error("{model}: no file says what the model does; looked for {}", looked_for.join(", "))]
    Unknown {
        /// The model.
        model: String,
        /// Files that would have said it.
        looked_for: &'static [&'static str],
    },
    /// A file that another one needs does not exist.
    #[error("{model}: {file} does not exist, and {needed_by} needs it")]
    MissingFile {
        /// The model.
        model: String,
        /// The file.
        file: String,
        /// File that leads to it.
        needed_by: String,
    },
    /// A field has no value in the files.
    #[error("{model}: `{field}` is missing in {file}")]
    Missing {
        /// The model.
        model: String,
        /// File in which it was looked for.
        file: String,
        /// The field.
        field: String,
    },
    /// A field has a value that it cannot have.
    #[error("{model}: `{}` in {}: expected {expected}, got {}", got.field, got.file, got.value)]
    Wrong {
        /// The model.
        model: String,
        /// The field with its value.
        got: Box<Place>,
        /// Values that it can have.
        expected: String,
    },
    /// A field is as it should be, and asks for something that is not done here.
    #[error("{model}: `{}` in {} is {}, which is not supported", got.field, got.file, got.value)]
    Unsupported {
        /// The model.
        model: String,
        /// The field with its value.
        got: Box<Place>,
        /// Supported values.
        supported: String,
    },
    /// A chat template cannot be asked about a pair.
    #[error("{model}: the template in {file} cannot be used for pairs: {reason}")]
    Template {
        /// The model.
        model: String,
        /// The file.
        file: String,
        /// Reason.
        reason: String,
    },
    /// The tokenizer is in a format that is not read.
    #[error(
        "{model}: the tokenizer is in {file} only, a model of SentencePiece, which is not read"
    )]
    SentencePiece {
        /// The model.
        model: String,
        /// The file.
        file: String,
    },
    /// Two files say different things of one fact.
    #[error("{model}: {here}, and {there}")]
    Contradiction {
        /// The model.
        model: String,
        /// The place that was read last.
        here: Box<Place>,
        /// The place that was read before.
        there: Box<Place>,
    },
    /// A file is larger than any of its kind.
    #[error("{model}: expected {file} of at most {limit} bytes, got a larger one")]
    TooLarge {
        /// The model.
        model: String,
        /// The file.
        file: String,
        /// The limit.
        limit: usize,
    },
    /// A file has malformed JSON.
    #[error("{model}: {file} has invalid JSON")]
    Json {
        /// The model.
        model: String,
        /// The file.
        file: String,
        /// Position and cause.
        source: serde_json::Error,
    },
    /// A file cannot be read.
    #[error("{model}: cannot read {file}")]
    Read {
        /// The model.
        model: String,
        /// The file.
        file: String,
        /// Cause.
        source: io::Error,
    },
}

/// A field of a file with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: String,
    /// The field.
    pub field: String,
    /// Its value.
    pub value: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, field, value } = self;
        write!(f, "{file} has `{field}` {value}")
    }
}

impl DescribeError {
    /// Class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unknown { .. } | Self::MissingFile { .. } => ErrorKind::NotFound,
            Self::Missing { .. }
            | Self::Wrong { .. }
            | Self::Contradiction { .. }
            | Self::TooLarge { .. }
            | Self::Json { .. } => ErrorKind::Damaged,
            Self::Unsupported { .. } | Self::Template { .. } | Self::SentencePiece { .. } => {
                ErrorKind::Unsupported
            }
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                ErrorKind::NotFound
            }
            Self::Read { .. } => ErrorKind::Runtime,
        }
    }

    /// Advice, where something can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<Hint> {
        let advice = match self {
            Self::Unknown { .. } | Self::Missing { .. } => {
                "describe the model in a file of your own, with the fields of a row"
            }
            Self::Template { .. } => {
                "describe the model in a file of your own, with `template`, `true_token` and `false_token`"
            }
            Self::MissingFile { .. } => return Some(Hint::IncompleteFolder),
            Self::Unsupported { supported, .. } => {
                return Some(Hint::Advice(format!("supported: {supported}").into()));
            }
            Self::SentencePiece { .. } => {
                "write tokenizer.json with transformers: \
                 AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
            }
            Self::Contradiction { .. } => {
                "check that all files are of one model, or describe it in a file of your own"
            }
            Self::Wrong { .. } | Self::TooLarge { .. } | Self::Json { .. } => {
                "the file may be damaged: fetch it again"
            }
            Self::Read { .. } => return None,
        };
        Some(Hint::Advice(advice.into()))
    }
}

impl From<DescribeError> for Error {
    fn from(error: DescribeError) -> Self {
        let hint = error.hint();
        Self::new(error.kind(), error).with_hint(hint)
    }
}
