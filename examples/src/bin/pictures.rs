//! Finds the pictures of a folder by a description of what is on them.
//!
//! ```sh
//! cargo run --release -p embedkit-examples --bin pictures -- "a cat on a mat" FOLDER
//! ```

#![expect(clippy::print_stdout, reason = "a program that answers")]

use std::{env, fs, path::PathBuf};

use anyhow::{Context as _, Result};
use embedkit::{
    ImageEmbedding, LoadOptions, Ranked, Role, TextEmbedding,
    scoring::{TopK, cosine},
};

fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let wanted = arguments.next().context("usage: pictures DESCRIPTION FOLDER")?;
    let folder = arguments.next().context("usage: pictures DESCRIPTION FOLDER")?;
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {folder}"))?;
    let files: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;

    let texts = TextEmbedding::load("Qdrant/clip-ViT-B-32-text", LoadOptions::default())?;
    let query = texts.embed_batch(Role::Query, &[&wanted])?;
    let images = ImageEmbedding::load("Qdrant/clip-ViT-B-32-vision", LoadOptions::default())?;
    let mut best = TopK::new(5);
    for (index, (file, vector)) in files.iter().zip(images.embed(files.clone())).enumerate() {
        match vector {
            Ok(vector) => best.push(Ranked { index, score: cosine(&query[0], &vector)? }, file),
            // A folder may hold other files; the rest goes on.
            Err(error) => eprintln!("left out: {error}"),
        }
    }
    for (ranked, file) in best.into_sorted_vec() {
        println!("{:.3}  {}", ranked.score, file.display());
    }
    Ok(())
}
