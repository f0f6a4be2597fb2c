//! A real model: all-MiniLM-L6-v2 in the place of ColBERT.

use embedkit_convert::{ConvertOptions, Head, convert};
use embedkit_core::registry;
use embedkit_late_interaction::{LateInteractionTextEmbedding, MaxSim};
use embedkit_postprocess::{Muvera, MuveraOptions};
use embedkit_testkit::{asset, load_options, runtime_library, stored, stored_late, zip_equal};
use embedkit_types::{LateText, LoadOptions, ModelFiles, MultiVector, Role, Task, TaskKind};

use crate::golden::assert_equal;

/// The model, with facts of ColBERT or others, and the folder that it is in.
fn minilm(
    change: impl FnOnce(&mut LateText),
) -> Option<(LateInteractionTextEmbedding, tempfile::TempDir)> {
    let (library, source) = (runtime_library()?, asset("minilm")?);
    let dir = tempfile::tempdir().unwrap();
    for name in ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"] {
        std::fs::copy(source.join(name), dir.path().join(name)).unwrap();
    }
    let options =
        ConvertOptions { head: Head::Hidden, token_types: false, ..ConvertOptions::default() };
    convert(&source, &dir.path().join("model.onnx"), &options).unwrap();
    let mut spec =
        registry::find_task("colbert-ir/colbertv2.0", TaskKind::LateText).unwrap().clone();
    if let Task::LateText(task) = &mut spec.task {
        task.dim = 384;
        change(task);
    }
    let files = ModelFiles::in_dir(dir.path(), &spec);
    let load = LoadOptions { onnxruntime: Some(library), ..load_options() };
    Some((LateInteractionTextEmbedding::from_files(&spec, &files, &load).unwrap(), dir))
}

fn heads(vectors: &MultiVector, width: usize) -> MultiVector {
    let values = vectors.rows().flat_map(|row| &row[..width]).copied().collect();
    MultiVector::new(values, width).unwrap()
}

#[test]
fn a_real_model_equals_the_original() {
    let Some((model, _dir)) = minilm(|_| {}) else { return };
    let golden = stored_late();
    let texts: Vec<&str> = golden.texts.iter().map(String::as_str).collect();
    let documents = model.embed_batch(Role::Raw, &texts).unwrap();
    let queries: Vec<&str> = texts.iter().copied().step_by(2).collect();
    let queries = model.embed_batch(Role::Query, &queries).unwrap();
    assert_eq!((documents.len(), queries.len()), (golden.embed.len(), golden.query_embed.len()));
    let pairs = documents.iter().zip(&golden.embed).chain(queries.iter().zip(&golden.query_embed));
    for (vectors, expected) in pairs {
        let width = expected[0].len();
        assert_equal(&heads(vectors, width), expected, 2e-4);
        assert_eq!(vectors.dim(), 384);
    }
    let scores = MaxSim::new(&documents).unwrap().score_batch(&queries).unwrap();
    for (scores, expected) in zip_equal(&scores, &golden.scores) {
        for (score, expected) in zip_equal(scores, expected) {
            assert!((score - expected).abs() < 1e-3 * expected.abs(), "{score} {expected}");
        }
    }
}

/// The short ones of the golden texts, and paragraphs of the project's documentation.
fn passages() -> Vec<String> {
    let mut passages = stored("minilm").texts;
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let mut pages: Vec<_> =
        std::fs::read_dir(docs).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    for page in pages.iter().filter(|page| page.extension().is_some_and(|ext| ext == "md")) {
        let page = std::fs::read_to_string(page).unwrap();
        let paragraphs = page.split("\n\n").filter(|one| !one.starts_with(['#', '|', '`']));
        passages.extend(paragraphs.map(|one| one.replace('\n', " ")));
    }
    passages.retain(|passage| (40..700).contains(&passage.len()));
    passages
}

/// How much of what `MaxSim` ranks first MUVERA ranks near the top, at its default size.
///
/// The model stands in for a trained one as an encoder of tokens with vectors of unit length: the
/// mask tokens that ColBERT puts into queries mean nothing to weights that were not trained for them.
#[test]
fn muvera_finds_what_max_sim_finds() {
    const QUERIES: usize = 60;
    let Some((model, _dir)) = minilm(|task| {
        *task = LateText {
            dim: task.dim,
            skip_punctuation: true,
            normalize: true,
            normalize_queries: true,
            ..LateText::DEFAULT
        };
    }) else {
        return;
    };
    let passages = passages();
    let texts: Vec<&str> = passages.iter().map(String::as_str).collect();
    let documents = model.embed_batch(Role::Document, &texts).unwrap();
    // Every third word of a passage.
    let chosen = passages.iter().step_by(passages.len() / QUERIES).take(QUERIES);
    let queries: Vec<String> = chosen
        .map(|passage| passage.split(' ').step_by(3).take(8).collect::<Vec<_>>().join(" "))
        .collect();
    let queries: Vec<&str> = queries.iter().map(String::as_str).collect();
    let queries = model.embed_batch(Role::Query, &queries).unwrap();
    let exact = MaxSim::new(&documents).unwrap();
    let muvera = Muvera::from_multivector_model(&model, MuveraOptions::default()).unwrap();
    let encoded: Vec<Vec<f64>> =
        documents.iter().map(|one| muvera.process_document(one).unwrap()).collect();

    let (mut first, mut ten) = ([0; 3], [0; 3]);
    for query in &queries {
        let best: Vec<usize> =
            exact.top_k(query, 10).unwrap().into_iter().map(|one| one.index).collect();
        let query = muvera.process_query(query).unwrap();
        let dot = |one: &Vec<f64>| one.iter().zip(&query).map(|(x, y)| x * y).sum::<f64>();
        let mut ranked: Vec<(usize, f64)> = encoded.iter().map(dot).enumerate().collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        for (place, depth) in [1, 10, 50].into_iter().enumerate() {
            let top = &ranked[..depth];
            first[place] += usize::from(top.iter().any(|(index, _)| *index == best[0]));
            ten[place] += top.iter().filter(|(index, _)| best.contains(index)).count();
        }
    }
    let first = first.map(|found| found as f64 / QUERIES as f64);
    let ten = ten.map(|found| found as f64 / (10 * QUERIES) as f64);
    println!(
        "{} passages, {QUERIES} queries: of the best by MaxSim, MUVERA has {first:.2?} among its 1, \
         10 and 50 best; of the ten best {ten:.2?}",
        documents.len(),
    );
    assert!(first[1] > 0.8 && ten[2] > 0.7, "{first:?} {ten:?}");
}
