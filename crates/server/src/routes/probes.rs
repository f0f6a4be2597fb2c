//! Probes, metrics, the page, and the description of the routes.

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{App, app::BODY_PERMIT, models::Status};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(health))
        .routes(routes!(ping))
        .routes(routes!(ready))
        .routes(routes!(metrics))
        .routes(routes!(page))
        .routes(routes!(docs))
}

/// The server answers; no model is asked
#[utoipa::path(get, path = "/health", tag = "Text Embeddings Inference",
    responses((status = 200, description = "The server answers")))]
async fn health() -> StatusCode {
    StatusCode::OK
}

/// As `/health`
#[utoipa::path(get, path = "/ping", tag = "Text Embeddings Inference",
    responses((status = 200, description = "The server answers")))]
async fn ping() -> StatusCode {
    StatusCode::OK
}

/// Readiness of the server.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Readiness {
    ready: bool,
    /// True if the server is about to end.
    draining: bool,
    /// Names of the models that should be loaded and are not.
    missing: Vec<String>,
}

/// All models that are loaded at the start are loaded
#[utoipa::path(get, path = "/ready", tag = "embedkit",
    responses((status = 200, body = Readiness), (status = 503, body = Readiness)))]
async fn ready(State(app): State<App>) -> Response {
    let slots = app.models().all();
    let missing = slots.iter().filter(|slot| slot.is_eager());
    // A model that was unloaded is loaded by the next request.
    let missing = missing.filter(|slot| {
        matches!(slot.status(), Status::Loading | Status::Failed(..)) || slot.is_new()
    });
    let missing: Vec<_> = missing.map(|slot| slot.name().to_string()).collect();
    let draining = app.is_draining();
    let ready = missing.is_empty() && !draining;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(Readiness { ready, draining, missing })).into_response()
}

/// Measurements for Prometheus
#[utoipa::path(get, path = "/metrics", tag = "Text Embeddings Inference",
    responses((status = 200, body = String, content_type = "text/plain")))]
async fn metrics(State(app): State<App>) -> Response {
    let metrics = app.metrics();
    for slot in app.models().all() {
        let status = slot.status();
        metrics.model(slot.name(), &status, slot.leases(), status.queued());
    }
    let permits = app.config().limits.bodies_bytes.div_ceil(BODY_PERMIT);
    let taken = permits.saturating_sub(app.bodies().available_permits());
    metrics.bodies(taken * BODY_PERMIT);
    metrics.uptime(app.started().elapsed());
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], metrics.render()).into_response()
}

/// A page that tries the models
#[utoipa::path(get, path = "/", tag = "embedkit",
    responses((status = 200, body = String, content_type = "text/html")))]
async fn page() -> Response {
    let mut response = Html(include_str!("../page.html")).into_response();
    // All of it is in the page itself; it talks to this server only.
    response.headers_mut().insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
             connect-src 'self'; img-src data: blob:; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'",
        ),
    );
    response
}

/// As `/`, whose page leads to the description of the routes
#[utoipa::path(get, path = "/docs", tag = "Text Embeddings Inference",
    responses((status = 200, body = String, content_type = "text/html")))]
async fn docs() -> Response {
    page().await
}
