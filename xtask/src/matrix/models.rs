//! `cargo xtask matrix models`: runs every registered model like a user and compares it with its
//! published values.
//!
//! FastEmbed's authors published the first numbers of most models' results for a text or a picture;
//! `xtask/matrix/canonical.jsonl` holds them. A model without published values has to give vectors of
//! the registered dimension and norm, and the same ones twice. Models with unavailable files are
//! skipped. Two models with eight-bit weights have a wider tolerance, because the published values
//! depend on the rest of their batch.

use std::{
    cell::LazyCell,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use embedkit_hub::{Error, Hub};
use embedkit_types::{ModelSpec, Task, cache::cache_dir};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{
    assets::{self, Set},
    canonical::{self, Published},
    codegen, repo, run,
    steps::{Outcome, Steps},
};

/// The model that the tests fetch anyway.
const ASSET: &str = "sentence-transformers/all-MiniLM-L6-v2";
/// Inputs for models without published values.
const TEXTS: [&str; 2] = ["hello world", "Paris is the capital of France."];
/// A query for rerankers among them.
const QUERY: &str = "what is the capital of France?";

/// The picture of FastEmbed's own tests, which the published values of image models belong to.
const PICTURE: &str = "image.jpeg";
const PICTURE_URL: &str = "https://raw.githubusercontent.com/qdrant/fastembed/\
    c48247f/tests/misc/image.jpeg";
const PICTURE_SHA256: &str = "dea9e7ef97386345f7cff32f9055da4982da5471c48d575146c796ab4563b04e";

/// Checks all models and ends with a table and a count by kind of check.
pub(super) fn run(largest: f32, part: Option<&str>) -> Result<()> {
    assets::ensure(Set::Test)?;
    let embedkit = run::build_embedkit(false)?;
    let program = Program { embedkit, runtime: assets::newest_runtime() };
    let table = fs::read_to_string(repo::root().join("models.toml"))?;
    let specs = codegen::parse(&table)?.model;
    let canonical = canonical::published()?;
    let hub = Hub::from_env(cache_dir(|name| std::env::var_os(name)), false)?;
    let chosen = |spec: &&ModelSpec| {
        part.is_none_or(|part| spec.id.to_lowercase().contains(&part.to_lowercase()))
    };
    let mut steps = Steps::default();
    let mut unreachable = None;
    let picture = LazyCell::new(picture);
    let (mut published, mut plain) = (0, 0);
    for spec in specs.iter().filter(chosen) {
        let name = format!("{} ({})", spec.id, spec.task.name());
        if let Some(reason) = out_of_reach(spec, &hub, largest, &mut unreachable) {
            steps.note(&name, Outcome::Skipped(reason));
            continue;
        }
        let known: Vec<_> = canonical.iter().filter(|known| known.describes(spec)).collect();
        steps.run(&name, || {
            let with_picture = known.iter().any(|known| known.image);
            let (folder, missing) = match with_picture.then(|| picture.as_deref()) {
                Some(Err(error)) => (Path::new(""), Some(format!("{error:#}"))),
                Some(Ok(folder)) => (folder, None),
                None => (Path::new(""), None),
            };
            let known: Vec<_> =
                known.iter().filter(|known| !known.image || missing.is_none()).collect();
            if known.is_empty() {
                plain += 1;
                program.check_plainly(spec)?;
                let why = missing.unwrap_or_else(|| "no published value".into());
                return Ok(Outcome::Passed(format!("{why}: width, norm, the same twice")));
            }
            published += 1;
            for known in &known {
                program.compare(spec, known, folder)?;
            }
            Ok(Outcome::Passed(format!("{} published values", known.len())))
        });
    }
    println!("\n{published} models compared with published values, {plain} without any");
    steps.finish()
}

/// Reason why the files of a model are not available. An unreachable hub is asked once; a reachable one
/// decides for each model. Defects of the model's row are left to its step.
fn out_of_reach(
    spec: &ModelSpec,
    hub: &Hub,
    largest: f32,
    unreachable: &mut Option<String>,
) -> Option<String> {
    if is_local(spec) || hub.cached(spec).is_some() {
        return None;
    }
    if let Some(size) = spec.size_gb.filter(|size| *size > largest) {
        return Some(format!("{size} GB is more than --largest {largest}"));
    }
    if unreachable.is_some() {
        return unreachable.clone();
    }
    let error = hub.look_up(spec).err()?;
    let network = matches!(
        error,
        Error::Transport { .. } | Error::Tls { .. } | Error::Timeout { .. } | Error::Offline { .. }
    );
    let refused =
        matches!(error, Error::Denied { .. } | Error::RateLimited { .. } | Error::Status { .. });
    let what = if network { "the hub cannot be reached" } else { "its files cannot be had" };
    let reason = format!("{what}: {:#}", anyhow::Error::from(error));
    if network {
        *unreachable = Some(reason.clone());
    }
    (network || refused).then_some(reason)
}

/// Folder of the published picture, fetched if it is missing, since its licence does not let us
/// redistribute it.
fn picture() -> Result<PathBuf> {
    let folder = repo::root().join(".cache").join("matrix");
    let path = folder.join(PICTURE);
    if !path.is_file() {
        fs::create_dir_all(&folder)?;
        let part = folder.join(format!("{PICTURE}.part"));
        let mut curl = Command::new("curl");
        curl.args(["--fail", "--silent", "--show-error", "--location", "--max-time", "60"]);
        run::output(curl.arg("--output").arg(&part).arg(PICTURE_URL))
            .context("the picture of its published value cannot be had")?;
        fs::rename(&part, &path)?;
    }
    let found: String =
        Sha256::digest(fs::read(&path)?).iter().map(|byte| format!("{byte:02x}")).collect();
    ensure!(found == PICTURE_SHA256, "{} has the sha256 {found}", path.display());
    Ok(folder)
}

/// Returns `true` if a model is available without the hub.
fn is_local(spec: &ModelSpec) -> bool {
    spec.id == ASSET || needs_no_files(spec)
}

fn needs_no_files(spec: &ModelSpec) -> bool {
    matches!(&spec.task, Task::Sparse(task) if task.kind.name() == "bm25")
}

/// The command line program, and the runtime for it.
struct Program {
    embedkit: PathBuf,
    runtime: PathBuf,
}

impl Program {
    /// Output of the program for a model, one object for each input.
    fn answers(
        &self,
        spec: &ModelSpec,
        command: &str,
        change: impl FnOnce(&mut Command),
    ) -> Result<Vec<Value>> {
        let mut run = Command::new(&self.embedkit);
        run.args([command, "--quiet", "--model", &spec.id]);
        run.arg("--onnxruntime").arg(&self.runtime);
        if spec.id == ASSET {
            run.arg("--model-dir").arg(assets::minilm());
        }
        change(&mut run);
        let text = run::output(&mut run)?;
        text.lines()
            .map(|line| {
                serde_json::from_str(line).with_context(|| format!("embedkit wrote {line:.80}"))
            })
            .collect()
    }

    /// Compares with known values; pictures are in `folder`.
    fn compare(&self, spec: &ModelSpec, known: &Published, folder: &Path) -> Result<()> {
        let command = if known.query.is_some() { "rerank" } else { "embed" };
        let answers = self.answers(spec, command, |run| {
            let flags =
                [("--as", &known.role), ("--option", &known.option), ("--query", &known.query)];
            for (flag, value) in flags {
                if let Some(value) = value {
                    run.args([flag, value]);
                }
            }
            if known.image {
                run.arg("--image")
                    .arg("--")
                    .args(known.inputs.iter().map(|name| folder.join(name)));
            } else {
                run.arg("--").args(&known.inputs);
            }
        })?;
        ensure!(answers.len() == known.inputs.len(), "{} answers", answers.len());
        known.check(&answers)
    }

    /// Checks dimension, norm if the row has one, and that results are the same twice and alone.
    fn check_plainly(&self, spec: &ModelSpec) -> Result<()> {
        let ask = |texts: &[&str]| match &spec.task {
            Task::Rerank(_) => self.answers(spec, "rerank", |run| {
                run.args(["--query", QUERY, "--"]).args(texts);
            }),
            Task::Image(_) => self.answers(spec, "embed", |run| {
                let picture = repo::root().join("xtask").join("matrix").join("picture.png");
                run.arg("--image").arg("--").args(texts.iter().map(|_| &picture));
            }),
            _ => self.answers(spec, "embed", |run| {
                run.arg("--").args(texts);
            }),
        };
        let answers = ask(&TEXTS)?;
        ensure!(answers.len() == TEXTS.len(), "{} answers", answers.len());
        ensure!(answers == ask(&TEXTS)?, "another result the second time");
        let alone = ask(&TEXTS[..1])?;
        let (width, unit) = expected(&spec.task);
        for answer in answers.iter().chain(&alone) {
            for vector in vectors(answer)? {
                if let Some(width) = width {
                    ensure!(vector.len() == width, "width {}, registered {width}", vector.len());
                }
                let norm = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
                ensure!(!unit || (norm - 1.0).abs() < 1e-3, "a vector of norm {norm}");
            }
        }
        let (one, batch) = (vectors(&alone[0])?, vectors(&answers[0])?);
        ensure!(
            one.len() == batch.len(),
            "{} vectors alone, {} in a batch",
            one.len(),
            batch.len()
        );
        for (one, batch) in one.iter().zip(&batch) {
            close(one, batch, 1e-3).context("alone and in a batch")?;
        }
        Ok(())
    }
}

/// Registered dimension of the vectors, and `true` if they have unit length.
fn expected(task: &Task) -> (Option<usize>, bool) {
    let unit = match task {
        Task::TextDense(task) => task.normalize,
        Task::Image(task) => task.normalize,
        Task::LateText(task) => task.normalize,
        // Determined by their graphs.
        _ => false,
    };
    (task.dim(), unit)
}

/// Numbers of an answer: one vector, several, the values of a sparse one, or a score.
fn vectors(answer: &Value) -> Result<Vec<Vec<f64>>> {
    let numbers = |value: &Value| -> Result<Vec<f64>> {
        let items = value.as_array().context("no list of numbers")?;
        items.iter().map(|number| number.as_f64().context("not a number")).collect()
    };
    if let Some(score) = answer.get("score") {
        return Ok(vec![vec![score.as_f64().context("a score that is no number")?]]);
    }
    if let Some(values) = answer.get("values") {
        return Ok(vec![numbers(values)?]);
    }
    let embedding = answer.get("embedding").context("an answer without an embedding")?;
    match embedding.get(0) {
        Some(Value::Array(_)) => embedding.as_array().into_iter().flatten().map(numbers).collect(),
        _ => Ok(vec![numbers(embedding)?]),
    }
}

impl Published {
    fn check(&self, answers: &[Value]) -> Result<()> {
        for (n, expected) in self.vectors.iter().enumerate() {
            let found = vectors(&answers[n])?;
            close(&found[0], expected, self.tolerance).with_context(|| format!("input {n}"))?;
        }
        let found = vectors(&answers[0])?;
        ensure!(found.len() >= self.rows.len(), "{} rows, {} known", found.len(), self.rows.len());
        for (n, (found, expected)) in found.iter().zip(&self.rows).enumerate() {
            close(found, expected, self.tolerance).with_context(|| format!("row {n}"))?;
        }
        if !self.indices.is_empty() {
            let indices: Option<Vec<_>> = answers[0]["indices"]
                .as_array()
                .map(|list| list.iter().filter_map(Value::as_u64).collect());
            let indices = indices.context("an answer without indices")?;
            let whole = self.more || indices.len() == self.indices.len();
            ensure!(whole && indices.starts_with(&self.indices), "indices {indices:?}");
            close(&found[0], &self.values, self.tolerance)?;
        }
        for (answer, expected) in answers.iter().zip(&self.scores) {
            close(&vectors(answer)?[0], &[*expected], self.tolerance)?;
        }
        Ok(())
    }
}

/// Checks that a vector starts with the known values, within numpy's closeness, which the published
/// tests use.
fn close(found: &[f64], known: &[f64], tolerance: f64) -> Result<()> {
    ensure!(found.len() >= known.len(), "{} numbers, {} known", found.len(), known.len());
    for (n, (found, known)) in found.iter().zip(known).enumerate() {
        let difference = (found - known).abs();
        if difference.is_nan() || difference > tolerance + 1e-5 * known.abs() {
            bail!("component {n} is {found} instead of {known}, allowed {tolerance}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn published_values_are_of_registered_models() {
        let specs = codegen::parse(&fs::read_to_string(repo::root().join("models.toml")).unwrap());
        let specs = specs.unwrap().model;
        let canonical = canonical::published().unwrap();
        assert!(canonical.len() > 50);
        for known in &canonical {
            let model = &known.model;
            assert!(specs.iter().any(|spec| known.describes(spec)), "{model} is not registered");
            let something =
                [known.vectors.len(), known.rows.len(), known.indices.len(), known.scores.len()];
            assert!(something.iter().any(|&count| count > 0), "{model}: nothing is known");
            assert_eq!(known.indices.len(), known.values.len(), "{model}");
            assert!(known.vectors.len() <= known.inputs.len(), "{model}");
            assert!(!known.image || known.inputs == [PICTURE], "{model}");
        }
    }

    #[test]
    fn a_wrong_number_is_named() {
        let known: Published = serde_json::from_value(json!({
            "model": "m", "task": "text-dense", "inputs": ["a"], "vectors": [[1.0, 2.0]],
            "tolerance": 0.001
        }))
        .unwrap();
        known.check(&[json!({"embedding": [1.0, 2.0005, 9.0]})]).unwrap();
        let error = known.check(&[json!({"embedding": [1.0, 2.1]})]).unwrap_err();
        assert!(format!("{error:#}").contains("component 1 is 2.1 instead of 2"), "{error:#}");
        assert!(known.check(&[json!({"embedding": [1.0]})]).is_err());
        assert!(known.check(&[json!({"error": "x"})]).is_err());
    }

    #[test]
    fn a_sparse_beginning_is_told_from_a_whole_vector() {
        let known = |more: bool| -> Published {
            serde_json::from_value(json!({
                "model": "m", "task": "sparse", "inputs": ["a"], "indices": [1, 5],
                "values": [0.5, 0.25], "more": more, "tolerance": 0.001
            }))
            .unwrap()
        };
        let longer = [json!({"indices": [1, 5, 7], "values": [0.5, 0.25, 0.1]})];
        known(true).check(&longer).unwrap();
        assert!(known(false).check(&longer).is_err());
    }
}
