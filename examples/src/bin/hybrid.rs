//! Words and meaning together: BM25 and a dense model, fused by rank, then put in order by a reranker.
//!
//! ```sh
//! cargo run --release -p embedkit-examples --bin hybrid -- "who wrote about snails?" FILE
//! ```

#![expect(clippy::print_stdout, reason = "a program that answers")]

use std::{env, fs};

use anyhow::{Context as _, Result};
use embedkit::{
    DEFAULT_MODEL, LoadOptions, Role, SparseTextEmbedding, TextCrossEncoder, TextEmbedding,
    scoring::{Idf, RRF_K, cosine, reciprocal_rank_fusion, top_k},
};

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
    let documents = dense.embed_batch(Role::Document, &lines)?;
    let by_meaning = documents.iter().map(|document| cosine(&query[0], document));
    let by_meaning = top_k(by_meaning.collect::<Result<Vec<_>, _>>()?, lines.len());

    // BM25's weights leave out how rare a term is, which an index knows; here the lines of the file
    // are all there is.
    let terms = SparseTextEmbedding::load("Qdrant/bm25", LoadOptions::default())?;
    let mut idf = Idf::new(&terms.embed_batch(Role::Query, &[&question])?[0]);
    for document in terms.embed_batch(Role::Document, &lines)? {
        idf.push(&document);
    }
    let mut by_words: Vec<_> = idf.scores().collect();
    by_words.sort_by(|a, b| b.cmp(a));

    let fused = reciprocal_rank_fusion([by_meaning, by_words], RRF_K);
    let candidates: Vec<_> = fused.iter().take(CANDIDATES).map(|one| lines[one.index]).collect();

    let reranker = TextCrossEncoder::load("Xenova/ms-marco-MiniLM-L-6-v2", LoadOptions::default())?;
    for best in reranker.top_k(&question, &candidates, 5)? {
        println!("{:7.3}  {}", best.score, candidates[best.index]);
    }
    Ok(())
}
