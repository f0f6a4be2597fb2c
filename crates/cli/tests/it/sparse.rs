//! Sparse models: BM25 on a machine without anything, and tiny graphs of the other kinds.

use std::{collections::BTreeMap, fs};

use embedkit_testkit::{SparseCase, bm25_cases, runtime_library, sparse_case, zip_equal};
use serde_json::Value;

use crate::program::{Program, arg, file};

fn bm25<'a>(args: impl IntoIterator<Item = &'a str>) -> Program {
    Program::new(["embed", "--model", "qdrant/BM25"]).args(args)
}

/// Index to value, after a look at the fields and the order of the indices.
#[track_caller]
fn weights(record: &Value) -> BTreeMap<u64, f32> {
    let keys: Vec<_> = record.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["index", "indices", "values"]);
    let numbers = |key: &str| record[key].as_array().unwrap().clone();
    let indices: Vec<_> = numbers("indices").iter().map(|n| n.as_u64().unwrap()).collect();
    assert!(indices.is_sorted(), "{record}");
    let values: Vec<_> = numbers("values").iter().map(|n| n.as_f64().unwrap() as f32).collect();
    assert_eq!(indices.len(), values.len());
    indices.into_iter().zip(values).collect()
}

#[test]
fn bm25_needs_nothing_on_the_machine() {
    let cases: Vec<_> = bm25_cases()
        .into_iter()
        .filter(|case| {
            let params = &case.params;
            let usual = (params.k, params.b, params.avg_len) == (1.2, 0.75, 256.0);
            let own = params.disable_stemmer || params.stopwords.is_some();
            usual && !own && params.custom_stemmer.is_none() && params.language == "english"
        })
        .filter(|case| case.params.token_max_length == 40)
        .collect();
    assert!(cases.len() > 20, "{}", cases.len());
    let content: String = cases
        .iter()
        .map(|case| serde_json::json!({ "text": case.text }).to_string() + "\n")
        .collect();
    let input = ["--input-format", "jsonl"];
    let documents = bm25(input).stdin(&content).run().silent_success();
    let queries = bm25(input).args(["--as", "query"]).stdin(&content).run().silent_success();
    let records = zip_equal(documents.records(), queries.records());
    for (case, (document, query)) in zip_equal(&cases, records) {
        let golden = case.doc.indices.iter().zip(&case.doc.values);
        let expected: BTreeMap<_, _> =
            golden.map(|(&index, &value)| (u64::from(index), value as f32)).collect();
        assert_eq!(weights(&document), expected, "{}", case.id);
        let expected: BTreeMap<_, _> =
            case.query.indices_sorted.iter().map(|&index| (u64::from(index), 1.0)).collect();
        assert_eq!(weights(&query), expected, "{}", case.id);
    }
}

#[test]
fn the_line_of_a_sparse_vector() {
    let outcome = bm25(["Hello World hello", "the"]).run().silent_success();
    assert_eq!(
        outcome.text(),
        "{\"index\":0,\"indices\":[74040069,613153351],\"values\":[1.6786885,1.9043111]}\n\
         {\"index\":1,\"indices\":[],\"values\":[]}\n"
    );
}

#[test]
fn options_change_the_numbers() {
    let usual = bm25(["the cats"]).run().silent_success();
    let same = bm25(["the cats", "--option", "k=1.2", "--option", "language=english"]).run();
    assert_eq!(same.silent_success().stdout, usual.stdout);
    for option in ["k=2", "avg_len=10", "b=0", "language=german", "disable_stemmer=true"] {
        let other = bm25(["the cats", "--option", option]).run().silent_success();
        assert_ne!(other.stdout, usual.stdout, "{option}");
    }
    let (_dir, words) = file("words.txt", "cats\n");
    let option = format!("stopwords={}", arg(&words));
    let record = &bm25(["the cats", "--option", &option]).run().silent_success().records()[0];
    assert_eq!(weights(record).len(), 1);
    assert_ne!(record["indices"], usual.records()[0]["indices"]);
    bm25(["x", "--option", "language=klingon", "--option", "disable_stemmer=true"])
        .run()
        .silent_success();
}

