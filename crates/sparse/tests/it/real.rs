//! Real models: a small SPLADE, and BM42 on all-MiniLM-L6-v2, whose last layer's attention is the
//! graph's output.

use std::path::PathBuf;

use embedkit_sparse::SparseTextEmbedding;
use embedkit_testkit::{SparseGolden, asset, runtime_library, sparse_stored};
use embedkit_types::{ModelFiles, ModelSpec, Role};

use crate::{
    graphs::{assert_equal, load},
    spec,
};

fn check(spec: &ModelSpec, files: &ModelFiles, golden: &SparseGolden, library: PathBuf) {
    let model = SparseTextEmbedding::from_files(spec, files, &load(library)).unwrap();
    for (role, expected) in [(Role::Raw, &golden.embed), (Role::Query, &golden.query_embed)] {
        let vectors: Vec<_> = model.embed_detailed(role, &golden.texts).collect();
        assert_eq!(vectors.len(), expected.len());
        for (index, (embedded, expected)) in vectors.into_iter().zip(expected).enumerate() {
            let embedded = embedded.unwrap();
            assert_equal(&format!("{role:?} {index}"), &embedded.value, expected);
            assert_eq!(embedded.tokens, golden.token_counts[index], "{index}");
        }
    }
}

#[cfg(feature = "splade")]
#[test]
fn splade_equals_the_original_on_a_real_model() {
    let (Some(library), Some(dir)) = (runtime_library(), asset("splade-tiny")) else { return };
    let mut spec = spec("prithivida/Splade_PP_en_v1").clone();
    spec.file = "model.onnx".into();
    let files = ModelFiles::in_dir(dir, &spec);
    check(&spec, &files, &sparse_stored("splade-tiny"), library);
}

#[cfg(feature = "bm42")]
#[test]
fn bm42_equals_the_original_on_a_real_model() {
    use embedkit_convert::{ConvertOptions, Head, convert};

    let (Some(library), Some(source)) = (runtime_library(), asset("minilm")) else { return };
    let golden = sparse_stored("bm42-minilm");
    let dir = tempfile::tempdir().unwrap();
    for name in ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"] {
        std::fs::copy(source.join(name), dir.path().join(name)).unwrap();
    }
    std::fs::write(dir.path().join("stopwords.txt"), golden.stopwords.join("\n")).unwrap();
    let options = ConvertOptions { head: Head::Attention, ..ConvertOptions::default() };
    convert(&source, &dir.path().join("model.onnx"), &options).unwrap();

    let spec = spec("Qdrant/bm42-all-minilm-l6-v2-attentions");
    check(spec, &ModelFiles::in_dir(dir.path(), spec), &golden, library);
}
