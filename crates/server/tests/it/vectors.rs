//! Routes of OpenAI, Cohere, Jina, Ollama, Qdrant and our own.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use data_encoding::BASE64;
use embedkit::{Outputs, Role};
use embedkit_server::Config;
use embedkit_testkit::assert_close;
use serde_json::{Value, json};

use crate::support::{
    BM25, DENSE, HYBRID, HybridExpected, IMAGE, LATE, SPARSE, Server, dense, hybrid, numbers, rows,
    server,
};

fn from_base64(value: &Value) -> Vec<f32> {
    let bytes = BASE64.decode(value.as_str().unwrap().as_bytes()).unwrap();
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
}

#[tokio::test]
async fn openai_gets_numbers_or_base64() {
    let (Some(server), Some(model)) = (server(), dense()) else { return };
    let input = ["a dog", "the fox"];
    let body = json!({"input": input, "model": DENSE, "user": "somebody"});
    let reply = server.ok("/v1/embeddings", &body).await;
    assert_eq!((&reply["object"], &reply["model"]), (&json!("list"), &json!(DENSE)));
    let tokens = model.token_count(Role::Raw, input).unwrap();
    assert_eq!(reply["usage"], json!({"prompt_tokens": tokens, "total_tokens": tokens}));
    for (index, text) in input.into_iter().enumerate() {
        let one = &reply["data"][index];
        assert_eq!((&one["object"], &one["index"]), (&json!("embedding"), &json!(index)));
        let expected = model.embed_one(Role::Raw, text).unwrap().value.into_dense().unwrap();
        assert_eq!(numbers(&one["embedding"]), expected);
    }
    let body = json!({"input": input, "model": DENSE, "encoding_format": "base64"});
    let encoded = server.ok("/embeddings", &body).await;
    assert_eq!(
        from_base64(&encoded["data"][1]["embedding"]),
        numbers(&reply["data"][1]["embedding"])
    );
    let body = json!({"input": "a dog", "model": DENSE, "dimensions": 2});
    let short = server.ok("/v1/embeddings", &body).await;
    assert_eq!(numbers(&short["data"][0]["embedding"]).len(), 2);
}

#[tokio::test]
async fn foreign_token_ids_are_refused_with_the_switch_of_the_client() {
    let Some(server) = server() else { return };
    let body = json!({"input": [[104, 101], [98]], "model": DENSE});
    let reply = server.post("/v1/embeddings", &body).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let error = &reply.body["error"];
    assert_eq!(
        (&error["type"], &error["param"]),
        (&json!("invalid_request_error"), &json!("input"))
    );
    assert!(error["message"].as_str().unwrap().contains("check_embedding_ctx_length=False"));
}

#[tokio::test]
async fn served_models_are_listed() {
    let Some(server) = server() else { return };
    let list = server.get("/v1/models").await.body;
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert!(ids.contains(&&json!(DENSE)) && ids.len() == 6, "{ids:?}");
    assert_eq!(server.get(&format!("/v1/models/{BM25}")).await.body["owned_by"], "Qdrant");
    let reply = server.get("/v1/models/tiny/dens").await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    assert!(reply.body["error"]["message"].as_str().unwrap().contains("tiny/dense"));
}

