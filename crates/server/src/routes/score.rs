//! `/score`, as vLLM has it: a score for each pair.

use axum::extract::State;
use embedkit::{Class, Input, OutputKind, Role, rerank::sigmoid};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Answer, Reply, acquire, openai::Usage};
use crate::{
    App,
    account::Account,
    failure::{Failure, FailureKind},
    inputs::{MAX_INPUTS, Text},
    models::{Ability, Lease},
    request::{Json, Terms},
    run::Work,
    trace::fresh_id,
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(score)).routes(routes!(score_v1))
}

/// A request for scores.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct ScoreRequest {
    /// Name of a served model: a reranker, or one of embeddings. The first reranker by default, else
    /// the first model.
    #[serde(default)]
    model: Option<String>,
    /// One text for all others, or as many.
    #[serde(alias = "queries")]
    text_1: OneOrMany,
    #[serde(alias = "documents")]
    text_2: OneOrMany,
}

/// A text or a list of texts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
enum OneOrMany {
    One(Text),
    Many(Vec<Text>),
}

impl OneOrMany {
    fn into_vec(self) -> Vec<Text> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        }
    }
}

/// Scores in the order of the pairs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ScoreResponse {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
    data: Vec<Score>,
    usage: Usage,
}

/// One score: that of a reranker mapped to 0..1, else the cosine, the dot product of weighted terms, or
/// MaxSim.
#[derive(Debug, Serialize, ToSchema)]
struct Score {
    index: usize,
    object: &'static str,
    score: f32,
}

/// A score for each pair of texts
#[utoipa::path(post, path = "/score", tag = "vLLM",
    request_body = ScoreRequest, responses((status = 200, body = ScoreResponse)))]
async fn score(State(app): State<App>, request: Json<ScoreRequest>) -> Answer<ScoreResponse> {
    let Json { value, terms, room: _room } = request;
    let ScoreRequest { model, text_1, text_2 } = value;
    let pairs = pairs(text_1.into_vec(), text_2.into_vec())?;
    let models = app.models();
    let slot = match model {
        Some(name) => models.choose(Some(&name), Ability::Any)?,
        None => models
            .choose(None, Ability::Score)
            .or_else(|_| models.choose(None, Ability::Embedding))?,
    };
    let lease = acquire(slot, &terms).await?;
    let (scores, account) = if lease.slot.capabilities().gives(OutputKind::Score) {
        of_reranker(&lease, pairs, &terms).await?
    } else {
        of_embeddings(&lease, pairs, &terms).await?
    };
    let data = scores.into_iter().enumerate();
    let body = ScoreResponse {
        id: fresh_id(),
        object: "list",
        created: 0,
        model: lease.slot.name().to_string(),
        data: data.map(|(index, score)| Score { index, object: "score", score }).collect(),
        usage: Usage::of(account.tokens),
    };
    Ok(Reply::scores(body, account))
}

/// As `/score`
#[utoipa::path(post, path = "/v1/score", tag = "vLLM",
    request_body = ScoreRequest, responses((status = 200, body = ScoreResponse)))]
async fn score_v1(app: State<App>, request: Json<ScoreRequest>) -> Answer<ScoreResponse> {
    score(app, request).await
}

type Pair = (Text, Text);

/// Pairs of each text with the one at its place, or of one text with all.
fn pairs(left: Vec<Text>, right: Vec<Text>) -> Result<Vec<Pair>, Failure> {
    if left.is_empty() || right.is_empty() {
        return Err(Failure::new(FailureKind::Empty, "there is no text").param("text_2"));
    }
    if right.len() > MAX_INPUTS {
        let message = format!("{} texts are more than {MAX_INPUTS}", right.len());
        return Err(Failure::new(FailureKind::TooLarge, message).param("text_2"));
    }
    if left.len() == right.len() {
        return Ok(left.into_iter().zip(right).collect());
    }
    if let [only] = &*left {
        return Ok(right.into_iter().map(|text| (only.clone(), text)).collect());
    }
    let message = format!(
        "text_1 and text_2 have {} and {} texts, expected one or as many",
        left.len(),
        right.len()
    );
    Err(Failure::invalid("text_1", message))
}

async fn of_reranker(
    lease: &Lease,
    pairs: Vec<Pair>,
    terms: &Terms,
) -> Result<(Vec<f32>, Account), Failure> {
    let inputs = pairs.into_iter().map(|(query, document)| Input::pair(query.0, document.0));
    let work = Work { class: Some(Class::Interactive), ..Work::new(Role::Raw, inputs.collect()) };
    let done = lease.run(work, terms).await?;
    let scores = done.outputs.into_iter().map(|output| Ok(sigmoid(output.into_score()?)));
    Ok((scores.collect::<Result<_, Failure>>()?, done.account))
}

async fn of_embeddings(
    lease: &Lease,
    pairs: Vec<Pair>,
    terms: &Terms,
) -> Result<(Vec<f32>, Account), Failure> {
    let (mut queries, documents): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    // One query for all is embedded once.
    let is_one = queries.windows(2).all(|two| two[0] == two[1]);
    if is_one {
        queries.truncate(1);
    }
    let of_queries = lease.run(Work::new(Role::Query, texts(queries)), terms).await?;
    let of_documents = lease.run(Work::new(Role::Document, texts(documents)), terms).await?;
    let mut scores = Vec::with_capacity(of_documents.outputs.len());
    for (index, document) in of_documents.outputs.iter().enumerate() {
        let query = &of_queries.outputs[if is_one { 0 } else { index }];
        scores.push(query.score(document)?);
    }
    let mut account = of_queries.account;
    account.add(of_documents.account);
    Ok((scores, account))
}

fn texts(texts: Vec<Text>) -> Vec<Input> {
    texts.into_iter().map(Text::into_input).collect()
}
