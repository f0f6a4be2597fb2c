//! Quality and speed of retrieval on a labelled collection: models alone, fused, and reranked.
//!
//! ```sh
//! cargo run --release -p embedkit-examples --bin evaluate -- FOLDER
//! cargo run --release -p embedkit-examples --bin evaluate -- FOLDER \
//!     words=Qdrant/bm25 dense=intfloat/multilingual-e5-small words dense words+dense
//! ```
//!
//! The folder has `corpus.jsonl`, `queries.jsonl` and `qrels.tsv`, as BEIR has them.

#![expect(clippy::print_stdout, reason = "a program that answers")]

use std::{collections::BTreeMap, env, path::Path};

use anyhow::{Context as _, Result};
use embedkit::{DEFAULT_MODEL, Options};
use embedkit_examples::evaluation::{Collection, Figures, Index, Method, evaluate, open};

const DEFAULTS: [&str; 7] = [
    "words=Qdrant/bm25",
    "reader=Xenova/ms-marco-MiniLM-L-6-v2",
    "words",
    "dense",
    "words+dense",
    "dense>reader",
    "words+dense>reader",
];

fn main() -> Result<()> {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    let json = arguments.first().is_some_and(|first| first == "--json");
    arguments.drain(..usize::from(json));
    let folder =
        arguments.first().context("usage: evaluate [--json] FOLDER [NAME=ID…] [METHOD…]")?;
    let collection = Collection::read(Path::new(folder))?;
    if arguments.len() == 1 {
        arguments.extend(DEFAULTS.map(str::to_owned));
        arguments.push(format!("dense={DEFAULT_MODEL}"));
    }

    let mut indexes = BTreeMap::new();
    let mut methods: Vec<Method> = Vec::new();
    for argument in &arguments[1..] {
        if let Some((name, id)) = argument.split_once('=') {
            let model = open(id, Options::default())?;
            indexes.insert(name.to_owned(), Index::new(model, &collection.documents)?);
        } else {
            methods.push(argument.parse()?);
        }
    }
    let figures = evaluate(&collection, &indexes, &methods)?;
    if json {
        println!("{}", serde_json::to_string(&figures)?);
    } else {
        print(&collection, &figures);
    }
    Ok(())
}

fn print(collection: &Collection, figures: &[Figures]) {
    println!("{} documents, {} queries\n", collection.documents.len(), collection.queries.len());
    println!("{:<24} nDCG@10  recall@100  MRR@10    index   a query", "");
    for it in figures {
        println!(
            "{:<24} {:7.3}  {:10.3}  {:6.3}  {:5.1} s  {:5.1} ms",
            it.method, it.ndcg_10, it.recall_100, it.mrr_10, it.index_seconds, it.query_ms
        );
    }
}
