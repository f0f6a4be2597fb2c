//! `/embed_multi`: any embeddings, of one model or of several at once.

use axum::extract::{Query, Request, State, rejection::QueryRejection};
use embedkit::{HybridEmbedding, Input, MultiVector, Output, SparseEmbedding};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Answer, Choices, Reply, acquire, address,
    prepare::into_inputs,
    role,
    vectors::{SparseLists, keep, keep_each},
};
use crate::{
    App,
    account::Account,
    failure::{Failure, FailureKind},
    fetch::fetched,
    inputs::Inputs,
    models::{Ability, Lease},
    request::{Raw, Room, Terms, read_image},
    run::Work,
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(embed_multi))
}

/// Most models of one request.
const MAX_MODELS: usize = 16;

/// Inputs for one model or several.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct EmbedMultiRequest {
    /// Name of a served model; the first of embeddings by default.
    #[serde(default)]
    model: Option<String>,
    /// Names of several, each of which embeds all inputs.
    #[serde(default)]
    models: Vec<String>,
    inputs: Inputs,
    /// Purpose of the inputs: `query` or `document`.
    #[serde(default)]
    input_type: Option<String>,
    /// False: an input that is too long is an error.
    #[serde(default)]
    truncate: Option<bool>,
    /// Number of components of each vector to keep.
    #[serde(default)]
    dimensions: Option<usize>,
}

/// The same in the address, for an image that is the body.
#[derive(Debug, Deserialize, IntoParams)]
pub(super) struct ImageQuery {
    /// Name of a served model, for an image as the body.
    model: Option<String>,
    /// Number of components to keep, for an image as the body.
    dimensions: Option<usize>,
}

/// Embeddings of each model.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EmbedMultiResponse {
    results: Vec<ModelResult>,
}

/// Embeddings of one model, in the order of the inputs.
#[derive(Debug, Serialize, ToSchema)]
struct ModelResult {
    model: String,
    data: Vec<Embedded>,
    tokens: usize,
}

/// The embedding of one input, under the name of its kind.
#[derive(Debug, Serialize, ToSchema)]
struct Embedded {
    index: usize,
    tokens: usize,
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    dense: Option<Vec<f32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sparse: Option<SparseLists>,
    #[serde(skip_serializing_if = "Option::is_none")]
    multi_vector: Option<Vec<Vec<f32>>>,
}

impl Embedded {
    /// Takes the parts that there are.
    fn fill(
        &mut self,
        dense: Option<Vec<f32>>,
        sparse: Option<SparseEmbedding>,
        multi_vector: Option<MultiVector>,
        dimensions: Option<usize>,
    ) -> Result<(), Failure> {
        self.dense = dense.map(|vector| keep(vector, dimensions)).transpose()?;
        self.sparse = sparse.map(Into::into);
        let vectors = multi_vector.map(|vectors| keep_each(&vectors, dimensions));
        self.multi_vector = vectors.transpose()?;
        Ok(())
    }
}

/// Choices for all models.
struct Job {
    names: Vec<Option<String>>,
    inputs: Vec<Input>,
    choices: Choices,
    dimensions: Option<usize>,
    terms: Terms,
    /// Of the body, and of images at an address.
    _rooms: [Room; 2],
}

/// Embeddings of any kind, of one model or several; the body is JSON, or one image
#[utoipa::path(post, path = "/embed_multi", tag = "embedkit", params(ImageQuery),
    request_body = EmbedMultiRequest, responses((status = 200, body = EmbedMultiResponse)))]
async fn embed_multi(
    State(app): State<App>,
    query: Result<Query<ImageQuery>, QueryRejection>,
    request: Request,
) -> Answer<EmbedMultiResponse> {
    let Query(query) = query.map_err(|error| address(&error))?;
    let job = match read_image(request, &app).await? {
        Ok((image, terms, room)) => Job {
            names: vec![query.model],
            inputs: vec![image],
            choices: Choices::default(),
            dimensions: query.dimensions,
            terms,
            _rooms: [room, Room::default()],
        },
        Err(request) => job(&app, Raw::read(request, &app).await?).await?,
    };
    let mut leases = Vec::with_capacity(job.names.len());
    // All names first, so that nothing runs for a request that fails.
    let slots =
        job.names.iter().map(|name| app.models().choose(name.as_deref(), Ability::Embedding));
    for slot in slots.collect::<Result<Vec<_>, _>>()? {
        leases.push(acquire(slot, &job.terms).await?);
    }
    let mut results = Vec::with_capacity(leases.len());
    let mut account = Account::default();
    for lease in &leases {
        let (result, more) = embed(lease, &job).await?;
        results.push(result);
        account.add(more);
    }
    Ok(Reply::new(EmbedMultiResponse { results }, account))
}

async fn job(app: &App, raw: Raw) -> Result<Job, Failure> {
    let request: EmbedMultiRequest = raw.parse()?;
    let names = match (request.model, request.models) {
        (Some(_), models) if !models.is_empty() => {
            return Err(Failure::invalid("models", "expected model or models, not both"));
        }
        (_, models) if models.len() > MAX_MODELS => {
            let message = format!("models: expected at most {MAX_MODELS}");
            return Err(Failure::invalid("models", message));
        }
        (model, models) if models.is_empty() => vec![model],
        (_, models) => models.into_iter().map(Some).collect(),
    };
    let choices = Choices {
        role: role(request.input_type.as_deref(), "input_type")?,
        refuse_truncated: request.truncate == Some(false),
        cut_start: false,
    };
    let (inputs, images) = fetched(app, request.inputs, &raw.terms).await?;
    Ok(Job {
        names,
        inputs: into_inputs(app, inputs)?,
        choices,
        dimensions: request.dimensions,
        terms: raw.terms,
        _rooms: [raw.room, images],
    })
}

async fn embed(lease: &Lease, job: &Job) -> Result<(ModelResult, Account), Failure> {
    let work = Work {
        refuse_truncated: job.choices.refuse_truncated,
        ..Work::new(job.choices.role, job.inputs.clone())
    };
    let done = lease.run(work, &job.terms).await?;
    let account = done.account;
    let mut data = Vec::with_capacity(done.outputs.len());
    let results = done.outputs.into_iter().zip(done.tokens).enumerate();
    for (index, (output, tokens)) in results {
        let truncated = account.truncated.binary_search(&index).is_ok();
        let mut one =
            Embedded { index, tokens, truncated, dense: None, sparse: None, multi_vector: None };
        match output {
            Output::Dense(vector) => one.fill(Some(vector), None, None, job.dimensions)?,
            Output::Sparse(terms) => one.fill(None, Some(terms), None, job.dimensions)?,
            Output::MultiVector(vectors) => one.fill(None, None, Some(vectors), job.dimensions)?,
            Output::Hybrid(HybridEmbedding { dense, sparse, multi_vector }) => {
                one.fill(dense, sparse, multi_vector, job.dimensions)?;
            }
            other => {
                let message = format!("the model gives {}, no embedding", other.kind());
                return Err(Failure::new(FailureKind::WrongModel, message));
            }
        }
        data.push(one);
    }
    let model = lease.slot.name().to_string();
    Ok((ModelResult { model, data, tokens: account.tokens }, account))
}
