//! Tokens of texts, and texts of tokens.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    account::Account,
    failure::{Failure, FailureKind},
    inputs::{Ids, Text, TextList},
    models::{Ability, Lease},
    request::Json,
    routes::{Answer, Reply, lease, role},
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(tokenize)).routes(routes!(decode))
}

/// A request for tokens.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct TokenizeRequest {
    inputs: TextList,
    /// Also the special tokens around each text.
    #[serde(default = "yes")]
    add_special_tokens: bool,
    /// Purpose of the texts: `query` or `document`, whose prompt is put before them where prompts are.
    #[serde(default)]
    prompt_name: Option<String>,
    /// Name of a served model; the first with a tokenizer by default.
    #[serde(default)]
    model: Option<String>,
}

/// A token; start and stop are characters of the text, its prompt included.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SimpleToken {
    id: u32,
    text: String,
    special: bool,
    start: Option<usize>,
    stop: Option<usize>,
}

/// A request for texts.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct DecodeRequest {
    ids: Ids,
    #[serde(default = "yes")]
    skip_special_tokens: bool,
    /// Name of a served model; the first with a tokenizer by default.
    #[serde(default)]
    model: Option<String>,
}

fn yes() -> bool {
    true
}

/// Tokens of texts, whole and not truncated
#[utoipa::path(post, path = "/tokenize", tag = "Text Embeddings Inference",
    request_body = TokenizeRequest, responses((status = 200, body = Vec<Vec<SimpleToken>>)))]
async fn tokenize(
    State(app): State<App>,
    request: Json<TokenizeRequest>,
) -> Answer<Vec<Vec<SimpleToken>>> {
    let Json { value, terms, room: _room } = request;
    let TokenizeRequest { inputs: TextList(mut texts), add_special_tokens, prompt_name, model } =
        value;
    let role = role(prompt_name.as_deref(), "prompt_name")?;
    if texts.is_empty() {
        return Err(Failure::new(FailureKind::Empty, "`inputs` cannot be empty"));
    }
    let lease = lease(&app, model.as_deref(), Ability::Tokens, &terms).await?;
    let account = account(&lease, texts.len());
    if let Some(prompt) = lease.slot.prompt(role) {
        for text in &mut texts {
            *text = format!("{prompt}{}", &**text).as_str().into();
        }
    }
    let texts = blocking(lease, move |lease| {
        texts.iter().map(|text| tokens(lease, text, add_special_tokens)).collect()
    });
    Ok(Reply::new(texts.await?, account))
}

fn tokens(lease: &Lease, text: &Text, special: bool) -> Result<Vec<SimpleToken>, Failure> {
    let tokens = lease.model().tokenize(text, special).map_err(tokenizer)?;
    let token = |token: embedkit::Token| SimpleToken {
        id: token.id,
        text: token.text,
        special: token.special,
        start: token.range.as_ref().map(|range| range.start),
        stop: token.range.map(|range| range.end),
    };
    Ok(tokens.into_iter().map(token).collect())
}

/// Texts of token ids
#[utoipa::path(post, path = "/decode", tag = "Text Embeddings Inference",
    request_body = DecodeRequest, responses((status = 200, body = Vec<String>)))]
async fn decode(State(app): State<App>, request: Json<DecodeRequest>) -> Answer<Vec<String>> {
    let Json { value, terms, room: _room } = request;
    let DecodeRequest { ids: Ids(lists), skip_special_tokens: skip, model } = value;
    if lists.is_empty() {
        return Err(Failure::new(FailureKind::Empty, "`ids` cannot be empty"));
    }
    let lease = lease(&app, model.as_deref(), Ability::Tokens, &terms).await?;
    let account = account(&lease, lists.len());
    let texts = blocking(lease, move |lease| {
        lists.iter().map(|ids| lease.model().decode(ids, skip).map_err(tokenizer)).collect()
    });
    Ok(Reply::new(texts.await?, account))
}

fn account(lease: &Lease, inputs: usize) -> Account {
    Account { model: Some(lease.slot.name().clone()), inputs, ..Account::default() }
}

fn tokenizer(error: embedkit::Error) -> Failure {
    Failure { kind: FailureKind::Tokenizer, ..error.into() }
}

/// Work that would hold up other requests.
async fn blocking<T: Send + 'static>(
    lease: Lease,
    work: impl FnOnce(&Lease) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let result = spawn_blocking(move || work(&lease)).await;
    result.map_err(|error| Failure::new(FailureKind::Internal, error.to_string()))?
}
