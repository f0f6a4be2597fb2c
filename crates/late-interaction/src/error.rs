//! What can go wrong with many vectors per input.

/// An error of a late-interaction model, of scoring, or of token pooling.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Files, tokenizer, runtime or graph.
    #[error(transparent)]
    Core(#[from] embedkit_core::Error),
    /// The description is of a model of another family.
    #[error("{id} is a model for {found}, not for {expected}")]
    WrongTask {
        /// The model.
        id: String,
        /// The task that was wanted.
        expected: &'static str,
        /// The task in its description.
        found: &'static str,
    },
    /// Queries are padded with a token that the tokenizer does not have among its special tokens.
    #[error("the tokenizer of {id} has no special token {token:?}, with which queries are padded")]
    MissingToken {
        /// The model.
        id: String,
        /// The token looked for.
        token: String,
    },
    /// Prompts were asked for, but the text of this model's prompts is not known.
    #[error("{id} needs a prompt before queries or passages, but its text is not known here")]
    PromptUnknown {
        /// The model.
        id: String,
    },
    /// A description is of a kind of model that this version does not have.
    #[cfg(feature = "multimodal")]
    #[error("{id} is of the kind {kind}, which is not known here")]
    UnknownKind {
        /// The model.
        id: String,
        /// The kind in its description.
        kind: &'static str,
    },
    /// An image, or the configuration of the preprocessor, cannot be used.
    #[cfg(feature = "multimodal")]
    #[error(transparent)]
    Preprocess(std::sync::Arc<embedkit_image::PreprocessError>),
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
    /// Vectors that are to be compared differ in width.
    #[error("the vectors of {what} have width {found}, expected is {expected}")]
    Width {
        /// What has them, such as `document 3`.
        what: String,
        /// The width of the others.
        expected: usize,
        /// Its own width.
        found: usize,
    },
    /// A factor of token pooling that is no number from 1 upwards.
    #[error("tokens cannot be pooled by the factor {found}; expected is a number of at least 1")]
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
            Self::MissingToken { .. } => Some(
                "add the token to special_tokens_map.json, or name another one in the model's \
                 description"
                    .to_owned(),
            ),
            #[cfg(feature = "multimodal")]
            Self::Preprocess(error) => error.hint(),
            #[cfg(feature = "multimodal")]
            Self::ImagePromptTooLong { .. } => Some("make the image smaller".to_owned()),
            #[cfg(feature = "multimodal")]
            Self::NoImageToken { .. } | Self::ImageTokens { .. } => {
                Some("the tokenizer's files are of another model".to_owned())
            }
            Self::Width { .. } => {
                Some("compare vectors of one model, cut to the same dimensions".to_owned())
            }
            _ => None,
        }
    }
}

#[cfg(feature = "multimodal")]
impl From<embedkit_image::PreprocessError> for Error {
    fn from(error: embedkit_image::PreprocessError) -> Self {
        Self::Preprocess(std::sync::Arc::new(error))
    }
}
