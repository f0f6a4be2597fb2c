//! The real all-MiniLM-L6-v2 in all forms.

use std::path::Path;

use embedkit_convert::{QuantizeOptions, quantize, to_bf16};
use embedkit_core::onnx::bf16_kernel;
use embedkit_core::registry;
use embedkit_testkit::{asset, cosine, stored};
use embedkit_text_dense::TextEmbedding;
use embedkit_types::{BatchOptions, LoadOptions, ModelFiles, ModelSpec, Role, TaskKind};

use super::environment::library;

fn open(dir: &Path, library: &Path, tokens: usize) -> TextEmbedding {
    let spec =
        registry::find_task("sentence-transformers/all-MiniLM-L6-v2", TaskKind::TextDense).unwrap();
    let spec = ModelSpec { file: "model.onnx".into(), ..spec.clone() };
    let batch = BatchOptions { tokens: Some(tokens), ..BatchOptions::default() };
    let load =
        LoadOptions { onnxruntime: Some(library.to_owned()), batch, ..LoadOptions::default() };
    TextEmbedding::from_files(&spec, &ModelFiles::in_dir(dir, &spec), &load).unwrap()
}

fn embed(model: &TextEmbedding, texts: &[String]) -> Vec<Vec<f32>> {
    model.embed(texts).collect::<Result<_, _>>().unwrap()
}

/// A folder with the model's files but its graph.
fn without_graph(dir: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if file.path().extension().is_some_and(|extension| extension == "json") {
            std::fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
        }
    }
    folder
}

/// Vectors are close to f32 and batch-invariant to the bit.
#[test]
fn real_minilm_keeps_its_vectors() {
    let (Some(library), Some(dir)) = (library(), asset("minilm")) else { return };
    let folder = without_graph(&dir);
    let integer = folder.path().join("model.onnx");
    let options =
        QuantizeOptions { onnxruntime: Some(library.clone()), ..QuantizeOptions::default() };
    let report = quantize(&dir.join("model.onnx"), &integer, &options).unwrap();
    println!("{report:?}");
    assert_eq!((report.products, report.left, report.tables), (36, 0, 1));
    assert_eq!(report.not_calibrated, None);
    assert!(12 <= report.smoothed, "inputs of all attention and feed-forward layers");
    assert!(report.bytes * 3 < report.bytes_before);

    // Paragraphs do better than these texts, many of which are empty or only symbols.
    check(&library, &dir, folder.path(), (0.998, 0.99));
}

#[test]
fn real_minilm_keeps_its_vectors_in_bf16() {
    let (Some(library), Some(dir)) = (library(), asset("minilm")) else { return };
    let folder = without_graph(&dir);
    let report = to_bf16(&dir.join("model.onnx"), &folder.path().join("model.onnx")).unwrap();
    println!("{report:?}");
    assert_eq!((report.products, report.left), (36, 0));
    // Half of the matrices, and none of the tables.
    assert!(report.bytes + 21_000_000 < report.bytes_before);
    match bf16_kernel() {
        Some(_) => check(&library, &dir, folder.path(), (0.999_98, 0.999_9)),
        None => println!("skipped: this processor has no instructions for bf16"),
    }
}

/// Checks the mean and the least cosine to f32, and that vectors are the same in another batch and alone.
fn check(library: &Path, dir: &Path, folder: &Path, (least_mean, least_of_all): (f64, f64)) {
    let texts = stored("minilm").texts;
    let expected = embed(&open(dir, library, 4096), &texts);
    let model = open(folder, library, 256);
    let found = embed(&model, &texts);
    let close: Vec<f64> =
        expected.iter().zip(&found).map(|(expected, found)| cosine(expected, found)).collect();
    let mean = close.iter().sum::<f64>() / close.len() as f64;
    let least = close.iter().copied().fold(1.0, f64::min);
    println!("cosine to f32: mean {mean:.6}, least {least:.6}");
    assert!(least_mean <= mean && least_of_all <= least, "mean {mean}, least {least}");

    let some: Vec<String> = texts.iter().step_by(3).cloned().collect();
    let together = embed(&open(folder, library, 4096), &some);
    for ((text, found), together) in some.iter().zip(found.iter().step_by(3)).zip(&together) {
        assert_eq!(found, together, "{text:?} in another batch");
        let alone = model.embed_batch(Role::Raw, &[text]).unwrap();
        assert_eq!(&alone[0], found, "{text:?} alone");
    }
}
