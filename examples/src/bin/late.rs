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
    postprocess::{Muvera, MuveraOptions},
    scoring::{MaxSim, dot, top_k},
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
    let mut scores = Vec::new();
    for document in &documents {
        scores.push(dot(&asked, &muvera.process_document(document)?)?);
    }
    let candidates = top_k(scores, CANDIDATES);

    let chosen: Vec<_> = candidates.iter().map(|one| &documents[one.index]).collect();
    for best in MaxSim::new(&chosen)?.top_k(&query, 5)? {
        println!("{:7.3}  {}", best.score, lines[candidates[best.index].index]);
    }
    Ok(())
}
