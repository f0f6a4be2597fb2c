//! What can go wrong with an image model.

use std::{path::PathBuf, sync::Arc};

use crate::PreprocessError;

/// An error of an image model.
///
/// Cloneable, because one failed batch is reported for each of its images.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Files, runtime or graph.
    #[error(transparent)]
    Core(#[from] embedkit_core::Error),
    /// The configuration of the preprocessing is missing or cannot be used.
    #[error(transparent)]
    Preprocessor(Arc<PreprocessError>),
    /// An image cannot be read, decoded or preprocessed.
    #[error("{} {source}", path.as_ref().map_or("the image".into(), |path| path.to_string_lossy()))]
    Image {
        /// Its file, where it came as a path.
        path: Option<PathBuf>,
        /// What is wrong with it.
        source: Arc<PreprocessError>,
    },
    /// The description is of a model of another family.
    #[error("{id} is a model for {found}, not for image")]
    WrongTask {
        /// The model.
        id: String,
        /// The task in its description.
        found: &'static str,
    },
}

impl embedkit_core::pipeline::RowError for Error {
    fn core(&self) -> Option<&embedkit_core::Error> {
        if let Self::Core(error) = self { Some(error) } else { None }
    }
}

impl Error {
    /// The error of one image, which is named once.
    pub(super) fn image(path: Option<PathBuf>, error: PreprocessError) -> Self {
        let source = match error {
            PreprocessError::File { source, .. } => *source,
            error => error,
        };
        Self::Image { path, source: Arc::new(source) }
    }

    /// What the user can do about it, where we know.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Core(error) => error.hint(),
            Self::Image { source, .. } => source.hint(),
            Self::Preprocessor(error) => error.hint().or_else(|| {
                let PreprocessError::ConfigFile { source, .. } = &**error else { return None };
                let PreprocessError::Read(source) = &**source else { return None };
                (source.kind() == std::io::ErrorKind::NotFound).then(|| {
                    "the model's folder is incomplete; an image model needs \
                     preprocessor_config.json"
                        .to_owned()
                })
            }),
            _ => None,
        }
    }
}
