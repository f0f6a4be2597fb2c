//! Options for decoding and preprocessing together.

use super::{DecodeOptions, PreprocessOptions};

/// Options for decoding and preprocessing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImageOptions {
    /// Decoding: limits, orientation, transparency.
    pub decode: DecodeOptions,
    /// Preprocessing: exactly as the original, or faster.
    pub preprocess: PreprocessOptions,
}
