//! Late interaction in two steps: MUVERA finds candidates with one vector each, MaxSim decides.
//!
//! ```sh
//! cargo run --release -p embedkit-examples --bin late -- "how do plants eat?" FILE
//! ```

#![expect(clippy::print_stdout, reason = "a program that answers")]

use std::{env, fs};

use anyhow::{Context as _, Result};
use embedkit::{
    LateInteractionTextEmbedding, LoadOptions, Role,
    late_interaction::MaxSim,
    postprocess::{Muvera, MuveraOptions},
    prelude::*,
};

/// Documents that MaxSim looks at.
const CANDIDATES: usize = 20;

fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let question = arguments.next().context("usage: late QUESTION FILE")?;
    let file = arguments.next().context("usage: late QUESTION FILE")?;
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();

    let id = "answerdotai/answerai-colbert-small-v1";
    let model = LateInteractionTextEmbedding::load(id, LoadOptions::default())?;
    let documents = model.embed_batch(Role::Document, &lines)?;
    let query = model.embed_batch(Role::Query, &[&question])?.remove(0);

    // One vector for each document: what an ordinary vector index would keep.
    let muvera = Muvera::from_multivector_model(&model, MuveraOptions::default())?;
    let asked = muvera.process_query(&query)?;
    let mut candidates = Vec::new();
    for (line, document) in documents.iter().enumerate() {
        let encoded = muvera.process_document(document)?;
        let score: f64 = encoded.iter().zip(&asked).map(|(a, b)| a * b).sum();
        candidates.push((score, line));
    }
    candidates.sort_by(|a, b| b.0.total_cmp(&a.0));
    candidates.truncate(CANDIDATES);

    let chosen: Vec<_> = candidates.iter().map(|&(_, line)| &documents[line]).collect();
    for (place, score) in MaxSim::new(&chosen)?.top_k(&query, 5)? {
        println!("{score:7.3}  {}", lines[candidates[place].1]);
    }
    Ok(())
}
