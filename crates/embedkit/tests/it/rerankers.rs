//! Folders of rerankers as sentence-transformers saves them, from the folder to the score.

use std::{fs, path::Path};

use embedkit::{Model, TaskKind, resolve, types::LoadOptions};
use serde_json::Value;

/// PyTorch sums in another order.
const TOLERANCE: f32 = 1e-5;

/// Pairs and their scores, by sentence-transformers.
fn expected(folder: &Path) -> Vec<(String, String, f32)> {
    let file = fs::read(folder.join("expected.json")).unwrap();
    let golden: Value = serde_json::from_slice(&file).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let scores = golden["scores"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32);
    let pairs: Vec<_> = match golden["pairs"].as_array() {
        Some(pairs) => pairs.iter().map(|pair| (text(&pair[0]), text(&pair[1]))).collect(),
        None => {
            let texts = golden["texts"].as_array().unwrap();
            texts.iter().map(|document| ("the fox".to_owned(), text(document))).collect()
        }
    };
    assert_eq!(pairs.len(), scores.len());
    pairs.into_iter().zip(scores).map(|((query, document), x)| (query, document, x)).collect()
}

#[test]
fn folders_of_every_architecture_give_the_scores_of_sentence_transformers() {
    let Some(options) = crate::options() else { return };
    for name in ["reranker", "reranker-modernbert", "reranker-gte", "decoder", "decoder-one-token"]
    {
        let folder =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../describe/tests/data").join(name);
        let cache = tempfile::tempdir().unwrap();
        let cache_dir = Some(cache.path().to_owned());
        let options = LoadOptions { cache_dir, offline: true, ..options.clone() };
        let id = folder.to_str().unwrap();
        assert_eq!(resolve(id, &options).unwrap().specs[0].task.kind(), TaskKind::Rerank, "{name}");
        let model = Model::builder(id).unwrap().options(options).open().unwrap();
        for (query, document, score) in expected(&folder) {
            let found = model.rerank(&query, [&document]).unwrap();
            let difference = (found[0] - score).abs();
            let what = format!("{name}: {query:?}, {document:?}");
            assert!(
                difference <= TOLERANCE * score.abs().max(1.0),
                "{what}: {found:?}, not {score}"
            );
        }
    }
}