#[tokio::test]
async fn cohere_gets_vectors_by_type() {
    let Some(server) = server() else { return };
    let vectors = rows(&server.ok("/embed", &json!({"inputs": ["a dog", "a fox"]})).await);
    let body = json!({
        "model": DENSE, "input_type": "search_document", "texts": ["a dog", "a fox"],
        "embedding_types": ["float", "base64"], "truncate": "NONE",
    });
    let reply = server.ok("/v2/embed", &body).await;
    assert_eq!(rows(&reply["embeddings"]["float"]), vectors);
    assert_eq!(from_base64(&reply["embeddings"]["base64"][1]), vectors[1]);
    assert_eq!(reply["texts"], json!(["a dog", "a fox"]));
    let inputs = json!([{"content": [{"type": "text", "text": "a dog"}]}]);
    let reply = server.ok("/v2/embed", &json!({"model": DENSE, "inputs": inputs})).await;
    assert_eq!(rows(&reply["embeddings"]["float"]), vectors[..1]);
    let reply = server.ok("/v1/embed", &json!({"texts": ["a fox"]})).await;
    assert_eq!(rows(&reply["embeddings"]), vectors[1..]);
    for body in [json!({}), json!({"texts": ["a"], "images": ["b"]})] {
        let reply = server.post("/v2/embed", &body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
        assert!(reply.body["message"].as_str().unwrap().contains("texts, images and inputs"));
    }
}

#[tokio::test]
async fn ollama_gets_vectors_and_its_own_errors() {
    let Some(server) = server() else { return };
    let vectors = rows(&server.ok("/embed", &json!({"inputs": "a dog"})).await);
    let body = json!({"model": DENSE, "input": "a dog", "keep_alive": "5m", "options": {}});
    let reply = server.ok("/api/embed", &body).await;
    assert_eq!(rows(&reply["embeddings"]), vectors);
    assert!(reply["total_duration"].as_u64() >= reply["load_duration"].as_u64());
    assert!(reply["prompt_eval_count"].as_u64() > Some(2));
    let body = json!({"model": DENSE, "prompt": "a dog"});
    assert_eq!(numbers(&server.ok("/api/embeddings", &body).await["embedding"]), vectors[0]);
    let none = server.ok("/api/embed", &json!({"model": DENSE, "input": []})).await;
    assert_eq!(none["embeddings"], json!([]));
    let reply = server.post("/api/embed", &json!({"model": "x", "input": "a"})).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    assert!(reply.body["error"].as_str().unwrap().starts_with("model \"x\" not found"));
    assert_eq!(server.get("/api/tags").await.body["models"][0]["name"], DENSE);
    assert_eq!(server.get("/api/ps").await.body["models"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_qdrant_server_gets_vectors_of_several_models_in_order() {
    let Some(server) = server() else { return };
    let input = |model: &str, data: &str| json!({"data": data, "data_type": "text", "model": model, "options": null});
    let body = json!({
        "inputs": [input(DENSE, "a dog"), input(BM25, "a dog barks"), input(LATE, "a fox"), input(DENSE, "a fox")],
        "inference": "update", "token": null,
    });
    let reply = server.ok("/infer", &body).await;
    let embeddings = reply["embeddings"].as_array().unwrap();
    let dense = rows(&server.ok("/embed", &json!({"inputs": ["a dog", "a fox"]})).await);
    assert_eq!(numbers(&embeddings[0]), dense[0]);
    assert_eq!(numbers(&embeddings[3]), dense[1]);
    assert_eq!(embeddings[1]["indices"].as_array().unwrap().len(), 2);
    assert!(rows(&embeddings[2]).len() > 2);
    assert!(reply["usage"]["models"][DENSE]["tokens"].as_u64() > Some(4));
    // A query of BM25 has weights of 1.
    let body = json!({"inputs": [input(BM25, "a dog barks")], "inference": "search"});
    let reply = server.ok("/infer", &body).await;
    assert_eq!(reply["embeddings"][0]["values"], json!([1.0, 1.0]));
    let odd = json!({"inputs": [{"data": {"a": 1}, "data_type": "object", "model": DENSE}]});
    let reply = server.post("/infer", &odd).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    assert!(reply.body["error"].as_str().unwrap().contains("expected text or image"));
}

#[tokio::test]
async fn several_models_embed_the_same_inputs() {
    let Some(server) = server() else { return };
    let models = [DENSE, SPARSE, LATE, BM25];
    let body = json!({"models": models, "inputs": ["a dog", "a fox"], "input_type": "query"});
    let reply = server.ok("/embed_multi", &body).await;
    let results = reply["results"].as_array().unwrap();
    for (result, (model, kind)) in results.iter().zip([
        (DENSE, "dense"),
        (SPARSE, "sparse"),
        (LATE, "multi_vector"),
        (BM25, "sparse"),
    ]) {
        assert_eq!(result["model"], model);
        assert_eq!(result["data"].as_array().unwrap().len(), 2);
        assert!(!result["data"][1][kind].is_null(), "{result}");
    }
    let body = json!({"models": [DENSE, "none"], "inputs": ["a"]});
    assert_eq!(server.post("/embed_multi", &body).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn images_are_data_uris_or_bodies() {
    let Some(server) = server() else { return };
    let bytes = png();
    let uri = format!("data:image/png;base64,{}", BASE64.encode(&bytes));
    let body = json!({"inputs": [{"image": uri}], "model": IMAGE});
    let of_uri = server.ok("/embed_multi", &body).await;
    let vector = &of_uri["results"][0]["data"][0]["dense"];
    assert!(numbers(vector).len() > 1);
    let request = Request::post(format!("/embed_multi?model={IMAGE}"))
        .header("content-type", "image/png")
        .body(Body::from(bytes))
        .unwrap();
    assert_eq!(server.send(request).await.body["results"][0]["data"][0]["dense"], *vector);
    let body = json!({"model": IMAGE, "images": [uri], "input_type": "image"});
    assert_eq!(server.ok("/v2/embed", &body).await["embeddings"]["float"][0], *vector);
    let body = json!({"model": IMAGE, "input": [uri], "modality": "image"});
    assert_eq!(server.ok("/v1/embeddings", &body).await["data"][0]["embedding"], *vector);
    for (image, reason) in
        [("https://example.com/a.png", "not fetched"), ("data:;base64,AAAA", "image")]
    {
        let body = json!({"model": IMAGE, "input": [{"image": image}]});
        let reply = server.post("/v1/embeddings", &body).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{}", reply.body);
        assert!(
            reply.body["error"]["message"].as_str().unwrap().contains(reason),
            "{}",
            reply.body
        );
    }
}

/// A picture of the test kit.
fn png() -> Vec<u8> {
    let case = embedkit_testkit::image_case("clip");
    let name = case.golden.pictures.iter().find(|name| name.ends_with(".png")).unwrap();
    std::fs::read(embedkit_testkit::picture(name)).unwrap()
}

/// Each route of one kind of embedding takes its part of a model that gives several.
#[tokio::test]
async fn the_parts_of_a_hybrid_model_are_served_by_their_routes() {
    const TOLERANCE: f32 = 1e-5;
    let Some((model, golden)) = hybrid(None) else { return };
    let server = Server::new(Config { models: vec![model], ..Config::default() });
    let inputs = &golden.texts;
    let check_sparse = |found: &[(u32, f32)], expected: &HybridExpected| {
        let [found, expected]: [(Vec<u32>, Vec<f32>); 2] =
            [found, &expected.sparse].map(|pairs| pairs.iter().copied().unzip());
        assert_eq!(found.0, expected.0);
        assert_close(&found.1, &expected.1, TOLERANCE);
    };
    let check_rows = |found: &[Vec<f32>], expected: &[Vec<f32>]| {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert_close(found, expected, TOLERANCE);
        }
    };

    let several = json!({"models": [HYBRID], "inputs": inputs});
    let several = server.ok("/embed_multi", &several).await;
    let dense = rows(&server.ok("/embed", &json!({"inputs": inputs, "normalize": false})).await);
    let sparse = server.ok("/embed_sparse", &json!({"inputs": inputs})).await;
    let tokens = server.ok("/embed_all", &json!({"inputs": inputs})).await;
    let body = json!({"model": HYBRID, "input": inputs});
    let openai = server.ok("/v1/embeddings", &body).await;
    let multi = server.ok("/v1/multi-vector", &body).await;
    for (index, expected) in golden.embeddings.iter().enumerate() {
        let one = &several["results"][0]["data"][index];
        for found in [&one["dense"], &openai["data"][index]["embedding"], &json!(dense[index])] {
            assert_close(&numbers(found), &expected.dense, TOLERANCE);
        }
        for found in [&one["multi_vector"], &tokens[index], &multi["data"][index]["embeddings"]] {
            check_rows(&rows(found), &expected.multi_vector);
        }
        let of_lists: Vec<u32> = serde_json::from_value(one["sparse"]["indices"].clone()).unwrap();
        let of_lists: Vec<_> =
            of_lists.into_iter().zip(numbers(&one["sparse"]["values"])).collect();
        check_sparse(&of_lists, expected);
        let pairs = sparse[index].as_array().unwrap().iter();
        let pairs: Vec<_> = pairs
            .map(|pair| {
                (pair["index"].as_u64().unwrap() as u32, pair["value"].as_f64().unwrap() as f32)
            })
            .collect();
        check_sparse(&pairs, expected);
    }
}

/// A part that was not asked for at the start is an error that says so.
#[tokio::test]
async fn a_hybrid_model_refuses_the_parts_it_does_not_compute() {
    let outputs = Outputs { dense: true, sparse: false, multi_vector: false };
    let Some((model, golden)) = hybrid(Some(outputs)) else { return };
    let server = Server::new(Config { models: vec![model], ..Config::default() });
    let inputs = json!({"inputs": golden.texts});
    let vectors = rows(&server.ok("/embed", &inputs).await);
    assert_eq!(vectors.len(), golden.texts.len());
    let reply = server.post("/embed_sparse", &inputs).await;
    assert!(reply.status.is_client_error(), "{}: {}", reply.status, reply.body);
    assert!(reply.body["error"].as_str().unwrap().contains("sparse"), "{}", reply.body);
}
