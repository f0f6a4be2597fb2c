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

/// Vectors of one text; empty for a text without tokens on which the original fails.
type Matrix = Option<Vec<Vec<f32>>>;

/// A tiny late-interaction model with its golden values.
pub type LateCase = Case<LateGolden>;

/// FastEmbed's results for a case, each text alone.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LateGolden {
    /// Name of the FastEmbed model whose code ran.
    pub model: String,
    /// Inputs.
    #[serde(deserialize_with = "text::expanded")]
    pub texts: Vec<String>,
    /// The original's error, if any.
    pub error: Option<Failure>,
    /// Deviation of a correct implementation from the original.
    pub repaired: Option<Repaired>,
    /// NumPy dtype of the original's vectors.
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

/// `token_count` of each text, by role and by whether markers and query padding are counted.
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
    /// Stage at which a correct implementation fails, if it does.
    #[must_use]
    pub fn fails(&self) -> bool {
        match &self.repaired {
            Some(repaired) => repaired.to == Repair::Error,
            None => self.error.is_some(),
        }
    }

    /// Tolerance of a component, as for [`DenseCase`](crate::DenseCase).
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
/// If a file of a case is missing or damaged.
#[must_use]
pub fn late_cases() -> Vec<LateCase> {
    cases()
}

/// One tiny late-interaction model by name.
///
/// # Panics
/// As [`late_cases`], and if the name is unknown.
#[must_use]
pub fn late_case(name: &str) -> LateCase {
    case(name)
}

/// Golden values of a real model: all-MiniLM-L6-v2 without token types, as ColBERT.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredLate {
    /// Name of the FastEmbed model whose code ran.
    pub model: String,
    /// Inputs.
    pub texts: Vec<String>,
    /// `embed` of each text: the first components of each vector.
    pub embed: Vec<Vec<Vec<f32>>>,
    /// `query_embed` of every other text, starting with the first: the first components of each vector.
    pub query_embed: Vec<Vec<Vec<f32>>>,
    /// `MaxSim` score of each text for each of these queries, with all components.
    pub scores: Vec<Vec<f32>>,
}

/// Golden values of all-MiniLM-L6-v2 as ColBERT.
///
/// # Panics
/// If the file is missing or damaged.
#[must_use]
pub fn stored_late() -> StoredLate {
    parsed(&root().join("minilm.json"))
}

/// Vectors, with the result of token pooling by SciPy's clusters.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolingCase {
    /// Name of the case.
    pub name: String,
    /// Pooling factor.
    pub factor: f64,
    /// The vectors.
    pub vectors: Vec<Vec<f32>>,
    /// Unit-length means of the clusters, ordered by their first vector.
    pub pooled: Vec<Vec<f32>>,
}

/// All cases of token pooling.
///
/// # Panics
/// If the file is missing or damaged.
#[must_use]
pub fn pooling_cases() -> Vec<PoolingCase> {
    parsed(&root().join("pooling.json"))
}

fn root() -> PathBuf {
    crate::data_dir().join(LateGolden::FOLDER)
}
