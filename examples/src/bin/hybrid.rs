//! Words and meaning together: BM25 and a dense model, fused by rank, then put in order by a reranker.
//!
//! ```sh
//! cargo run --release -p embedkit-examples --bin hybrid -- "who wrote about snails?" FILE
//! ```

#![expect(clippy::print_stdout, reason = "a program that answers")]

use std::{env, fs};

use anyhow::{Context as _, Result};
use embedkit::{
    DEFAULT_MODEL, LoadOptions, Role, SparseEmbedding, SparseTextEmbedding, TextCrossEncoder,
    TextEmbedding, prelude::*,
};

/// How much the first ranks count above the next: the constant of the paper on reciprocal rank fusion.
const RRF: f32 = 60.0;
/// Candidates that the reranker reads.
const CANDIDATES: usize = 20;

fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let question = arguments.next().context("usage: hybrid QUESTION FILE")?;
    let file = arguments.next().context("usage: hybrid QUESTION FILE")?;
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();

    let dense = TextEmbedding::load(DEFAULT_MODEL, LoadOptions::default())?;
    let query = dense.embed_batch(Role::Query, &[&question])?;
    let by_meaning = dense.embed_batch(Role::Document, &lines)?;
    let by_meaning = by_meaning.iter().map(|vector| dot(vector, &query[0])).collect();

    let terms = SparseTextEmbedding::load("Qdrant/bm25", LoadOptions::default())?;
    let query = terms.embed_batch(Role::Query, &[&question])?;
    let by_words = bm25(&terms.embed_batch(Role::Document, &lines)?, &query[0]);

    let mut fused = vec![0.0; lines.len()];
    for scores in [by_meaning, by_words] {
        for (rank, line) in ranked(&scores).into_iter().enumerate() {
            #[expect(clippy::cast_precision_loss, reason = "ranks are small")]
            let rank = rank as f32;
            fused[line] += 1.0 / (RRF + rank + 1.0);
        }
    }
    let candidates: Vec<_> =
        ranked(&fused).into_iter().take(CANDIDATES).map(|line| lines[line]).collect();

    let reranker = TextCrossEncoder::load("Xenova/ms-marco-MiniLM-L-6-v2", LoadOptions::default())?;
    for best in reranker.top_k(&question, &candidates, 5)? {
        println!("{:7.3}  {}", best.score, candidates[best.index]);
    }
    Ok(())
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// BM25 scores. The weights of the model leave out how rare a term is, which a search engine knows;
/// here the lines of the file are all there is.
#[expect(clippy::cast_precision_loss, reason = "counts of lines")]
fn bm25(documents: &[SparseEmbedding], query: &SparseEmbedding) -> Vec<f32> {
    let all = documents.len() as f32;
    let weighted = query.iter().map(|(term, weight)| {
        let with =
            documents.iter().filter(|document| document.indices().contains(&term)).count() as f32;
        (term, weight * (1.0 + (all - with + 0.5) / (with + 0.5)).ln())
    });
    let query = SparseEmbedding::from_pairs(weighted);
    documents.iter().map(|document| document.dot(&query)).collect()
}

/// Positions by score, best first.
fn ranked(scores: &[f32]) -> Vec<usize> {
    let mut order: Vec<_> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    order
}
