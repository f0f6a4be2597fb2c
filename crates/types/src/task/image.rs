//! Facts of models that turn an image into one vector.

use super::GraphOutput;

/// Facts of a model that turns an image into one vector.
///
/// The preprocessing is not here: `preprocessor_config.json` beside the model describes it. The
/// pixels, `(images, 3, height, width)` in f32, go to the graph's first input, whatever its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// Dimension of the vectors.
    pub dim: usize,
    /// The graph output that is read.
    pub output: GraphOutput,
    /// How the output becomes one vector per image.
    pub pooling: ImagePooling,
    /// Whether the vector is scaled to unit length (L2).
    pub normalize: bool,
}

impl Image {
    /// A model whose first output is flattened and normalised, for struct update syntax.
    pub const DEFAULT: Self = Self {
        dim: 0,
        output: GraphOutput::Index(0),
        pooling: ImagePooling::Flatten,
        normalize: true,
    };
}

/// How the output of an image model becomes one vector per image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
pub enum ImagePooling {
    /// All numbers of the image in their order: `(images, …)` becomes `(images, n)`, so a pooled
    /// `(images, 2048, 1, 1)` needs no special case.
    Flatten,
    /// The first patch: `(images, …)` is read as `(images, n, dim)` with the registered `dim`, and
    /// row 0 is taken.
    Cls,
}

impl ImagePooling {
    /// The name in `models.toml` and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Flatten => "flatten",
            Self::Cls => "cls",
        }
    }
}
