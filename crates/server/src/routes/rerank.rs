//! Ranks of documents for a query: `/rerank` of Text Embeddings Inference (`texts`), and of Cohere, Jina, vLLM
//! and infinity (`documents`).

use axum::{
    extract::{Request, State},
    response::{IntoResponse as _, Response},
};
use embedkit::{
    Class, Input, Role,
    rerank::sigmoid,
    scoring::{Ranked, top_k},
};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Answer, Reply, lease, openai::Usage};
use crate::{
    App,
    failure::{Failure, FailureKind},
    inputs::{MAX_INPUTS, Text},
    models::{Ability, Lease},
    request::{Json, Raw, Room, Terms},
    run::Work,
    trace::fresh_id,
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(rerank))
        .routes(routes!(rerank_v1))
        .routes(routes!(rerank_v2))
}

/// A request for ranks, as Text Embeddings Inference has it.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct TeiRerankRequest {
    query: Text,
    texts: Vec<Text>,
    /// False: a pair that is too long is an error.
    #[serde(default)]
    truncate: Option<bool>,
    /// Only `Right`: rerankers cut the document's end.
    #[serde(default)]
    truncation_direction: Option<super::tei::Direction>,
    /// Scores as the model gives them, not mapped to 0..1.
    #[serde(default)]
    raw_scores: bool,
    /// The texts come back with their ranks.
    #[serde(default)]
    return_text: bool,
    /// Name of a served model; the first reranker by default.
    #[serde(default)]
    model: Option<String>,
}

/// A text with its score, the best first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Rank {
    index: usize,
    score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Text>,
}

/// A request for ranks, as Cohere, Jina, vLLM and infinity have it.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct RerankRequest {
    /// Name of a served model; the first reranker by default.
    #[serde(default)]
    model: Option<String>,
    query: Text,
    documents: Vec<Document>,
    /// Number of documents to return; all by default, and for 0.
    #[serde(default)]
    top_n: Option<usize>,
    /// The documents come back with their ranks.
    #[serde(default)]
    return_documents: bool,
    /// Scores as the model gives them, not mapped to 0..1.
    #[serde(default)]
    raw_scores: bool,
}

/// A document: a text, or an object with one.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(untagged, expecting = "expected a text, or an object with `text`")]
enum Document {
    Text(Text),
    Object { text: Text },
}

impl Document {
    fn into_text(self) -> Text {
        let (Self::Text(text) | Self::Object { text }) = self;
        text
    }
}

/// Documents with their scores, the best first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RerankResponse {
    id: String,
    object: &'static str,
    model: String,
    results: Vec<RankedDocument>,
    usage: Usage,
    meta: Meta,
}

/// A document with its score.
#[derive(Debug, Serialize, ToSchema)]
struct RankedDocument {
    index: usize,
    relevance_score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<ReturnedDocument>,
}

/// The document itself.
#[derive(Debug, Serialize, ToSchema)]
struct ReturnedDocument {
    text: Text,
}

/// Facts that clients of Cohere read.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RerankMeta)]
struct Meta {
    api_version: ApiVersion,
    billed_units: BilledUnits,
}

#[derive(Debug, Serialize, ToSchema)]
struct ApiVersion {
    version: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RerankUnits)]
struct BilledUnits {
    search_units: u32,
}

/// Ranks of `texts`, or of `documents` as `/v1/rerank`
#[utoipa::path(post, path = "/rerank", tag = "Text Embeddings Inference",
    request_body = TeiRerankRequest, responses((status = 200, body = Vec<Rank>)))]
async fn rerank(State(app): State<App>, request: Request) -> Result<Response, Failure> {
    #[derive(Deserialize)]
    struct Probe {
        #[serde(default)]
        documents: Option<IgnoredAny>,
    }

    let raw = Raw::read(request, &app).await?;
    let Probe { documents } = raw.parse()?;
    if documents.is_some() {
        let request: RerankRequest = raw.parse()?;
        return Ok(rerank_with(&app, request, &raw.terms, raw.room, "1").await?.into_response());
    }
    let request: TeiRerankRequest = raw.parse()?;
    Ok(tei_rerank_with(&app, request, &raw.terms, raw.room).await?.into_response())
}

/// Ranks of documents for a query
#[utoipa::path(post, path = "/v1/rerank", tag = "Cohere, Jina, vLLM",
    request_body = RerankRequest, responses((status = 200, body = RerankResponse)))]
