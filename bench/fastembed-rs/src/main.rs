//! fastembed-rs as a contestant. It finds ONNX Runtime by `ORT_DYLIB_PATH`.

use std::{
    fs,
    sync::{Mutex, PoisonError},
};

use bench_contestant::{Contestant, Each, Load, Result, serve};
use fastembed::{
    InitOptionsUserDefined, Pooling, TextEmbedding, TokenizerFiles, UserDefinedEmbeddingModel,
};

/// Its methods take `&mut self`, so that several callers have to wait for each other.
struct FastembedRs(Mutex<TextEmbedding>);

impl FastembedRs {
    fn open(load: &Load) -> Result<Self> {
        if load.kind != "dense" {
            return Err(format!("there is no kind {}", load.kind).into());
        }
        let read = |name: &str| fs::read(load.model.join(name));
        let tokenizer = TokenizerFiles {
            tokenizer_file: read("tokenizer.json")?,
            config_file: read("config.json")?,
            special_tokens_map_file: read("special_tokens_map.json")?,
            tokenizer_config_file: read("tokenizer_config.json")?,
        };
        let model = UserDefinedEmbeddingModel::new(read("model.onnx")?, tokenizer)
            .with_pooling(Pooling::Mean);
        let options = InitOptionsUserDefined::new().with_intra_threads(load.threads);
        let model = TextEmbedding::try_new_from_user_defined(model, options)?;
        Ok(Self(Mutex::new(model)))
    }
}

impl Contestant for FastembedRs {
    fn embed(
        &self,
        inputs: &mut (dyn Iterator<Item = String> + Send),
        batch: Option<usize>,
        each: &mut Each<'_>,
    ) -> Result<()> {
        let texts: Vec<String> = inputs.collect();
        let mut model = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        model.embed(&texts, batch)?.iter().for_each(|vector| each(vector));
        Ok(())
    }

    fn query(&self, text: &str) -> Result<Vec<f32>> {
        let mut model = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(model.embed([text], None)?.remove(0))
    }
}

fn main() -> std::io::Result<()> {
    serve(|load| Ok(Box::new(FastembedRs::open(load)?)))
}
