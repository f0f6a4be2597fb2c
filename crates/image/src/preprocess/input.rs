//! Images as inputs.

use std::path::{Path, PathBuf};

use super::{PreprocessError, RgbImage};

/// An input image.
#[derive(Debug, Clone, PartialEq)]
pub enum ImageInput {
    /// A file of a supported format.
    Path(PathBuf),
    /// Content of such a file.
    Bytes(Vec<u8>),
    /// Decoded pixels.
    Decoded(RgbImage),
}

impl From<PathBuf> for ImageInput {
    fn from(path: PathBuf) -> Self {
        Self::Path(path)
    }
}

impl From<&Path> for ImageInput {
    fn from(path: &Path) -> Self {
        Self::Path(path.to_owned())
    }
}

/// A path.
impl From<&str> for ImageInput {
    fn from(path: &str) -> Self {
        Self::Path(path.into())
    }
}

/// A path.
impl From<String> for ImageInput {
    fn from(path: String) -> Self {
        Self::Path(path.into())
    }
}

impl From<Vec<u8>> for ImageInput {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<RgbImage> for ImageInput {
    fn from(image: RgbImage) -> Self {
        Self::Decoded(image)
    }
}

impl TryFrom<image::DynamicImage> for ImageInput {
    type Error = PreprocessError;

    fn try_from(image: image::DynamicImage) -> Result<Self, Self::Error> {
        RgbImage::try_from(image).map(Self::Decoded)
    }
}
