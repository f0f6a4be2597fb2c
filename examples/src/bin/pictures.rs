//! Finds the pictures of a folder by a description of what is on them.
//!
//! ```sh
//! cargo run --release -p embedkit-examples --bin pictures -- "a cat on a mat" FOLDER
//! ```

#![expect(clippy::print_stdout, reason = "a program that answers")]

use std::{env, fs, path::PathBuf};

use anyhow::{Context as _, Result};
use embedkit::{ImageEmbedding, LoadOptions, Role, TextEmbedding, prelude::*};

fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let wanted = arguments.next().context("usage: pictures DESCRIPTION FOLDER")?;
    let folder = arguments.next().context("usage: pictures DESCRIPTION FOLDER")?;
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))?;
    let files: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;

    let texts = TextEmbedding::load("Qdrant/clip-ViT-B-32-text", LoadOptions::default())?;
    let query = texts.embed_batch(Role::Query, &[&wanted])?;
    let images = ImageEmbedding::load("Qdrant/clip-ViT-B-32-vision", LoadOptions::default())?;
    let mut scored = Vec::new();
    for (file, vector) in files.iter().zip(images.embed(files.clone())) {
        match vector {
            Ok(vector) => {
                let score: f32 = vector.iter().zip(&query[0]).map(|(a, b)| a * b).sum();
                scored.push((score, file));
            }
            // A folder may hold other files; the rest goes on.
            Err(error) => eprintln!("left out: {error}"),
        }
    }
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (score, file) in scored.iter().take(5) {
        println!("{score:.3}  {}", file.display());
    }
    Ok(())
}
