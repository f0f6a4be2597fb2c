//! Cases of multimodal late interaction: tiny models like ColPali and ColModernVBERT.

use std::path::{Path, PathBuf};

use embedkit_types::ModelSpec;
use serde::Deserialize;

use crate::{
    Failure,
    case::{Case, Golden, case, cases},
    files::numbers,
    text,
};

/// A tiny model with its golden values.
pub type MultimodalCase = Case<MultimodalGolden>;

/// FastEmbed 0.9.1's results for a case.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultimodalGolden {
    /// Name of the FastEmbed model whose code ran.
    pub model: String,
    /// Texts.
    #[serde(deserialize_with = "text::expanded")]
    pub texts: Vec<String>,
    /// Names of the images.
    pub images: Vec<String>,
    /// Error of opening the model, if any.
    pub error: Option<Failure>,
    /// Deviation of a correct implementation from the original, with the reason.
    pub repaired: Option<String>,
    /// `token_count` of each text.
    #[serde(default)]
    pub token_counts: Vec<usize>,
    /// `token_count` with the tokens that the model adds to a text.
    #[serde(default)]
    pub token_counts_with_extension: Vec<usize>,
    /// Results of the texts.
    #[serde(default)]
    pub embed_text: MultimodalResults,
    /// Results of the images.
    #[serde(default)]
    pub embed_image: MultimodalResults,
    /// NumPy dtype of the original's vectors; the values here are f32.
    pub dtype: Option<String>,
    /// Vectors of each text alone, concatenated; empty if the original fails.
    #[serde(skip)]
    pub text_values: Vec<Vec<f32>>,
    /// Vectors of each image alone, concatenated; empty if the original fails.
    #[serde(skip)]
    pub image_values: Vec<Vec<f32>>,
}

/// Results of several inputs, each alone.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultimodalResults {
    /// Number of vectors of each input.
    #[serde(default)]
    pub rows: Vec<usize>,
    /// Error instead.
    pub error: Option<Failure>,
    /// Shape of one result that is not a list of vectors.
    pub shape: Option<Vec<usize>>,
    /// Number of vectors of each input in one batch, if different.
    pub rows_in_batch: Option<Vec<usize>>,
    /// The values differ in one batch.
    #[serde(default)]
    pub batch_differs: bool,
    /// Error in one batch.
    pub batch_error: Option<Failure>,
}

impl MultimodalCase {
    /// Files of the case's images.
    #[must_use]
    pub fn images(&self) -> Vec<PathBuf> {
        self.golden.images.iter().map(|name| multimodal_image(name)).collect()
    }
}

impl Golden for MultimodalGolden {
    const FOLDER: &str = "multimodal";

    /// `golden.f32` holds the vectors, those of texts first.
    fn complete(mut self, dir: &Path, spec: &ModelSpec) -> Self {
        let name = dir.display();
        let width = spec.task.dim().unwrap_or_else(|| panic!("{name}: no width"));
        let rows = self.embed_text.rows.iter().chain(&self.embed_image.rows);
        let sizes: Vec<usize> = rows.map(|rows| rows * width).collect();
        let values = if sizes.is_empty() { Vec::new() } else { numbers(&dir.join("golden.f32")) };
        assert_eq!(values.len(), sizes.iter().sum::<usize>(), "{name}: numbers in golden.f32");
        let mut rest = values.as_slice();
        let mut each =
            sizes.iter().map(|&size| rest.split_off(..size).unwrap_or_default().to_vec());
        self.text_values = each.by_ref().take(self.embed_text.rows.len()).collect();
        self.image_values = each.collect();
        self
    }
}

/// File of an image of these cases, such as `37x23.png`.
#[must_use]
pub fn multimodal_image(name: &str) -> PathBuf {
    crate::data_dir().join(MultimodalGolden::FOLDER).join("images").join(name)
}

/// All tiny multimodal models, ordered by name.
///
/// # Panics
/// If a file of a case is missing or damaged.
#[must_use]
pub fn multimodal_cases() -> Vec<MultimodalCase> {
    cases()
}

/// One tiny multimodal model by name.
///
/// # Panics
/// As [`multimodal_cases`], and if the name is unknown.
#[must_use]
pub fn multimodal_case(name: &str) -> MultimodalCase {
    case(name)
}
