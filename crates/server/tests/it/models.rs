//! Loading, unloading, names and probes.

use std::time::Duration;

use axum::http::StatusCode;
use embedkit::Options;
use embedkit_server::{Config, ServedModel};
use embedkit_testkit::dense_case;
use serde_json::{Value, json};

use crate::support::{BM25, DENSE, Server, load, served};

/// The state of the only model.
async fn state(server: &Server) -> Value {
    server.get("/models").await.body[0].clone()
}

fn one(change: impl FnOnce(&mut ServedModel)) -> Option<Server> {
    let case = dense_case("mean-normalized");
    let mut model = served(DENSE, &case.spec, &case.dir)?;
    change(&mut model);
    Some(Server::new(Config { models: vec![model], ..Config::default() }))
}

#[tokio::test]
async fn a_model_is_loaded_by_a_request_and_unloaded_on_demand() {
    let Some(server) = one(|_| {}) else { return };
    assert_eq!(state(&server).await["state"], "unloaded");
    assert_eq!(server.get("/ready").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(server.get("/health").await.status, StatusCode::OK);
    let vector = server.ok("/embed", &json!({"inputs": "a"})).await;
    let loaded = state(&server).await;
    assert_eq!((&loaded["state"], &loaded["device"]), (&json!("loaded"), &json!("cpu")));
    assert_eq!(server.get("/ready").await.status, StatusCode::OK);
    let unloaded = server.ok("/models/unload", &json!({"model": DENSE})).await;
    assert_eq!(unloaded["state"], "unloaded");
    // The next request loads it, so the server is ready.
    assert_eq!(server.get("/ready").await.status, StatusCode::OK);
    assert_eq!(server.ok("/embed", &json!({"inputs": "a"})).await, vector);
    assert_eq!(server.ok("/models/load", &json!({"model": DENSE})).await["state"], "loaded");
}

#[tokio::test]
async fn a_model_is_unloaded_after_its_time_without_requests() {
    let Some(server) = one(|model| model.keep_alive = Some(Duration::from_secs(3600))) else {
        return;
    };
    server.ok("/embed", &json!({"inputs": "a"})).await;
    server.app.tidy();
    assert_eq!(state(&server).await["state"], "loaded");
    let body = json!({"model": DENSE, "input": "a", "keep_alive": 0});
    server.ok("/api/embed", &body).await;
    server.app.tidy();
    assert_eq!(state(&server).await["state"], "unloaded");
    let body = json!({"model": DENSE, "keep_alive": -1});
    assert_eq!(server.ok("/models/load", &body).await["keep_alive_seconds"], Value::Null);
    server.app.tidy();
    assert_eq!(state(&server).await["state"], "loaded");
}

#[tokio::test]
async fn requests_at_once_load_a_model_once() {
    let Some(server) = one(|model| model.lazy = true) else { return };
    assert_eq!(server.get("/ready").await.status, StatusCode::OK);
    let body = json!({"inputs": "a"});
    let requests: Vec<_> = (0..16)
        .map(|_| {
            let (server, body) = (server.clone(), body.clone());
            tokio::spawn(async move { server.post("/embed", &body).await.status })
        })
        .collect();
    for request in requests {
        assert_eq!(request.await.unwrap(), StatusCode::OK);
    }
}

#[tokio::test]
async fn a_model_that_cannot_be_loaded_is_told_and_harms_no_other() {
    let case = dense_case("mean-normalized");
    let (dir, files) = case.copy();
    std::fs::write(&files.model, "no graph").unwrap();
    let Some(broken) = served("broken", &case.spec, dir.path()) else { return };
    let Some(good) = served(DENSE, &case.spec, &case.dir) else { return };
    let server = Server::new(Config { models: vec![broken, good], ..Config::default() });
    for _ in 0..2 {
        let body = json!({"model": "broken", "input": "a"});
        let reply = server.post("/v1/embeddings", &body).await;
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{}", reply.body);
        let message = reply.body["error"]["message"].as_str().unwrap();
        assert!(message.starts_with("broken could not be loaded: "), "{message}");
        assert!(reply.header("retry-after").is_some());
    }
    server.ok("/v1/embeddings", &json!({"model": DENSE, "input": "a"})).await;
    let ready = server.get("/ready").await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ready.body["missing"], json!(["broken"]));
    assert!(server.app.load().await.is_err());
    let failed = server.get("/models").await.body[0].clone();
    assert_eq!(failed["state"], "failed");
}

