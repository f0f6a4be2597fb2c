//! Cases of reranking: a tiny cross-encoder each, and what FastEmbed 0.9.1 gives for it.

use std::path::PathBuf;

use embedkit_types::{ModelFiles, ModelSpec};
use serde::Deserialize;

use crate::{
    Failure,
    folder::{case_names, parsed, read},
    text,
};

/// One tiny cross-encoder with its golden values.
#[derive(Debug, Clone)]
pub struct RerankCase {
    /// The name of its folder.
    pub name: String,
    /// The folder with model and tokenizer files.
    pub dir: PathBuf,
    /// The model's description, from `spec.toml`.
    pub spec: ModelSpec,
    /// What the original gives, from `golden.json`.
    pub golden: RerankGolden,
}

/// What FastEmbed gives for a case, each pair alone. Lists that are not said to be of something else
/// are of [all pairs](Self::all_pairs).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RerankGolden {
    /// The name of the model in FastEmbed whose code ran, or a custom model's.
    pub model: String,
    /// The query of the documents.
    pub query: String,
    /// Documents for the query.
    #[serde(deserialize_with = "text::expanded")]
    pub documents: Vec<String>,
    /// Queries of further pairs.
    #[serde(deserialize_with = "text::expanded")]
    pub pair_queries: Vec<String>,
    /// Their documents.
    #[serde(deserialize_with = "text::expanded")]
    pub pair_documents: Vec<String>,
    /// What went wrong, if it did, or would have to.
    pub error: Option<Failure>,
    /// `rerank` of the query with each document.
    #[serde(default)]
    pub rerank: Vec<Option<f32>>,
    /// `rerank_pairs` with each of the further pairs; `None` where the original fails for want of any
    /// token.
    #[serde(default)]
    pub rerank_pairs: Vec<Option<f32>>,
    /// Whether the original's scores depend on what else is in the batch by more than rounding.
    #[serde(default)]
    pub depends_on_batch: bool,
    /// All columns of the graph's output, where there is more than one.
    pub columns: Option<Vec<Vec<f32>>>,
    /// Token ids without padding, where the tokenizer does not pad a single pair.
    pub input_ids: Option<Vec<Vec<u32>>>,
    /// Their segments.
    pub type_ids: Option<Vec<Vec<u32>>>,
    /// Whether the pair was longer than the limit.
    #[serde(default)]
    pub truncated: Vec<bool>,
    /// `token_count`.
    #[serde(default)]
    pub token_counts: Vec<usize>,
}

impl RerankCase {
    /// Model file and folder.
    #[must_use]
    pub fn files(&self) -> ModelFiles {
        ModelFiles::in_dir(&self.dir, &self.spec)
    }
}

impl RerankGolden {
    /// The query with each document, then the further pairs.
    #[must_use]
    pub fn all_pairs(&self) -> Vec<(&str, &str)> {
        let documents = self.documents.iter().map(|document| (self.query.as_str(), &**document));
        let further = self.pair_queries.iter().zip(&self.pair_documents);
        documents.chain(further.map(|(query, document)| (&**query, &**document))).collect()
    }

    /// The scores of all pairs, in the same order.
    #[must_use]
    pub fn all_scores(&self) -> Vec<Option<f32>> {
        self.rerank.iter().chain(&self.rerank_pairs).copied().collect()
    }

    fn checked(self, name: &str) -> Self {
        let pairs = self.documents.len() + self.pair_queries.len();
        let whole = self.pair_queries.len() == self.pair_documents.len()
            && (self.error.is_some()
                || self.rerank.len() == self.documents.len()
                    && self.all_scores().len() == pairs
                    && self.truncated.len() == pairs
                    && self.token_counts.len() == pairs);
        assert!(whole, "{name}: values for {pairs} pairs");
        self
    }
}

/// All tiny cross-encoders, ordered by name.
///
/// # Panics
/// Where a file of a case is missing or damaged.
#[must_use]
pub fn rerank_cases() -> Vec<RerankCase> {
    let root = root();
    case_names(&root).iter().map(|name| rerank_case(name)).collect()
}

/// One tiny cross-encoder by name.
///
/// # Panics
/// As [`rerank_cases`], and where there is none of this name.
#[must_use]
pub fn rerank_case(name: &str) -> RerankCase {
    let dir = root().join(name);
    let spec =
        toml::from_str(&read(&dir.join("spec.toml"))).unwrap_or_else(|e| panic!("{name}: {e}"));
    let golden = parsed::<RerankGolden>(&dir.join("golden.json")).checked(name);
    RerankCase { name: name.to_owned(), dir, spec, golden }
}

/// The golden values of `minilm-classifier`: all-MiniLM-L6-v2 under a head of made-up weights.
///
/// # Panics
/// Where there are none of this name or the file is damaged.
#[must_use]
pub fn rerank_stored(name: &str) -> RerankGolden {
    parsed::<RerankGolden>(&root().join(format!("{name}.json"))).checked(name)
}

fn root() -> PathBuf {
    crate::data_dir().join("rerank")
}
