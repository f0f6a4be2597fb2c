//! Retrieval quality and speed of models on a labelled collection, as the program `evaluate` prints them.

mod collection;
mod index;
mod method;
pub mod metrics;

use std::{collections::BTreeMap, time::Instant};

use anyhow::{Context, Result};
use embedkit::{
    Ranked,
    scoring::{RRF_K, reciprocal_rank_fusion},
};
use serde::Serialize;

pub use self::{
    collection::{Collection, Grades, Query},
    index::{Index, open},
    method::Method,
};

/// Documents that a search returns, and that a second step reads.
const DEPTH: usize = 100;

/// Figures of a method, means over the queries.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// The method, as [`Method`] is written.
    pub method: String,
    /// Normalised discounted cumulative gain of the first 10 documents.
    pub ndcg_10: f64,
    /// Share of the relevant documents that are among the first 100.
    pub recall_100: f64,
    /// Reciprocal rank of the first relevant document, 0 behind the first 10.
    pub mrr_10: f64,
    /// Seconds in which the method's models embedded the documents.
    pub index_seconds: f64,
    /// Milliseconds of a query, embedded and compared with every document.
    pub query_ms: f64,
}

/// Searches with every method and judges what it finds.
///
/// # Errors
/// A method that names no model; those of the models.
pub fn evaluate(
    collection: &Collection,
    indexes: &BTreeMap<String, Index<'_>>,
    methods: &[Method],
) -> Result<Vec<Figures>> {
    let mut figures = Vec::new();
    for method in methods {
        let mut index_seconds = 0.0;
        for model in method.models() {
            let index = indexes.get(model);
            index_seconds +=
                index.with_context(|| format!("{method}: no model is called {model:?}"))?.seconds;
        }
        figures.push(Figures {
            method: method.to_string(),
            ndcg_10: 0.0,
            recall_100: 0.0,
            mrr_10: 0.0,
            index_seconds,
            query_ms: 0.0,
        });
    }
    for query in &collection.queries {
        // A model searches once, for all methods that it is part of.
        let mut searched = BTreeMap::new();
        for (method, figures) in methods.iter().zip(&mut figures) {
            let (ranking, seconds) = search(method, query, indexes, &mut searched)?;
            let ranking: Vec<usize> = ranking.iter().map(|one| one.index).collect();
            figures.ndcg_10 += metrics::ndcg(&ranking, &query.grades, 10);
            figures.recall_100 += metrics::recall(&ranking, &query.grades, 100);
            figures.mrr_10 += metrics::reciprocal_rank(&ranking, &query.grades, 10);
            figures.query_ms += seconds * 1e3;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of queries")]
    let queries = collection.queries.len().max(1) as f64;
    for figures in &mut figures {
        figures.ndcg_10 /= queries;
        figures.recall_100 /= queries;
        figures.mrr_10 /= queries;
        figures.query_ms /= queries;
    }
    Ok(figures)
}

/// A ranking, and the seconds that it took.
type Timed = (Vec<Ranked>, f64);

/// The ranking of a method. `searched` has those of single models.
fn search<'a>(
    method: &'a Method,
    query: &Query,
    indexes: &BTreeMap<String, Index<'_>>,
    searched: &mut BTreeMap<&'a str, Timed>,
) -> Result<Timed> {
    let mut rankings = Vec::new();
    let mut seconds = 0.0;
    for name in &method.first {
        if !searched.contains_key(name.as_str()) {
            let start = Instant::now();
            let ranking = indexes[name].search(&query.text, DEPTH)?;
            searched.insert(name, (ranking, start.elapsed().as_secs_f64()));
        }
        let (ranking, took) = &searched[name.as_str()];
        rankings.push(ranking.clone());
        seconds += took;
    }
    let start = Instant::now();
    let mut ranking = if rankings.len() == 1 {
        rankings.remove(0)
    } else {
        reciprocal_rank_fusion(rankings, RRF_K)
    };
    ranking.truncate(DEPTH);
    if let Some(name) = &method.then {
        ranking = indexes[name].rerank(&query.text, &ranking)?;
    }
    Ok((ranking, seconds + start.elapsed().as_secs_f64()))
}
