//! `/api/embed` and its like, as Ollama has them.

use std::time::{Duration, Instant};

use axum::extract::State;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, OneOfBuilder, RefOr, Schema, Type},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Answer, Choices, Reply, acquire, run,
    vectors::{dense, keep},
};
use crate::{
    App,
    account::Account,
    inputs::{Inputs, Item, Text},
    models::{Ability, Status, parse_keep_alive},
    request::Json,
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(embed))
        .routes(routes!(embeddings))
        .routes(routes!(tags))
        .routes(routes!(loaded))
        .routes(routes!(version))
}

/// Time for which a model stays loaded: seconds, or a text such as `5m`; less than zero for ever.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeepAlive(pub(super) Option<Duration>);

impl PartialSchema for KeepAlive {
    fn schema() -> RefOr<Schema> {
        let of = |kind| ObjectBuilder::new().schema_type(kind);
        OneOfBuilder::new().item(of(Type::Number)).item(of(Type::String)).into()
    }
}

impl ToSchema for KeepAlive {}

impl<'de> Deserialize<'de> for KeepAlive {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected seconds, or a text such as 5m")]
        enum Text {
            Number(f64),
            Text(String),
        }

        let text = match Text::deserialize(deserializer)? {
            Text::Number(seconds) => seconds.to_string(),
            Text::Text(text) => text,
        };
        let time = parse_keep_alive(&text);
        time.map(Self).ok_or_else(|| D::Error::custom("expected seconds, or a text such as 5m"))
    }
}

/// A request for embeddings.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct OllamaEmbedRequest {
    /// Name of a served model.
    model: String,
    #[serde(default)]
    input: Inputs,
    /// False: an input that is too long is an error.
    #[serde(default)]
    truncate: Option<bool>,
    /// Number of components to keep.
    #[serde(default)]
    dimensions: Option<usize>,
    #[serde(default)]
    keep_alive: Option<KeepAlive>,
}

/// Embeddings in the order of the inputs; durations are nanoseconds.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OllamaEmbedResponse {
    model: String,
    embeddings: Vec<Vec<f32>>,
    total_duration: u64,
    load_duration: u64,
    prompt_eval_count: usize,
}

/// A request for one embedding.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct OllamaEmbeddingsRequest {
    /// Name of a served model.
    model: String,
    #[serde(default = "empty")]
    prompt: Text,
    #[serde(default)]
    keep_alive: Option<KeepAlive>,
}

fn empty() -> Text {
    "".into()
}

/// One embedding.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OllamaEmbeddingsResponse {
    embedding: Vec<f32>,
}

/// Embeddings of texts
#[utoipa::path(post, path = "/api/embed", tag = "Ollama", request_body = OllamaEmbedRequest,
    responses((status = 200, body = OllamaEmbedResponse)))]
async fn embed(
    State(app): State<App>,
    request: Json<OllamaEmbedRequest>,
) -> Answer<OllamaEmbedResponse> {
    let start = Instant::now();
    let Json { value, terms, room: _room } = request;
    let slot = app.models().choose(Some(untagged(&value.model)), Ability::Dense)?;
    if let Some(KeepAlive(time)) = value.keep_alive {
        slot.set_keep_alive(time);
    }
    let lease = acquire(slot, &terms).await?;
    let load_duration = nanoseconds(start.elapsed());
    // Ollama loads a model by a request without inputs.
    let (embeddings, account) = if value.input.items.is_empty() {
        let model = Some(lease.slot.name().clone());
        (Vec::new(), Account { model, ..Account::default() })
    } else {
        let choices =
            Choices { refuse_truncated: value.truncate == Some(false), ..Choices::default() };
        let done = run(&app, &lease, value.input, choices, &terms).await?;
        let vectors = dense(done.outputs)?.into_iter();
        let vectors = vectors.map(|vector| keep(vector, value.dimensions));
        (vectors.collect::<Result<_, _>>()?, done.account)
    };
    let body = OllamaEmbedResponse {
        model: value.model,
        embeddings,
        total_duration: nanoseconds(start.elapsed()),
        load_duration,
        prompt_eval_count: account.tokens,
    };
    Ok(Reply::new(body, account))
}

/// A name without the tag that Ollama gives to all models.
fn untagged(name: &str) -> &str {
    name.strip_suffix(":latest").unwrap_or(name)
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The embedding of one text
#[utoipa::path(post, path = "/api/embeddings", tag = "Ollama",
    request_body = OllamaEmbeddingsRequest,
    responses((status = 200, body = OllamaEmbeddingsResponse)))]
async fn embeddings(
    State(app): State<App>,
    request: Json<OllamaEmbeddingsRequest>,
) -> Answer<OllamaEmbeddingsResponse> {
    let Json { value, terms, room: _room } = request;
    let slot = app.models().choose(Some(untagged(&value.model)), Ability::Dense)?;
    if let Some(KeepAlive(time)) = value.keep_alive {
        slot.set_keep_alive(time);
    }
    let lease = acquire(slot, &terms).await?;
    if value.prompt.is_empty() {
        let body = OllamaEmbeddingsResponse { embedding: Vec::new() };
        return Ok(Reply::new(body, Account::default()));
    }
    let inputs = Inputs { items: vec![Item::Text(value.prompt)], single: true };
    let done = run(&app, &lease, inputs, Choices::default(), &terms).await?;
    let embedding = dense(done.outputs)?.pop().unwrap_or_default();
    Ok(Reply::new(OllamaEmbeddingsResponse { embedding }, done.account))
}

/// Models by name.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OllamaModels {
    models: Vec<OllamaModel>,
}

/// A model by name.
#[derive(Debug, Serialize, ToSchema)]
struct OllamaModel {
    name: String,
    model: String,
}

/// Models that are served
#[utoipa::path(get, path = "/api/tags", tag = "Ollama",
    responses((status = 200, body = OllamaModels)))]
async fn tags(State(app): State<App>) -> axum::Json<OllamaModels> {
    axum::Json(models(&app, |_| true))
}

/// Models that are loaded
#[utoipa::path(get, path = "/api/ps", tag = "Ollama",
    responses((status = 200, body = OllamaModels)))]
async fn loaded(State(app): State<App>) -> axum::Json<OllamaModels> {
    axum::Json(models(&app, |status| matches!(status, Status::Loaded(_))))
}

fn models(app: &App, keep: impl Fn(Status) -> bool) -> OllamaModels {
    let slots = app.models().all();
    let slots = slots.iter().filter(|slot| keep(slot.status()));
    let entry = |name: &str| OllamaModel { name: name.to_owned(), model: name.to_owned() };
    OllamaModels { models: slots.map(|slot| entry(slot.name())).collect() }
}

/// The version of the server.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OllamaVersion {
    version: &'static str,
}

/// The version of the server
#[utoipa::path(get, path = "/api/version", tag = "Ollama",
    responses((status = 200, body = OllamaVersion)))]
async fn version() -> axum::Json<OllamaVersion> {
    axum::Json(OllamaVersion { version: env!("CARGO_PKG_VERSION") })
}
