//! Overload, deadlines and clients that leave.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use axum::http::StatusCode;
use embedkit::LoadOptions;
use embedkit_server::{Config, Limits};
use embedkit_testkit::FAULT_TOKENS;
use serde_json::{Value, json};

use crate::support::{Reply, Server, endless, load, server};

/// A server whose only lane never ends with a long text, and with room for little more.
fn busy(queue_tokens: usize) -> Option<(Server, impl Sized)> {
    let limit = Duration::from_secs(600);
    let load = LoadOptions { threads: Some(1), replicas: Some(1), timeout: Some(limit), ..load()? };
    let (model, dir) = endless(load);
    let limits = Limits { queue_tokens, ..Limits::default() };
    let server = Server::new(Config { models: vec![model], limits, ..Config::default() });
    // Nobody waits for the thread that never ends.
    std::mem::forget(server.clone());
    Some((server, dir))
}

async fn queued(server: &Server) -> u64 {
    let models = server.get("/models").await.body;
    let queued = &models[0]["queued_tokens"];
    queued["interactive"].as_u64().unwrap() + queued["bulk"].as_u64().unwrap()
}

/// Waits until a condition holds; nextest ends a test that waits for ever.
async fn until(mut condition: impl AsyncFnMut() -> bool) {
    while !condition().await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A request that runs or waits, and is not answered.
type Unanswered = Pin<Box<dyn Future<Output = Reply>>>;

/// Sends a request to a model that is loaded, as far as its inputs are in the queue.
async fn submitted(server: &Server, input: Value) -> Unanswered {
    let server = server.clone();
    let mut request: Unanswered =
        Box::pin(async move { server.post("/v1/embeddings", &json!({"input": input})).await });
    let waits = poll_fn(|context| Poll::Ready(request.as_mut().poll(context).is_pending())).await;
    assert!(waits);
    request
}

/// A request that keeps the only lane.
async fn blocked(server: &Server) -> Unanswered {
    server.ok("/v1/embeddings", &json!({"input": "a"})).await;
    let request = submitted(server, json!("fox ".repeat(FAULT_TOKENS + 10))).await;
    until(async || queued(server).await == 0).await;
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_a_request_as_a_whole() {
    let Some((server, _dir)) = busy(40) else { return };
    let _blocked = blocked(&server).await;
    // It counts 92 tokens by its bytes, and the 32 that the model takes once it is tokenised: no room for a
    // text of 22 either way.
    let _waiting = submitted(&server, json!("dog ".repeat(90))).await;
    let before = queued(&server).await;
    assert!(before >= 32, "{before}");
    let texts = vec!["dog ".repeat(20); 20];
    for path in ["/v1/embeddings", "/embeddings"] {
        let headers = [("x-embedkit-priority", "interactive")];
        let reply = server.post_with(path, &json!({"input": texts}), &headers).await;
        assert_eq!(reply.status, StatusCode::TOO_MANY_REQUESTS, "{}", reply.body);
        assert!(reply.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
        assert_eq!(reply.body["error"]["type"], "rate_limit_error");
    }
    // Nothing of those that were refused is left.
    assert!(queued(&server).await <= before);
    assert_eq!(server.get("/health").await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_frees_its_place() {
    let Some((server, _dir)) = busy(1000) else { return };
    let _blocked = blocked(&server).await;
    let texts: Vec<_> = (0..8).map(|index| "dog ".repeat(index + 1)).collect();
    let waiting = submitted(&server, json!(texts)).await;
    assert!(queued(&server).await > 0);
    drop(waiting);
    assert_eq!(queued(&server).await, 0);
    assert_eq!(server.get("/models").await.body[0]["requests"], 1);
    let text = server.get("/metrics").await.body;
    assert!(text.as_str().unwrap().contains("embedkit_requests_abandoned_total 1"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadline_ends_a_request_and_takes_it_out() {
    let Some((server, _dir)) = busy(1000) else { return };
    let _blocked = blocked(&server).await;
    for path in ["/embed", "/v1/embeddings"] {
        let body = json!({"inputs": "a dog", "input": "a dog"});
        let reply = server.post_with(path, &body, &[("x-embedkit-timeout", "0.05")]).await;
        assert_eq!(reply.status, StatusCode::GATEWAY_TIMEOUT, "{path}: {}", reply.body);
    }
    assert_eq!(queued(&server).await, 0);
    let body = json!({"input": "a"});
    let reply = server.post_with("/v1/embeddings", &body, &[("x-embedkit-timeout", "soon")]).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_larger_than_the_queue_is_split_and_answered_in_order() {
    let Some(load) = load() else { return };
    let (model, _dir) = endless(load);
    let limits = Limits { queue_tokens: 40, ..Limits::default() };
    let server = Server::new(Config { models: vec![model], limits, ..Config::default() });
    let texts: Vec<_> = (0..300).map(|index| "dog ".repeat(index % 7 + 1)).collect();
    let reply = server.ok("/v1/embeddings", &json!({"input": texts})).await;
    let data = reply["data"].as_array().unwrap();
    assert_eq!(data.len(), texts.len());
    for (index, text) in texts.iter().enumerate().step_by(29) {
        let alone = server.ok("/v1/embeddings", &json!({"input": text})).await;
        assert_eq!(alone["data"][0]["embedding"], data[index]["embedding"], "{index}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_at_once_get_their_own_results() {
    let Some(server) = server() else { return };
    let texts: Vec<_> =
        (0..64).map(|index| format!("a dog and {} foxes", "x".repeat(index))).collect();
    let send = |text: &String| {
        let (server, body) = (server.clone(), json!({"input": text}));
        tokio::spawn(async move { server.post("/v1/embeddings", &body).await })
    };
    let requests: Vec<_> = texts.iter().map(send).collect();
    let together = server.ok("/v1/embeddings", &json!({"input": texts})).await;
    for (index, request) in requests.into_iter().enumerate() {
        let one = request.await.unwrap().body;
        let one = crate::support::numbers(&one["data"][0]["embedding"]);
        let other = crate::support::numbers(&together["data"][index]["embedding"]);
        embedkit_testkit::assert_close(&one, &other, 1e-5);
    }
}

#[tokio::test]
async fn health_does_not_wait_for_a_model_that_is_loaded() {
    let Some(server) = server() else { return };
    let body = json!({"inputs": "a"});
    let mut embed = pin!(server.post("/embed", &body));
    // One step: the request waits for the model.
    let pending = poll_fn(|context| Poll::Ready(embed.as_mut().poll(context).is_pending())).await;
    assert!(pending);
    assert_eq!(server.get("/health").await.status, StatusCode::OK);
    assert_eq!(embed.await.status, StatusCode::OK);
}
