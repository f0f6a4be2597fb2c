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
    /// More dimensions were asked for than the model has.
    #[error("{id} has vectors of width {width}, so {wanted} dimensions cannot be kept")]
    Dimensions {
        /// The model.
        id: String,
        /// The number asked for.
        wanted: usize,
        /// The width of its vectors.
        width: usize,
    },
    /// The width of the vectors is not what it was, or not what the graph declares.
    #[error("{id} gave vectors of width {found}, expected are vectors of width {expected}")]
    WidthChanged {
        /// The model.
        id: String,
        /// The width so far, or that which the graph declares.
        expected: usize,
        /// The width now.
        found: usize,
    },
    /// A task was asked for, but no model of this family has tasks.
    #[error("{id} has no task {task:?}; it has none at all")]
    UnknownTask {
        /// The model.
        id: String,
        /// The task asked for.
        task: String,
    },
    /// Prompts were asked for, but the text of this model's prompts is not known.
    #[error("{id} needs a prompt before queries or passages, but its text is not known here")]
    PromptUnknown {
        /// The model.
        id: String,
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
            Self::Width { .. } => {
                Some("compare vectors of one model, cut to the same dimensions".to_owned())
            }
            _ => None,
        }
    }
}
