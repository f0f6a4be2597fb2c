//! embedkit as a contestant.

use std::num::NonZeroUsize;

use bench_contestant::{Contestant, Each, Load, Result, serve};
use embedkit::{BatchOptions, Device, LoadOptions, ModelFiles, Role, TextEmbedding, registry};
use serde::Deserialize;

/// The settings that the benchmarks compare; what is absent is left to the library.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Options {
    replicas: Option<NonZeroUsize>,
    threads: Option<NonZeroUsize>,
    batch_tokens: Option<NonZeroUsize>,
    /// Configuration entries of ONNX Runtime's session.
    session: Vec<(String, String)>,
}

struct Embedkit(TextEmbedding);

impl Contestant for Embedkit {
    fn load(load: &Load) -> Result<Self> {
        let options = if load.options.is_null() {
            Options::default()
        } else {
            Options::deserialize(&load.options)?
        };
        let cores = std::thread::available_parallelism()?.get();
        if load.threads != cores && (options.replicas.is_none() || options.threads.is_none()) {
            return Err(format!("the library takes all {cores} cores, not {}", load.threads).into());
        }
        let mut spec =
            registry::find_task("sentence-transformers/all-MiniLM-L6-v2", "text-dense")?.clone();
        spec.file = "model.onnx".into();
        let mut batch = BatchOptions::default();
        if let Some(tokens) = options.batch_tokens {
            batch.tokens = tokens;
        }
        let options = LoadOptions {
            device: Device::Cpu,
            replicas: options.replicas,
            threads: options.threads,
            batch,
            provider_options: options.session,
            onnxruntime: Some(load.onnxruntime.clone()),
            ..LoadOptions::default()
        };
        let files = ModelFiles::in_dir(&load.model, &spec);
        Ok(Self(TextEmbedding::from_files(&spec, &files, &options)?))
    }

    fn embed<I>(&self, texts: I, _batch: Option<usize>, each: &mut Each<'_>) -> Result<()>
    where
        I: Iterator<Item: AsRef<str> + Send + Sync>,
    {
        for vector in self.0.embed(texts) {
            each(&vector?);
        }
        Ok(())
    }

    fn query(&self, text: &str) -> Result<Vec<f32>> {
        Ok(self.0.embed_batch(Role::Query, &[text])?.remove(0))
    }

    fn tokens(&self, texts: &[String]) -> Result<Vec<usize>> {
        texts.iter().map(|text| Ok(self.0.token_count([text])?)).collect()
    }
}

fn main() -> std::io::Result<()> {
    serve::<Embedkit>()
}
