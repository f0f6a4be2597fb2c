//! `cargo xtask demo`: a small semantic search with a real model; needs only cargo and pip.
//!
//! The embeddings come from the program `embedkit`, called like by any user. Only the ranking, a dot
//! product, is done here.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{
    assets::{self, Set},
    repo, run,
};

/// Id of the model in the registry.
const MODEL: &str = "sentence-transformers/all-MiniLM-L6-v2";

/// Questions in other words than the answers, which a keyword search would not find.
const QUESTIONS: &[&str] = &[
    "Why is there air inside a loaf?",
    "What should I do after touching a hot stove?",
    "How do I get rid of greenfly without poison?",
    "How can I stop attackers from tampering with my database?",
    "Why does the lunar surface that we look at never change?",
];

/// Options of the command.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Questions to ask instead of the bundled ones
    questions: Vec<String>,
    /// Number of answers for each question
    #[arg(long, default_value_t = 3)]
    top_k: usize,
}

#[derive(Deserialize)]
struct Passage {
    text: String,
}

/// A line of `embedkit embed --format jsonl`.
#[derive(Deserialize)]
struct Embedded {
    embedding: Vec<f32>,
}

/// Fetches, builds, embeds, ranks and prints.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut timings = Timings::default();
    let summary = assets::ensure(Set::Demo)?;
    timings.add("fetch ONNX Runtime and the model", summary.fetching);
    timings.add("turn its weights into an ONNX graph", summary.converting);

    println!("building the embedkit program");
    let start = Instant::now();
    let embedkit = run::build_embedkit(true)?;
    timings.add("build the embedkit program", start.elapsed());

    let passages_file = repo::root().join("xtask").join("demo").join("passages.jsonl");
    let passages = read_passages(&passages_file)?;
    let model = Model { embedkit, dir: assets::minilm(), runtime: assets::newest_runtime() };

    let questions: Vec<&str> = if arguments.questions.is_empty() {
        QUESTIONS.to_vec()
    } else {
        arguments.questions.iter().map(String::as_str).collect()
    };
    let start = Instant::now();
    let asked = model.embed(|command| command.arg("--").args(&questions))?;
    timings.add(&format!("load the model, embed {} questions", questions.len()), start.elapsed());
    let start = Instant::now();
    let known = model.embed(|command| command.arg("--input").arg(&passages_file))?;
    timings.add(&format!("load the model, embed {} passages", passages.len()), start.elapsed());
    if known.len() != passages.len() || asked.len() != questions.len() {
        bail!(
            "embedkit answered {} passages and {} questions with {} and {} vectors",
            passages.len(),
            questions.len(),
            known.len(),
            asked.len()
        );
    }

    let start = Instant::now();
    let ranked: Vec<_> = asked.iter().map(|one| rank(one, &known, arguments.top_k)).collect();
    timings.add(&format!("compare {} times {}", asked.len(), known.len()), start.elapsed());

    for (question, answers) in questions.iter().zip(ranked) {
        println!("\n{question}");
        for (place, (index, score)) in (1..).zip(answers) {
            println!("{}", answer(place, score, &passages[index].text));
        }
    }
    println!("\n{}", timings.table());
    println!("\nThe same with the command line program:\n\n{}", model.search_line(&passages_file));
    println!("\nBy words, without any model or runtime:\n\n{}", model.words_line(&passages_file));
    Ok(())
}

/// The program, and its environment for the model.
struct Model {
    embedkit: PathBuf,
    dir: PathBuf,
    runtime: PathBuf,
}

impl Model {
    /// Vectors of the inputs that `inputs` adds to the command.
    fn embed(&self, inputs: impl FnOnce(&mut Command) -> &mut Command) -> Result<Vec<Vec<f32>>> {
        let mut command = Command::new(&self.embedkit);
        command.args(["embed", "--quiet", "--model", MODEL, "--model-dir"]).arg(&self.dir);
        command.arg("--onnxruntime").arg(&self.runtime);
        inputs(&mut command);
        let text = run::output(&mut command)?;
        text.lines()
            .map(|line| {
                let embedded: Embedded = serde_json::from_str(line)
                    .with_context(|| format!("embedkit wrote {line:.80}"))?;
                Ok(embedded.embedding)
            })
            .collect()
    }

