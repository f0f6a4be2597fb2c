//! Errors in the words of the API that a route belongs to.

use std::time::Duration;

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use utoipa::openapi::{ObjectBuilder, Type, schema::SchemaType};

use crate::failure::{Failure, FailureKind};

/// An API whose clients are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Text Embeddings Inference.
    Tei,
    /// OpenAI, and those who follow it: vLLM, infinity, Jina.
    OpenAi,
    Cohere,
    Ollama,
    /// Inference of a Qdrant server.
    Qdrant,
    /// Routes of our own.
    Own,
}

impl Dialect {
    /// The dialect of a path, known or not.
    pub(crate) fn of_path(path: &str) -> Self {
        match path {
            "/embeddings" | "/score" => Self::OpenAi,
            "/v1/rerank" | "/v2/rerank" | "/v1/embed" | "/v2/embed" => Self::Cohere,
            "/infer" => Self::Qdrant,
            "/embed_multi" | "/models" | "/ready" | "/openapi.json" => Self::Own,
            _ if path.starts_with("/v1/") || path.starts_with("/v2/") => Self::OpenAi,
            _ if path.starts_with("/api/") => Self::Ollama,
            _ if path.starts_with("/models/") => Self::Own,
            _ => Self::Tei,
        }
    }

    /// The response of a failure.
    pub(crate) fn render(self, failure: &Failure) -> Response {
        let status = self.status(failure.kind);
        let mut response = match self {
            Self::Tei if failure.kind == FailureKind::Unauthorized => status.into_response(),
            _ => (status, Json(self.body(failure, status))).into_response(),
        };
        let headers = response.headers_mut();
        if let Some(seconds) = retry_after(failure) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if failure.kind == FailureKind::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }

    fn status(self, kind: FailureKind) -> StatusCode {
        if self != Self::Tei {
            return kind.status();
        }
        match kind {
            FailureKind::Malformed | FailureKind::Invalid | FailureKind::Tokenizer => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            FailureKind::WrongModel | FailureKind::Backend => StatusCode::FAILED_DEPENDENCY,
            other => other.status(),
        }
    }

    fn body(self, failure: &Failure, status: StatusCode) -> Value {
        let text = failure.text();
        match self {
            Self::Tei => json!({"error": text, "error_type": tei_type(failure.kind)}),
            // Clients of OpenAI read `error`, and callers of Text Embeddings Inference the fields beside it:
            // its errors of these routes are flat.
            Self::OpenAi => json!({
                "error": {
                    "message": text,
                    "type": openai_type(status),
                    "param": failure.param,
                    "code": openai_code(failure.kind),
                },
                "message": text,
                "type": tei_type(failure.kind),
                "code": status.as_u16(),
            }),
            Self::Cohere => json!({"message": text}),
            Self::Ollama | Self::Qdrant => json!({"error": text}),
            Self::Own => json!({"error": {
                "kind": failure.kind.name(),
                "message": failure.message,
                "hint": failure.hint,
            }}),
        }
    }
}

impl Dialect {
    /// All that have errors of their own form.
    pub(crate) const ALL: [Self; 6] =
        [Self::Tei, Self::OpenAi, Self::Cohere, Self::Ollama, Self::Qdrant, Self::Own];

    /// Name of the schema of an error.
    pub(crate) fn schema_name(self) -> &'static str {
        match self {
            Self::Tei => "TeiError",
            Self::OpenAi => "OpenAiError",
            Self::Cohere => "CohereError",
            Self::Ollama => "OllamaError",
            Self::Qdrant => "QdrantError",
            Self::Own => "EmbedkitError",
        }
    }

    /// The schema of an error.
    pub(crate) fn schema(self) -> ObjectBuilder {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let number = || ObjectBuilder::new().schema_type(Type::Integer);
        let or_null = || SchemaType::from_iter([Type::String, Type::Null]);
        let maybe = || ObjectBuilder::new().schema_type(or_null());
        let object = |fields: Vec<(&'static str, ObjectBuilder)>| {
            fields.into_iter().fold(ObjectBuilder::new(), |object, (name, field)| {
                object.property(name, field).required(name)
            })
        };
        match self {
            Self::Tei => {
                object(vec![("error", text()), ("error_type", text().enum_values(Some(TEI_TYPES)))])
            }
            Self::OpenAi => {
                let error = object(vec![
                    ("message", text()),
                    ("type", text()),
                    ("param", maybe()),
                    ("code", text()),
                ]);
                let kind = text().enum_values(Some(TEI_TYPES));
                object(vec![
                    ("error", error),
                    ("message", text()),
                    ("type", kind),
                    ("code", number()),
                ])
            }
            Self::Cohere => object(vec![("message", text())]),
            Self::Ollama | Self::Qdrant => object(vec![("error", text())]),
            Self::Own => object(vec![(
                "error",
                object(vec![("kind", text()), ("message", text()), ("hint", maybe())]),
            )]),
        }
    }
}

