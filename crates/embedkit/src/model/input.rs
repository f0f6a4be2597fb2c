//! Inputs of any model.

use std::{fmt, sync::Arc};

use embedkit_core::pipeline::text_estimate;

#[cfg(feature = "image-preprocess")]
use embedkit_image::ImageInput;

/// One input of a [`Model`](crate::Model). Cheap to clone, but for images in memory.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Input {
    /// A text.
    Text(Arc<str>),
    /// An image: a path, the bytes of a file, or pixels.
    #[cfg(feature = "image-preprocess")]
    Image(ImageInput),
    /// A query and a document, for a model that scores them together.
    Pair {
        /// The query. Its tokens are shared by all pairs in a row that have the same.
        query: Arc<str>,
        /// The document.
        document: Arc<str>,
    },
}

/// Variant of [`Input`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InputKind {
    /// Texts.
    Text,
    /// Images.
    Image,
    /// Pairs of a query and a document.
    Pair,
}

impl InputKind {
    /// The name in data, such as `text`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Image => "image",
            Self::Pair => "pair",
        }
    }
}

/// The plural in words, such as `texts`.
impl fmt::Display for InputKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "texts",
            Self::Image => "images",
            Self::Pair => "pairs of a query and a document",
        })
    }
}

impl Input {
    /// An image.
    #[cfg(feature = "image-preprocess")]
    pub fn image(image: impl Into<ImageInput>) -> Self {
        Self::Image(image.into())
    }

    /// A query and a document.
    pub fn pair(query: impl Into<Arc<str>>, document: impl Into<Arc<str>>) -> Self {
        Self::Pair { query: query.into(), document: document.into() }
    }

    /// Tokens that the model's queue counts until a text or pair is tokenised; `None` for images, of which
    /// the queue counts each as one.
    #[must_use]
    pub fn estimated_tokens(&self) -> Option<usize> {
        match self {
            Self::Text(text) => Some(text_estimate(text.len())),
            Self::Pair { query, document } => Some(text_estimate(query.len() + document.len())),
            #[cfg(feature = "image-preprocess")]
            Self::Image(_) => None,
        }
    }

    /// The variant.
    #[must_use]
    pub fn kind(&self) -> InputKind {
        match self {
            Self::Text(_) => InputKind::Text,
            #[cfg(feature = "image-preprocess")]
            Self::Image(_) => InputKind::Image,
            Self::Pair { .. } => InputKind::Pair,
        }
    }
}

impl From<&str> for Input {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<&&str> for Input {
    fn from(text: &&str) -> Self {
        Self::Text((*text).into())
    }
}

impl From<String> for Input {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<&String> for Input {
    fn from(text: &String) -> Self {
        Self::Text(text.as_str().into())
    }
}

impl From<Arc<str>> for Input {
    fn from(text: Arc<str>) -> Self {
        Self::Text(text)
    }
}

#[cfg(feature = "image-preprocess")]
impl From<ImageInput> for Input {
    fn from(image: ImageInput) -> Self {
        Self::Image(image)
    }
}
