//! Names that lead to no model that can be opened.

use std::{io, path::PathBuf};

use embedkit_types::{ErrorKind, Hint};

use crate::Error;

/// Reason why a name leads to no model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The folder does not exist or cannot be listed.
    #[error("cannot open the folder {}", path.display())]
    NoFolder {
        /// The folder.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The name is neither built in nor one of a repository that can be read.
    #[cfg(feature = "hub")]
    #[error("unknown model {id:?}, which is not built in")]
    NoRepository {
        /// The name.
        id: String,
        /// Built-in ids that are similar.
        similar: Vec<String>,
        /// Reason why the repository is not read.
        source: embedkit_hub::Error,
    },
    /// The model has several graphs, and none is the one that is wanted.
    #[error("{model} has no graph of the variant {variant}")]
    NoVariant {
        /// The model.
        model: String,
        /// The variant.
        variant: String,
        /// Variants that there are.
        known: Vec<String>,
    },
    /// The weights are in a format that is not read.
    #[error("{model} has its weights in {} only, which is not read", files.join(", "))]
    Pickled {
        /// The model.
        model: String,
        /// The files.
        files: Vec<String>,
    },
    /// There is neither a graph nor a file of weights.
    #[error("{model} has neither an ONNX file nor model.safetensors")]
    NoWeights {
        /// The model.
        model: String,
    },
    /// A file that the index of weights names does not exist.
    #[error("{model} has no {file}, which {index} names")]
    NoShard {
        /// The model.
        model: String,
        /// The file.
        file: String,
        /// The index.
        index: String,
    },
    /// A file is not what its name says.
    #[error("{model}: {file} cannot be used: {reason}")]
    File {
        /// The model.
        model: String,
        /// The file.
        file: String,
        /// Reason.
        reason: String,
    },
}

impl ResolveError {
    /// Class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoFolder { source, .. } if source.kind() == io::ErrorKind::InvalidData => {
                ErrorKind::InvalidInput
            }
            Self::NoFolder { .. } | Self::NoVariant { .. } | Self::NoWeights { .. } => {
                ErrorKind::NotFound
            }
            #[cfg(feature = "hub")]
            Self::NoRepository { source, .. } => source.kind(),
            Self::Pickled { .. } => ErrorKind::Unsupported,
            Self::NoShard { .. } | Self::File { .. } => ErrorKind::Damaged,
        }
    }

    /// Advice, where something can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<Hint> {
        Some(match self {
            Self::NoFolder { source, .. } if source.kind() == io::ErrorKind::NotADirectory => {
                Hint::Advice("give the folder in which the model's files are".into())
            }
            Self::NoFolder { .. } => return None,
            #[cfg(feature = "hub")]
            Self::NoRepository { similar, source, .. } => {
                let own = source.hint();
                if similar.is_empty() {
                    return own;
                }
                let similar = Hint::SimilarModels(similar.clone());
                let advice = match source {
                    embedkit_hub::Error::NotCached { .. } => {
                        format!("{similar} A repository of the hub is fetched with network access")
                    }
                    embedkit_hub::Error::Denied { .. } => {
                        format!("{similar} If the repository is private, set HF_TOKEN")
                    }
                    _ => return Some(similar),
                };
                Hint::Advice(advice.into())
            }
            Self::NoVariant { known, .. } => Hint::ChooseVariant(known.clone()),
            // Such a file is a program that runs when it is read.
            Self::Pickled { .. } => Hint::Advice(
                "save the model as safetensors: load it with Transformers and call save_pretrained"
                    .into(),
            ),
            Self::NoWeights { .. } => Hint::Advice(
                "give a folder or repository with one of them; other formats are not read".into(),
            ),
            Self::NoShard { .. } => Hint::IncompleteFolder,
            Self::File { .. } => Hint::Advice("correct the file, or fetch it again".into()),
        })
    }
}

impl From<ResolveError> for Error {
    fn from(error: ResolveError) -> Self {
        let hint = error.hint();
        Self::new(error.kind(), error).with_hint(hint)
    }
}
