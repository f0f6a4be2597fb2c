//! Cases of reranking: tiny cross-encoders with the results of FastEmbed 0.9.1.

use std::{fmt::Display, path::Path};

use embedkit_types::ModelSpec;
use serde::Deserialize;

use crate::{
    Failure,
    case::{Case, Golden, case, cases},
    files::parsed,
    text,
};

/// A tiny cross-encoder with its golden values.
pub type RerankCase = Case<RerankGolden>;

/// FastEmbed's results for a case, each pair alone. Lists are of [all pairs](Self::all_pairs) unless
/// documented otherwise.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RerankGolden {
    /// Name of the FastEmbed model whose code ran, or of a custom model.
    pub model: String,
    /// Query of the documents.
    pub query: String,
    /// Documents for the query.
    #[serde(deserialize_with = "text::expanded")]
    pub documents: Vec<String>,
    /// Queries of further pairs.
    #[serde(deserialize_with = "text::expanded")]
    pub pair_queries: Vec<String>,
    /// Documents of the further pairs.
    #[serde(deserialize_with = "text::expanded")]
    pub pair_documents: Vec<String>,
    /// Error of the original or of a correct implementation, if any.
    pub error: Option<Failure>,
    /// `rerank` of the query with each document.
    #[serde(default)]
    pub rerank: Vec<Option<f32>>,
    /// `rerank_pairs` with each of the further pairs; `None` if the original fails on a pair without
    /// tokens.
    #[serde(default)]
    pub rerank_pairs: Vec<Option<f32>>,
    /// The original's scores depend on the batch by more than rounding.
    #[serde(default)]
    pub depends_on_batch: bool,
    /// All columns of the graph's output, if there are several.
    pub columns: Option<Vec<Vec<f32>>>,
    /// Token ids without padding, if the tokenizer does not pad a single pair.
    pub input_ids: Option<Vec<Vec<u32>>>,
    /// Segments of the tokens.
    pub type_ids: Option<Vec<Vec<u32>>>,
    /// The pair exceeded the limit.
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

    /// Scores of all pairs, in the same order.
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
/// If a file of a case is missing or damaged.
#[must_use]
pub fn rerank_cases() -> Vec<RerankCase> {
    cases()
}

/// One tiny cross-encoder by name.
///
/// # Panics
/// As [`rerank_cases`], and if the name is unknown.
#[must_use]
pub fn rerank_case(name: &str) -> RerankCase {
    case(name)
}

/// Golden values of `minilm-classifier`: all-MiniLM-L6-v2 with a head of made-up weights.
///
/// # Panics
/// If the name is unknown or the file is damaged.
#[must_use]
pub fn rerank_stored(name: &str) -> RerankGolden {
    let path = crate::data_dir().join(RerankGolden::FOLDER).join(format!("{name}.json"));
    parsed::<RerankGolden>(&path).checked(&name)
}
