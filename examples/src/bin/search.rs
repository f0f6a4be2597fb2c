//! Searches the lines of a file by meaning.
//!
//! ```sh
//! cargo run --release -p embedkit-examples --bin search -- "how do plants eat?" FILE
//! ```

#![expect(clippy::print_stdout, reason = "a program that answers")]

use std::{env, fs};

use anyhow::{Context as _, Result};
use embedkit::{
    DEFAULT_MODEL, LoadOptions, Role, TextEmbedding,
    scoring::{cosine, top_k},
};

fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let question = arguments.next().context("usage: search QUESTION FILE")?;
    let file = arguments.next().context("usage: search QUESTION FILE")?;
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();

    let model = TextEmbedding::load(DEFAULT_MODEL, LoadOptions::default())?;
    let query = model.embed_batch(Role::Query, &[&question])?;
    let mut scores = Vec::new();
    for vector in model.passage_embed(&lines) {
        scores.push(cosine(&query[0], &vector?)?);
    }
    for best in top_k(scores, 5) {
        println!("{:.3}  {}", best.score, lines[best.index]);
    }
    Ok(())
}
