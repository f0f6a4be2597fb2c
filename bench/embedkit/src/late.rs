//! Text to one vector for each token, and what scores these.

use std::{fs, num::NonZeroUsize, path::PathBuf, time::Instant};

use bench_contestant::{Contestant, Each, Load, Result, no_operation};
use embedkit_core::registry;
use embedkit_late_interaction::{LateInteractionTextEmbedding, MaxSim};
use embedkit_types::{ModelFiles, MultiVector, Role, TaskKind};
use serde::Deserialize;
use serde_json::{Value, json};

pub(crate) struct Late(LateInteractionTextEmbedding);

impl Late {
    pub(crate) fn open(load: &Load) -> Result<Self> {
        let mut spec = registry::find_task("colbert-ir/colbertv2.0", TaskKind::LateText)?.clone();
        spec.file = "model.onnx".into();
        let files = ModelFiles::in_dir(&load.model, &spec);
        let options = crate::options::read(load)?;
        Ok(Self(LateInteractionTextEmbedding::from_files(&spec, &files, &options)?))
    }
}

impl Contestant for Late {
    fn embed(
        &self,
        inputs: &mut (dyn Iterator<Item = String> + Send),
        _batch: Option<usize>,
        each: &mut Each<'_>,
    ) -> Result<()> {
        for vectors in self.0.embed(inputs) {
            each(vectors?.values());
        }
        Ok(())
    }

    fn query(&self, text: &str) -> Result<Vec<f32>> {
        Ok(self.0.embed_batch(Role::Query, &[text])?.remove(0).into_values())
    }
}

#[derive(Deserialize)]
struct Corpus {
    dim: usize,
    /// Little-endian f32: a query, then documents of so many vectors each.
    vectors: PathBuf,
    query: usize,
    rows: usize,
    /// How many documents there are in the end: those of the file, again and again, each in memory of
    /// its own.
    documents: usize,
}

/// Documents that a query is scored against.
pub(crate) struct Scored {
    query: MultiVector,
    documents: Vec<MultiVector>,
    threads: NonZeroUsize,
}

impl Scored {
    pub(crate) fn open(load: &Load) -> Result<Self> {
        let corpus = Corpus::deserialize(&load.options)?;
        let bytes = fs::read(&corpus.vectors)?;
        let numbers: Vec<f32> =
            bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        let (query, documents) = numbers.split_at(corpus.query * corpus.dim);
        let documents: Vec<_> = documents.chunks_exact(corpus.rows * corpus.dim).collect();
        let many = documents.iter().cycle().take(corpus.documents);
        Ok(Self {
            query: MultiVector::new(query.to_vec(), corpus.dim)?,
            documents: many
                .map(|document| MultiVector::new(document.to_vec(), corpus.dim))
                .collect::<std::result::Result<_, _>>()?,
            threads: NonZeroUsize::new(load.threads).ok_or("no threads")?,
        })
    }
}

impl Contestant for Scored {
    fn embed(
        &self,
        _: &mut (dyn Iterator<Item = String> + Send),
        _: Option<usize>,
        _: &mut Each<'_>,
    ) -> Result<()> {
        Err("vectors are scored by the operation `score`".into())
    }

    fn other(&self, request: &Value) -> Result<Value> {
        if request["op"] != "score" {
            return Err(no_operation(request));
        }
        let start = Instant::now();
        let scores = MaxSim::new(&self.documents)?.with_threads(self.threads).score(&self.query)?;
        let seconds = start.elapsed().as_secs_f64();
        let sum: f64 = scores.iter().map(|&score| f64::from(score)).sum();
        Ok(json!({"seconds": seconds, "count": scores.len(), "sum": sum}))
    }
}
