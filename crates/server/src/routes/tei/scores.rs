//! Scores of pairs: `/predict`. `/rerank` is beside those of other APIs.

use std::fmt;

use axum::extract::State;
use embedkit::{Class, Input, Role, rerank::sigmoid};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, SeqAccess, Visitor},
};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ArrayBuilder, ObjectBuilder, OneOfBuilder, RefOr, Schema, Type},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::Direction;
use crate::{
    App,
    failure::{Failure, FailureKind},
    inputs::{MAX_INPUTS, Text},
    models::Ability,
    request::{Json, Room, Terms},
    routes::{Answer, Reply, lease},
    run::Work,
};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(predict))
}

/// A request for the label of texts or pairs.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct PredictRequest {
    inputs: Sequences,
    /// False: an input that is too long is an error.
    #[serde(default)]
    truncate: Option<bool>,
    /// Rerankers cut the document's end.
    #[serde(default)]
    truncation_direction: Option<Direction>,
    /// Scores as the model gives them, not mapped to 0..1.
    #[serde(default)]
    raw_scores: bool,
    /// Name of a served model; the first reranker by default.
    #[serde(default)]
    model: Option<String>,
}

/// Score of a label.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Prediction {
    score: f32,
    label: &'static str,
}

/// Predictions of one input, or of each of several.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Predictions {
    One(Vec<Prediction>),
    Several(Vec<Vec<Prediction>>),
}

/// Scores of pairs of a query and a document
#[utoipa::path(post, path = "/predict", tag = "Text Embeddings Inference",
    request_body = PredictRequest, responses((status = 200, body = Predictions)))]
async fn predict(State(app): State<App>, request: Json<PredictRequest>) -> Answer<Predictions> {
    let Json { value, terms, room } = request;
    predict_with(&app, value, &terms, room).await
}

/// The work of `/predict`.
pub(super) async fn predict_with(
    app: &App,
    request: PredictRequest,
    terms: &Terms,
    _room: Room,
) -> Answer<Predictions> {
    if request.truncation_direction == Some(Direction::Left) {
        let message = "rerankers cut texts at the end only";
        return Err(Failure::invalid("truncation_direction", message));
    }
    let Sequences { items, single } = request.inputs;
    if items.is_empty() {
        return Err(Failure::new(FailureKind::Empty, "`inputs` cannot be empty"));
    }
    let lease = lease(app, request.model.as_deref(), Ability::Score, terms).await?;
    let pairs = items.into_iter().enumerate().map(|(index, sequence)| match sequence {
        Sequence::Pair(query, document) => Ok(Input::pair(query.0, document.0)),
        Sequence::Single => {
            let name = lease.slot.name();
            let message =
                format!("{name} scores pairs of a query and a document, not single texts");
            Err(Failure::new(FailureKind::WrongModel, format!("input {index}: {message}")))
        }
    });
    let work = Work {
        refuse_truncated: request.truncate == Some(false),
        class: Some(Class::Interactive),
        ..Work::new(Role::Raw, pairs.collect::<Result<_, _>>()?)
    };
    let done = lease.run(work, terms).await?;
    let mut all = Vec::with_capacity(done.outputs.len());
    for output in done.outputs {
        let score = output.into_score()?;
        let score = if request.raw_scores { score } else { sigmoid(score) };
        // The only label of a model with one output.
        all.push(vec![Prediction { score, label: "LABEL_0" }]);
    }
    let body = match (single, all.pop()) {
        (true, Some(only)) => Predictions::One(only),
        (_, last) => Predictions::Several(all.into_iter().chain(last).collect()),
    };
    Ok(Reply::scores(body, done.account))
}

/// One sequence or several: `"a"`, `["a", "b"]` (a pair), `[["a"], ["a", "b"]]`.
#[derive(Debug, PartialEq, Eq)]
struct Sequences {
    items: Vec<Sequence>,
    single: bool,
}

/// A text, or two.
#[derive(Debug, PartialEq, Eq)]
enum Sequence {
    /// Its text is of no use: no model takes one.
    Single,
    Pair(Text, Text),
}

impl<'de> Deserialize<'de> for Sequences {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SequencesVisitor)
    }
}

struct SequencesVisitor;

/// Element of the outer list.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a text, or a list of one or two texts")]
enum Element {
    Text(Text),
    List(Vec<Text>),
}

impl<'de> Visitor<'de> for SequencesVisitor {
    type Value = Sequences;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a pair of texts, or a list of lists of one or two texts")
    }

    fn visit_str<E>(self, _: &str) -> Result<Sequences, E> {
        Ok(Sequences { items: vec![Sequence::Single], single: true })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Sequences, A::Error> {
        let (mut texts, mut items) = (Vec::new(), Vec::new());
        while let Some(element) = list.next_element()? {
            match element {
                Element::Text(text) if items.is_empty() && texts.len() < 2 => texts.push(text),
                Element::List(list) if texts.is_empty() && items.len() < MAX_INPUTS => {
                    items.push(sequence(list)?);
                }
                _ => return Err(A::Error::custom("expected a pair, or a list of lists")),
            }
        }
        if texts.is_empty() {
            return Ok(Sequences { items, single: false });
        }
        Ok(Sequences { items: vec![sequence(texts)?], single: true })
    }
}

fn sequence<E: serde::de::Error>(texts: Vec<Text>) -> Result<Sequence, E> {
    let mut texts = texts.into_iter();
    match (texts.next(), texts.next(), texts.next()) {
        (Some(query), Some(document), None) => Ok(Sequence::Pair(query, document)),
        (Some(_), None, _) => Ok(Sequence::Single),
        _ => Err(E::custom("expected one or two texts")),
    }
}

impl PartialSchema for Sequences {
    fn schema() -> RefOr<Schema> {
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let list = || ArrayBuilder::new().items(text()).max_items(Some(2));
        let lists = ArrayBuilder::new().items(list());
        OneOfBuilder::new().item(text()).item(list()).item(lists).into()
    }
}

impl ToSchema for Sequences {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_have_three_forms() {
        let read = |json| serde_json::from_str::<Sequences>(json);
        let pair = || Sequence::Pair("a".into(), "b".into());
        for (json, items, single) in [
            (r#""a""#, vec![Sequence::Single], true),
            (r#"["a","b"]"#, vec![pair()], true),
            (r#"["a"]"#, vec![Sequence::Single], true),
            (r#"[["a"],["a","b"]]"#, vec![Sequence::Single, pair()], false),
            (r#"[["a","b"]]"#, vec![pair()], false),
            ("[]", vec![], false),
        ] {
            assert_eq!(read(json).unwrap(), Sequences { items, single }, "{json}");
        }
        for json in ["1", "[1]", r#"["a","b","c"]"#, r#"["a",["b"]]"#, "[[]]", r#"[["a","b","c"]]"#]
        {
            assert!(read(json).is_err(), "{json}");
        }
    }
}
