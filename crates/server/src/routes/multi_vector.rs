//! `/v1/multi-vector`, as Jina has it: a vector for each token.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Answer, Choices, Reply, lease,
    openai::Usage,
    role, run,
    vectors::{Encoded, Encoding, keep_each, multi_vector as vectors_of},
};
use crate::{App, inputs::Inputs, models::Ability, request::Json};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(multi_vector))
}

/// A request for multi-vectors.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct MultiVectorRequest {
    /// Name of a served model; the first of multi-vectors by default.
    #[serde(default)]
    model: Option<String>,
    input: Inputs,
    /// Purpose: `query` or `document`, the default.
    #[serde(default)]
    input_type: Option<String>,
    #[serde(default, alias = "encoding_format")]
    embedding_type: Option<Encoding>,
    /// Number of components of each vector to keep.
    #[serde(default)]
    dimensions: Option<usize>,
}

/// Multi-vectors in the order of the inputs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MultiVectorResponse {
    model: String,
    object: &'static str,
    usage: Usage,
    data: Vec<MultiVectorEntry>,
}

/// The vectors of one input.
#[derive(Debug, Serialize, ToSchema)]
struct MultiVectorEntry {
    object: &'static str,
    index: usize,
    embeddings: Vec<Encoded<Vec<f32>>>,
}

/// A vector for each token of each input
#[utoipa::path(post, path = "/v1/multi-vector", tag = "Cohere, Jina, vLLM",
    request_body = MultiVectorRequest, responses((status = 200, body = MultiVectorResponse)))]
async fn multi_vector(
    State(app): State<App>,
    request: Json<MultiVectorRequest>,
) -> Answer<MultiVectorResponse> {
    let Json { value, terms, room: _room } = request;
    let purpose = value.input_type.as_deref().unwrap_or("document");
    let choices = Choices { role: role(Some(purpose), "input_type")?, ..Choices::default() };
    let lease = lease(&app, value.model.as_deref(), Ability::MultiVector, &terms).await?;
    let done = run(&app, &lease, value.input, choices, &terms).await?;
    let encoding = value.embedding_type.unwrap_or_default();
    let mut data = Vec::with_capacity(done.outputs.len());
    for (index, output) in done.outputs.into_iter().enumerate() {
        let vectors = keep_each(&vectors_of(output)?, value.dimensions)?;
        let embeddings = vectors.into_iter().map(|vector| encoding.vector(vector)).collect();
        data.push(MultiVectorEntry { object: "embeddings", index, embeddings });
    }
    let body = MultiVectorResponse {
        model: lease.slot.name().to_string(),
        object: "list",
        usage: Usage::of(done.account.tokens),
        data,
    };
    Ok(Reply::new(body, done.account))
}
