//! `models`: the registry as scripts and people read it.

use std::{collections::BTreeSet, path::Path};

use serde_json::Value;

use crate::program::{Program, arg, fill_cache};

const FIELDS: [&str; 13] = [
    "id",
    "task",
    "dim",
    "license",
    "size_gb",
    "max_tokens",
    "languages",
    "source",
    "pooling",
    "normalize",
    "prompts",
    "requires_idf",
    "cached",
];

fn rows(args: &[&str]) -> Vec<Value> {
    let outcome = Program::new(["models"]).args(args).run().silent_success();
    serde_json::from_slice(&outcome.stdout).unwrap()
}

#[test]
fn the_list_has_all_fields_of_all_models() {
    let rows = rows(&["list", "--json"]);
    assert!(rows.len() > 60);
    let fields = BTreeSet::from(FIELDS);
    for row in &rows {
        let keys: BTreeSet<_> = row.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, fields);
        let source: BTreeSet<_> =
            row["source"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(source, BTreeSet::from(["repo", "file", "additional_files"]));
        assert!(row["source"]["additional_files"].is_array());
        assert_eq!(row["cached"], false);
    }
    let ids: BTreeSet<_> =
        rows.iter().map(|row| (row["id"].as_str(), row["task"].as_str())).collect();
    assert_eq!(ids.len(), rows.len());
}

#[test]
fn one_row_in_full() {
    let rows = rows(&["show", "baai/BGE-small-en-v1.5", "--json"]);
    assert_eq!(rows.len(), 1);
    let expected = serde_json::json!({
        "id": "BAAI/bge-small-en-v1.5",
        "task": "text-dense",
        "dim": 384,
        "license": "mit",
        "size_gb": 0.067,
        "max_tokens": 512,
        "languages": ["English"],
        "source": {
            "repo": "Qdrant/bge-small-en-v1.5-onnx-Q",
            "file": "model_optimized.onnx",
            "additional_files": [],
        },
        "pooling": "cls",
        "normalize": true,
        "prompts": {
            "query": "Represent this sentence for searching relevant passages: ",
            "passage": null,
            "unknown": false,
        },
        "requires_idf": null,
        "cached": false,
    });
    assert_eq!(rows[0], expected);
}

#[test]
fn a_model_in_the_cache_is_marked_and_pulled_without_network() {
    let program = Program::new(["models", "list", "--json"]);
    let files = ["model_optimized.onnx", "tokenizer.json", "tokenizer_config.json"];
    let files = files.map(|name| (name, b"{}".to_vec()));
    fill_cache(&program.cache(), "Qdrant/bge-small-en-v1.5-onnx-Q", &files);
    let rows: Vec<Value> = serde_json::from_slice(&program.run().silent_success().stdout).unwrap();
    let cached: Vec<_> = rows.iter().filter(|row| row["cached"] == true).collect();
    assert_eq!(cached.len(), 1);
    assert_eq!(cached[0]["id"], "BAAI/bge-small-en-v1.5");

    let cache = program.cache();
    let pull = ["models", "pull", "BAAI/bge-small-en-v1.5", "--cache-dir", arg(&cache)];
    let folder = Program::new(pull).run().silent_success();
    assert!(Path::new(folder.text().trim_end()).join("tokenizer.json").is_file());
}

#[test]
fn the_list_can_be_of_one_task() {
    for (task, id) in [
        ("text-dense", "BAAI/bge-small-en-v1.5"),
        ("sparse", "Qdrant/bm25"),
        ("image", "Qdrant/clip-ViT-B-32-vision"),
    ] {
        let rows = rows(&["list", "--json", "--task", task]);
        assert!(rows.iter().all(|row| row["task"] == task), "{task}");
        assert!(rows.iter().any(|row| row["id"] == id), "{task}");
    }
    let text = Program::new(["models", "list", "--task", "sparse"]).run().silent_success();
    let lines: Vec<_> = text.text().lines().collect();
    assert!(lines[0].starts_with("model"));
    assert_eq!(lines.len(), 1 + rows(&["list", "--json", "--task", "sparse"]).len());
}

#[test]
fn an_id_for_two_tasks_shows_both() {
    let rows = rows(&["show", "jinaai/jina-clip-v1", "--json"]);
    let tasks: Vec<_> = rows.iter().map(|row| row["task"].as_str().unwrap()).collect();
    assert_eq!(tasks, ["text-dense", "image"]);
}

#[test]
fn a_page_shows_the_prompts() {
    let outcome = Program::new(["models", "show", "intfloat/multilingual-e5-small"]).run();
    let page = outcome.silent_success();
    assert!(
        page.text().contains("\"query: \"") && page.text().contains("\"passage: \""),
        "{}",
        page.text()
    );
}

#[test]
fn an_unknown_id_leads_to_the_closest() {
    for command in ["show", "pull"] {
        Program::new(["models", command, "sentence-transformers/all-MiniLM-L6"]).run().failure(
            1,
            "unknown model",
            Some("sentence-transformers/all-MiniLM-L6-v2"),
        );
    }
}

#[test]
fn offline_nothing_is_pulled() {
    let outcome = Program::new(["models", "pull", "BAAI/bge-small-en-v1.5"]).run();
    outcome.failure(1, "offline", Some("network"));
}

#[test]
fn verify_hashes_what_is_cached() {
    const ID: &str = "BAAI/bge-small-en-v1.5";
    // `printf '{}' | sha256sum`
    const BRACES: &str = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    let program = Program::new(["models", "verify", ID]);
    let hint = Some("embedkit models pull BAAI/bge-small-en-v1.5");
    program.run().failure(1, "lacks files of model", hint);

    let names = ["model_optimized.onnx", "tokenizer.json", "tokenizer_config.json"];
    let files = names.map(|name| (name, b"{}".to_vec()));
    let cache = program.cache();
    fill_cache(&cache, "Qdrant/bge-small-en-v1.5-onnx-Q", &files);
    let unknown = program.run().silent_success();
    let lines: Vec<_> = unknown.text().lines().collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0], format!("model_optimized.onnx   unknown   {BRACES}"));

    let dir = cache.join("models--Qdrant--bge-small-en-v1.5-onnx-Q");
    let commit = std::fs::read_to_string(dir.join("refs/main")).unwrap();
    let file =
        |path: &str, sha256: &str| serde_json::json!({ "path": path, "size": 2, "sha256": sha256 });
    let other = "0".repeat(64);
    let record = serde_json::json!({
        "repository": "Qdrant/bge-small-en-v1.5-onnx-Q",
        "commit": commit,
        "files": [file(names[0], BRACES), file(names[1], &other)],
    });
    std::fs::create_dir(dir.join("embedkit")).unwrap();
    let path = dir.join("embedkit").join(format!("{commit}.json"));
    std::fs::write(path, record.to_string()).unwrap();
    let outcome = program.run().failure(1, "files of BAAI/bge-small-en-v1.5 are not", hint);
    let results: Vec<_> =
        outcome.text().lines().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    assert_eq!(results, ["ok", "mismatch", "unknown"]);

    let args = ["models", "verify", ID, "--json", "--cache-dir", arg(&cache)];
    let outcome = Program::new(args).run().failure(1, "tokenizer.json", hint);
    let rows: Value = serde_json::from_slice(&outcome.stdout).unwrap();
    assert_eq!(rows[1]["path"], "tokenizer.json");
    assert_eq!(rows[1]["result"], "mismatch");
    assert_eq!(rows[1]["sha256"], BRACES);
    assert_eq!(rows[1]["expected"], format!("sha256 {other}"));
    assert_eq!(rows[0]["expected"], Value::Null);
}
