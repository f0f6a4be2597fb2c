//! `/info`: facts of the first model, or of one that is named.

use std::collections::BTreeMap;

use axum::extract::{Query, State, rejection::QueryRejection};
use embedkit::{Capabilities, OutputKind, TaskKind};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    failure::{Failure, FailureKind},
    inputs::MAX_INPUTS,
    routes::address,
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(info))
}

/// The model that is asked about.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct InfoQuery {
    /// Name of a served model; the first by default.
    model: Option<String>,
}

/// Facts of a model and of the server.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Info {
    model_id: String,
    model_sha: Option<String>,
    model_dtype: &'static str,
    served_model_name: String,
    model_type: ModelType,
    max_concurrent_requests: usize,
    max_input_length: u32,
    max_batch_tokens: usize,
    max_batch_requests: Option<usize>,
    max_client_batch_size: usize,
    auto_truncate: bool,
    tokenization_workers: usize,
    version: &'static str,
    sha: Option<String>,
    docker_label: Option<String>,
}

/// Kind of a model.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum ModelType {
    Embedding { pooling: String },
    Reranker { id2label: BTreeMap<String, String>, label2id: BTreeMap<String, usize> },
}

/// Facts of a model
#[utoipa::path(get, path = "/info", tag = "Text Embeddings Inference", params(InfoQuery),
    responses((status = 200, body = Info)))]
async fn info(
    State(app): State<App>,
    query: Result<Query<InfoQuery>, QueryRejection>,
) -> Result<axum::Json<Info>, Failure> {
    let Query(query) = query.map_err(|error| address(&error))?;
    let none = || Failure::new(FailureKind::NoModel, "no model is served");
    let slot = match &query.model {
        Some(name) => app.models().named(name)?,
        None => app.models().all().into_iter().next().ok_or_else(none)?,
    };
    let capabilities = slot.capabilities();
    let model_type = if capabilities.tasks.contains(&TaskKind::Rerank) {
        let label = "LABEL_0".to_owned();
        ModelType::Reranker {
            id2label: BTreeMap::from([("0".to_owned(), label.clone())]),
            label2id: BTreeMap::from([(label, 0)]),
        }
    } else {
        ModelType::Embedding { pooling: pooling(capabilities) }
    };
    let limits = app.config().limits;
    Ok(axum::Json(Info {
        model_id: capabilities.id.clone(),
        model_sha: None,
        model_dtype: "float32",
        served_model_name: slot.name().to_string(),
        model_type,
        max_concurrent_requests: limits.connections,
        max_input_length: capabilities.max_tokens.unwrap_or(u32::MAX),
        max_batch_tokens: limits.queue_tokens,
        max_batch_requests: None,
        max_client_batch_size: MAX_INPUTS,
        auto_truncate: true,
        tokenization_workers: 1,
        version: env!("CARGO_PKG_VERSION"),
        sha: None,
        docker_label: None,
    }))
}

/// Pooling of the token vectors, in the words of Text Embeddings Inference where it has one.
fn pooling(model: &Capabilities) -> String {
    let of_outputs = match model.outputs.first() {
        Some(OutputKind::Sparse) => "splade",
        Some(OutputKind::MultiVector) => "none",
        _ => "mean",
    };
    let pooling = model.pooling.as_deref().unwrap_or(of_outputs);
    if pooling == "last-token" { "last_token".to_owned() } else { pooling.to_owned() }
}
