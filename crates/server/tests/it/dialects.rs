//! Failures in the words of each API.

use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use embedkit_server::{Config, Keys, Limits, ServedModel};
use serde_json::{Value, json};

use crate::support::{BM25, DENSE, Server, all_models, server};

/// A server of a model that needs no library.
fn bm25(config: Config) -> Server {
    Server::new(Config { models: vec![ServedModel::named(BM25).unwrap()], ..config })
}

/// True for a body in the form of a dialect's errors.
fn has_form(path: &str, body: &Value) -> bool {
    match path {
        "/v1/embeddings" | "/score" | "/v1/nothing" | "/v1/multi-vector" => {
            body["error"]["message"].is_string() && body["error"]["type"].is_string()
        }
        "/v1/rerank" | "/v2/embed" => body["message"].is_string(),
        "/api/embed" | "/infer" => body["error"].is_string() && body["error_type"].is_null(),
        "/embed_multi" | "/models/load" => body["error"]["kind"].is_string(),
        _ => body["error"].is_string() && body["error_type"].is_string(),
    }
}

const PATHS: [&str; 12] = [
    "/embed",
    "/rerank",
    "/tokenize",
    "/",
    "/v1/embeddings",
    "/v1/multi-vector",
    "/score",
    "/v1/rerank",
    "/v2/embed",
    "/api/embed",
    "/infer",
    "/embed_multi",
];

#[tokio::test]
async fn a_body_that_is_no_json_is_refused_in_the_dialect() {
    let server = bm25(Config::default());
    for path in PATHS {
        for (body, kind) in
            [("{", "application/json"), ("[1]", "application/json"), ("a=b", "text/plain")]
        {
            let request = Request::post(path).header("content-type", kind);
            let reply = server.send(request.body(Body::from(body)).unwrap()).await;
            assert!(reply.status.is_client_error(), "{path}: {body}: {}", reply.status);
            assert!(has_form(path, &reply.body), "{path}: {body}: {}", reply.body);
            assert!(reply.header("x-request-id").is_some());
            if kind == "text/plain" {
                assert_eq!(reply.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
            }
        }
    }
}

#[tokio::test]
async fn a_large_body_is_refused_in_the_dialect() {
    let limits = Limits { body_bytes: 100, ..Limits::default() };
    let server = bm25(Config { limits, ..Config::default() });
    for path in PATHS {
        let reply = server.post(path, &json!({"inputs": "x".repeat(100)})).await;
        assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE, "{path}");
        assert!(has_form(path, &reply.body), "{path}: {}", reply.body);
    }
    let limits = Limits { bodies_bytes: 1024, ..Limits::default() };
    let server = bm25(Config { limits, ..Config::default() });
    let reply = server.post("/v1/embeddings", &json!({"input": "x".repeat(2000)})).await;
    assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(reply.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn unknown_routes_and_methods_have_a_dialect() {
    let server = bm25(Config::default());
    for path in ["/nothing", "/v1/nothing"] {
        let reply = server.post(path, &json!({})).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}");
        assert!(has_form(path, &reply.body), "{path}: {}", reply.body);
    }
    for path in &PATHS[4..] {
        let reply = server.method(Method::DELETE, path).await;
        assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert!(has_form(path, &reply.body), "{path}: {}", reply.body);
    }
}

#[tokio::test]
async fn a_key_is_asked_for_but_of_probes() {
    let server = bm25(Config { keys: Keys::new(["one", "two"]), ..Config::default() });
    for path in PATHS {
        let reply = server.post(path, &json!({})).await;
        if path == "/infer" {
            // Its key is in the body, which is looked at first.
            assert_eq!(reply.status, StatusCode::BAD_REQUEST);
            continue;
        }
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        let empty = reply.body == json!("");
        assert!(empty || has_form(path, &reply.body), "{path}: {}", reply.body);
    }
    for path in ["/", "/health", "/ready", "/metrics"] {
        assert_ne!(server.get(path).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
    assert_eq!(server.get("/models").await.status, StatusCode::UNAUTHORIZED);
    let body = json!({"model": BM25, "inputs": ["a dog"]});
    for (key, status) in
        [("Bearer two", StatusCode::OK), ("Bearer three", StatusCode::UNAUTHORIZED)]
    {
        let reply = server.post_with("/embed_multi", &body, &[("authorization", key)]).await;
        assert_eq!(reply.status, status, "{key}");
    }
    let input = json!({"data": "a dog", "data_type": "text", "model": BM25});
    for (token, status) in [("one", StatusCode::OK), ("three", StatusCode::UNAUTHORIZED)] {
        let reply = server.post("/infer", &json!({"inputs": [input], "token": token})).await;
        assert_eq!(reply.status, status, "{token}");
    }
}

#[tokio::test]
async fn a_browser_may_send_a_key_from_listed_pages() {
    let cors_origins = vec!["https://example.com".to_owned()];
    let server = bm25(Config { cors_origins, keys: Keys::new(["one"]), ..Config::default() });
    let preflight = |origin: &str| {
        Request::options("/embed")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type")
            .body(Body::empty())
            .unwrap()
    };
    let reply = server.send(preflight("https://example.com")).await;
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://example.com"));
    assert_eq!(reply.header("access-control-allow-headers"), Some("authorization,content-type"));
    let reply = server.send(preflight("https://example.org")).await;
    assert_eq!(reply.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn a_model_without_the_ability_is_named() {
    let Some(models) = all_models() else { return };
    let server = Server::new(Config { models, ..Config::default() });
    let reply = server.post("/embed", &json!({"inputs": "a", "model": BM25})).await;
    assert_eq!(reply.status, StatusCode::FAILED_DEPENDENCY);
    assert_eq!(reply.body["error_type"], "Backend");
    assert_eq!(reply.body["error"], "Qdrant/bm25 gives no dense vectors");
    let body = json!({"model": DENSE, "query": "a", "documents": ["b"]});
    let reply = server.post("/v1/rerank", &body).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert_eq!(reply.body["message"], "tiny/dense gives no scores of a query and a document");
}

#[tokio::test]
async fn nothing_to_embed_and_wrong_numbers_are_refused() {
    let Some(server) = server() else { return };
    for (path, body, status) in [
        ("/embed", json!({"inputs": []}), StatusCode::BAD_REQUEST),
        ("/v1/embeddings", json!({"input": []}), StatusCode::BAD_REQUEST),
        ("/rerank", json!({"query": "a", "texts": []}), StatusCode::BAD_REQUEST),
        ("/embed", json!({"inputs": "a", "dimensions": 0}), StatusCode::UNPROCESSABLE_ENTITY),
        ("/embed", json!({"inputs": "a", "dimensions": 5000}), StatusCode::UNPROCESSABLE_ENTITY),
        ("/embed", json!({"inputs": "a", "prompt_name": "x"}), StatusCode::UNPROCESSABLE_ENTITY),
        ("/v1/embeddings", json!({"input": "a", "dimensions": -1}), StatusCode::BAD_REQUEST),
        ("/v1/embeddings", json!({"input": "a", "encoding_format": "x"}), StatusCode::BAD_REQUEST),
        ("/v1/embeddings", json!({"model": DENSE}), StatusCode::BAD_REQUEST),
    ] {
        let reply = server.post(path, &body).await;
        assert_eq!(reply.status, status, "{path}: {body}: {}", reply.body);
        assert!(has_form(path, &reply.body), "{path}: {}", reply.body);
    }
}
