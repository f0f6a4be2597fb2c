//! Published values of models, `xtask/matrix/canonical.jsonl`: the matrix of models compares with all of
//! them, and the registry has those of texts alone.

use std::fs;

use anyhow::{Context as _, Result};
use embedkit_types::{Canonical, ModelSpec, Str, Task};
use serde::Deserialize;

use crate::repo;

/// Published values of a model: the starts of vectors and rows, or complete values of other kinds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Published {
    pub(crate) model: String,
    pub(crate) task: String,
    #[serde(rename = "as", default)]
    pub(crate) role: Option<String>,
    #[serde(default)]
    pub(crate) option: Option<String>,
    #[serde(default)]
    pub(crate) query: Option<String>,
    pub(crate) inputs: Vec<String>,
    /// The inputs are names of pictures.
    #[serde(default)]
    pub(crate) image: bool,
    /// The first components of the first vectors.
    #[serde(default)]
    pub(crate) vectors: Vec<Vec<f64>>,
    /// The first components of the first rows of the first matrix.
    #[serde(default)]
    pub(crate) rows: Vec<Vec<f64>>,
    /// The sparse vector, or with `more` its beginning.
    #[serde(default)]
    pub(crate) indices: Vec<u64>,
    #[serde(default)]
    pub(crate) values: Vec<f64>,
    #[serde(default)]
    pub(crate) more: bool,
    #[serde(default)]
    pub(crate) scores: Vec<f64>,
    pub(crate) tolerance: f64,
}

/// All published values, in the order of the file.
pub(crate) fn published() -> Result<Vec<Published>> {
    let path = repo::root().join("xtask").join("matrix").join("canonical.jsonl");
    let text = fs::read_to_string(&path).with_context(|| repo::short(&path))?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

impl Published {
    pub(crate) fn describes(&self, spec: &ModelSpec) -> bool {
        self.model.eq_ignore_ascii_case(&spec.id) && self.task == spec.task.name()
    }

    /// The values of raw texts, as a row has them.
    #[expect(clippy::cast_possible_truncation, reason = "a row has f32, as vectors have")]
    fn of_texts(&self) -> Option<Canonical> {
        let raw = self.role.is_none() && self.option.is_none() && !self.image;
        if !raw || self.vectors.is_empty() {
            return None;
        }
        let vector = |vector: &Vec<f64>| vector.iter().map(|&number| number as f32).collect();
        let texts = self.inputs.iter().take(self.vectors.len());
        Some(Canonical {
            texts: texts.map(|text| Str::from(text.clone())).collect(),
            vectors: self.vectors.iter().map(vector).collect(),
            tolerance: self.tolerance as f32,
        })
    }
}

/// Puts the published values of texts into the rows of dense models.
pub(crate) fn fill(models: &mut [ModelSpec], published: &[Published]) {
    let dense = |spec: &&mut ModelSpec| matches!(spec.task, Task::TextDense(_));
    for spec in models.iter_mut().filter(dense) {
        let known = published.iter().filter(|known| known.describes(spec));
        if let Some(known) = known.filter_map(Published::of_texts).next() {
            spec.canonical = Some(known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_the_values_of_raw_texts_and_no_others() {
        let published: Vec<Published> = [
            r#"{"model":"a/b","task":"text-dense","as":"query","inputs":["q"],"vectors":[[9.0]],"tolerance":0.1}"#,
            r#"{"model":"A/b","task":"text-dense","inputs":["x","y"],"vectors":[[0.5,-0.25]],"tolerance":0.001}"#,
            r#"{"model":"a/c","task":"text-dense","option":"task=x","inputs":["x"],"vectors":[[0.5]],"tolerance":0.1}"#,
        ]
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
        let spec = |id: &'static str| ModelSpec { id: id.into(), ..ModelSpec::DEFAULT };
        let mut models = [spec("a/b"), spec("a/c"), spec("a/d")];
        fill(&mut models, &published);
        let known = models[0].canonical.as_ref().unwrap();
        assert_eq!(*known.texts, ["x"]);
        assert_eq!(*known.vectors[0], [0.5, -0.25]);
        known.check().unwrap();
        assert!(models[1..].iter().all(|spec| spec.canonical.is_none()));
    }
}
