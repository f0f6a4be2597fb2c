//! A model as scripts read it.

use anyhow::Result;
use embedkit::{describe::Fact, hub::Hub};
use embedkit_types::{ModelPrompts, ModelSpec, Str};
use serde::Serialize;

/// A model as scripts read it. The names and their order are fixed.
#[derive(Serialize)]
pub(crate) struct Row<'a> {
    pub(crate) id: &'a str,
    pub(crate) task: &'a str,
    pub(crate) dim: Option<usize>,
    pub(crate) license: Option<&'a str>,
    pub(crate) size_gb: Option<f32>,
    pub(crate) max_tokens: Option<u32>,
    pub(crate) languages: Option<&'a [Str]>,
    pub(crate) source: RowSource<'a>,
    pub(crate) pooling: Option<Str>,
    pub(crate) normalize: Option<bool>,
    pub(crate) prompts: Option<&'a ModelPrompts>,
    pub(crate) requires_idf: Option<bool>,
    pub(crate) cached: bool,
    /// Of a model that is not built in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) facts: Vec<FactRow<'a>>,
}

/// A field that was read from a file of the model.
#[derive(Serialize)]
pub(crate) struct FactRow<'a> {
    pub(crate) field: &'a str,
    pub(crate) value: &'a str,
    pub(crate) file: &'a str,
}

impl<'a> From<&'a Fact> for FactRow<'a> {
    fn from(fact: &'a Fact) -> Self {
        Self { field: fact.field, value: &fact.value, file: &fact.file }
    }
}

/// Place of a model's files.
#[derive(Serialize)]
pub(crate) struct RowSource<'a> {
    pub(crate) repo: Option<&'a str>,
    pub(crate) file: &'a str,
    pub(crate) additional_files: &'a [Str],
}

impl<'a> Row<'a> {
    pub(crate) fn new(spec: &'a ModelSpec, hub: Option<&Hub>) -> Self {
        Self {
            id: &spec.id,
            task: spec.task.name(),
            dim: spec.task.dim(),
            license: spec.license.as_deref(),
            size_gb: spec.size_gb,
            max_tokens: spec.max_tokens,
            languages: Some(&*spec.languages).filter(|languages| !languages.is_empty()),
            source: RowSource {
                repo: spec.source.repo.as_deref(),
                file: &spec.file,
                additional_files: &spec.additional_files,
            },
            pooling: spec.task.pooling(),
            normalize: spec.task.normalize(),
            prompts: spec.prompts.as_ref(),
            requires_idf: spec.task.requires_idf(),
            cached: hub.is_some_and(|hub| hub.cached(spec).is_some()),
            facts: Vec::new(),
        }
    }
}

/// The rows as one JSON array.
pub(crate) fn to_json(rows: &[Row<'_>]) -> Result<String> {
    let mut text = serde_json::to_string_pretty(rows)?;
    text.push('\n');
    Ok(text)
}

/// The size of a download.
pub(crate) fn size(gigabytes: Option<f32>) -> String {
    match gigabytes {
        None => "-".to_owned(),
        Some(gigabytes) if gigabytes < 1.0 => format!("{:.0} MB", f64::from(gigabytes) * 1e3),
        Some(gigabytes) => format!("{gigabytes:.2} GB"),
    }
}
