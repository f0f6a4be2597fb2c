//! The contract of Text Embeddings Inference 1.9: its paths with their fields, against our description and
//! by real requests. Its own document is not part of this repository; these are its facts.

use axum::http::StatusCode;
use embedkit_server::openapi;
use serde_json::{Value, json};

use crate::support::{Server, server};

/// A field of a request.
struct Field {
    name: &'static str,
    /// A value of its type, other than the default.
    example: fn() -> Value,
    /// The value that stands for a request without it; `None` where it is required.
    default: Option<fn() -> Value>,
    /// Null stands for the default.
    nullable: bool,
}

/// A path that takes a body.
struct Path {
    path: &'static str,
    fields: &'static [Field],
    /// Fields of each object of the answer, and its depth in lists.
    answer: Answer,
}

enum Answer {
    /// Numbers, in as many lists.
    Numbers(usize),
    /// Texts, in as many lists.
    Texts(usize),
    /// Objects with these fields, in as many lists.
    Objects(usize, &'static [&'static str]),
}

const fn required(name: &'static str, example: fn() -> Value) -> Field {
    Field { name, example, default: None, nullable: false }
}

const fn field(name: &'static str, default: fn() -> Value, example: fn() -> Value) -> Field {
    Field { name, example, default: Some(default), nullable: false }
}

const fn nullable(name: &'static str, example: fn() -> Value) -> Field {
    Field { name, example, default: Some(|| Value::Null), nullable: true }
}

const INPUTS: Field = required("inputs", || json!(["the first dog", "the second"]));
/// The server's own setting where it is null, which is to cut.
const TRUNCATE: Field = nullable("truncate", || json!(false));
const DIRECTION: Field = field("truncation_direction", || json!("Right"), || json!("right"));
const PROMPT: Field = nullable("prompt_name", || json!("query"));
const DIMENSIONS: Field = nullable("dimensions", || json!(2));
const RAW_SCORES: Field = field("raw_scores", || json!(false), || json!(true));

const PATHS: &[Path] = &[
    Path {
        path: "/embed",
        fields: &[
            INPUTS,
            TRUNCATE,
            DIRECTION,
            PROMPT,
            field("normalize", || json!(true), || json!(false)),
            DIMENSIONS,
        ],
        answer: Answer::Numbers(2),
    },
    Path {
        path: "/embed_all",
        fields: &[INPUTS, TRUNCATE, DIRECTION, PROMPT],
        answer: Answer::Numbers(3),
    },
    Path {
        path: "/embed_sparse",
        fields: &[INPUTS, TRUNCATE, DIRECTION, PROMPT],
        answer: Answer::Objects(2, &["index", "value"]),
    },
    Path {
        path: "/rerank",
        fields: &[
            required("query", || json!("a fox")),
            required("texts", || json!(["the first dog", "the second"])),
            TRUNCATE,
            DIRECTION,
            RAW_SCORES,
            field("return_text", || json!(false), || json!(true)),
        ],
        answer: Answer::Objects(1, &["index", "score"]),
    },
    Path {
        path: "/predict",
        fields: &[
            required("inputs", || json!([["a fox", "the first dog"], ["a fox", "the second"]])),
            TRUNCATE,
            DIRECTION,
            RAW_SCORES,
        ],
        answer: Answer::Objects(2, &["score", "label"]),
    },
    Path {
        path: "/similarity",
        fields: &[
            required("inputs", || json!({"source_sentence": "a fox", "sentences": ["a dog"]})),
            nullable(
                "parameters",
                || json!({"truncate": false, "truncation_direction": "right", "prompt_name": "query"}),
            ),
        ],
        answer: Answer::Numbers(1),
    },
    Path {
        path: "/tokenize",
        fields: &[INPUTS, field("add_special_tokens", || json!(true), || json!(false)), PROMPT],
        answer: Answer::Objects(2, &["id", "text", "special", "start", "stop"]),
    },
    Path {
        path: "/decode",
        fields: &[
            required("ids", || json!([[5, 6], [7]])),
            field("skip_special_tokens", || json!(true), || json!(false)),
        ],
        answer: Answer::Texts(1),
    },
    Path {
        path: "/v1/embeddings",
        fields: &[
            required("input", || json!(["the first dog", "the second"])),
            nullable("model", || json!("tiny/dense")),
            nullable("user", || json!("me")),
            field("encoding_format", || json!("float"), || json!("base64")),
            DIMENSIONS,
        ],
        answer: Answer::Objects(0, &["object", "data", "model", "usage"]),
    },
];

