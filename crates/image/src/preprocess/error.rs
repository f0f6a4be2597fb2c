//! Errors of decoding and preprocessing.

use std::{io, path::PathBuf};

use embedkit_types::{Error, ErrorKind, Hint};

/// An image that cannot be decoded or preprocessed, or an invalid configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PreprocessError {
    /// The image of this path cannot be used.
    #[error("image {}", path.display())]
    File {
        /// Path of the image.
        path: PathBuf,
        /// Cause.
        source: Box<PreprocessError>,
    },
    /// The file cannot be opened or read.
    #[error("cannot be read")]
    Read(#[source] io::Error),
    /// The path is a folder, a pipe or a device.
    #[error("is not a regular file")]
    NotAFile,
    /// The file starts with no known signature.
    #[error("is not an image of a known format (png, jpeg, webp, gif, bmp, tiff)")]
    UnknownFormat,
    /// The format is known but not supported.
    #[error("expected a png, jpeg, webp, gif, bmp or tiff file, got {found}")]
    UnsupportedFormat {
        /// Format of the file.
        found: &'static str,
    },
    /// The format allows a feature that is not supported.
    #[error("{format} with {what} is not supported")]
    Unsupported {
        /// Format of the file.
        format: &'static str,
        /// The feature.
        what: String,
    },
    /// The content contradicts itself or ends too early.
    #[error("the {format} data is damaged: {reason}")]
    Damaged {
        /// Format of the file.
        format: &'static str,
        /// Message of the decoder.
        reason: String,
    },
    /// The image has too many pixels.
    #[error("expected at most {limit}, got {width} x {height} pixels")]
    TooManyPixels {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Maximum pixels.
        limit: u64,
    },
    /// Decoding would need too much memory.
    #[error("expected to decode in at most {limit} bytes of memory, needs {needed}")]
    TooMuchMemory {
        /// Bytes for the decoded image or for the file, as far as they are known.
        needed: u64,
        /// Maximum bytes.
        limit: u64,
    },
    /// The image has no pixels.
    #[error("has {width} x {height} pixels")]
    NoPixels {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// The number of pixels contradicts the size.
    #[error("expected {expected} bytes for {width} x {height} pixels, got {found}")]
    WrongLength {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Bytes of such an image.
        expected: u64,
        /// Bytes that were given.
        found: usize,
    },
    /// A configuration file cannot be used.
    #[error("preprocessor configuration {}", path.display())]
    ConfigFile {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: Box<PreprocessError>,
    },
    /// The configuration is not JSON.
    #[error("is not valid json")]
    Json(#[source] serde_json::Error),
    /// The configuration is for an unsupported preprocessor.
    #[error("preprocessor {found} is not supported")]
    UnknownPreprocessor {
        /// The value of `image_processor_type`.
        found: String,
    },
    /// The configuration lacks a key.
    #[error("lacks {key}")]
    MissingKey {
        /// The key, with dots where objects are nested.
        key: &'static str,
    },
    /// A key of the configuration has an impossible value.
    #[error("{key}: expected {expected}, got {found}")]
    WrongValue {
        /// The key, with dots where objects are nested.
        key: &'static str,
        /// Expected values.
        expected: &'static str,
        /// The value, shortened.
        found: String,
    },
    /// The target size has no pixels.
    #[error("cannot resize to {width} x {height}")]
    ZeroTarget {
        /// Target width in pixels.
        width: u32,
        /// Target height in pixels.
        height: u32,
    },
    /// The preprocessed image would be too large.
    #[error("expected {what} of at most {limit}, got {width} x {height} pixels")]
    OutputTooLarge {
        /// Image or tensor that would be too large.
        what: &'static str,
        /// Width in pixels.
        width: u64,
        /// Height in pixels.
        height: u64,
        /// Maximum pixels.
        limit: u64,
    },
    /// The buffer for a tensor has the wrong length.
    #[error(
        "expected a buffer of {expected} values for a tensor of 3 x {height} x {width}, got {found}"
    )]
    WrongBuffer {
        /// Height of the tensor.
        height: usize,
        /// Width of the tensor.
        width: usize,
        /// Values of the tensor.
        expected: usize,
        /// Values of the buffer.
        found: usize,
    },
    /// The configuration makes tiles but a tensor was requested, or the reverse.
    #[error("the preprocessor {}", if *makes_tiles {
        "cuts images into tiles, where one tensor is needed"
    } else {
        "makes one tensor of an image, where tiles are needed"
    })]
    WrongKind {
        /// `true` if the configuration makes tiles.
        makes_tiles: bool,
    },
}

impl PreprocessError {
    /// Class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::File { source, .. } | Self::ConfigFile { source, .. } => source.kind(),
            Self::Read(error) if error.kind() == io::ErrorKind::NotFound => ErrorKind::NotFound,
            Self::Read(_) => ErrorKind::Runtime,
            Self::NotAFile
            | Self::TooManyPixels { .. }
            | Self::TooMuchMemory { .. }
            | Self::NoPixels { .. }
            | Self::WrongLength { .. }
            | Self::ZeroTarget { .. }
            | Self::OutputTooLarge { .. }
            | Self::WrongBuffer { .. } => ErrorKind::InvalidInput,
            Self::UnknownFormat
            | Self::UnsupportedFormat { .. }
            | Self::Unsupported { .. }
            | Self::UnknownPreprocessor { .. }
            | Self::WrongKind { .. } => ErrorKind::Unsupported,
            Self::Damaged { .. }
            | Self::Json(_)
            | Self::MissingKey { .. }
            | Self::WrongValue { .. } => ErrorKind::Damaged,
        }
    }

    /// Advice, where something can be done about it.
    #[must_use]
    pub fn hint(&self) -> Option<Hint> {
        let advice = match self {
            Self::ConfigFile { source, .. } if matches!(&**source, Self::Read(error) if error.kind() == io::ErrorKind::NotFound) => {
                "the model's folder is incomplete; an image model needs preprocessor_config.json"
            }
            Self::File { source, .. } | Self::ConfigFile { source, .. } => return source.hint(),
            Self::TooManyPixels { .. } | Self::TooMuchMemory { .. } => {
                "make the image smaller, or raise the limits on decoding"
            }
            Self::OutputTooLarge { .. } => {
                "crop the image, or raise the limit on preprocessed pixels"
            }
            Self::UnknownFormat | Self::UnsupportedFormat { .. } => "convert it to png or jpeg",
            Self::Unsupported { .. } => "convert it to 8-bit rgb",
            Self::UnknownPreprocessor { .. } => {
                "image_processor_type may be CLIPImageProcessor, SiglipImageProcessor, \
                 ConvNextFeatureExtractor, JinaCLIPImageProcessor or Idefics3ImageProcessor"
            }
            Self::WrongKind { makes_tiles: true } => {
                "use the model with its own kind, late interaction with tiles"
            }
            Self::WrongKind { makes_tiles: false } => {
                "image_processor_type has to be Idefics3ImageProcessor"
            }
            _ => return None,
        };
        Some(Hint::Advice(advice.into()))
    }
}

impl From<PreprocessError> for Error {
    fn from(error: PreprocessError) -> Self {
        let hint = error.hint();
        Self::new(error.kind(), error).with_hint(hint)
    }
}
