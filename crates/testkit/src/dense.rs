//! Cases of dense text embedding: a tiny model each, and what FastEmbed 0.9.1 gives for it.

use std::{collections::BTreeMap, path::Path};

use embedkit_types::{ModelSpec, Role};
use serde::Deserialize;

use crate::{
    case::{Case, Golden, case, cases},
    text,
};

/// One tiny model with its golden values.
pub type DenseCase = Case<DenseGolden>;

/// What FastEmbed gives for a case.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenseGolden {
    /// The name of the model in FastEmbed whose code ran, or a custom model's.
    pub model: String,
    /// The inputs.
    #[serde(deserialize_with = "text::expanded")]
    pub texts: Vec<String>,
    /// What went wrong, if it did.
    pub error: Option<Failure>,
    /// Where a correct implementation departs from the original.
    pub repaired: Option<Repaired>,
    /// Element type of the original's vectors, as NumPy names it; the values here are f32.
    pub dtype: Option<String>,
    /// Shape of a result that is not one vector per text.
    pub shape: Option<Vec<usize>>,
    /// `embed` with all texts in one batch.
    pub embed: Option<Vec<Vec<f32>>>,
    /// `embed` of each text alone, where that differs; `None` for a text that fails alone.
    pub embed_batch_1: Option<Vec<Option<Vec<f32>>>>,
    /// The failures behind the `None`s, by the place of the text.
    #[serde(default)]
    pub embed_batch_1_errors: BTreeMap<usize, Failure>,
    /// `query_embed`, where it differs from `embed`.
    pub query_embed: Option<Vec<Vec<f32>>>,
    /// `passage_embed`, where it differs from `embed`.
    pub passage_embed: Option<Vec<Vec<f32>>>,
    /// `embed` with the tasks of the model other than its default, by id.
    #[serde(default)]
    pub embed_task: BTreeMap<usize, Vec<Vec<f32>>>,
    /// `token_count` of each text.
    pub token_counts: Option<Vec<usize>>,
    /// Token ids of all texts as one padded batch.
    pub input_ids: Option<Vec<Vec<u32>>>,
    /// The attention mask that belongs to `input_ids`.
    pub attention_mask: Option<Vec<Vec<u32>>>,
}

/// An exception of the original.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// When it came.
    pub stage: Stage,
    /// The exception's type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its text, with `{dir}` for the model's folder. For orientation: ours are worded otherwise.
    pub message: String,
}

/// When an error comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// While the model is opened.
    Load,
    /// While texts are embedded.
    Embed,
}

/// Where a correct implementation departs from the original.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repaired {
    /// What it gives instead.
    pub to: Repair,
    /// What is wrong with the original.
    pub why: String,
}

/// What a correct implementation gives instead of the original's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Repair {
    /// An error where the original gives values without a meaning.
    Error,
    /// The vectors in [`DenseGolden::embed`] where the original fails on valid input.
    Embed,
}

/// What a correct implementation gives for a case.
#[derive(Debug, Clone, PartialEq)]
pub enum Expected {
    /// One vector for each text. `None`: the text has no tokens and the original fails on it, so
    /// anything but a panic is right.
    Vectors(Vec<Option<Vec<f32>>>),
    /// An error, at the latest at this stage; finding it earlier is better.
    Error(Stage),
}

impl DenseCase {
    /// What a correct implementation gives for the case's texts in a role.
    ///
    /// Vectors never depend on the texts beside them: where the original's do, the values are those
    /// of each text alone.
    ///
    /// # Panics
    /// On a case without values, which [`dense_cases`] does not return.
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

    /// How far from the stored values a component may be.
    ///
    /// Values hold on any CPU, so the tolerance is wider than rounding on one machine. FastEmbed
    /// returns the element type of the graph: halves carry 11 bits, which decides for those.
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
/// Where a file of a case is missing or says something that it cannot mean.
#[must_use]
pub fn dense_cases() -> Vec<DenseCase> {
    cases()
}

/// One case by name.
///
/// # Panics
/// As [`dense_cases`], and where there is no case of this name.
#[must_use]
pub fn dense_case(name: &str) -> DenseCase {
    case(name)
}
