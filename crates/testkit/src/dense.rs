//! Cases of dense text embedding: tiny models with the results of FastEmbed 0.9.1.

use std::{collections::BTreeMap, path::Path};

use embedkit_types::{ModelSpec, Role};
use serde::Deserialize;

use crate::{
    case::{Case, Golden, case, cases},
    text,
};

/// A tiny model with its golden values.
pub type DenseCase = Case<DenseGolden>;

/// FastEmbed's results for a case.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenseGolden {
    /// Name of the FastEmbed model whose code ran, or of a custom model.
    pub model: String,
    /// Inputs.
    #[serde(deserialize_with = "text::expanded")]
    pub texts: Vec<String>,
    /// The original's error, if any.
    pub error: Option<Failure>,
    /// Deviation of a correct implementation from the original.
    pub repaired: Option<Repaired>,
    /// NumPy dtype of the original's vectors; the values here are f32.
    pub dtype: Option<String>,
    /// Shape of a result that is not one vector for each text.
    pub shape: Option<Vec<usize>>,
    /// `embed` with all texts in one batch.
    pub embed: Option<Vec<Vec<f32>>>,
    /// `embed` of each text alone, if different; `None` for a text that fails alone.
    pub embed_batch_1: Option<Vec<Option<Vec<f32>>>>,
    /// Errors behind the `None`s, by the index of the text.
    #[serde(default)]
    pub embed_batch_1_errors: BTreeMap<usize, Failure>,
    /// `query_embed`, if different from `embed`.
    pub query_embed: Option<Vec<Vec<f32>>>,
    /// `passage_embed`, if different from `embed`.
    pub passage_embed: Option<Vec<Vec<f32>>>,
    /// `embed` with the model's other tasks, by id.
    #[serde(default)]
    pub embed_task: BTreeMap<usize, Vec<Vec<f32>>>,
    /// `token_count` of each text.
    pub token_counts: Option<Vec<usize>>,
    /// Token ids of all texts as one padded batch.
    pub input_ids: Option<Vec<Vec<u32>>>,
    /// Attention mask of `input_ids`.
    pub attention_mask: Option<Vec<Vec<u32>>>,
}

/// An exception of the original.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Stage of the exception.
    pub stage: Stage,
    /// Type of the exception.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its text, with `{dir}` for the model's folder. Informative: our errors have other words.
    pub message: String,
}

/// Stage of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Opening the model.
    Load,
    /// Embedding texts.
    Embed,
}

/// Deviation of a correct implementation from the original.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repaired {
    /// Its result instead.
    pub to: Repair,
    /// Defect of the original.
    pub why: String,
}

/// Result of a correct implementation instead of the original's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Repair {
    /// An error, while the original gives meaningless values.
    Error,
    /// The vectors in [`DenseGolden::embed`], while the original fails on valid input.
    Embed,
}

/// Result of a correct implementation for a case.
#[derive(Debug, Clone, PartialEq)]
pub enum Expected {
    /// One vector for each text. `None` for a text without tokens, on which the original fails:
    /// anything but a panic is right.
    Vectors(Vec<Option<Vec<f32>>>),
    /// An error at this stage or earlier.
    Error(Stage),
}

impl DenseCase {
    /// Result of a correct implementation for the case's texts in a role.
    ///
    /// Vectors are batch-invariant: if the original's are not, these are the values of each text alone.
    ///
    /// # Panics
    /// If the case has no values, which [`dense_cases`] never returns.
    #[must_use]
    pub fn expected(&self, role: Role) -> Expected {
        let golden = &self.golden;
        match &golden.repaired {
            Some(Repaired { to: Repair::Error, .. }) => return Expected::Error(Stage::Embed),
            Some(Repaired { to: Repair::Embed, .. }) => {}
            None => {
                if let Some(failure) = &golden.error {
                    return Expected::Error(failure.stage);
                }
            }
        }
        let by_role = match role {
            Role::Raw => None,
            Role::Document => golden.passage_embed.as_ref(),
            Role::Query => golden.query_embed.as_ref(),
        };
        if let Some(vectors) = by_role {
            return Expected::Vectors(vectors.iter().cloned().map(Some).collect());
        }
        if let Some(vectors) = &golden.embed_batch_1 {
            return Expected::Vectors(vectors.clone());
        }
        let vectors = golden.embed.as_ref().expect("checked when the case was read");
        Expected::Vectors(vectors.iter().cloned().map(Some).collect())
    }

    /// Tolerance of a component.
    ///
    /// Values hold on any CPU, so the tolerance is wider than rounding on one machine. FastEmbed
    /// returns the element type of the graph, and half precision has 11 bits.
    #[must_use]
    pub fn tolerance(&self) -> f32 {
        const SINGLE: f32 = 1e-4;
        const HALF: f32 = 1e-3; // relative to the largest value
        let largest =
            || self.golden.embed.iter().flatten().flatten().fold(1.0, |m: f32, x| m.max(x.abs()));
        if self.golden.dtype.as_deref() == Some("float16") { HALF * largest() } else { SINGLE }
    }
}

impl Golden for DenseGolden {
    const FOLDER: &str = "dense";

    fn complete(self, dir: &Path, _: &ModelSpec) -> Self {
        let repaired_to_error = self.repaired.as_ref().is_some_and(|r| r.to == Repair::Error);
        assert!(
            self.error.is_some() || self.embed.is_some() || repaired_to_error,
            "{} has neither values nor an error",
            dir.display()
        );
        self
    }
}

/// All cases of dense text embedding, ordered by name.
///
/// # Panics
/// If a file of a case is missing or inconsistent.
#[must_use]
pub fn dense_cases() -> Vec<DenseCase> {
    cases()
}

/// One case by name.
///
/// # Panics
/// See [`dense_cases`]; also if the name is unknown.
#[must_use]
pub fn dense_case(name: &str) -> DenseCase {
    case(name)
}
