//! A query and a document to a score.

use bench_contestant::{Contestant, Each, Load, Result};
use embedkit_core::registry;
use embedkit_rerank::TextCrossEncoder;
use embedkit_types::{ModelFiles, TaskKind};

pub(crate) struct Rerank(TextCrossEncoder);

impl Rerank {
    pub(crate) fn open(load: &Load) -> Result<Self> {
        let mut spec =
            registry::find_task("Xenova/ms-marco-MiniLM-L-6-v2", TaskKind::Rerank)?.clone();
        spec.file = "model.onnx".into();
        let files = ModelFiles::in_dir(&load.model, &spec);
        Ok(Self(TextCrossEncoder::from_files(&spec, &files, &crate::options::read(load)?)?))
    }
}

impl Contestant for Rerank {
    fn embed(
        &self,
        inputs: &mut (dyn Iterator<Item = String> + Send),
        _batch: Option<usize>,
        each: &mut Each<'_>,
    ) -> Result<()> {
        let pairs = inputs.map(|line| match line.split_once('\t') {
            Some((query, document)) => (query.to_owned(), document.to_owned()),
            None => (String::new(), line),
        });
        for score in self.0.rerank_pairs(pairs) {
            each(&[score?]);
        }
        Ok(())
    }
}