#[test]
fn options_that_make_no_sense_are_refused_with_the_valid_ones() {
    let run = |model: &str, option: &str| {
        Program::new(["embed", "a", "--model", model, "--option", option]).run()
    };
    let names = "k, b, avg_len, language, disable_stemmer, token_max_length, stopwords";
    run("Qdrant/bm25", "alpha=1").failure(2, "no option \"alpha\"", Some(names));
    run("Qdrant/bm25", "disable_stemmer=yes").failure(2, "disable_stemmer", Some("true or false"));
    run("Qdrant/bm25", "b=2").failure(2, "b cannot be 2", Some("from 0 to 1"));
    run("Qdrant/bm25", "stopwords=/no/such").failure(2, "/no/such", Some("one word a line"));
    run("Qdrant/bm25", "language=klingon").failure(2, "\"klingon\"", Some("english"));
    run("Qdrant/minicoil-v1", "language=german").failure(2, "language", Some("k, b, avg_len"));
    run("Qdrant/bm42-all-minilm-l6-v2-attentions", "k=1").failure(2, "\"k\"", Some("alpha"));
    run("prithivida/Splade_PP_en_v1", "k=1").failure(2, "no options", None);
    bm25(["a", "--dimensions", "8"]).run().failure(2, "weighted terms", None);
}

#[test]
fn stopwords_of_a_folder_replace_those_built_in() {
    let dir = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| bm25(["the cats", "--model-dir", arg(dir.path())]).args(args).run();
    let outcome = run(&[]);
    assert_eq!(outcome.status, 0);
    let warning = outcome.stderr.strip_prefix("warning: ").unwrap();
    assert!(warning.contains("no list of stopwords") && warning.lines().count() == 1, "{warning}");
    assert_eq!(weights(&outcome.records()[0]).len(), 2);

    fs::write(dir.path().join("english.txt"), "cats\n").unwrap();
    let listed = run(&[]).silent_success().records();
    let the = bm25(["the", "--option", "disable_stemmer=true"]).run().silent_success().records();
    assert_eq!(listed[0]["indices"], the[0]["indices"]);
}

#[test]
fn an_array_has_no_place_for_terms() {
    let outcome = bm25(["a", "--format", "npy"]).run();
    outcome.failure(2, "npy has no place for weighted terms", Some("--format jsonl"));
}

#[track_caller]
fn assert_golden(case: &SparseCase, records: &[Value], expected: &[Vec<(u32, f64)>]) {
    assert_eq!(records.len(), expected.len());
    for ((record, expected), text) in records.iter().zip(expected).zip(&case.golden.texts) {
        let truncated = record.get("truncated").is_some();
        let mut record = record.clone();
        if truncated {
            record.as_object_mut().unwrap().remove("truncated");
        }
        let found = weights(&record);
        let expected: BTreeMap<_, _> =
            expected.iter().map(|&(index, value)| (u64::from(index), value)).collect();
        assert!(found.keys().eq(expected.keys()), "{text:?}: {found:?}, expected {expected:?}");
        for (found, expected) in found.values().zip(expected.values()) {
            assert!((f64::from(*found) - expected).abs() < 1e-4, "{text:?}: {found}, {expected}");
        }
    }
}

#[test]
fn graphs_give_the_golden_weights() {
    let Some(library) = runtime_library() else { return };
    for name in ["splade", "if-splade", "bm42"] {
        let case = sparse_case(name);
        let content: String = case
            .golden
            .texts
            .iter()
            .map(|text| serde_json::json!({ "text": text }).to_string() + "\n")
            .collect();
        for (role, expected) in [("raw", &case.golden.embed), ("query", &case.golden.query_embed)] {
            let outcome = Program::new(["embed", "-q", "--input-format", "jsonl", "--as", role])
                .model_in(&case.dir)
                .var("ORT_DYLIB_PATH", &library)
                .stdin(&content)
                .run()
                .silent_success();
            assert_golden(&case, &outcome.records(), expected);
        }
    }
}