/// Whole seconds until a client may try again, at least one.
fn retry_after(failure: &Failure) -> Option<u64> {
    let waits = matches!(failure.kind, FailureKind::Overloaded | FailureKind::NotReady);
    let time = failure.retry_after.or(waits.then_some(Duration::from_secs(1)))?;
    Some(time.as_secs() + u64::from(time.subsec_nanos() > 0)).map(|seconds| seconds.max(1))
}

/// Types of errors of Text Embeddings Inference.
const TEI_TYPES: [&str; 6] =
    ["Unhealthy", "Backend", "Overloaded", "Validation", "Tokenizer", "Empty"];

fn tei_type(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::NotReady => "Unhealthy",
        FailureKind::Overloaded => "Overloaded",
        FailureKind::Tokenizer => "Tokenizer",
        FailureKind::Empty => "Empty",
        FailureKind::Backend
        | FailureKind::WrongModel
        | FailureKind::Internal
        | FailureKind::Deadline => "Backend",
        _ => "Validation",
    }
}

fn openai_type(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        _ if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    }
}

fn openai_code(kind: FailureKind) -> &'static str {
    match kind {
        FailureKind::NoModel => "model_not_found",
        FailureKind::Unauthorized => "invalid_api_key",
        FailureKind::Overloaded => "rate_limit_exceeded",
        other => other.name(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_the_dialect_of_its_clients() {
        for (path, dialect) in [
            ("/embed", Dialect::Tei),
            ("/", Dialect::Tei),
            ("/nothing", Dialect::Tei),
            ("/v1/embeddings", Dialect::OpenAi),
            ("/v1/nothing", Dialect::OpenAi),
            ("/embeddings", Dialect::OpenAi),
            ("/v2/rerank", Dialect::Cohere),
            ("/api/embed", Dialect::Ollama),
            ("/infer", Dialect::Qdrant),
            ("/models/load", Dialect::Own),
        ] {
            assert_eq!(Dialect::of_path(path), dialect, "{path}");
        }
    }

    #[test]
    fn a_client_waits_whole_seconds() {
        let busy = |time| Failure::new(FailureKind::Overloaded, "busy").retry_after(time);
        let millis = |millis| Some(Duration::from_millis(millis));
        for (time, expected) in
            [(None, 1), (millis(0), 1), (millis(300), 1), (millis(1001), 2), (millis(4000), 4)]
        {
            assert_eq!(retry_after(&busy(time)), Some(expected), "{time:?}");
        }
        assert_eq!(retry_after(&Failure::new(FailureKind::Invalid, "no")), None);
    }

    #[test]
    fn a_failure_has_the_form_of_each_dialect() {
        let failure = Failure::invalid("input", "too long").hint("cut it");
        let body = |dialect: Dialect| dialect.body(&failure, StatusCode::BAD_REQUEST);
        assert_eq!(
            body(Dialect::Tei),
            json!({"error": "too long: cut it", "error_type": "Validation"})
        );
        assert_eq!(
            body(Dialect::OpenAi),
            json!({
                "error": {
                    "message": "too long: cut it", "type": "invalid_request_error",
                    "param": "input", "code": "invalid",
                },
                "message": "too long: cut it", "type": "Validation", "code": 400,
            })
        );
        assert_eq!(body(Dialect::Cohere), json!({"message": "too long: cut it"}));
        assert_eq!(body(Dialect::Ollama), json!({"error": "too long: cut it"}));
        assert_eq!(
            body(Dialect::Own),
            json!({"error": {"kind": "invalid", "message": "too long", "hint": "cut it"}})
        );
        assert_eq!(Dialect::Tei.status(FailureKind::WrongModel), StatusCode::FAILED_DEPENDENCY);
        assert_eq!(Dialect::OpenAi.status(FailureKind::WrongModel), StatusCode::BAD_REQUEST);
    }
}
