//! `/v2/embed` and `/v1/embed`, as Cohere has them.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Answer, Choices, Reply, lease, role, run,
    vectors::{base64, dense, keep},
};
use crate::{
    App,
    failure::Failure,
    inputs::{Inputs, Item, Text},
    models::Ability,
    request::Json,
    trace::fresh_id,
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(embed_v2)).routes(routes!(embed_v1))
}

/// A request for embeddings of one of `texts`, `images` and `inputs`.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct CohereEmbedRequest {
    /// Name of a served model; the first dense one by default.
    #[serde(default)]
    model: Option<String>,
    /// Purpose: `search_query`, `search_document`, `classification`, `clustering` or `image`.
    #[serde(default)]
    input_type: Option<String>,
    #[serde(default)]
    texts: Option<Vec<Text>>,
    /// Data URIs.
    #[serde(default)]
    images: Option<Vec<String>>,
    #[serde(default)]
    inputs: Option<Vec<Content>>,
    /// Forms of the vectors: `float` and `base64`.
    #[serde(default)]
    embedding_types: Option<Vec<EmbeddingType>>,
    /// Number of components to keep.
    #[serde(default)]
    output_dimension: Option<usize>,
    /// An input that is too long: `NONE` is an error, `START` and `END` are cut.
    #[serde(default)]
    truncate: Option<Truncate>,
}

/// An input of parts, of which there is one.
#[derive(Debug, Deserialize, ToSchema)]
struct Content {
    content: Vec<Part>,
}

/// A text or an image.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part {
    Text { text: Text },
    ImageUrl { image_url: ImageUrl },
}

/// The data URI of an image.
#[derive(Debug, Deserialize, ToSchema)]
struct ImageUrl {
    url: String,
}

/// Form of vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum EmbeddingType {
    Float,
    Base64,
}

/// Treatment of inputs that are too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
enum Truncate {
    None,
    Start,
    End,
}

/// Embeddings in the order of the inputs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CohereEmbedResponse {
    id: String,
    response_type: &'static str,
    embeddings: Embeddings,
    /// The texts of the request.
    texts: Vec<Text>,
    meta: Meta,
}

/// Vectors by type, or as numbers alone.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum Embeddings {
    Floats(Vec<Vec<f32>>),
    ByType(ByType),
}

/// Vectors in each form that was asked for.
#[derive(Debug, Default, Serialize, ToSchema)]
struct ByType {
    #[serde(skip_serializing_if = "Option::is_none")]
    float: Option<Vec<Vec<f32>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<Vec<String>>,
}

/// Facts that clients read.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EmbedMeta)]
struct Meta {
    api_version: ApiVersion,
    billed_units: BilledUnits,
}

#[derive(Debug, Serialize, ToSchema)]
struct ApiVersion {
    version: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EmbedUnits)]
struct BilledUnits {
    input_tokens: usize,
    images: usize,
}

/// Embeddings of texts or images
#[utoipa::path(post, path = "/v2/embed", tag = "Cohere, Jina, vLLM",
    request_body = CohereEmbedRequest, responses((status = 200, body = CohereEmbedResponse)))]
async fn embed_v2(
    State(app): State<App>,
    request: Json<CohereEmbedRequest>,
) -> Answer<CohereEmbedResponse> {
    embed(&app, request, "2").await
}

/// Embeddings of texts or images; a list of vectors where no type is asked for
#[utoipa::path(post, path = "/v1/embed", tag = "Cohere, Jina, vLLM",
    request_body = CohereEmbedRequest, responses((status = 200, body = CohereEmbedResponse)))]
async fn embed_v1(
    State(app): State<App>,
    request: Json<CohereEmbedRequest>,
) -> Answer<CohereEmbedResponse> {
    embed(&app, request, "1").await
}

async fn embed(
    app: &App,
    request: Json<CohereEmbedRequest>,
    version: &'static str,
) -> Answer<CohereEmbedResponse> {
    let Json { value, terms, room: _room } = request;
    let CohereEmbedRequest { model, input_type, texts, images, inputs, .. } = value;
    let items = items(texts, images, inputs)?;
    let is_text = |item: &Item| if let Item::Text(text) = item { Some(text.clone()) } else { None };
    let texts: Vec<_> = items.iter().filter_map(is_text).collect();
    let images = items.len() - texts.len();
    let choices = Choices {
        role: role(input_type.as_deref(), "input_type")?,
        refuse_truncated: value.truncate == Some(Truncate::None),
        cut_start: value.truncate == Some(Truncate::Start),
    };
    let lease = lease(app, model.as_deref(), Ability::Dense, &terms).await?;
    let done = run(app, &lease, Inputs { items, single: false }, choices, &terms).await?;
    let vectors = dense(done.outputs)?.into_iter();
    let vectors = vectors.map(|vector| keep(vector, value.output_dimension));
    let vectors = vectors.collect::<Result<Vec<_>, _>>()?;
    let (response_type, embeddings) = match value.embedding_types {
        None if version == "1" => ("embeddings_floats", Embeddings::Floats(vectors)),
        types => ("embeddings_by_type", Embeddings::ByType(by_type(vectors, types))),
    };
    let body = CohereEmbedResponse {
        id: fresh_id(),
        response_type,
        embeddings,
        texts,
        meta: Meta {
            api_version: ApiVersion { version },
            billed_units: BilledUnits { input_tokens: done.account.tokens, images },
        },
    };
    Ok(Reply::new(body, done.account))
}

fn by_type(vectors: Vec<Vec<f32>>, types: Option<Vec<EmbeddingType>>) -> ByType {
    let types = types.filter(|types| !types.is_empty());
    let types = types.unwrap_or_else(|| vec![EmbeddingType::Float]);
    let has = |form| types.contains(&form);
    let base64 =
        has(EmbeddingType::Base64).then(|| vectors.iter().map(|vector| base64(vector)).collect());
    ByType { base64, float: has(EmbeddingType::Float).then_some(vectors) }
}

/// The inputs, which stand in one of three places.
fn items(
    texts: Option<Vec<Text>>,
    images: Option<Vec<String>>,
    inputs: Option<Vec<Content>>,
) -> Result<Vec<Item>, Failure> {
    match (texts, images, inputs) {
        (Some(texts), None, None) => Ok(texts.into_iter().map(Item::Text).collect()),
        (None, Some(images), None) => Ok(images.into_iter().map(Item::Image).collect()),
        (None, None, Some(inputs)) => inputs.into_iter().enumerate().map(item).collect(),
        _ => Err(Failure::invalid("texts", "expected one of texts, images and inputs")),
    }
}

fn item((index, input): (usize, Content)) -> Result<Item, Failure> {
    let mut parts = input.content.into_iter();
    match (parts.next(), parts.next()) {
        (Some(Part::Text { text }), None) => Ok(Item::Text(text)),
        (Some(Part::ImageUrl { image_url }), None) => Ok(Item::Image(image_url.url)),
        _ => {
            let message = format!("inputs: input {index}: expected one part, a text or an image");
            Err(Failure::invalid("inputs", message))
        }
    }
}