#[test]
fn a_search_by_words_knows_how_rare_they_are() {
    let texts = ["a boat of rust", "boats boats", "cats sleep", "rust never sleeps", "a boat"];
    let outcome = Program::new(["search", "rusty boats", "--model", "Qdrant/bm25"])
        .args(texts)
        .run()
        .silent_success();
    let hits = outcome.records();
    // The weights of each document, and how many of the five have the word.
    let documents: Vec<_> =
        bm25(texts).run().silent_success().records().iter().map(weights).collect();
    let query = weights(&bm25(["rusty boats", "--as", "query"]).run().records()[0]);
    let idf = |index| {
        let n = documents.iter().filter(|document| document.contains_key(index)).count() as f64;
        (1.0 + (5.0 - n + 0.5) / (n + 0.5)).ln()
    };
    let score = |document: &BTreeMap<u64, f32>| -> f64 {
        query
            .keys()
            .map(|index| document.get(index).map_or(0.0, |&w| f64::from(w) * idf(index)))
            .sum()
    };
    let mut expected: Vec<_> = documents.iter().map(score).enumerate().collect();
    expected.sort_by(|a, b| b.1.total_cmp(&a.1));
    expected.retain(|(_, score)| *score > 0.0);
    assert_eq!((hits.len(), expected.len()), (3, 3), "those with a word of the query");
    for (hit, (index, score)) in hits.iter().zip(expected) {
        assert_eq!(hit["index"], index, "{hit}");
        assert!((hit["score"].as_f64().unwrap() - score).abs() < 1e-6, "{hit}, {score}");
    }
}

#[test]
fn a_search_without_a_common_word_finds_nothing() {
    let outcome = Program::new(["search", "zebra", "cats sleep", "", "a boat"])
        .args(["--model", "Qdrant/bm25"])
        .run();
    assert_eq!((outcome.status, outcome.stdout.len()), (0, 0));
    assert!(outcome.stderr.contains("no input has a term of the query"), "{}", outcome.stderr);
}

#[test]
fn languages_are_known_in_any_case() {
    let run =
        |language: &str| bm25(["die Häuser", "--option", &format!("language={language}")]).run();
    let german = run("german").silent_success().stdout;
    for language in ["German", "GERMAN"] {
        assert_eq!(run(language).silent_success().stdout, german);
    }
    assert_ne!(run("english").silent_success().stdout, german);
    run("Klingon").failure(2, "\"Klingon\"", Some("german, greek"));
    run("de").failure(2, "\"de\"", Some("german, greek"));
}

#[test]
fn a_search_without_idf_is_the_dot_product() {
    let Some(library) = runtime_library() else { return };
    let case = sparse_case("splade");
    let texts = &case.golden.texts;
    let content: String =
        texts.iter().map(|text| serde_json::json!({ "text": text }).to_string() + "\n").collect();
    let hits = Program::new(["search", "-q", &texts[0], "--input-format", "jsonl"])
        .model_in(&case.dir)
        .var("ORT_DYLIB_PATH", &library)
        .args(["--top-k", "1000"])
        .stdin(content)
        .run()
        .silent_success()
        .records();
    let query: BTreeMap<_, _> = case.golden.query_embed[0].iter().copied().collect();
    for hit in &hits {
        let document = &case.golden.embed[hit["index"].as_u64().unwrap() as usize];
        let dot: f64 = document.iter().map(|(i, w)| query.get(i).map_or(0.0, |q| q * w)).sum();
        assert!((hit["score"].as_f64().unwrap() - dot).abs() < 1e-3 * dot.max(1.0), "{hit}, {dot}");
    }
}
