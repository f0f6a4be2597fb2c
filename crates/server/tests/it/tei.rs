//! Routes of Text Embeddings Inference.

use axum::http::StatusCode;
use embedkit::{LoadOptions, Options, Prompts, Role};
use embedkit_server::{Config, ServedModel};
use embedkit_testkit::{assert_close, dense_case, rerank_case};
use serde_json::{Value, json};

use crate::support::{
    DENSE, LATE, RERANKER, SPARSE, Server, dense, load, numbers, rows, served, server,
};

#[tokio::test]
async fn embeddings_equal_those_of_the_library() {
    let (Some(server), Some(model)) = (server(), dense()) else { return };
    let texts = ["a dog", "the quick brown fox", ""];
    let found = rows(&server.ok("/embed", &json!({"inputs": texts})).await);
    let expected =
        model.embed(Role::Raw, texts).map(|one| one.unwrap().value.into_dense().unwrap());
    assert_eq!(found, expected.collect::<Vec<_>>());
    // One input has a list of one vector, too.
    let one = rows(&server.ok("/embed", &json!({"inputs": "a dog", "truncate": true})).await);
    assert_eq!(one, found[..1]);
    let short = rows(&server.ok("/embed", &json!({"inputs": "a dog", "dimensions": 2})).await);
    let norm = (found[0][0].powi(2) + found[0][1].powi(2)).sqrt();
    assert_close(&short[0], &[found[0][0] / norm, found[0][1] / norm], 1e-6);
}

#[tokio::test]
async fn other_kinds_have_routes_of_their_own() {
    let Some(server) = server() else { return };
    let sparse = server.ok("/embed_sparse", &json!({"inputs": ["a dog", "a fox"]})).await;
    let multi = server.ok("/embed_multi", &json!({"inputs": ["a dog"], "model": SPARSE})).await;
    let lists = &multi["results"][0]["data"][0]["sparse"];
    let first: Vec<Value> = serde_json::from_value(sparse[0].clone()).unwrap();
    let indices: Vec<_> = first.iter().map(|term| term["index"].clone()).collect();
    assert_eq!(Value::from(indices), lists["indices"]);
    let values: Vec<_> = first.iter().map(|term| term["value"].clone()).collect();
    assert_eq!(Value::from(values), lists["values"]);
    let all = server.ok("/embed_all", &json!({"inputs": "a dog", "prompt_name": "query"})).await;
    let vectors = rows(&all[0]);
    assert!(vectors.len() > 3 && vectors.iter().all(|vector| vector.len() == 4), "{vectors:?}");
    let body = json!({"input": "a dog", "input_type": "query", "model": LATE});
    let jina = server.ok("/v1/multi-vector", &body).await;
    assert_eq!(rows(&jina["data"][0]["embeddings"]), vectors);
}

#[tokio::test]
async fn a_dense_model_gives_its_vectors_before_pooling() {
    let Some(server) = server() else { return };
    let text = "the quick fox";
    let body = json!({"inputs": text, "model": DENSE});
    let all = server.ok("/embed_all", &body).await;
    let vectors = rows(&all[0]);
    // The model pools by the mean and scales to unit length.
    let mut mean = vec![0.0; vectors[0].len()];
    vectors.iter().for_each(|vector| mean.iter_mut().zip(vector).for_each(|(sum, x)| *sum += x));
    let norm = mean.iter().map(|x| x * x).sum::<f32>().sqrt();
    mean.iter_mut().for_each(|x| *x /= norm);
    let pooled = rows(&server.ok("/embed", &body).await);
    assert_close(&mean, &pooled[0], 1e-5);
    let tokens = server.ok("/tokenize", &body).await;
    assert_eq!(tokens[0].as_array().unwrap().len(), vectors.len());
    let reply = server.post("/embed_all", &json!({"inputs": text, "model": SPARSE})).await;
    assert_eq!(reply.status, StatusCode::FAILED_DEPENDENCY);
}

