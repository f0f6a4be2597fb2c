//! `/models`: the models with their state; loading and unloading.

use axum::extract::State;
use embedkit::Class;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{acquire, ollama::KeepAlive};
use crate::{
    App,
    failure::{Failure, FailureKind},
    models::{Slot, Status},
    request::Json,
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(load)).routes(routes!(unload))
}

/// A model that is served.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ServedModelState {
    name: String,
    aliases: Vec<String>,
    id: String,
    tasks: Vec<&'static str>,
    inputs: Vec<&'static str>,
    outputs: Vec<&'static str>,
    dim: Option<usize>,
    max_tokens: Option<u32>,
    /// Weights have to be multiplied by the inverse document frequency.
    requires_idf: bool,
    /// `unloaded`, `loading`, `loaded` or `failed`.
    state: &'static str,
    /// Reason of a failure.
    reason: Option<String>,
    device: Option<String>,
    load_seconds: Option<f64>,
    /// Seconds without requests until the model is unloaded; null for never.
    keep_alive_seconds: Option<f64>,
    /// Requests that wait or run.
    requests: usize,
    /// Tokens that wait.
    queued_tokens: QueuedTokens,
}

/// Tokens that wait, by urgency.
#[derive(Debug, Serialize, ToSchema)]
struct QueuedTokens {
    interactive: usize,
    bulk: usize,
}

/// A model by name.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct ModelRequest {
    model: String,
    /// Time without requests after which the model is unloaded.
    #[serde(default)]
    keep_alive: Option<KeepAlive>,
}

fn state(slot: &Slot) -> ServedModelState {
    let capabilities = slot.capabilities();
    let status = slot.status();
    let (mut reason, mut device, mut load_seconds) = (None, None, None);
    match &status {
        Status::Loaded(loaded) => {
            device = Some(loaded.device.clone());
            load_seconds = Some(loaded.took.as_secs_f64());
        }
        Status::Failed(why, _) => reason = Some(why.to_string()),
        Status::Unloaded | Status::Loading => {}
    }
    let queued = status.queued();
    ServedModelState {
        name: slot.name().to_string(),
        aliases: slot.names().skip(1).map(str::to_owned).collect(),
        id: capabilities.id.clone(),
        tasks: capabilities.tasks.iter().map(|task| task.name()).collect(),
        inputs: capabilities.inputs.iter().map(|kind| kind.name()).collect(),
        outputs: capabilities.outputs.iter().map(|kind| kind.name()).collect(),
        dim: capabilities.dim,
        max_tokens: capabilities.max_tokens,
        requires_idf: capabilities.requires_idf,
        state: status.name(),
        reason,
        device,
        load_seconds,
        keep_alive_seconds: slot.keep_alive().map(|time| time.as_secs_f64()),
        requests: slot.leases(),
        queued_tokens: QueuedTokens {
            interactive: queued[Class::Interactive as usize],
            bulk: queued[Class::Bulk as usize],
        },
    }
}

/// Models with their state
#[utoipa::path(get, path = "/models", tag = "embedkit",
    responses((status = 200, body = Vec<ServedModelState>)))]
async fn list(State(app): State<App>) -> axum::Json<Vec<ServedModelState>> {
    axum::Json(app.models().all().iter().map(|slot| state(slot)).collect())
}

/// Load a model, and wait until it is
#[utoipa::path(post, path = "/models/load", tag = "embedkit", request_body = ModelRequest,
    responses((status = 200, body = ServedModelState)))]
async fn load(
    State(app): State<App>,
    request: Json<ModelRequest>,
) -> Result<axum::Json<ServedModelState>, Failure> {
    let Json { value, terms, .. } = request;
    let slot = app.models().add(&value.model).await?;
    if let Some(KeepAlive(time)) = value.keep_alive {
        slot.set_keep_alive(time);
    }
    let lease = acquire(slot, &terms).await?;
    Ok(axum::Json(state(&lease.slot)))
}

/// Unload a model; requests that use it are finished, and the next one loads it again
#[utoipa::path(post, path = "/models/unload", tag = "embedkit", request_body = ModelRequest,
    responses((status = 200, body = ServedModelState)))]
async fn unload(
    State(app): State<App>,
    request: Json<ModelRequest>,
) -> Result<axum::Json<ServedModelState>, Failure> {
    let slot = app.models().named(&request.value.model)?;
    if let Status::Loading = slot.status() {
        let message = format!("{} is being loaded", slot.name());
        return Err(Failure::new(FailureKind::NotReady, message));
    }
    slot.unload();
    Ok(axum::Json(state(&slot)))
}
