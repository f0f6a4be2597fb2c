//! Text to one vector.

use bench_contestant::{Contestant, Each, Load, Result};
use embedkit_core::registry;
use embedkit_text_dense::TextEmbedding;
use embedkit_types::{ModelFiles, Role, TaskKind};

pub(crate) struct Dense(TextEmbedding);

impl Dense {
    pub(crate) fn open(load: &Load) -> Result<Self> {
        let mut spec =
            registry::find_task("sentence-transformers/all-MiniLM-L6-v2", TaskKind::TextDense)?
                .clone();
        spec.file = "model.onnx".into();
        let files = ModelFiles::in_dir(&load.model, &spec);
        Ok(Self(TextEmbedding::from_files(&spec, &files, &crate::options::read(load)?)?))
    }
}

impl Contestant for Dense {
    fn embed(
        &self,
        inputs: &mut (dyn Iterator<Item = String> + Send),
        _batch: Option<usize>,
        each: &mut Each<'_>,
    ) -> Result<()> {
        for vector in self.0.embed(inputs) {
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
