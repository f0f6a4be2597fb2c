//! `/v1/embeddings` and `/v1/models`, as OpenAI has them.

use axum::extract::{Path, State, rejection::PathRejection};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Answer, Choices, Reply, address, lease, role, run,
    vectors::{Encoded, Encoding, dense, keep},
};
use crate::{
    App,
    failure::Failure,
    inputs::{Inputs, Item},
    models::Ability,
    request::Json,
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(embeddings))
        .routes(routes!(embeddings_of_tei))
        .routes(routes!(models))
        .routes(routes!(model))
}

/// A request for embeddings.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct EmbeddingsRequest {
    input: Inputs,
    /// Name of a served model; the first dense one by default.
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    encoding_format: Option<Encoding>,
    /// Number of components to keep.
    #[serde(default)]
    dimensions: Option<usize>,
    /// Purpose of the inputs: `query` or `document`.
    #[serde(default)]
    input_type: Option<String>,
    /// Kind of the inputs: `text` or `image`, the latter as data URIs.
    #[serde(default)]
    modality: Option<Modality>,
    /// The client's own user, which is ignored.
    #[serde(default, rename = "user")]
    #[schema(value_type = Option<String>)]
    _user: Option<IgnoredAny>,
}

/// Kind of inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Modality {
    Text,
    Image,
}

/// Embeddings in the order of the inputs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EmbeddingsResponse {
    object: &'static str,
    data: Vec<Embedding>,
    model: String,
    usage: Usage,
}

/// One embedding.
#[derive(Debug, Serialize, ToSchema)]
struct Embedding {
    object: &'static str,
    index: usize,
    embedding: Encoded<Vec<f32>>,
}

/// Tokens of a request.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Usage {
    pub(super) prompt_tokens: usize,
    pub(super) total_tokens: usize,
}

impl Usage {
    pub(super) fn of(tokens: usize) -> Self {
        Self { prompt_tokens: tokens, total_tokens: tokens }
    }
}

/// Embeddings of texts or images
#[utoipa::path(post, path = "/v1/embeddings", tag = "OpenAI", request_body = EmbeddingsRequest,
    responses((status = 200, body = EmbeddingsResponse)))]
async fn embeddings(
    State(app): State<App>,
    request: Json<EmbeddingsRequest>,
) -> Answer<EmbeddingsResponse> {
    let Json { value, terms, room: _room } = request;
    let mut inputs = value.input;
    if inputs.has_ids() && !app.config().own_token_ids {
        return Err(foreign_ids());
    }
    if value.modality == Some(Modality::Image) {
        as_images(&mut inputs);
    }
    let choices =
        Choices { role: role(value.input_type.as_deref(), "input_type")?, ..Choices::default() };
    let lease = lease(&app, value.model.as_deref(), Ability::Dense, &terms).await?;
    let done = run(&app, &lease, inputs, choices, &terms).await?;
    let encoding = value.encoding_format.unwrap_or_default();
    let mut data = Vec::with_capacity(done.outputs.len());
    for (index, vector) in dense(done.outputs)?.into_iter().enumerate() {
        let embedding = encoding.vector(keep(vector, value.dimensions)?);
        data.push(Embedding { object: "embedding", index, embedding });
    }
    let body = EmbeddingsResponse {
        object: "list",
        data,
        model: lease.slot.name().to_string(),
        usage: Usage::of(done.account.tokens),
    };
    Ok(Reply::new(body, done.account))
}

/// Embeddings of texts or images, as `/v1/embeddings`
#[utoipa::path(post, path = "/embeddings", tag = "OpenAI", request_body = EmbeddingsRequest,
    responses((status = 200, body = EmbeddingsResponse)))]
async fn embeddings_of_tei(
    app: State<App>,
    request: Json<EmbeddingsRequest>,
) -> Answer<EmbeddingsResponse> {
    embeddings(app, request).await
}

fn as_images(inputs: &mut Inputs) {
    for item in &mut inputs.items {
        if let Item::Text(text) = item {
            *item = Item::Image(text.to_string());
        }
    }
}

/// Ids of another vocabulary would give embeddings of another text.
fn foreign_ids() -> Failure {
    Failure::invalid("input", "token ids are of the client's vocabulary, not of the model's").hint(
        "send texts; OpenAIEmbeddings of LangChain does so with check_embedding_ctx_length=False. \
         For ids of the model's own vocabulary start the server with --token-ids",
    )
}

/// Models that are served.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ModelList {
    object: &'static str,
    data: Vec<ModelEntry>,
}

/// A model that is served.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ModelEntry {
    id: String,
    object: &'static str,
    /// Always 0: the time is not known.
    created: u64,
    owned_by: String,
}

fn entry(name: &str) -> ModelEntry {
    let owner = name.split_once('/').map_or("embedkit", |(owner, _)| owner);
    ModelEntry { id: name.to_owned(), object: "model", created: 0, owned_by: owner.to_owned() }
}

/// Models that are served
#[utoipa::path(get, path = "/v1/models", tag = "OpenAI",
    responses((status = 200, body = ModelList)))]
async fn models(State(app): State<App>) -> axum::Json<ModelList> {
    let slots = app.models().all();
    let data = slots.iter().flat_map(|slot| slot.names().map(entry)).collect();
    axum::Json(ModelList { object: "list", data })
}

/// A model that is served
#[utoipa::path(get, path = "/v1/models/{*model}", tag = "OpenAI",
    params(("model" = String, Path, description = "Name of the model")),
    responses((status = 200, body = ModelEntry)))]
async fn model(
    State(app): State<App>,
    name: Result<Path<String>, PathRejection>,
) -> Result<axum::Json<ModelEntry>, Failure> {
    let Path(name) = name.map_err(|error| address(&error))?;
    app.models().named(&name)?;
    Ok(axum::Json(entry(&name)))
}
