//! `/infer`: the inference of a Qdrant server, which names its address in its settings.

use std::collections::BTreeMap;

use axum::{
    extract::{Request, State},
    http::HeaderMap,
};
use embedkit::{HybridEmbedding, Output};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Answer, Choices, Reply, acquire, role, run, vectors::SparseLists};
use crate::{
    App,
    account::Account,
    failure::{Failure, FailureKind},
    inputs::{Inputs, Item, MAX_INPUTS},
    models::Ability,
    request::Raw,
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(infer))
}

/// Inputs for several models.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct InferRequest {
    inputs: Vec<InferInput>,
    /// Purpose: `update` (documents) or `search` (queries).
    #[serde(default)]
    inference: Option<String>,
    /// A key of the server.
    #[serde(default)]
    token: Option<String>,
}

/// One input with its model.
#[derive(Debug, Deserialize, ToSchema)]
struct InferInput {
    /// A text, or an image as data URI or base64.
    #[schema(value_type = String)]
    data: Value,
    /// `text` or `image`.
    #[serde(default = "text")]
    data_type: String,
    /// Name of a served model.
    model: String,
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    options: Option<serde_json::Map<String, Value>>,
}

fn text() -> String {
    "text".to_owned()
}

/// Embeddings in the order of the inputs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InferResponse {
    embeddings: Vec<InferVector>,
    usage: InferUsage,
}

/// An embedding of any kind.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
enum InferVector {
    Dense(Vec<f32>),
    Sparse(SparseLists),
    Multi(Vec<Vec<f32>>),
}

/// Tokens by model.
#[derive(Debug, Serialize, ToSchema)]
struct InferUsage {
    models: BTreeMap<String, ModelUsage>,
}

#[derive(Debug, Serialize, ToSchema)]
struct ModelUsage {
    tokens: usize,
}

/// Embeddings for a Qdrant server
#[utoipa::path(post, path = "/infer", tag = "Qdrant", request_body = InferRequest,
    responses((status = 200, body = InferResponse)))]
async fn infer(State(app): State<App>, request: Request) -> Answer<InferResponse> {
    let headers = request.headers().clone();
    let raw = Raw::read(request, &app).await?;
    let InferRequest { inputs, inference, token } = raw.parse()?;
    admit(&app, &headers, token.as_deref())?;
    if inputs.len() > MAX_INPUTS {
        let message = format!("{} inputs are more than {MAX_INPUTS}", inputs.len());
        return Err(Failure::new(FailureKind::TooLarge, message));
    }
    let choices = Choices { role: role(inference.as_deref(), "inference")?, ..Choices::default() };
    let count = inputs.len();
    let mut usage = BTreeMap::new();
    let mut embeddings: Vec<Option<InferVector>> = Vec::new();
    embeddings.resize_with(count, || None);
    let mut account = Account::default();
    for (model, (places, items)) in by_model(inputs)? {
        let slot = app.models().choose(Some(&model), Ability::Embedding)?;
        let lease = acquire(slot, &raw.terms).await?;
        let inputs = Inputs { items, single: false };
        let done = run(&app, &lease, inputs, choices, &raw.terms).await?;
        for (place, output) in places.into_iter().zip(done.outputs) {
            embeddings[place] = Some(vector(output)?);
        }
        usage.insert(model, ModelUsage { tokens: done.account.tokens });
        account.add(done.account);
    }
    let none = || Failure::new(FailureKind::Internal, "an input has no embedding");
    let embeddings = embeddings.into_iter().map(|one| one.ok_or_else(none));
    let embeddings = embeddings.collect::<Result<_, _>>()?;
    Ok(Reply::new(InferResponse { embeddings, usage: InferUsage { models: usage } }, account))
}

/// The key is in the body, or where other clients have it.
fn admit(app: &App, headers: &HeaderMap, token: Option<&str>) -> Result<(), Failure> {
    let keys = &app.config().keys;
    if keys.admit(headers) || token.is_some_and(|token| keys.contains(token.as_bytes())) {
        return Ok(());
    }
    Err(Failure::new(FailureKind::Unauthorized, "the token is missing or wrong"))
}

/// Inputs of each model, with their places.
type ByModel = BTreeMap<String, (Vec<usize>, Vec<Item>)>;

fn by_model(inputs: Vec<InferInput>) -> Result<ByModel, Failure> {
    let mut models = ByModel::new();
    for (index, input) in inputs.into_iter().enumerate() {
        let invalid =
            |message: String| Err(Failure::invalid("inputs", format!("input {index}: {message}")));
        if let Some(option) = input.options.as_ref().and_then(|options| options.keys().next()) {
            return invalid(format!("the option {option:?} is not known here"));
        }
        let item = match (input.data_type.as_str(), input.data) {
            ("text", Value::String(text)) => Item::Text(text.as_str().into()),
            ("image", Value::String(image)) => Item::Image(image),
            (kind @ ("text" | "image"), _) => {
                return invalid(format!("data of the type {kind} is no string"));
            }
            (other, _) => {
                return invalid(format!("data_type: expected text or image, got {other:?}"));
            }
        };
        let (places, items) = models.entry(input.model).or_default();
        places.push(index);
        items.push(item);
    }
    Ok(models)
}

fn vector(output: Output) -> Result<InferVector, Failure> {
    Ok(match output {
        Output::Dense(vector) => InferVector::Dense(vector),
        Output::Sparse(terms) => InferVector::Sparse(terms.into()),
        Output::MultiVector(vectors) => {
            InferVector::Multi(vectors.rows().map(<[f32]>::to_vec).collect())
        }
        // An input of a Qdrant server has one vector.
        Output::Hybrid(HybridEmbedding { dense: Some(vector), .. }) => InferVector::Dense(vector),
        other => {
            let message = format!("the model gives {}, not one embedding", other.kind());
            return Err(Failure::new(FailureKind::WrongModel, message));
        }
    })
}

#[cfg(test)]
mod tests {
    use embedkit::Role;

    use super::*;

    #[test]
    fn a_search_is_a_query_and_an_update_a_document() {
        assert_eq!(role(Some("search"), "inference").unwrap(), Role::Query);
        assert_eq!(role(Some("update"), "inference").unwrap(), Role::Document);
        assert_eq!(role(None, "inference").unwrap(), Role::Raw);
    }
}
