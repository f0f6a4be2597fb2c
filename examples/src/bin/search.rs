//! Searches the lines of a file by meaning.
//!
//! ```sh
//! cargo run --release -p embedkit-examples --bin search -- "how do plants eat?" FILE
//! ```

#![expect(clippy::print_stdout, reason = "a program that answers")]

use std::{env, fs};

use anyhow::{Context as _, Result};
use embedkit::{DEFAULT_MODEL, LoadOptions, Role, TextEmbedding, prelude::*};

fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let question = arguments.next().context("usage: search QUESTION FILE")?;
    let file = arguments.next().context("usage: search QUESTION FILE")?;
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();

    let model = TextEmbedding::load(DEFAULT_MODEL, LoadOptions::default())?;
    let query = model.embed_batch(Role::Query, &[&question])?;
    let mut scored = Vec::new();
    for (line, vector) in lines.iter().zip(model.passage_embed(&lines)) {
        // The vectors have unit length: the dot product is the cosine.
        let score: f32 = vector?.iter().zip(&query[0]).map(|(a, b)| a * b).sum();
        scored.push((score, line));
    }
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (score, line) in scored.iter().take(5) {
        println!("{score:.3}  {line}");
    }
    Ok(())
}
