//! `POST /` and `/invocations`: whatever the body and the first model are for.

use axum::{
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use embedkit::{OutputKind, TaskKind};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    embed::{EmbedRequest, SparseValue, embed_sparse_with, embed_with},
    scores::{PredictRequest, Predictions, predict_with},
    similarity::{SimilarityRequest, similarity_with},
};
use crate::{
    App,
    account::Account,
    failure::{Failure, FailureKind},
    request::Raw,
    routes::{
        Answer, Reply,
        rerank::{Rank, TeiRerankRequest, tei_rerank_with},
    },
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(root)).routes(routes!(invocations)).routes(routes!(vertex))
}

/// The keys that tell requests apart.
#[derive(Deserialize)]
struct Probe {
    #[serde(default)]
    query: Option<IgnoredAny>,
    #[serde(default)]
    inputs: Option<ProbedInputs>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ProbedInputs {
    Sentences {
        #[serde(rename = "source_sentence")]
        _source: IgnoredAny,
    },
    Other(IgnoredAny),
}

/// One of the answers of Text Embeddings Inference.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum RootResponse {
    Dense(Vec<Vec<f32>>),
    Sparse(Vec<Vec<SparseValue>>),
    Similarities(Vec<f32>),
    Ranks(Vec<Rank>),
    Predictions(Predictions),
}

/// Embeddings, similarities, scores or ranks, by the body and the first model
#[utoipa::path(post, path = "/", tag = "Text Embeddings Inference",
    request_body = Object, responses((status = 200, body = RootResponse)))]
async fn root(State(app): State<App>, request: Request) -> Result<Response, Failure> {
    let raw = Raw::read(request, &app).await?;
    Ok(answer(&app, raw).await?.into_response())
}

/// As `POST /`
#[utoipa::path(post, path = "/invocations", tag = "Text Embeddings Inference",
    request_body = Object, responses((status = 200, body = RootResponse)))]
async fn invocations(app: State<App>, request: Request) -> Result<Response, Failure> {
    root(app, request).await
}

async fn answer(app: &App, raw: Raw) -> Answer<RootResponse> {
    let Probe { query, inputs } = raw.parse()?;
    let terms = raw.terms;
    if query.is_some() {
        let request: TeiRerankRequest = raw.parse()?;
        let reply = tei_rerank_with(app, request, &terms, raw.room).await?;
        return Ok(reply.map(RootResponse::Ranks));
    }
    let Some(inputs) = inputs else {
        let message = "expected `inputs`, or `query` and `texts`";
        return Err(Failure::new(FailureKind::Malformed, message));
    };
    if let ProbedInputs::Sentences { .. } = inputs {
        let request: SimilarityRequest = raw.parse()?;
        let reply = similarity_with(app, request, &terms, raw.room).await?;
        return Ok(reply.map(RootResponse::Similarities));
    }
    let Some(first) = app.models().all().into_iter().next() else {
        return Err(Failure::new(FailureKind::NoModel, "no model is served"));
    };
    let capabilities = first.capabilities();
    if capabilities.tasks.contains(&TaskKind::Rerank) {
        let request: PredictRequest = raw.parse()?;
        let reply = predict_with(app, request, &terms, raw.room).await?;
        return Ok(reply.map(RootResponse::Predictions));
    }
    let request: EmbedRequest = raw.parse()?;
    if capabilities.gives(OutputKind::Sparse) {
        let reply = embed_sparse_with(app, request, &terms, raw.room).await?;
        return Ok(reply.map(RootResponse::Sparse));
    }
    Ok(embed_with(app, request, &terms, raw.room).await?.map(RootResponse::Dense))
}

/// A request of Vertex AI: bodies of `POST /`.
#[derive(Debug, Deserialize, ToSchema)]
struct Instances {
    #[schema(value_type = Vec<Object>)]
    instances: Vec<Value>,
}

/// The answers to the instances.
#[derive(Debug, Serialize, ToSchema)]
struct PredictionList {
    predictions: Vec<RootResponse>,
}

/// As `POST /` for each instance, one after another
#[utoipa::path(post, path = "/vertex", tag = "Text Embeddings Inference",
    request_body = Instances, responses((status = 200, body = PredictionList)))]
async fn vertex(State(app): State<App>, request: Request) -> Answer<PredictionList> {
    let raw = Raw::read(request, &app).await?;
    let Instances { instances } = raw.parse()?;
    if instances.is_empty() {
        return Err(Failure::new(FailureKind::Empty, "`instances` cannot be empty"));
    }
    let mut predictions = Vec::with_capacity(instances.len());
    let mut account = Account::default();
    for instance in instances {
        let body = raw.part(instance.to_string().into_bytes());
        let reply = answer(&app, body).await?;
        predictions.push(reply.body);
        account.add(reply.account);
    }
    Ok(Reply::new(PredictionList { predictions }, account))
}