#[tokio::test]
async fn ranks_are_those_of_the_original() {
    let Some(server) = server() else { return };
    let case = rerank_case("one-label").golden;
    let texts = &case.documents;
    let body =
        json!({"query": case.query, "texts": texts, "raw_scores": true, "return_text": true});
    let ranks = server.ok("/rerank", &body).await;
    let ranks = ranks.as_array().unwrap();
    assert_eq!(ranks.len(), texts.len());
    let mut before = f32::INFINITY;
    for rank in ranks {
        let index = usize::try_from(rank["index"].as_u64().unwrap()).unwrap();
        let score: f32 = serde_json::from_value(rank["score"].clone()).unwrap();
        assert_close(&[score], &[case.rerank[index].unwrap()], 1e-4);
        assert!(score <= before && rank["text"] == texts[index]);
        before = score;
    }
    let body =
        json!({"query": case.query, "documents": texts, "top_n": 2, "return_documents": true});
    for path in ["/rerank", "/v1/rerank", "/v2/rerank"] {
        let reply = server.ok(path, &body).await;
        let results = reply["results"].as_array().unwrap();
        assert_eq!(results.len(), 2, "{path}");
        for (result, rank) in results.iter().zip(ranks) {
            assert_eq!(result["index"], rank["index"]);
            let logit = rank["score"].as_f64().unwrap();
            let score = result["relevance_score"].as_f64().unwrap();
            assert!((score - 1.0 / (1.0 + (-logit).exp())).abs() < 1e-6, "{score} of {logit}");
            assert_eq!(result["document"]["text"], rank["text"]);
        }
    }
    let pair = json!({"inputs": [case.query, texts[0]], "raw_scores": true});
    let predicted = server.ok("/predict", &pair).await;
    let score: f32 = serde_json::from_value(predicted[0]["score"].clone()).unwrap();
    assert_close(&[score], &[case.rerank[0].unwrap()], 1e-4);
    let batch = json!({"inputs": [[case.query, texts[0]]], "raw_scores": true});
    assert_eq!(server.ok("/predict", &batch).await[0], predicted);
    let scores = json!({"text_1": case.query, "text_2": texts, "model": RERANKER});
    let scored = server.ok("/score", &scores).await;
    assert_eq!(scored["data"].as_array().unwrap().len(), texts.len());
}

#[tokio::test]
async fn similarity_is_the_cosine_of_embeddings() {
    let Some(server) = server() else { return };
    let inputs = json!({"source_sentence": "a dog", "sentences": ["a dog", "the fox"]});
    let body = json!({"inputs": inputs, "parameters": {}});
    let found = numbers(&server.ok("/similarity", &body).await);
    let vectors = rows(&server.ok("/embed", &json!({"inputs": ["a dog", "the fox"]})).await);
    let dot: f32 = vectors[0].iter().zip(&vectors[1]).map(|(a, b)| a * b).sum();
    assert_close(&found, &[1.0, dot], 1e-5);
    // Clients of Hugging Face send it to the address itself.
    assert_eq!(numbers(&server.ok("/", &body).await), found);
    let scored = json!({"text_1": "a dog", "text_2": ["a dog", "the fox"], "model": DENSE});
    let scored = server.ok("/v1/score", &scored).await;
    let scores: Vec<_> =
        scored["data"].as_array().unwrap().iter().map(|one| &one["score"]).collect();
    assert_close(
        &scores.iter().map(|s| s.as_f64().unwrap() as f32).collect::<Vec<_>>(),
        &found,
        1e-5,
    );
}

