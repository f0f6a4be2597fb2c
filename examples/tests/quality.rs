//! A guard of retrieval quality: questions about the demo's passages, answered by the real MiniLM.

use std::{collections::BTreeMap, fs, path::Path};

use embedkit::Options;
use embedkit_examples::evaluation::{Collection, Figures, Grades, Index, Query, evaluate, open};
use embedkit_testkit::{asset, load_options, runtime_library};
use serde::Deserialize;

/// nDCG@10, recall@100 and MRR@10 of each method.
const EXPECTED: [(&str, f64, f64, f64); 5] = [
    ("words", 0.6886, 0.7768, 0.6760),
    ("dense", 0.9774, 1.0, 0.9847),
    ("words+dense", 0.8246, 1.0, 0.7972),
    ("tokens", 0.9623, 1.0, 0.9679),
    ("words+dense>tokens", 0.9623, 1.0, 0.9679),
];
/// Another processor may swap two documents of nearly the same score.
const TOLERANCE: f64 = 0.01;

#[derive(Deserialize)]
struct Passage {
    text: String,
}

#[derive(Deserialize)]
struct Question {
    question: String,
    /// Positions of the passages that answer it.
    passages: Vec<usize>,
}

fn lines<T: for<'a> Deserialize<'a>>(file: &str) -> Vec<T> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(path).expect("a file of the repository");
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

fn collection() -> Collection {
    let documents: Vec<Passage> = lines("../xtask/demo/passages.jsonl");
    let questions: Vec<Question> = lines("tests/questions.jsonl");
    Collection {
        documents: documents.into_iter().map(|passage| passage.text).collect(),
        queries: questions
            .into_iter()
            .map(|it| Query {
                text: it.question,
                grades: it.passages.into_iter().map(|passage| (passage, 1)).collect::<Grades>(),
            })
            .collect(),
    }
}

#[test]
fn questions_name_passages_that_are_there() {
    let collection = collection();
    let judged = collection.queries.iter().flat_map(|query| query.grades.keys());
    assert!(judged.clone().all(|&passage| passage < collection.documents.len()));
    assert!(judged.count() > collection.queries.len(), "some have several answers");
}

#[test]
fn retrieval_is_as_good_as_it_was() {
    let (Some(library), Some(minilm)) = (runtime_library(), asset("minilm")) else { return };
    let collection = collection();
    let id = "sentence-transformers/all-MiniLM-L6-v2";
    let models = [
        ("words", "Qdrant/bm25".to_owned()),
        ("dense", format!("{id}@{}", minilm.display())),
        ("tokens", format!("tokens:{id}@{}", minilm.display())),
    ];
    let mut indexes = BTreeMap::new();
    for (name, model) in models {
        let mut options = Options::from(load_options());
        options.load.onnxruntime = Some(library.clone());
        // Short texts, beside other tests: several threads would wait for each other.
        options.load.threads = options.load.threads.or(Some(1));
        let model = open(&model, options).expect("a model");
        let index = Index::new(model, &collection.documents).expect("embeddings");
        indexes.insert(name.to_owned(), index);
    }
    let methods = EXPECTED.map(|(method, ..)| method.parse().expect("a method"));
    let found = evaluate(&collection, &indexes, &methods).expect("figures");
    for ((method, ndcg_10, recall_100, mrr_10), it) in EXPECTED.into_iter().zip(&found) {
        let Figures { ndcg_10: ndcg, recall_100: recall, mrr_10: mrr, .. } = it;
        let close = |found: f64, expected: f64| (found - expected).abs() < TOLERANCE;
        assert!(
            close(*ndcg, ndcg_10) && close(*recall, recall_100) && close(*mrr, mrr_10),
            "{method}: nDCG@10 {ndcg:.4}, recall@100 {recall:.4}, MRR@10 {mrr:.4}; expected \
             {ndcg_10}, {recall_100}, {mrr_10}"
        );
    }
}
