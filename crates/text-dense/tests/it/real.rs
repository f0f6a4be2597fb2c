//! Real models against stored values of the original.

use embedkit_core::registry;
use embedkit_testkit::{
    assert_close, asset, cosine, load_options, runtime_library, stored, zip_equal,
};
use embedkit_text_dense::TextEmbedding;
use embedkit_types::{Embedded, ModelFiles, ModelSpec, Role, Task, TaskKind};

use crate::open;

/// The registered model, with its file where the project's assets have it.
fn spec(id: &str, file: &'static str) -> ModelSpec {
    let spec = registry::find_task(id, TaskKind::TextDense).unwrap();
    ModelSpec { file: file.into(), ..spec.clone() }
}

fn minilm(name: &str) -> Option<TextEmbedding> {
    let (library, dir) = (runtime_library()?, asset(name)?);
    let spec = spec("sentence-transformers/all-MiniLM-L6-v2", "model.onnx");
    Some(open(&spec, &ModelFiles::in_dir(dir, &spec), library).unwrap())
}

fn detailed(model: &TextEmbedding, texts: &[String]) -> Vec<Embedded<Vec<f32>>> {
    model.embed_detailed(Role::Raw, texts).collect::<Result<_, _>>().unwrap()
}

#[test]
fn minilm_gives_the_published_vector() {
    let Some(model) = minilm("minilm") else { return };
    let vectors = model.embed_batch(Role::Raw, &["hello world"]).unwrap();
    let published = [-0.034_478, 0.031_02, 0.006_73, 0.026_11, -0.039_362];
    assert_close(&vectors[0][..5], &published, 1e-4);
}

#[test]
fn minilm_equals_the_original_on_varied_texts() {
    let Some(model) = minilm("minilm") else { return };
    let golden = stored("minilm");
    let together = detailed(&model, &golden.texts);
    assert_eq!(together.len(), 200);
    for (index, (embedded, expected)) in together.iter().zip(&golden.vectors).enumerate() {
        println!("text {index}");
        assert_close(&embedded.value, expected, 1e-4);
        assert_eq!(embedded.tokens, golden.token_counts[index]);
        let alone = model.embed_batch(Role::Raw, &[&golden.texts[index]]).unwrap();
        assert_close(&alone[0], &embedded.value, 1e-5);
    }
    assert!(together.iter().any(|embedded| embedded.truncated && embedded.tokens == 512));
    assert!(together.iter().filter(|embedded| embedded.truncated).count() < 20);
}

#[test]
fn int8_minilm_equals_the_original() {
    let Some(model) = minilm("minilm-int8") else { return };
    let golden = stored("minilm-int8");
    for (embedded, expected) in zip_equal(&detailed(&model, &golden.texts), &golden.vectors) {
        // Integer weights, float arithmetic: kernels differ a little between CPUs.
        assert_close(&embedded.value, expected, 1e-3);
        assert!(cosine(&embedded.value, expected) > 0.9999);
    }
}

#[test]
fn static_model_equals_the_original() {
    let Some(dir) = asset("static-tokenlearn") else { return };
    let mut spec = spec("minishlab/potion-base-8M", "model.safetensors");
    if let Task::TextDense(task) = &mut spec.task {
        task.dim = 64;
    }
    let files = ModelFiles::in_dir(dir, &spec);
    let model = TextEmbedding::from_files(&spec, &files, &load_options()).unwrap();
    let golden = stored("static-tokenlearn");
    let embedded = detailed(&model, &golden.texts);
    for (index, (embedded, expected)) in zip_equal(&embedded, &golden.vectors).enumerate() {
        assert_close(&embedded.value, expected, 1e-5);
        assert_eq!(embedded.tokens, golden.token_counts[index]);
    }
}
