//! The similarity of a sentence with others.

use axum::extract::State;
use embedkit::scoring::cosine;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Direction, choices};
use crate::{
    App,
    failure::{Failure, FailureKind},
    inputs::{Inputs, Item, Text},
    models::Ability,
    request::{Json, Room, Terms},
    routes::{Answer, Reply, lease, run, vectors::dense},
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(similarity))
}

/// A request for similarities.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct SimilarityRequest {
    inputs: Sentences,
    #[serde(default)]
    parameters: Option<Parameters>,
    /// Name of a served model; the first dense one by default.
    #[serde(default)]
    model: Option<String>,
}

/// A sentence and those that it is compared with.
#[derive(Debug, Deserialize, ToSchema)]
struct Sentences {
    source_sentence: Text,
    sentences: Vec<Text>,
}

/// Choices for the texts.
#[derive(Debug, Default, Deserialize, ToSchema)]
struct Parameters {
    #[serde(default)]
    truncate: Option<bool>,
    #[serde(default)]
    truncation_direction: Option<Direction>,
    #[serde(default)]
    prompt_name: Option<String>,
}

/// The cosine of a sentence with each of others
#[utoipa::path(post, path = "/similarity", tag = "Text Embeddings Inference",
    request_body = SimilarityRequest, responses((status = 200, body = Vec<f32>)))]
async fn similarity(State(app): State<App>, request: Json<SimilarityRequest>) -> Answer<Vec<f32>> {
    let Json { value, terms, room } = request;
    similarity_with(&app, value, &terms, room).await
}

/// The work of `/similarity`.
pub(super) async fn similarity_with(
    app: &App,
    request: SimilarityRequest,
    terms: &Terms,
    _room: Room,
) -> Answer<Vec<f32>> {
    let SimilarityRequest { inputs: Sentences { source_sentence, sentences }, parameters, model } =
        request;
    if sentences.is_empty() {
        return Err(Failure::new(FailureKind::Empty, "`inputs.sentences` cannot be empty"));
    }
    let Parameters { truncate, truncation_direction, prompt_name } = parameters.unwrap_or_default();
    let choices = choices(truncate, truncation_direction, prompt_name.as_deref())?;
    let lease = lease(app, model.as_deref(), Ability::Dense, terms).await?;
    let texts = std::iter::once(source_sentence).chain(sentences);
    let inputs = Inputs { items: texts.map(Item::Text).collect(), single: false };
    let done = run(app, &lease, inputs, choices, terms).await?;
    let vectors = dense(done.outputs)?;
    let similarities = vectors[1..].iter().map(|vector| {
        cosine(&vectors[0], vector)
            .map_err(|error| Failure::new(FailureKind::Internal, error.to_string()))
    });
    Ok(Reply::new(similarities.collect::<Result<_, _>>()?, done.account))
}