async fn rerank_v1(State(app): State<App>, request: Json<RerankRequest>) -> Answer<RerankResponse> {
    rerank_with(&app, request.value, &request.terms, request.room, "1").await
}

/// Ranks of documents for a query
#[utoipa::path(post, path = "/v2/rerank", tag = "Cohere, Jina, vLLM",
    request_body = RerankRequest, responses((status = 200, body = RerankResponse)))]
async fn rerank_v2(State(app): State<App>, request: Json<RerankRequest>) -> Answer<RerankResponse> {
    rerank_with(&app, request.value, &request.terms, request.room, "2").await
}

/// The work of `/rerank` with `texts`.
pub(super) async fn tei_rerank_with(
    app: &App,
    request: TeiRerankRequest,
    terms: &Terms,
    _room: Room,
) -> Answer<Vec<Rank>> {
    let TeiRerankRequest { query, texts, truncate, raw_scores, return_text, model, .. } = request;
    if request.truncation_direction == Some(super::tei::Direction::Left) {
        let message = "rerankers cut texts at the end only";
        return Err(Failure::invalid("truncation_direction", message));
    }
    let lease = lease(app, model.as_deref(), Ability::Score, terms).await?;
    let work = Scoring {
        query,
        texts: texts.clone(),
        raw_scores,
        refuse_truncated: truncate == Some(false),
    };
    let (ranked, account) = work.rank(&lease, None, terms).await?;
    let ranks = ranked.into_iter().map(|Ranked { index, score }| {
        let text = return_text.then(|| texts[index].clone());
        Rank { index, score, text }
    });
    Ok(Reply::scores(ranks.collect(), account))
}

async fn rerank_with(
    app: &App,
    request: RerankRequest,
    terms: &Terms,
    _room: Room,
    version: &'static str,
) -> Answer<RerankResponse> {
    let RerankRequest { model, query, documents, top_n, return_documents, raw_scores } = request;
    let texts: Vec<_> = documents.into_iter().map(Document::into_text).collect();
    let lease = lease(app, model.as_deref(), Ability::Score, terms).await?;
    let work = Scoring { query, texts: texts.clone(), raw_scores, refuse_truncated: false };
    let (ranked, account) = work.rank(&lease, top_n.filter(|&n| n > 0), terms).await?;
    let results = ranked.into_iter().map(|Ranked { index, score }| RankedDocument {
        index,
        relevance_score: score,
        document: return_documents.then(|| ReturnedDocument { text: texts[index].clone() }),
    });
    let body = RerankResponse {
        id: fresh_id(),
        object: "list",
        model: lease.slot.name().to_string(),
        results: results.collect(),
        usage: Usage::of(account.tokens),
        meta: Meta {
            api_version: ApiVersion { version },
            billed_units: BilledUnits { search_units: 1 },
        },
    };
    Ok(Reply::scores(body, account))
}

/// Texts to score for a query.
struct Scoring {
    query: Text,
    texts: Vec<Text>,
    raw_scores: bool,
    refuse_truncated: bool,
}

impl Scoring {
    /// The best texts, all by default.
    async fn rank(
        self,
        lease: &Lease,
        most: Option<usize>,
        terms: &Terms,
    ) -> Result<(Vec<Ranked>, crate::account::Account), Failure> {
        let Self { query, texts, raw_scores, refuse_truncated } = self;
        let count = texts.len();
        if count == 0 {
            return Err(Failure::new(FailureKind::Empty, "there is no document").param("documents"));
        }
        if count > MAX_INPUTS {
            let message = format!("{count} documents are more than {MAX_INPUTS}");
            return Err(Failure::new(FailureKind::TooLarge, message).param("documents"));
        }
        let pairs = texts.into_iter().map(|text| Input::pair(query.0.clone(), text.0));
        let work = Work {
            refuse_truncated,
            class: Some(Class::Interactive),
            ..Work::new(Role::Raw, pairs.collect())
        };
        let done = lease.run(work, terms).await?;
        let mut scores = Vec::with_capacity(count);
        for output in done.outputs {
            let score = output.into_score()?;
            scores.push(if raw_scores { score } else { sigmoid(score) });
        }
        Ok((top_k(scores, most.unwrap_or(count)), done.account))
    }
}
