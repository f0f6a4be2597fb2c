//! Errors of models with many vectors per input, of scoring, and of token pooling.

use embedkit_types::{Error, ErrorKind, Hint};

/// An error of a late-interaction model, of scoring, or of token pooling.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LateInteractionError {
    /// Queries are padded with a token that the tokenizer does not have among its special tokens.
    #[error("the tokenizer of {id} has no special token {token:?}, with which queries are padded")]
    MissingToken {
        /// The model.
        id: String,
        /// The token looked for.
        token: String,
    },
    /// The images of a model are too large.
    #[cfg(feature = "multimodal")]
    #[error("{id} has images of {found} pixels in each direction, at most {limit} are possible")]
    ImageSide {
        /// The model.
        id: String,
        /// The side in its description, in pixels.
        found: usize,
        /// The largest side accepted.
        limit: usize,
    },
    /// The tokenizer does not know the token of an image's patch.
    #[cfg(feature = "multimodal")]
    #[error("the tokenizer of {id} has no token {token:?}, which stands for a patch of an image")]
    NoImageToken {
        /// The model.
        id: String,
        /// The token looked for.
        token: String,
    },
    /// The prompt of an image has other patches than the image itself.
    #[cfg(feature = "multimodal")]
    #[error(
        "the prompt of an image has {found} tokens for patches in {id}, the image has {expected}"
    )]
    ImageTokens {
        /// The model.
        id: String,
        /// Patches of the image.
        expected: usize,
        /// Tokens for patches in the prompt.
        found: usize,
    },
    /// An image has so many tiles that the tokenizer would cut its prompt.
    #[cfg(feature = "multimodal")]
    #[error("the prompt of an image of {tiles} tiles is longer than the {limit} tokens of {id}")]
    ImagePromptTooLong {
        /// The model.
        id: String,
        /// Tiles of the image.
        tiles: usize,
        /// The most tokens.
        limit: usize,
    },
    /// Vectors that are to be compared differ in dimension.
    #[error("the vectors of {what}: expected dimension {expected}, got {found}")]
    Dim {
        /// What has them, such as `document 3`.
        what: String,
        /// Dimension of the others.
        expected: usize,
        /// Its own dimension.
        found: usize,
    },
    /// A factor of token pooling that is no number from 1 upwards.
    #[error("expected a pooling factor of at least 1, got {found}")]
    PoolFactor {
        /// The factor.
        found: f64,
    },
    /// A vector has no direction, so that its cosine distance to others is not defined.
    #[error("vector {index} is zero or not finite, so it has no cosine distance to others")]
    NoDirection {
        /// Its position, from 0.
        index: usize,
    },
    /// Token pooling needs the distances between all vectors, and these do not fit into memory.
    #[error("there is no memory for the distances between {vectors} vectors")]
    TooManyVectors {
        /// How many vectors there are.
        vectors: usize,
    },
}

impl LateInteractionError {
    /// Class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            #[cfg(feature = "multimodal")]
            Self::NoImageToken { .. } | Self::ImageTokens { .. } => ErrorKind::Damaged,
            #[cfg(feature = "multimodal")]
            Self::ImageSide { .. } | Self::ImagePromptTooLong { .. } => ErrorKind::InvalidInput,
            Self::MissingToken { .. } => ErrorKind::Damaged,
            Self::Dim { .. } | Self::PoolFactor { .. } | Self::NoDirection { .. } => {
                ErrorKind::InvalidInput
            }
            Self::TooManyVectors { .. } => ErrorKind::Runtime,
        }
    }

    /// Advice, where something can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<Hint> {
        let advice = match self {
            Self::MissingToken { .. } => {
                "add the token to special_tokens_map.json, or name another one in the model's \
                 description"
            }
            #[cfg(feature = "multimodal")]
            Self::ImagePromptTooLong { .. } => "make the image smaller",
            #[cfg(feature = "multimodal")]
            Self::NoImageToken { .. } | Self::ImageTokens { .. } => {
                "the tokenizer's files are of another model"
            }
            Self::Dim { .. } => "compare vectors of one model, cut to the same dimensions",
            _ => return None,
        };
        Some(Hint::Advice(advice.into()))
    }
}

impl From<LateInteractionError> for Error {
    fn from(error: LateInteractionError) -> Self {
        let hint = error.hint();
        Self::new(error.kind(), error).with_hint(hint)
    }
}
