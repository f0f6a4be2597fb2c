//! `cargo xtask bench`: how fast we are, and how that compares with others on the same machine.
//!
//! Contestants are processes that measure themselves ([`contestant`]), started once and then asked in
//! turn ([`rounds`]), so that whatever else the machine does falls on all of them. All run on the same
//! ONNX file, the same ONNX Runtime, the same texts ([`corpus`]) and as many threads as there are
//! cores, and nothing is timed before their numbers are found to be equal ([`vectors`]). Every
//! benchmark fills a [`report`]; [`pages`] draws the reports for the documentation.

mod chart;
mod cold;
mod comparison;
mod contestant;
mod contestants;
mod corpus;
mod dense;
mod image;
mod int8;
mod late;
mod machine;
mod models;
mod muvera;
mod pages;
mod report;
mod rerank;
mod roofline;
mod rounds;
mod scale;
mod serve_like;
mod sizes;
mod sparse;
mod variants;
mod vectors;

use std::{
    fs::{self, File, TryLockError},
    path::PathBuf,
    time::Instant,
};

use anyhow::{Context, Result, bail};

use self::{
    contestants::{Contestants, Setting},
    corpus::Corpus,
    report::{Report, Results},
    scale::Scale,
};
use crate::repo;

/// What is measured and how long.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// What to measure
    #[arg(value_enum, default_value = "all")]
    what: Vec<What>,
    /// Fewer texts and rounds, to try things out: the figures mean little
    #[arg(long)]
    quick: bool,
    /// How often everything is measured [default: 3, or 2 with --quick]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Where the figures are kept, each benchmark's in the place of its earlier ones [default:
    /// .cache/bench/results.json]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// All but variants
    All,
    /// Text to one vector: throughput against the matrix product, latency
    Dense,
    /// BM25
    Bm25,
    /// SPLADE and BM42
    Sparse,
    /// A vector for each token, as ColBERT has it
    Late,
    /// Queries and documents to scores
    Rerank,
    /// MUVERA's encodings
    Muvera,
    /// Late interaction's scores
    Maxsim,
    /// Images: preprocessing, and to one vector
    Image,
    /// Eight-bit integers beside f32: speed and quality
    Int8,
    /// From the start of a process to the first vector
    Cold,
    /// Time and peak memory by the number of texts
    Sizes,
    /// Many callers on one model: single queries and requests of 32 texts
    ServeLike,
    /// Settings of ours beside each other
    Variants,
    /// Measure nothing: draw the figures that are kept into docs/
    Docs,
}

impl What {
    /// What `all` stands for.
    const ALL: [Self; 12] = [
        Self::Dense,
        Self::Bm25,
        Self::Sparse,
        Self::Late,
        Self::Rerank,
        Self::Muvera,
        Self::Maxsim,
        Self::Image,
        Self::Int8,
        Self::Cold,
        Self::Sizes,
        Self::ServeLike,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Dense => "dense",
            Self::Bm25 => "bm25",
            Self::Sparse => "sparse",
            Self::Late => "late",
            Self::Rerank => "rerank",
            Self::Muvera => "muvera",
            Self::Maxsim => "maxsim",
            Self::Image => "image",
            Self::Int8 => "int8",
            Self::Cold => "cold",
            Self::Sizes => "sizes",
            Self::ServeLike => "serve-like",
            Self::Variants => "variants",
            Self::Docs => "docs",
        }
    }
}

/// Measures and prints.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let _alone = alone()?;
    let folder = folder();
    let file = arguments.json.clone().unwrap_or_else(|| folder.join("results.json"));
    // What cannot be read should be known before anything is measured.
    let mut results = Results::read(&file)?;
    let mut all = Vec::new();
    for what in &arguments.what {
        match what {
            What::All => all.extend(What::ALL),
            What::Docs => {}
            what => all.push(*what),
        }
    }
    let mut failed = Vec::new();
    if !all.is_empty() {
        let scale = Scale::new(arguments.quick, arguments.rounds.map(|rounds| rounds as usize));
        let contestants = Contestants::ready(&folder)?;
        let setting =
            Setting { contestants: &contestants, threads: machine::cores(), folder: &folder };
        let corpus = corpus::read()?;
        for what in all {
            let start = Instant::now();
            let mut report = Report::new(what.name(), arguments.quick, scale.rounds);
            match measure(what, &setting, &scale, &corpus, &mut report) {
                Ok(()) => results.replace(report, &file)?,
                Err(error) => {
                    // One that fails takes no other with it.
                    println!("  {} FAILED: {error:#}", what.name());
                    failed.push(what.name());
                }
            }
            println!("  took {:.0} s", start.elapsed().as_secs_f64());
        }
        summarise(&results);
        println!("figures are in {}", repo::short(&file));
    }
    if arguments.what.contains(&What::Docs) {
        pages::write(&results)?;
    }
    if !failed.is_empty() {
        bail!("not measured: {}", failed.join(", "));
    }
    Ok(())
}

fn measure(
    what: What,
    setting: &Setting<'_>,
    scale: &Scale,
    corpus: &Corpus,
    report: &mut Report,
) -> Result<()> {
    match what {
        What::Dense => dense::measure(setting, scale, corpus, report),
        What::Bm25 => sparse::bm25(setting, scale, corpus, report),
        What::Sparse => sparse::measure(setting, scale, corpus, report),
        What::Late => late::measure(setting, scale, corpus, report),
        What::Rerank => rerank::measure(setting, scale, corpus, report),
        What::Maxsim => late::max_sim(setting, scale, report),
        What::Image => image::measure(setting, scale, report),
        What::Int8 => int8::measure(setting, scale, corpus, report),
        What::Muvera => muvera::measure(setting, scale, report),
        What::Cold => cold::measure(setting, scale, corpus, report),
        What::Sizes => sizes::measure(setting, scale, corpus, report),
        What::ServeLike => serve_like::measure(setting, scale, corpus, report),
        What::Variants => variants::measure(setting, scale, corpus, report),
        What::All | What::Docs => bail!("{} is no benchmark", what.name()),
    }
}

/// Prints the goals of all benchmarks, those of earlier runs included.
fn summarise(results: &Results) {
    println!("\ngoals");
    for report in &results.benches {
        for (row, goal) in report.goals() {
            let busy = if report.is_busy() { "  (on a busy machine)" } else { "" };
            println!("  {:<8} {:<62} {}{busy}", report.bench, row.what, goal.said(row.median));
        }
    }
}

/// Everything that the benchmarks make.
fn folder() -> PathBuf {
    repo::root().join(".cache").join("bench")
}

/// Makes sure that no other benchmark of this repository runs: its files are the same, and the
/// figures of both would be worthless. The lock ends with the process, however it ends.
fn alone() -> Result<File> {
    let folder = folder();
    fs::create_dir_all(&folder).with_context(|| format!("could not make {}", folder.display()))?;
    let path = folder.join("lock");
    let file = File::create(&path).with_context(|| format!("could not make {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!("another benchmark is running"),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("could not lock {}", path.display()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_benchmarks_do_not_run_at_once() {
        // The second may come from this process too: locks are of the file as it was opened.
        let Ok(_first) = alone() else { return }; // a real one is running
        let error = alone().expect_err("the first still holds the lock");
        assert_eq!(error.to_string(), "another benchmark is running");
    }
}
