//! A text is embedded: by the model that needs no files, and by one that is here.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use embedkit::{DEFAULT_MODEL, InputKind, LoadOptions, Model, Output, Role, registry};
use embedkit_types::ModelSpec;

use super::check::{Check, Level};
use crate::commands::models;

const TEXT: &str = "a quick brown fox";
/// A model that needs neither files nor a library.
const BUILT_IN: &str = "Qdrant/bm25";
/// The longest run of a graph where no limit is asked for.
const LONGEST: Duration = Duration::from_secs(60);

/// Weighted words, which need nothing.
pub(super) fn built_in(options: &LoadOptions) -> Check {
    let embed = || -> Result<String> {
        let model = Model::load(BUILT_IN, options.clone())?;
        let Output::Sparse(words) = model.document(TEXT)? else {
            anyhow::bail!("{BUILT_IN} gave no weighted words");
        };
        Ok(format!("{BUILT_IN} found {} words in {TEXT:?}", words.indices().len()))
    };
    match embed() {
        Ok(found) => Check::ok("words", found),
        Err(error) => Check::failed("words", Level::Problem, &error),
    }
}

/// A vector by a model of this machine.
pub(super) fn stored(model: Option<&ModelSpec>, runtime: bool, options: &LoadOptions) -> Check {
    const NAME: &str = "vectors";
    let Some(spec) = model else {
        let size = registry::find(DEFAULT_MODEL).ok().and_then(|specs| specs[0].size_gb);
        let size = models::size(size);
        let why = format!("no model is here yet; `embedkit embed` fetches {DEFAULT_MODEL}, {size}");
        return Check::skipped(NAME, why);
    };
    if !runtime {
        return Check::skipped(NAME, format!("{} is here, and needs the runtime", spec.id));
    }
    match embed(spec, options).with_context(|| format!("{} does not embed", spec.id)) {
        Ok(found) => Check::ok(NAME, found),
        Err(error) => Check::failed(NAME, Level::Problem, &error),
    }
}

fn embed(spec: &ModelSpec, options: &LoadOptions) -> Result<String> {
    let options = LoadOptions {
        offline: true,
        timeout: options.timeout.or(Some(LONGEST)),
        ..options.clone()
    };
    let started = Instant::now();
    let model = Model::builder_for([spec.clone()])?.options(options).open()?;
    let opened = started.elapsed();
    let started = Instant::now();
    let output = model.embed_one(Role::Raw, TEXT)?.value;
    output.check_finite()?;
    let device = model.device(InputKind::Text)?;
    let dim = model.dim().map(|dim| format!(" of {dim} numbers")).unwrap_or_default();
    Ok(format!(
        "{} gave a vector{dim} on {device}: {} ms to open, {:.1} ms to embed",
        spec.id,
        opened.as_millis(),
        started.elapsed().as_secs_f64() * 1e3,
    ))
}