#[tokio::test]
async fn the_address_itself_answers_by_body_and_model() {
    let Some(server) = server() else { return };
    let embed = json!({
        "inputs": "a dog", "normalize": true, "truncation_direction": "left", "prompt_name": null
    });
    let vectors = server.ok("/embed", &embed).await;
    for path in ["/", "/invocations"] {
        assert_eq!(server.ok(path, &embed).await, vectors, "{path}");
    }
    let vertex = server.ok("/vertex", &json!({"instances": [embed, embed]})).await;
    assert_eq!(vertex["predictions"], json!([vectors, vectors]));
    let rerank = json!({"query": "a", "texts": ["b", "c"]});
    assert_eq!(server.ok("/", &rerank).await, server.ok("/rerank", &rerank).await);
    let reply = server.post("/", &json!({"text": "a"})).await;
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn tokens_have_places_and_become_text_again() {
    let Some(server) = server() else { return };
    let text = "the quick fox";
    let tokens = server.ok("/tokenize", &json!({"inputs": text})).await;
    let tokens = tokens[0].as_array().unwrap();
    let (first, last) = (&tokens[0], &tokens[tokens.len() - 1]);
    assert!(first["special"] == true && last["special"] == true && first["start"].is_null());
    let inner: Vec<_> = tokens.iter().filter(|token| token["special"] == false).collect();
    assert_eq!((&inner[0]["start"], &inner[0]["stop"]), (&json!(0), &json!(3)));
    assert_eq!(inner[inner.len() - 1]["stop"], text.len());
    let plain = json!({"inputs": [text], "add_special_tokens": false});
    let plain = server.ok("/tokenize", &plain).await;
    assert_eq!(plain[0].as_array().unwrap().len(), inner.len());
    let ids: Vec<_> = tokens.iter().map(|token| token["id"].clone()).collect();
    assert_eq!(server.ok("/decode", &json!({"ids": ids})).await, json!([text]));
    let all = server.ok("/decode", &json!({"ids": [ids], "skip_special_tokens": false})).await;
    assert!(all[0].as_str().unwrap().len() > text.len());
    // Ids of the model's own vocabulary are the same input as their text.
    let of_ids = server.ok("/embed", &json!({"inputs": ids})).await;
    assert_eq!(of_ids, server.ok("/embed", &json!({"inputs": text})).await);
    for bad in [json!([4_000_000]), json!([ids[1], ids[0]])] {
        let reply = server.post("/embed", &json!({"inputs": bad})).await;
        assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", reply.body);
        assert_eq!(reply.body["error_type"], "Tokenizer");
    }
}

#[tokio::test]
async fn truncation_is_told_and_refused_where_that_is_asked_for() {
    let Some(server) = server() else { return };
    let long = "fox ".repeat(2000);
    let body = json!({"inputs": ["a dog", long, "a fox", long]});
    let reply = server.post("/embed", &body).await;
    assert_eq!(reply.header("x-embedkit-truncated"), Some("2"));
    assert_eq!(reply.header("x-embedkit-truncated-inputs"), Some("1,3"));
    let short = server.post("/embed", &json!({"inputs": "a dog"})).await;
    assert_eq!(short.header("x-embedkit-truncated"), None);
    let body = json!({"inputs": ["a dog", long], "truncate": false});
    let reply = server.post("/embed", &body).await;
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
    let error = reply.body["error"].as_str().unwrap();
    assert!(
        error.starts_with("input 1: the text has ") && error.contains(" tokens, the model takes ")
    );
    let count: usize = error.split(' ').nth(5).unwrap().parse().unwrap();
    assert!(count > 2000, "{error}");
}

#[tokio::test]
async fn a_text_may_lose_its_start_in_place_of_its_end() {
    let Some(server) = server() else { return };
    let end = "the quick brown dog";
    let long = format!("{} {end}", "fox ".repeat(2000));
    let vector = |inputs: &str, direction: &str| {
        let body = json!({"inputs": inputs, "truncation_direction": direction});
        let server = server.clone();
        async move { server.post("/embed", &body).await }
    };
    let (left, right) = (vector(&long, "Left").await, vector(&long, "Right").await);
    assert_eq!(left.header("x-embedkit-truncated-inputs"), Some("0"));
    assert_ne!(left.body, right.body);
    let other_end = format!("{} a cat", "fox ".repeat(2000));
    assert_eq!(vector(&other_end, "Right").await.body, right.body);
    assert_ne!(vector(&other_end, "Left").await.body, left.body);
    assert_eq!(vector(end, "Left").await.body, vector(end, "Right").await.body);
}

#[tokio::test]
async fn facts_of_a_model_have_known_names() {
    let Some(server) = server() else { return };
    let info = server.get("/info").await.body;
    assert_eq!(info["served_model_name"], DENSE);
    assert_eq!(info["model_type"]["embedding"]["pooling"], "mean");
    let info = server.get(&format!("/info?model={RERANKER}")).await.body;
    assert_eq!(info["model_type"]["reranker"]["label2id"]["LABEL_0"], 0);
    assert_eq!(server.get("/info?model=none").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn tokens_are_those_behind_the_prompt_of_a_purpose() {
    let Some(load) = load() else { return };
    let prompts = Prompts::Custom { query: Some("the fox: ".to_owned()), document: None };
    let case = dense_case("mean-normalized");
    let Some(model) = served(DENSE, &case.spec, &case.dir) else { return };
    let options = Options::from(LoadOptions { prompts, ..load });
    let models = vec![ServedModel { options, ..model }];
    let server = Server::new(Config { models, ..Config::default() });
    let tokens = async |text: &str, name: Option<&str>| {
        server.ok("/tokenize", &json!({"inputs": text, "prompt_name": name})).await
    };
    let bare = tokens("a dog", None).await;
    assert_eq!(tokens("a dog", Some("document")).await, bare);
    let query = tokens("a dog", Some("query")).await;
    assert_eq!(query, tokens("the fox: a dog", None).await);
    assert_ne!(query, bare);
    // The model sees as many.
    let reply = server.post("/embed", &json!({"inputs": "a dog", "prompt_name": "query"})).await;
    let count = query[0].as_array().unwrap().len().to_string();
    assert_eq!(reply.header("x-compute-tokens"), Some(&*count));
}
