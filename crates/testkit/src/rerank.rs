//! Cases of reranking: a tiny cross-encoder each, and what FastEmbed 0.9.1 gives for it.

use std::{fmt::Display, path::Path};

use embedkit_types::ModelSpec;
use serde::Deserialize;

use crate::{
    Failure,
    case::{Case, Golden, case, cases},
    files::parsed,
    text,
};

/// One tiny cross-encoder with its golden values.
pub type RerankCase = Case<RerankGolden>;

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

    fn checked(self, name: &dyn Display) -> Self {
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

impl Golden for RerankGolden {
    const FOLDER: &str = "rerank";

    fn complete(self, dir: &Path, _: &ModelSpec) -> Self {
        self.checked(&dir.display())
    }
}

/// All tiny cross-encoders, ordered by name.
///
/// # Panics
/// Where a file of a case is missing or damaged.
#[must_use]
pub fn rerank_cases() -> Vec<RerankCase> {
    cases()
}

/// One tiny cross-encoder by name.
///
/// # Panics
/// As [`rerank_cases`], and where there is none of this name.
#[must_use]
pub fn rerank_case(name: &str) -> RerankCase {
    case(name)
}

/// The golden values of `minilm-classifier`: all-MiniLM-L6-v2 under a head of made-up weights.
///
/// # Panics
/// Where there are none of this name or the file is damaged.
#[must_use]
pub fn rerank_stored(name: &str) -> RerankGolden {
    let path = crate::data_dir().join(RerankGolden::FOLDER).join(format!("{name}.json"));
    parsed::<RerankGolden>(&path).checked(&name)
}
