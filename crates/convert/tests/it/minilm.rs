//! The real all-MiniLM-L6-v2 in both forms.

use std::path::Path;

use embedkit_convert::{QuantizeOptions, quantize};
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

/// Vectors are close to f32 and batch-invariant to the bit.
#[test]
fn real_minilm_keeps_its_vectors() {
    let (Some(library), Some(dir)) = (library(), asset("minilm")) else { return };
    let folder = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(&dir).unwrap().map(Result::unwrap) {
        if file.path().extension().is_some_and(|extension| extension == "json") {
            std::fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
        }
    }
    let integer = folder.path().join("model.onnx");
    let options =
        QuantizeOptions { onnxruntime: Some(library.clone()), ..QuantizeOptions::default() };
    let report = quantize(&dir.join("model.onnx"), &integer, &options).unwrap();
    println!("{report:?}");
    assert_eq!((report.products, report.left, report.tables), (36, 0, 1));
    assert_eq!(report.not_calibrated, None);
    assert!(12 <= report.smoothed, "inputs of all attention and feed-forward layers");
    assert!(report.bytes * 3 < report.bytes_before);

    let texts = stored("minilm").texts;
    let expected = embed(&open(&dir, &library, 4096), &texts);
    let model = open(folder.path(), &library, 256);
    let found = embed(&model, &texts);
    let close: Vec<f64> =
        expected.iter().zip(&found).map(|(expected, found)| cosine(expected, found)).collect();
    let mean = close.iter().sum::<f64>() / close.len() as f64;
    let least = close.iter().copied().fold(1.0, f64::min);
    println!("cosine to f32: mean {mean:.6}, least {least:.6}");
    // Paragraphs do better than these texts, many of which are empty or only symbols.
    assert!(0.998 <= mean && 0.99 <= least, "mean {mean}, least {least}");

    let some: Vec<String> = texts.iter().step_by(3).cloned().collect();
    let together = embed(&open(folder.path(), &library, 4096), &some);
    for ((text, found), together) in some.iter().zip(found.iter().step_by(3)).zip(&together) {
        assert_eq!(found, together, "{text:?} in another batch");
        let alone = model.embed_batch(Role::Raw, &[text]).unwrap();
        assert_eq!(&alone[0], found, "{text:?} alone");
    }
}
