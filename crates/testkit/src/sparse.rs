//! Cases of sparse text embedding: BM25, and tiny models of the other kinds.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use embedkit_types::ModelSpec;
use serde::{Deserialize, Deserializer, de::Error};

use crate::{
    case::{Case, Golden, case, cases},
    files::{parsed, read},
    text,
};

/// A text with BM25 parameters and FastEmbed 0.9.1's result.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bm25Case {
    /// The name of the case.
    pub id: String,
    /// The input.
    pub text: String,
    /// Remark.
    #[serde(default)]
    pub note: Option<String>,
    /// The parameters of BM25.
    pub params: Bm25Params,
    /// All tokens, before filtering.
    pub tokens: Vec<String>,
    /// Stems that count, in order, with repeats.
    pub stems: Vec<String>,
    /// `token_count` of the text.
    pub token_count: usize,
    /// `embed`, in the original's order.
    pub doc: Bm25Document,
    /// `query_embed`.
    pub query: Bm25Query,
}

/// Parameters of BM25.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the names of the original")]
pub struct Bm25Params {
    pub language: String,
    pub k: f64,
    pub b: f64,
    pub avg_len: f64,
    pub token_max_length: usize,
    pub disable_stemmer: bool,
    pub stopwords: Option<Vec<String>>,
    /// `prefix4`: the first four characters; nothing for a word that starts with `z`.
    pub custom_stemmer: Option<String>,
}

/// Weights of a document.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bm25Document {
    /// Indices in the original's order.
    pub indices: Vec<u32>,
    /// Weights, exact to the last bit of an f64.
    #[serde(deserialize_with = "exact")]
    pub values: Vec<f64>,
}

/// Numbers as strings, since JSON parsers may lose the last bit.
fn exact<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    let numbers = Vec::<String>::deserialize(deserializer)?;
    numbers.iter().map(|number| number.parse().map_err(D::Error::custom)).collect()
}

/// Sorted indices of a query, and their common value.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "plain lists")]
pub struct Bm25Query {
    pub indices_sorted: Vec<u32>,
    pub value: f64,
}

/// All cases of BM25: hand-picked ones, then random ones.
///
/// # Panics
/// If a file is missing or damaged.
#[must_use]
pub fn bm25_cases() -> Vec<Bm25Case> {
    let files = ["bm25.jsonl", "bm25-random.jsonl"];
    let texts = files.map(|name| read(&root().join(name)));
    let lines = texts.iter().flat_map(|text| text.lines());
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))).collect()
}

/// Digests of BM25's tokens for each pattern, with every character in the place of `?`: FNV-1a (64
/// bits, hexadecimal) of one line for each character, tokens separated by spaces.
///
/// # Panics
/// If the file is missing or damaged.
#[must_use]
pub fn bm25_unicode_digests() -> BTreeMap<String, String> {
    parsed(&root().join("bm25-unicode.json"))
}

/// A tiny sparse model with its golden values.
pub type SparseCase = Case<SparseGolden>;

/// FastEmbed's results for a sparse case, each text alone.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SparseGolden {
    /// Name of the FastEmbed model whose code ran.
    pub model: String,
    /// Parameters of its constructor.
    #[serde(default)]
    pub options: BTreeMap<String, f64>,
    /// List of stopwords beside the files of a real model; a case has its own.
    #[serde(default)]
    pub stopwords: Vec<String>,
    /// Inputs.
    #[serde(deserialize_with = "text::expanded")]
    pub texts: Vec<String>,
    /// `token_count` of each text.
    pub token_counts: Vec<usize>,
    /// `embed`: pairs of index and value in the original's order.
    pub embed: Vec<Vec<(u32, f64)>>,
    /// `query_embed`.
    pub query_embed: Vec<Vec<(u32, f64)>>,
}

impl Golden for SparseGolden {
    const FOLDER: &str = "sparse";

    fn complete(self, dir: &Path, _: &ModelSpec) -> Self {
        let texts = self.texts.len();
        assert!(
            self.embed.len() == texts
                && self.query_embed.len() == texts
                && self.token_counts.len() == texts,
            "{}: values for {texts} texts",
            dir.display()
        );
        self
    }
}

/// All tiny sparse models, ordered by name.
///
/// # Panics
/// If a file of a case is missing or damaged.
#[must_use]
pub fn sparse_cases() -> Vec<SparseCase> {
    cases()
}

/// One tiny sparse model by name.
///
/// # Panics
/// As [`sparse_cases`], and if the name is unknown.
#[must_use]
pub fn sparse_case(name: &str) -> SparseCase {
    case(name)
}

/// Golden values of a real model: `bm42-minilm` (all-MiniLM-L6-v2 with its last layer's attention as
/// output) or `splade-tiny`.
///
/// # Panics
/// If the name is unknown or the file is damaged.
#[must_use]
pub fn sparse_stored(name: &str) -> SparseGolden {
    parsed(&root().join(format!("{name}.json")))
}

fn root() -> PathBuf {
    crate::data_dir().join(SparseGolden::FOLDER)
}