    /// A search command to type at the root of the repository.
    fn search_line(&self, passages: &Path) -> String {
        format!(
            "{} search 'music for dancing' --input {} \\\n  --model {MODEL} --model-dir {} \\\n  \
             --onnxruntime {}",
            repo::short(&self.embedkit),
            repo::short(passages),
            repo::short(&self.dir),
            repo::short(&self.runtime)
        )
    }

    /// The same with BM25.
    fn words_line(&self, passages: &Path) -> String {
        format!(
            "{} search 'music for dancing' --input {} --model Qdrant/bm25",
            repo::short(&self.embedkit),
            repo::short(passages)
        )
    }
}

fn read_passages(path: &Path) -> Result<Vec<Passage>> {
    let text =
        fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
    text.lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("not a passage: {line}")))
        .collect()
}

/// The `top` best matches, best first. Vectors have unit length, so the dot product is the cosine.
fn rank(question: &[f32], known: &[Vec<f32>], top: usize) -> Vec<(usize, f32)> {
    let dot = |other: &Vec<f32>| question.iter().zip(other).map(|(a, b)| a * b).sum();
    let mut scores: Vec<(usize, f32)> = known.iter().map(dot).enumerate().collect();
    scores.sort_by(|a, b| b.1.total_cmp(&a.1));
    scores.truncate(top);
    scores
}

/// An answer, wrapped to the width of a usual terminal.
fn answer(place: usize, score: f32, text: &str) -> String {
    const WIDTH: usize = 88;
    let mut out = format!("  {place}. {score:.3}  ");
    let indent = out.len();
    let mut column = indent;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column > indent {
            if column + 1 + length > WIDTH {
                out.push('\n');
                out.push_str(&" ".repeat(indent));
                column = indent;
            } else {
                out.push(' ');
                column += 1;
            }
        }
        out.push_str(word);
        column += length;
    }
    out
}

/// Timings.
#[derive(Default)]
struct Timings(Vec<(String, Duration)>);

impl Timings {
    fn add(&mut self, what: &str, took: Duration) {
        self.0.push((what.to_owned(), took));
    }

    fn table(&self) -> String {
        let width = self.0.iter().map(|row| row.0.len()).max().unwrap_or(0);
        let rows = self.0.iter().map(|(what, took)| {
            let seconds = took.as_secs_f64();
            if *took < Duration::from_millis(10) {
                format!("{what:width$}  {:>7.2} ms", seconds * 1e3)
            } else {
                format!("{what:width$}  {seconds:>7.2} s")
            }
        });
        rows.collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_collection_is_what_the_readme_says() {
        let file = repo::root().join("xtask/demo/passages.jsonl");
        let passages = read_passages(&file).expect("the collection");
        assert_eq!(passages.len(), 200);
        let mut texts: Vec<_> = passages.iter().map(|passage| &passage.text).collect();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), 200, "a passage is there twice");
    }

    #[test]
    fn the_best_come_first_and_equals_keep_their_order() {
        let known = [vec![0.0, 1.0], vec![1.0, 0.0], vec![0.6, 0.8], vec![1.0, 0.0]];
        assert_eq!(rank(&[1.0, 0.0], &known, 3), [(1, 1.0), (3, 1.0), (2, 0.6)]);
    }

    #[test]
    fn an_answer_is_wrapped_under_its_text() {
        let text = answer(1, 0.5, &"word ".repeat(30));
        let lines: Vec<_> = text.lines().collect();
        assert!(lines.len() > 1 && lines.iter().all(|line| line.len() <= 88), "{text}");
        assert!(lines[0].starts_with("  1. 0.500  word"), "{text}");
        assert!(lines[1].starts_with("            word"), "{text}");
        assert_eq!(text.split_whitespace().filter(|word| *word == "word").count(), 30);
    }
}
