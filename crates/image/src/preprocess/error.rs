//! What can go wrong between a file and a tensor.

use std::{io, path::PathBuf};

/// An error of decoding or preprocessing: an image that cannot be used, or a configuration that
/// says nothing sensible.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PreprocessError {
    /// The image of this path could not be used.
    #[error("image {}", path.display())]
    File {
        /// The image's file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<PreprocessError>,
    },
    /// The file could not be opened or read.
    #[error("cannot be read")]
    Read(#[source] io::Error),
    /// The path is a folder, a pipe or a device.
    #[error("is not a regular file")]
    NotAFile,
    /// The file has no known signature at its beginning.
    #[error("is not an image of a known format (png, jpeg, webp, gif, bmp, tiff)")]
    UnknownFormat,
    /// The file's format is known, and we do not read it.
    #[error("is a {found} file, and png, jpeg, webp, gif, bmp and tiff are read")]
    UnsupportedFormat {
        /// The file's format.
        found: &'static str,
    },
    /// The format allows what the file has, and we do not.
    #[error("{format} with {what} is not supported")]
    Unsupported {
        /// The file's format.
        format: &'static str,
        /// What it has.
        what: String,
    },
    /// The file's content contradicts itself or ends too early.
    #[error("the {format} data is damaged: {reason}")]
    Damaged {
        /// The file's format.
        format: &'static str,
        /// What the decoder said.
        reason: String,
    },
    /// The image has more pixels than is allowed.
    #[error("has {width} x {height} pixels, and at most {limit} are allowed")]
    TooManyPixels {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
        /// The most pixels allowed.
        limit: u64,
    },
    /// Decoding would take more memory than is allowed.
    #[error("decoding needs {needed} bytes of memory, and at most {limit} are allowed")]
    TooMuchMemory {
        /// Bytes for the decoded image or for the file, as far as they are known.
        needed: u64,
        /// The most bytes allowed.
        limit: u64,
    },
    /// The image has no pixels.
    #[error("has {width} x {height} pixels")]
    NoPixels {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
    },
    /// The pixels are not as many as the size says.
    #[error("{width} x {height} pixels need {expected} bytes, found {found}")]
    WrongLength {
        /// Columns.
        width: u32,
        /// Rows.
        height: u32,
        /// Bytes that such an image has.
        expected: u64,
        /// Bytes that were given.
        found: usize,
    },
    /// A configuration file could not be used.
    #[error("preprocessor configuration {}", path.display())]
    ConfigFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<PreprocessError>,
    },
    /// The configuration is not JSON.
    #[error("is not valid json")]
    Json(#[source] serde_json::Error),
    /// The configuration is for a kind of preprocessor that we do not have.
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
    #[error("{key} has to be {expected}, found {found}")]
    WrongValue {
        /// The key, with dots where objects are nested.
        key: &'static str,
        /// What is expected there.
        expected: &'static str,
        /// The value, shortened.
        found: String,
    },
    /// A resize to nothing was asked for.
    #[error("cannot resize to {width} x {height}")]
    ZeroTarget {
        /// Columns that were asked for.
        width: u32,
        /// Rows that were asked for.
        height: u32,
    },
    /// The preprocessed image would be too large.
    #[error("{what} of {width} x {height} pixels is too large, at most {limit} pixels are allowed")]
    OutputTooLarge {
        /// What would be too large.
        what: &'static str,
        /// Columns.
        width: u64,
        /// Rows.
        height: u64,
        /// The most pixels allowed.
        limit: u64,
    },
    /// The buffer for a tensor has the wrong length.
    #[error("a tensor of 3 x {height} x {width} has {expected} values, the buffer {found}")]
    WrongBuffer {
        /// Rows of the tensor.
        height: usize,
        /// Columns of the tensor.
        width: usize,
        /// Values of the tensor.
        expected: usize,
        /// Values that the buffer holds.
        found: usize,
    },
    /// The configuration cuts images into tiles, and one tensor was asked for; or the reverse.
    #[error("the preprocessor {}", if *makes_tiles {
        "cuts images into tiles, where one tensor is needed"
    } else {
        "makes one tensor of an image, where tiles are needed"
    })]
    WrongKind {
        /// Whether the configuration is one that makes tiles.
        makes_tiles: bool,
    },
}

impl PreprocessError {
    /// What the user can do about it, where we know.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::File { source, .. } | Self::ConfigFile { source, .. } => return source.hint(),
            Self::TooManyPixels { .. } | Self::TooMuchMemory { .. } => {
                "make the image smaller, or raise the limits on decoding".to_owned()
            }
            Self::OutputTooLarge { .. } => {
                "crop the image, or raise the limit on preprocessed pixels".to_owned()
            }
            Self::UnknownFormat | Self::UnsupportedFormat { .. } => {
                "convert it to png or jpeg".to_owned()
            }
            Self::Unsupported { .. } => "convert it to 8-bit rgb".to_owned(),
            Self::UnknownPreprocessor { .. } => {
                "image_processor_type may be CLIPImageProcessor, SiglipImageProcessor, \
                 ConvNextFeatureExtractor, JinaCLIPImageProcessor or Idefics3ImageProcessor"
                    .to_owned()
            }
            Self::WrongKind { makes_tiles: true } => {
                "use the model with its own kind, late interaction with tiles".to_owned()
            }
            Self::WrongKind { makes_tiles: false } => {
                "image_processor_type has to be Idefics3ImageProcessor".to_owned()
            }
            _ => return None,
        })
    }
}
