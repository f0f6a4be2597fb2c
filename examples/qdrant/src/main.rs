//! The same passages and questions in Qdrant's embedded engine and, where one runs, in its server.
//!
//! Each passage has three vectors: a dense one, weighted terms (BM25), and one vector per token,
//! compared by MaxSim. Each is searched by itself, and both stores have to agree.
//!
//! ```sh
//! cargo run --release                                    # models by id, fetched on first use
//! cargo run --release -- path/to/all-MiniLM-L6-v2        # one model on disk, no network
//! QDRANT_URL=http://localhost:6334 cargo run --release   # a server other than the local one
//! ```

#![expect(clippy::print_stdout, reason = "an example shows its results")]

mod edge;
mod server;

use std::{env, path::Path};

use anyhow::{Result, ensure};
use embedkit::types::LateText;
use embedkit::{
    DEFAULT_MODEL, LateInteractionTextEmbedding, LoadOptions, ModelFiles, ModelSpec, MultiVector,
    Role, SparseEmbedding, SparseTextEmbedding, Task, TaskKind, TextEmbedding, registry,
};

/// Something to be found.
const PASSAGES: [&str; 6] = [
    "Photosynthesis turns light, water and carbon dioxide into sugar and oxygen.",
    "The tango came up in the ports of Buenos Aires and Montevideo.",
    "Snails and slugs keep away from copper tape and from coarse sand.",
    "A sourdough starter wants flour, water and a week of patience.",
    "Tides follow the moon: its pull raises the sea twice a day.",
    "Compound interest pays interest on interest.",
];

/// Something to find with, and the passage that answers it.
const QUESTIONS: [(&str, usize); 4] = [
    ("How do plants eat?", 0),
    ("music for dancing from Argentina", 1),
    ("how can I protect my lettuce from slugs?", 2),
    ("why is there high and low water at the sea?", 4),
];

/// What is stored of a text, or asked with: all three kinds of vectors.
struct Embedded {
    text: &'static str,
    dense: Vec<f32>,
    terms: SparseEmbedding,
    tokens: MultiVector,
}

/// The kinds of vectors, by the names that the stores know them by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Dense,
    Terms,
    Tokens,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Dense, Self::Terms, Self::Tokens];

    fn name(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::Terms => "terms",
            Self::Tokens => "tokens",
        }
    }
}

/// A place to keep passages in; both engines are one.
trait Store {
    /// Keeps the passages under their positions.
    fn insert(&mut self, passages: &[Embedded]) -> Result<()>;

    /// The best matches by one kind of vector, with their scores, best first.
    fn search(&self, question: &Embedded, by: Kind, top_k: usize) -> Result<Vec<(usize, f32)>>;
}

fn main() -> Result<()> {
    let models = match env::args_os().nth(1) {
        Some(dir) => Models::in_dir(Path::new(&dir))?,
        None => Models::by_id()?,
    };
    let passages = models.embed(&PASSAGES, Role::Document)?;
    let questions: Vec<_> = QUESTIONS.iter().map(|(text, _)| *text).collect();
    let questions = models.embed(&questions, Role::Query)?;

    let folder = tempfile::tempdir()?;
    let mut embedded = edge::Edge::create(folder.path(), &passages[0])?;
    let found = ask(&mut embedded, "embedded", &passages, &questions)?;

    let url = env::var("QDRANT_URL").unwrap_or_else(|_| "http://localhost:6334".to_owned());
    match server::Server::create(&url, &passages[0]) {
        Ok(mut server) => {
            let same = ask(&mut server, &url, &passages, &questions)?;
            ensure!(found == same, "the server ranks {same:?}, the embedded engine {found:?}");
            println!("\nboth stores agree");
        }
        // Somebody who names a server wants it to be used.
        Err(error) if env::var_os("QDRANT_URL").is_some() => return Err(error),
        Err(error) => println!("\nskipped: no Qdrant server at {url} ({error:#})"),
    }
    Ok(())
}

/// Fills a store, asks all questions by all kinds of vectors and returns the best passage of each.
fn ask(
    store: &mut dyn Store,
    name: &str,
    passages: &[Embedded],
    questions: &[Embedded],
) -> Result<Vec<Option<usize>>> {
    println!("\n== {name}");
    store.insert(passages)?;
    let mut best = Vec::new();
    for (question, (_, answer)) in questions.iter().zip(QUESTIONS) {
        println!("\n{}", question.text);
        for kind in Kind::ALL {
            let found = store.search(question, kind, 3)?;
            let Some(&(first, score)) = found.first() else {
                println!("  {:6}            no word in common", kind.name());
                best.push(None);
                continue;
            };
            let mark = if first == answer { "✓" } else { " " };
            println!("  {:6} {mark} {score:7.3}  {}", kind.name(), PASSAGES[first]);
            best.push(Some(first));
        }
    }
    let answers = QUESTIONS.iter().flat_map(|&(_, answer)| [Some(answer); Kind::ALL.len()]);
    let right = best.iter().zip(answers).filter(|(found, answer)| **found == *answer).count();
    println!("\n{right} of {} right", best.len());
    Ok(best)
}

/// The three encoders.
struct Models {
    dense: TextEmbedding,
    terms: SparseTextEmbedding,
    tokens: LateInteractionTextEmbedding,
}

impl Models {
    /// Registered models, from the cache or fetched into it.
    fn by_id() -> Result<Self> {
        let options = LoadOptions::default();
        Ok(Self {
            dense: TextEmbedding::load(DEFAULT_MODEL, options.clone())?,
            terms: SparseTextEmbedding::load("Qdrant/bm25", options.clone())?,
            tokens: LateInteractionTextEmbedding::load(
                "answerdotai/answerai-colbert-small-v1",
                options,
            )?,
        })
    }

    /// all-MiniLM-L6-v2 in a folder, pooled for the dense vectors and token by token for the others: a
    /// model of our own is a description like any other.
    fn in_dir(dir: &Path) -> Result<Self> {
        let options = LoadOptions::default();
        let registered =
            registry::find_task("sentence-transformers/all-MiniLM-L6-v2", TaskKind::TextDense)?;
        let dense = ModelSpec { file: "model.onnx".into(), ..registered.clone() };
        let tokens = ModelSpec {
            id: "example/all-MiniLM-L6-v2-tokens".into(),
            task: Task::LateText(LateText {
                dim: 384,
                normalize: true,
                normalize_queries: true,
                ..LateText::DEFAULT
            }),
            ..dense.clone()
        };
        let files = ModelFiles::in_dir(dir, &dense);
        Ok(Self {
            dense: TextEmbedding::from_files(&dense, &files, &options)?,
            terms: SparseTextEmbedding::load("Qdrant/bm25", options.clone())?,
            tokens: LateInteractionTextEmbedding::from_files(&tokens, &files, &options)?,
        })
    }

    /// All three vectors of each text.
    fn embed(&self, texts: &[&'static str], role: Role) -> Result<Vec<Embedded>> {
        let dense = self.dense.embed_batch(role, texts)?;
        let terms = self.terms.embed_batch(role, texts)?;
        let tokens = self.tokens.embed_batch(role, texts)?;
        let vectors = dense.into_iter().zip(terms).zip(tokens).zip(texts);
        Ok(vectors
            .map(|(((dense, terms), tokens), text)| Embedded { text, dense, terms, tokens })
            .collect())
    }
}

/// The vectors of a multi-vector, as both clients want them.
fn rows(vectors: &MultiVector) -> Vec<Vec<f32>> {
    vectors.rows().map(<[f32]>::to_vec).collect()
}
