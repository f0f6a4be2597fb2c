//! The routes: one module for each API, which turns its requests into [`Work`] and results into its own
//! form.

mod cohere;
mod models;
mod multi_vector;
mod ollama;
mod openai;
mod own;
mod prepare;
mod probes;
mod qdrant;
mod rerank;
mod score;
mod tei;
mod vectors;

use std::{fmt, future::Future, sync::Arc};

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use embedkit::Role;
use serde::Serialize;
use tokio::time::timeout_at;
use utoipa_axum::router::OpenApiRouter;

use self::prepare::{Choices, Prepared, prepare};
use crate::{
    App,
    account::Account,
    failure::{Failure, FailureKind},
    fetch::fetched,
    inputs::Inputs,
    models::{Ability, Lease, Slot},
    observe::Scores,
    request::Terms,
    run::{Done, Work},
};

/// All routes with their description.
pub(crate) fn all() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(probes::routes())
        .merge(tei::routes())
        .merge(openai::routes())
        .merge(rerank::routes())
        .merge(score::routes())
        .merge(cohere::routes())
        .merge(multi_vector::routes())
        .merge(ollama::routes())
        .merge(qdrant::routes())
        .merge(own::routes())
        .merge(models::routes())
}

/// The answer of a path that is none.
pub(crate) async fn no_route(request: Request) -> Failure {
    let path: String = request.uri().path().chars().take(100).collect();
    Failure::new(FailureKind::NoRoute, format!("there is no route {path}"))
        .hint("GET /openapi.json lists the routes")
}

/// The answer of a route to another method.
pub(crate) async fn no_method(request: Request) -> Failure {
    let message = format!("the route does not take {}", request.method());
    Failure::new(FailureKind::Method, message)
}

/// A result with its account.
pub(crate) struct Reply<T> {
    body: T,
    account: Account,
    scores: bool,
}

impl<T> Reply<T> {
    /// Embeddings, or what is made of them.
    fn new(body: T, account: Account) -> Self {
        Self { body, account, scores: false }
    }

    /// Scores of a reranker.
    fn scores(body: T, account: Account) -> Self {
        Self { body, account, scores: true }
    }

    /// The same with another body.
    fn map<U>(self, body: impl FnOnce(T) -> U) -> Reply<U> {
        Reply { body: body(self.body), account: self.account, scores: self.scores }
    }
}

impl<T: Serialize> IntoResponse for Reply<T> {
    fn into_response(self) -> Response {
        let mut response = axum::Json(self.body).into_response();
        response.extensions_mut().insert(self.account);
        if self.scores {
            response.extensions_mut().insert(Scores);
        }
        response
    }
}

/// A result, or a failure that the outermost layer renders.
type Answer<T> = Result<Reply<T>, Failure>;

/// The model for a request, loaded.
async fn lease(
    app: &App,
    name: Option<&str>,
    ability: Ability,
    terms: &Terms,
) -> Result<Lease, Failure> {
    acquire(app.models().choose(name, ability)?, terms).await
}

async fn acquire(slot: Arc<Slot>, terms: &Terms) -> Result<Lease, Failure> {
    within(terms, async { slot.acquire().await }).await
}

/// Waits until the deadline at most.
async fn within<T>(
    terms: &Terms,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    match terms.deadline {
        None => work.await,
        Some(deadline) => {
            timeout_at(deadline.into(), work).await.map_err(|_| Failure::deadline())?
        }
    }
}

/// Runs inputs of a request through a model.
async fn run(
    app: &App,
    lease: &Lease,
    inputs: Inputs,
    choices: Choices,
    terms: &Terms,
) -> Result<Done, Failure> {
    let (inputs, _room) = fetched(app, inputs, terms).await?;
    let Prepared { inputs, cut } = prepare(app, lease, inputs, choices).await?;
    let work =
        Work { cut, refuse_truncated: choices.refuse_truncated, ..Work::new(choices.role, inputs) };
    lease.run(work, terms).await
}

/// The failure of an address whose parameters cannot be read.
fn address(error: &impl fmt::Display) -> Failure {
    Failure::new(FailureKind::Malformed, format!("the address cannot be used: {error}"))
}

/// The role of a purpose in the words of the APIs.
fn role(purpose: Option<&str>, param: &'static str) -> Result<Role, Failure> {
    let Some(purpose) = purpose.filter(|purpose| !purpose.is_empty()) else {
        return Ok(Role::Raw);
    };
    match purpose.to_ascii_lowercase().as_str() {
        "query" | "search" | "search_query" | "s2p_query" | "web_search_query"
        | "retrieval.query" => Ok(Role::Query),
        "document" | "passage" | "update" | "corpus" | "search_document" | "retrieval.passage" => {
            Ok(Role::Document)
        }
        "raw" | "none" | "text" | "image" | "classification" | "clustering" => Ok(Role::Raw),
        _ => Err(Failure::invalid(param, format!("{param}: expected query or document"))),
    }
}