/// Fields of `/info` that are always there, and those that may be null.
const INFO: ([&str; 11], [&str; 4]) = (
    [
        "model_id",
        "model_dtype",
        "served_model_name",
        "model_type",
        "max_concurrent_requests",
        "max_input_length",
        "max_batch_tokens",
        "max_client_batch_size",
        "auto_truncate",
        "tokenization_workers",
        "version",
    ],
    ["model_sha", "max_batch_requests", "sha", "docker_label"],
);

/// The body with all required fields.
fn least(path: &Path) -> Value {
    let fields = path.fields.iter().filter(|field| field.default.is_none());
    Value::Object(fields.map(|field| (field.name.to_owned(), (field.example)())).collect())
}

fn with(body: &Value, name: &str, value: Value) -> Value {
    let mut body = body.clone();
    body[name] = value;
    body
}

/// The answer without what differs between two requests.
async fn answer(server: &Server, path: &str, body: &Value) -> Value {
    let reply = server.post(path, body).await;
    assert_eq!(reply.status, StatusCode::OK, "{path}: {body}: {}", reply.body);
    reply.body
}

/// The schema that a reference leads to.
fn resolved<'a>(description: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(place) => description.pointer(place.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

#[test]
fn each_path_and_field_is_described() {
    let description: Value = serde_json::from_str(&openapi()).unwrap();
    for path in PATHS {
        let operation = &description["paths"][path.path]["post"];
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        let schema = resolved(&description, body);
        for field in path.fields {
            let place = format!("{} {}", path.path, field.name);
            let property = &schema["properties"][field.name];
            assert!(!property.is_null(), "{place} is not described");
            let text = property.to_string();
            if field.nullable {
                assert!(text.contains(r#""null""#), "{place} cannot be null: {text}");
            }
            let required = schema["required"].as_array().unwrap();
            let is_required = required.iter().any(|name| name == field.name);
            assert_eq!(is_required, field.default.is_none(), "{place}");
        }
        let responses = &operation["responses"];
        for status in ["200", "default"] {
            let content = &responses[status]["content"]["application/json"]["schema"];
            assert!(content.is_object(), "{} has no {status}", path.path);
        }
    }
    for path in ["/info", "/health", "/metrics"] {
        assert!(description["paths"][path]["get"]["responses"]["200"].is_object(), "{path}");
    }
}

#[tokio::test]
async fn a_default_is_the_same_as_nothing() {
    let Some(server) = server() else { return };
    for path in PATHS {
        let least = least(path);
        let expected = answer(&server, path.path, &least).await;
        for field in path.fields {
            let Some(default) = field.default else { continue };
            let body = with(&least, field.name, default());
            let found = answer(&server, path.path, &body).await;
            assert_eq!(found, expected, "{}: {}", path.path, body);
            // Another value is taken, whatever comes of it.
            answer(&server, path.path, &with(&least, field.name, (field.example)())).await;
        }
        // As clients do that know of further fields.
        let body = with(&least, "parameters", json!({}));
        assert_eq!(answer(&server, path.path, &body).await, expected, "{body}");
    }
}

#[tokio::test]
async fn an_answer_has_the_fields_and_the_depth_of_the_contract() {
    let Some(server) = server() else { return };
    for path in PATHS {
        let mut value = answer(&server, path.path, &least(path)).await;
        let (Answer::Numbers(depth) | Answer::Texts(depth) | Answer::Objects(depth, _)) =
            path.answer;
        for _ in 0..depth {
            let list = value.as_array().unwrap_or_else(|| panic!("{}: {value}", path.path));
            value = list[0].clone();
        }
        match path.answer {
            Answer::Numbers(_) => assert!(value.is_f64(), "{}: {value}", path.path),
            Answer::Texts(_) => assert!(value.is_string(), "{}: {value}", path.path),
            Answer::Objects(_, fields) => {
                let found = value.as_object().unwrap_or_else(|| panic!("{}: {value}", path.path));
                for field in fields {
                    assert!(found.contains_key(*field), "{} {field}: {value}", path.path);
                }
            }
        }
    }
    // One text is a list of one, and one sequence is not.
    let one = answer(&server, "/embed", &json!({"inputs": "a dog"})).await;
    assert_eq!(one, answer(&server, "/embed", &json!({"inputs": ["a dog"]})).await);
    let one = answer(&server, "/predict", &json!({"inputs": ["a", "b"]})).await;
    let several = answer(&server, "/predict", &json!({"inputs": [["a", "b"]]})).await;
    assert_eq!(json!([one]), several);
}

#[tokio::test]
async fn a_value_of_another_type_or_a_missing_field_is_status_422() {
    let Some(server) = server() else { return };
    for path in PATHS {
        let least = least(path);
        // Its routes of OpenAI have OpenAI's status here.
        let expected = if path.path.starts_with("/v1") {
            StatusCode::BAD_REQUEST
        } else {
            StatusCode::UNPROCESSABLE_ENTITY
        };
        for field in path.fields {
            let mut bad = vec![with(&least, field.name, json!(1.5))];
            if field.default.is_none() {
                let mut without = least.clone();
                without.as_object_mut().unwrap().remove(field.name);
                bad.push(without);
            }
            // Of no use to anybody, and taken as it comes.
            if field.name == "user" {
                continue;
            }
            for body in bad {
                let reply = server.post(path.path, &body).await;
                assert_eq!(reply.status, expected, "{}: {body}: {}", path.path, reply.body);
            }
        }
    }
}

#[tokio::test]
async fn errors_have_the_types_and_statuses_of_the_contract() {
    let Some(server) = server() else { return };
    let long = "dog ".repeat(600);
    for (path, body, status, kind) in [
        ("/embed", json!({"inputs": []}), 400, "Empty"),
        ("/embed", json!({"inputs": long, "truncate": false}), 422, "Validation"),
        ("/embed", json!({"inputs": [[4_000_000]]}), 422, "Tokenizer"),
        ("/embed", json!({"inputs": "a", "model": "tiny/sparse"}), 424, "Backend"),
        ("/rerank", json!({"query": "a", "texts": []}), 400, "Empty"),
        ("/similarity", json!({"inputs": {"source_sentence": "a", "sentences": []}}), 400, "Empty"),
        ("/tokenize", json!({"inputs": []}), 400, "Empty"),
        ("/decode", json!({"ids": [4_000_000]}), 422, "Tokenizer"),
        ("/predict", json!({"inputs": "alone"}), 424, "Backend"),
    ] {
        let reply = server.post(path, &body).await;
        assert_eq!(reply.status.as_u16(), status, "{path}: {}", reply.body);
        assert_eq!(reply.body["error_type"], kind, "{path}: {}", reply.body);
        assert!(reply.body["error"].is_string(), "{path}: {}", reply.body);
    }
    // Flat for its own clients, and within `error` for those of OpenAI.
    let reply = server.post("/v1/embeddings", &json!({"input": []})).await;
    assert_eq!((&reply.body["type"], &reply.body["code"]), (&json!("Empty"), &json!(400)));
    assert_eq!(reply.body["message"], reply.body["error"]["message"]);
    assert_eq!(reply.body["error"]["type"], "invalid_request_error");
}

#[tokio::test]
async fn facts_of_a_model_have_all_fields() {
    let Some(server) = server() else { return };
    let info = server.get("/info").await.body;
    let (always, nullable) = INFO;
    for name in always {
        assert!(!info[name].is_null(), "{name}: {info}");
    }
    for name in nullable {
        assert!(info.as_object().unwrap().contains_key(name), "{name}: {info}");
    }
    assert_eq!(info["model_type"], json!({"embedding": {"pooling": "mean"}}));
    let info = server.get("/info?model=tiny/reranker").await.body;
    let reranker = &info["model_type"]["reranker"];
    assert_eq!(reranker["id2label"]["0"], "LABEL_0");
    assert_eq!(reranker["label2id"]["LABEL_0"], 0);
    for address in ["/info?model=a&model=b", "/info?model=nothing"] {
        let reply = server.get(address).await;
        assert!(reply.status.is_client_error(), "{address}");
        assert!(reply.body["error_type"].is_string(), "{address}: {}", reply.body);
    }
}
