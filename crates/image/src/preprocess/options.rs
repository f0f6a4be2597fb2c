//! All choices between a file and a tensor.

use super::{DecodeOptions, PreprocessOptions};

/// How images are read and preprocessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImageOptions {
    /// How files become pixels: limits, orientation, transparency.
    pub decode: DecodeOptions,
    /// How pixels become tensors: exactly as the original, or faster.
    pub preprocess: PreprocessOptions,
}
