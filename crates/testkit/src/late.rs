//! Cases of late interaction: tiny models with their vectors, and clusters of vectors.

use std::path::{Path, PathBuf};

use embedkit_types::ModelSpec;
use serde::Deserialize;

use crate::{
    Failure, Repair, Repaired,
    case::{Case, Golden, case, cases},
    files::parsed,
    text,
};

/// The vectors of one text; none at all for a text on which the original fails for want of tokens.
type Matrix = Option<Vec<Vec<f32>>>;

/// One tiny late-interaction model with its golden values.
pub type LateCase = Case<LateGolden>;

/// What FastEmbed gives for a case, each text alone.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LateGolden {
    /// The name of the model in FastEmbed whose code ran.
    pub model: String,
    /// The inputs.
    #[serde(deserialize_with = "text::expanded")]
    pub texts: Vec<String>,
    /// What went wrong, if it did.
    pub error: Option<Failure>,
    /// Where a correct implementation departs from the original.
    pub repaired: Option<Repaired>,
    /// Element type of the original's vectors, as NumPy names it.
    pub dtype: Option<String>,
    /// `embed`.
    #[serde(default)]
    pub embed: Vec<Matrix>,
    /// `query_embed`.
    #[serde(default)]
    pub query_embed: Vec<Matrix>,
    /// `token_count` of each text.
    pub token_counts: Option<LateCounts>,
}

/// `token_count` of each text, by form and by whether markers and query padding are counted.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "plain lists")]
pub struct LateCounts {
    pub document: Vec<usize>,
    pub query: Vec<usize>,
    pub document_extended: Vec<usize>,
    pub query_extended: Vec<usize>,
}

impl LateGolden {
    /// Whether a correct implementation fails, while opening or while embedding.
    #[must_use]
    pub fn fails(&self) -> bool {
        match &self.repaired {
            Some(repaired) => repaired.to == Repair::Error,
            None => self.error.is_some(),
        }
    }

    /// How far from the stored values a component may be, as for [`DenseCase`](crate::DenseCase).
    #[must_use]
    pub fn tolerance(&self) -> f32 {
        if self.dtype.as_deref() == Some("float16") { 4e-3 } else { 1e-4 }
    }
}

impl Golden for LateGolden {
    const FOLDER: &str = "late";

    fn complete(self, dir: &Path, _: &ModelSpec) -> Self {
        let texts = self.texts.len();
        assert!(
            self.fails()
                || self.embed.len() == texts
                    && self.query_embed.len() == texts
                    && self.token_counts.is_some(),
            "{}: values for {texts} texts",
            dir.display()
        );
        self
    }
}

/// All tiny late-interaction models, ordered by name.
///
/// # Panics
/// Where a file of a case is missing or damaged.
#[must_use]
pub fn late_cases() -> Vec<LateCase> {
    cases()
}

/// One tiny late-interaction model by name.
///
/// # Panics
/// As [`late_cases`], and where there is none of this name.
#[must_use]
pub fn late_case(name: &str) -> LateCase {
    case(name)
}

/// Golden values of a real model: all-MiniLM-L6-v2 without token types, as ColBERT.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredLate {
    /// The name of the model in FastEmbed whose code ran.
    pub model: String,
    /// The inputs.
    pub texts: Vec<String>,
    /// `embed` of each text: the first components of each vector.
    pub embed: Vec<Vec<Vec<f32>>>,
    /// `query_embed` of every other text, from the first: the first components of each vector.
    pub query_embed: Vec<Vec<Vec<f32>>>,
    /// For each of these queries the `MaxSim` score of each text, by all components.
    pub scores: Vec<Vec<f32>>,
}

/// The golden values of all-MiniLM-L6-v2 as ColBERT.
///
/// # Panics
/// Where the file is missing or damaged.
#[must_use]
pub fn stored_late() -> StoredLate {
    parsed(&root().join("minilm.json"))
}

/// Vectors, and what is left of them after token pooling as SciPy's clusters have it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolingCase {
    /// The name of the case.
    pub name: String,
    /// By how much the vectors are to become fewer.
    pub factor: f64,
    /// The vectors.
    pub vectors: Vec<Vec<f32>>,
    /// The means of the clusters, of unit length, ordered by their first vector.
    pub pooled: Vec<Vec<f32>>,
}

/// All cases of token pooling.
///
/// # Panics
/// Where the file is missing or damaged.
#[must_use]
pub fn pooling_cases() -> Vec<PoolingCase> {
    parsed(&root().join("pooling.json"))
}

fn root() -> PathBuf {
    crate::data_dir().join(LateGolden::FOLDER)
}
