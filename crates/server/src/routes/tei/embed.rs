//! Embeddings: one vector, weighted terms, or a vector for each token.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Direction, choices};
use crate::{
    App,
    failure::Failure,
    inputs::Inputs,
    models::Ability,
    request::{Json, Room, Terms},
    routes::{
        Answer, Reply, acquire, run,
        vectors::{dense, keep, keep_each, multi_vector, sparse, unit},
    },
    run::Done,
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(embed))
        .routes(routes!(embed_all))
        .routes(routes!(embed_sparse))
}

/// A request for embeddings.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct EmbedRequest {
    inputs: Inputs,
    /// False: an input that is too long is an error.
    #[serde(default)]
    truncate: Option<bool>,
    #[serde(default)]
    truncation_direction: Option<Direction>,
    /// Purpose of the inputs: `query` or `document`.
    #[serde(default)]
    prompt_name: Option<String>,
    /// Scale vectors to unit length, where the model does not.
    #[serde(default)]
    normalize: Option<bool>,
    /// Number of components to keep.
    #[serde(default)]
    dimensions: Option<usize>,
    /// Name of a served model; the first that fits by default.
    #[serde(default)]
    model: Option<String>,
}

/// Weight of a term.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SparseValue {
    index: u32,
    value: f32,
}

/// A vector for each input
#[utoipa::path(post, path = "/embed", tag = "Text Embeddings Inference",
    request_body = EmbedRequest, responses((status = 200, body = Vec<Vec<f32>>)))]
async fn embed(State(app): State<App>, request: Json<EmbedRequest>) -> Answer<Vec<Vec<f32>>> {
    let Json { value, terms, room } = request;
    embed_with(&app, value, &terms, room).await
}

/// The work of `/embed`.
pub(super) async fn embed_with(
    app: &App,
    request: EmbedRequest,
    terms: &Terms,
    _room: Room,
) -> Answer<Vec<Vec<f32>>> {
    let (normalize, dimensions) = (request.normalize.unwrap_or(true), request.dimensions);
    let done = done(app, request, Ability::Dense, terms).await?;
    let vectors = dense(done.outputs)?.into_iter().map(|vector| {
        let vector = keep(vector, dimensions)?;
        Ok(if normalize { unit(vector) } else { vector })
    });
    Ok(Reply::new(vectors.collect::<Result<_, Failure>>()?, done.account))
}

async fn done(
    app: &App,
    request: EmbedRequest,
    ability: Ability,
    terms: &Terms,
) -> Result<Done, Failure> {
    let EmbedRequest { inputs, truncate, truncation_direction, prompt_name, model, .. } = request;
    let choices = choices(truncate, truncation_direction, prompt_name.as_deref())?;
    let slot = match ability {
        Ability::MultiVector => app.models().choose_tokens(model.as_deref()).await?,
        ability => app.models().choose(model.as_deref(), ability)?,
    };
    let lease = acquire(slot, terms).await?;
    run(app, &lease, inputs, choices, terms).await
}

/// A vector for each token of each input: of a model of multi-vectors, or before the pooling of a dense one
#[utoipa::path(post, path = "/embed_all", tag = "Text Embeddings Inference",
    request_body = EmbedRequest, responses((status = 200, body = Vec<Vec<Vec<f32>>>)))]
async fn embed_all(
    State(app): State<App>,
    request: Json<EmbedRequest>,
) -> Answer<Vec<Vec<Vec<f32>>>> {
    let Json { value, terms, room: _room } = request;
    let dimensions = value.dimensions;
    let done = done(&app, value, Ability::MultiVector, &terms).await?;
    let vectors =
        done.outputs.into_iter().map(|output| keep_each(&multi_vector(output)?, dimensions));
    Ok(Reply::new(vectors.collect::<Result<_, Failure>>()?, done.account))
}

/// Weighted terms of each input
#[utoipa::path(post, path = "/embed_sparse", tag = "Text Embeddings Inference",
    request_body = EmbedRequest, responses((status = 200, body = Vec<Vec<SparseValue>>)))]
async fn embed_sparse(
    State(app): State<App>,
    request: Json<EmbedRequest>,
) -> Answer<Vec<Vec<SparseValue>>> {
    let Json { value, terms, room } = request;
    embed_sparse_with(&app, value, &terms, room).await
}

/// The work of `/embed_sparse`.
pub(super) async fn embed_sparse_with(
    app: &App,
    request: EmbedRequest,
    terms: &Terms,
    _room: Room,
) -> Answer<Vec<Vec<SparseValue>>> {
    let done = done(app, request, Ability::Sparse, terms).await?;
    let lists = done.outputs.into_iter().map(|output| {
        let terms = sparse(output)?;
        Ok(terms.iter().map(|(index, value)| SparseValue { index, value }).collect())
    });
    Ok(Reply::new(lists.collect::<Result<_, Failure>>()?, done.account))
}
