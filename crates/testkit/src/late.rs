//! Cases of late interaction: tiny models with their vectors, and clusters of vectors.

use std::path::PathBuf;

use embedkit_types::{ModelFiles, ModelSpec};
use serde::Deserialize;

use crate::{
    Failure, Repair, Repaired,
    folder::{case_names, parsed, read},
    text,
};

/// The vectors of one text; none at all for a text on which the original fails for want of tokens.
type Matrix = Option<Vec<Vec<f32>>>;

/// One tiny late-interaction model with its golden values.
#[derive(Debug, Clone)]
pub struct LateCase {
    /// The name of its folder.
    pub name: String,
    /// The folder with model and tokenizer files.
    pub dir: PathBuf,
    /// The model's description, from `spec.toml`.
    pub spec: ModelSpec,
    /// What the original gives, from `golden.json`.
    pub golden: LateGolden,
}

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

impl LateCase {
    /// Model file and folder.
    #[must_use]
    pub fn files(&self) -> ModelFiles {
        ModelFiles::in_dir(&self.dir, &self.spec)
    }

    /// Whether a correct implementation fails, while opening or while embedding.
    #[must_use]
    pub fn fails(&self) -> bool {
        match &self.golden.repaired {
            Some(repaired) => repaired.to == Repair::Error,
            None => self.golden.error.is_some(),
        }
    }

    /// How far from the stored values a component may be, as for [`Case`](crate::Case).
    #[must_use]
    pub fn tolerance(&self) -> f32 {
        if self.golden.dtype.as_deref() == Some("float16") { 4e-3 } else { 1e-4 }
    }
}

/// All tiny late-interaction models, ordered by name.
///
/// # Panics
/// Where a file of a case is missing or damaged.
#[must_use]
pub fn late_cases() -> Vec<LateCase> {
    let root = root();
    case_names(&root).iter().map(|name| late_case(name)).collect()
}

/// One tiny late-interaction model by name.
///
/// # Panics
/// As [`late_cases`], and where there is none of this name.
#[must_use]
pub fn late_case(name: &str) -> LateCase {
    let dir = root().join(name);
    let spec =
        toml::from_str(&read(&dir.join("spec.toml"))).unwrap_or_else(|e| panic!("{name}: {e}"));
    let golden: LateGolden = parsed(&dir.join("golden.json"));
    let texts = golden.texts.len();
    let case = LateCase { name: name.to_owned(), dir, spec, golden };
    let golden = &case.golden;
    assert!(
        case.fails()
            || golden.embed.len() == texts
                && golden.query_embed.len() == texts
                && golden.token_counts.is_some(),
        "{name}: values for {texts} texts"
    );
    case
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
    crate::data_dir().join("late")
}
