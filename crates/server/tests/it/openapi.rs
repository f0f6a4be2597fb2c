//! The description of the routes, and the surface of Text Embeddings Inference.

use std::{collections::BTreeSet, env, fs, path::Path};

use axum::http::{Method, StatusCode};
use embedkit_server::openapi;
use serde_json::{Value, json};

use crate::support::server;

/// Set to 1, the file is written instead of compared.
const WRITE: &str = "EMBEDKIT_WRITE_REFERENCE";

#[test]
fn the_file_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let text = openapi();
    if env::var_os(WRITE).is_some_and(|value| value == "1") {
        fs::write(&path, text).unwrap();
        return;
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == text, "openapi.json is stale: run this test with {WRITE}=1");
}

#[tokio::test]
async fn every_path_of_the_description_is_a_route() {
    let Some(server) = server() else { return };
    let description: Value = serde_json::from_str(&openapi()).unwrap();
    let mut operations = BTreeSet::new();
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let method: Method = method.to_ascii_uppercase().parse().unwrap();
            let reply = server.method(method.clone(), &path.replace("{model}", "x")).await;
            assert_ne!(reply.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            let no_route = reply.body.to_string().contains("there is no route");
            assert!(!no_route, "{method} {path}: {}", reply.body);
            let id = operation["operationId"].as_str().unwrap().to_owned();
            assert!(operation["summary"].is_string(), "{method} {path} has no summary");
            assert!(operations.insert(id.clone()), "{id} stands twice");
        }
    }
    assert!(operations.len() > 30);
    let served = server.get("/openapi.json").await.body;
    assert_eq!(served, description);
    assert_eq!(server.get("/api-doc/openapi.json").await.body, description);
}

/// Requests with each field that version 1.9 of Text Embeddings Inference has.
#[tokio::test]
async fn each_path_and_field_of_text_embeddings_inference_is_accepted() {
    let Some(server) = server() else { return };
    let tokens = server.ok("/tokenize", &json!({"inputs": "a dog"})).await;
    let ids: Vec<_> = tokens[0].as_array().unwrap().iter().map(|token| &token["id"]).collect();
    for (path, body) in [
        (
            "/embed",
            json!({
                "inputs": ["a", "b"], "truncate": true, "truncation_direction": "Right",
                "prompt_name": null, "normalize": true, "dimensions": null,
            }),
        ),
        ("/embed", json!({"inputs": [ids]})),
        (
            "/embed_all",
            json!({
                "inputs": "a", "truncate": null, "truncation_direction": "Left", "prompt_name": "query",
            }),
        ),
        (
            "/embed_sparse",
            json!({
                "inputs": ["a"], "truncate": false, "truncation_direction": "right", "prompt_name": null,
            }),
        ),
        (
            "/rerank",
            json!({
                "query": "a", "texts": ["b"], "truncate": true, "truncation_direction": "Right",
                "raw_scores": true, "return_text": true,
            }),
        ),
        (
            "/predict",
            json!({
                "inputs": [["a", "b"], ["c", "d"]], "truncate": true,
                "truncation_direction": "right", "raw_scores": false,
            }),
        ),
        (
            "/similarity",
            json!({
                "inputs": {"source_sentence": "a", "sentences": ["b"]},
                "parameters": {"truncate": true, "truncation_direction": "Right", "prompt_name": null},
            }),
        ),
        ("/tokenize", json!({"inputs": ["a"], "add_special_tokens": true, "prompt_name": null})),
        ("/decode", json!({"ids": [[5, 6], [7]], "skip_special_tokens": true})),
        (
            "/embeddings",
            json!({"input": "a", "model": null, "user": null, "encoding_format": "float"}),
        ),
        ("/v1/embeddings", json!({"input": ["a"], "encoding_format": "base64", "dimensions": 2})),
        ("/vertex", json!({"instances": [{"inputs": "a"}]})),
        ("/", json!({"inputs": "a"})),
        ("/invocations", json!({"inputs": "a"})),
    ] {
        let reply = server.post(path, &body).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {body}: {}", reply.body);
    }
    for path in ["/info", "/health", "/", "/ping", "/metrics", "/docs", "/api-doc/openapi.json"] {
        assert_eq!(server.get(path).await.status, StatusCode::OK, "{path}");
    }
}
