//! Text to weighted terms.

use bench_contestant::{Contestant, Each, Load, Result, fold, no_operation};
use embedkit_core::registry;
use embedkit_sparse::{SparseOptions, SparseTextEmbedding};
use embedkit_types::{ModelFiles, Role, TaskKind};
use serde_json::{Value, json};

pub(crate) struct Sparse(SparseTextEmbedding);

impl Sparse {
    pub(crate) fn open(load: &Load) -> Result<Self> {
        let options = crate::options::read(load)?;
        let id = match load.kind.as_str() {
            "splade" => "prithivida/Splade_PP_en_v1",
            "bm42" => "Qdrant/bm42-all-minilm-l6-v2-attentions",
            _ => {
                let spec = registry::find_task("Qdrant/bm25", TaskKind::Sparse)?;
                let model =
                    SparseTextEmbedding::without_files(spec, &options, &SparseOptions::default())?;
                return Ok(Self(model));
            }
        };
        let mut spec = registry::find_task(id, TaskKind::Sparse)?.clone();
        spec.file = "model.onnx".into();
        let files = ModelFiles::in_dir(&load.model, &spec);
        Ok(Self(SparseTextEmbedding::from_files(&spec, &files, &options)?))
    }
}

impl Contestant for Sparse {
    fn embed(
        &self,
        inputs: &mut (dyn Iterator<Item = String> + Send),
        _batch: Option<usize>,
        each: &mut Each<'_>,
    ) -> Result<()> {
        for vector in self.0.embed(inputs) {
            each(&fold(vector?.iter()));
        }
        Ok(())
    }

    fn query(&self, text: &str) -> Result<Vec<f32>> {
        Ok(fold(self.0.embed_batch(Role::Query, &[text])?.remove(0).iter()).to_vec())
    }

    fn tokens(&self, texts: &[String]) -> Result<Vec<usize>> {
        texts.iter().map(|text| Ok(self.0.token_count([text])?)).collect()
    }

    /// The English stopwords, for contestants that come without.
    fn other(&self, request: &Value) -> Result<Value> {
        if request["op"] != "stopwords" {
            return Err(no_operation(request));
        }
        let words = stop_words::lookup("en").ok_or("the list of English stopwords is missing")?;
        Ok(json!({"words": words}))
    }
}