#[tokio::test]
async fn a_model_has_aliases() {
    let Some(server) = one(|model| model.aliases.push("text-embedding-3-small".into())) else {
        return;
    };
    let body = json!({"model": "Text-Embedding-3-Small", "input": "a"});
    assert_eq!(server.ok("/v1/embeddings", &body).await["model"], DENSE);
    let body = json!({"model": "text-embedding-3-smal", "input": "a"});
    let reply = server.post("/v1/embeddings", &body).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    assert_eq!(reply.body["error"]["code"], "model_not_found");
    assert!(reply.body["error"]["message"].as_str().unwrap().contains("text-embedding-3-small"));
}

#[tokio::test]
async fn clients_open_models_only_where_they_may() {
    let bm25 = || vec![ServedModel::named(BM25).unwrap()];
    let folder = embedkit_testkit::sentence_folder();
    let name = folder.path().to_str().unwrap();
    let server = Server::new(Config { models: bm25(), ..Config::default() });
    let reply = server.post("/models/load", &json!({"model": name})).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    let Some(load) = load() else { return };
    let cache = tempfile::tempdir().unwrap();
    let load = embedkit::LoadOptions { cache_dir: Some(cache.path().to_owned()), ..load };
    let config = Config { client_models: Some(Options::from(load)), ..Config::default() };
    let server = Server::new(Config { models: bm25(), ..config });
    let reply = server.ok("/models/load", &json!({"model": name})).await;
    assert_eq!((&reply["state"], &reply["dim"]), (&json!("loaded"), &json!(8)));
    let body = json!({"model": name, "input": embedkit_testkit::TINY_TEXT});
    let reply = server.ok("/v1/embeddings", &body).await;
    let vector = crate::support::numbers(&reply["data"][0]["embedding"]);
    embedkit_testkit::assert_close(&vector, &embedkit_testkit::TINY_VECTOR, 1e-4);
}

#[tokio::test]
async fn measurements_have_the_names_of_other_servers() {
    let Some(server) = one(|_| {}) else { return };
    server.ok("/embed", &json!({"inputs": ["a", "b"]})).await;
    server.post("/embed", &json!({"inputs": []})).await;
    let reply = server.get("/metrics").await;
    let text = reply.body.as_str().unwrap();
    for line in [
        r#"te_request_count{method="batch",model="tiny/dense"} 1"#,
        r#"te_embed_count{model="tiny/dense"} 2"#,
        r#"te_request_failure{err="empty"} 1"#,
        r#"te_queue_size{model="tiny/dense"} 0"#,
        r#"embedkit_queue_tokens{model="tiny/dense",priority="bulk"} 0"#,
        r#"embedkit_model_loaded{model="tiny/dense"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    for phase in ["tokenization", "queue", "inference"] {
        assert!(text.contains(&format!("te_request_{phase}_duration_bucket")), "{phase}");
    }
}

#[tokio::test]
async fn a_request_keeps_its_id_and_says_what_it_took() {
    let Some(server) = one(|_| {}) else { return };
    let body = json!({"inputs": "a dog"});
    let reply = server.post_with("/embed", &body, &[("x-request-id", "abc-1")]).await;
    assert_eq!(reply.header("x-request-id"), Some("abc-1"));
    assert_eq!(reply.header("x-compute-type"), Some("cpu"));
    assert_eq!(reply.header("x-compute-characters"), Some("5"));
    assert!(reply.header("x-compute-tokens").unwrap().parse::<usize>().unwrap() > 2);
    for phase in ["total", "tokenization", "queue", "inference"] {
        let time = reply.header(&format!("x-{phase}-time")).unwrap();
        time.parse::<u64>().unwrap();
    }
    let reply = server.get("/health").await;
    assert_eq!(reply.header("x-request-id").unwrap().len(), 32);
}
