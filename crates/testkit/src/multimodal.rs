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

/// One tiny model with its golden values.
pub type MultimodalCase = Case<MultimodalGolden>;

/// What FastEmbed 0.9.1 gives for a case.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultimodalGolden {
    /// The name of the model in FastEmbed whose code ran.
    pub model: String,
    /// The texts.
    #[serde(deserialize_with = "text::expanded")]
    pub texts: Vec<String>,
    /// The names of the images.
    pub images: Vec<String>,
    /// What went wrong when the model was opened, if it did.
    pub error: Option<Failure>,
    /// Where a correct implementation departs from the original, and why.
    pub repaired: Option<String>,
    /// `token_count` of each text.
    #[serde(default)]
    pub token_counts: Vec<usize>,
    /// The same with what the model adds to a text.
    #[serde(default)]
    pub token_counts_with_extension: Vec<usize>,
    /// What came of the texts.
    #[serde(default)]
    pub embed_text: MultimodalResults,
    /// What came of the images.
    #[serde(default)]
    pub embed_image: MultimodalResults,
    /// Element type of the original's vectors, as NumPy names it; the values here are f32.
    pub dtype: Option<String>,
    /// For each text alone its vectors, one after the other; empty where the original fails.
    #[serde(skip)]
    pub text_values: Vec<Vec<f32>>,
    /// For each image alone its vectors, one after the other; empty where the original fails.
    #[serde(skip)]
    pub image_values: Vec<Vec<f32>>,
}

/// What came of several inputs, each alone.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultimodalResults {
    /// How many vectors each input has.
    #[serde(default)]
    pub rows: Vec<usize>,
    /// What went wrong instead.
    pub error: Option<Failure>,
    /// The shape of one result that is not a list of vectors.
    pub shape: Option<Vec<usize>>,
    /// How many vectors each input has in one batch with the others, where that differs.
    pub rows_in_batch: Option<Vec<usize>>,
    /// Whether the values differ in one batch with the others.
    #[serde(default)]
    pub batch_differs: bool,
    /// What goes wrong in one batch with the others.
    pub batch_error: Option<Failure>,
}

impl MultimodalCase {
    /// The files of the case's images.
    #[must_use]
    pub fn images(&self) -> Vec<PathBuf> {
        self.golden.images.iter().map(|name| multimodal_image(name)).collect()
    }
}

impl Golden for MultimodalGolden {
    const FOLDER: &str = "multimodal";

    /// The vectors are in `golden.f32`, those of texts first.
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

/// The file of an image of these cases, such as `37x23.png`.
#[must_use]
pub fn multimodal_image(name: &str) -> PathBuf {
    crate::data_dir().join(MultimodalGolden::FOLDER).join("images").join(name)
}

/// All tiny multimodal models, ordered by name.
///
/// # Panics
/// Where a file of a case is missing or damaged.
#[must_use]
pub fn multimodal_cases() -> Vec<MultimodalCase> {
    cases()
}

/// One tiny multimodal model by name.
///
/// # Panics
/// As [`multimodal_cases`], and where there is none of this name.
#[must_use]
pub fn multimodal_case(name: &str) -> MultimodalCase {
    case(name)
}
