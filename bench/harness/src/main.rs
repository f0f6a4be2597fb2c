//! `cargo xtask bench`: speed and memory, compared with other libraries on the same machine.
//!
//! Contestants are processes that measure themselves ([`contestant`]). They are started once and take
//! turns ([`rounds`]), so that other load affects all of them. All use the same ONNX file, ONNX
//! Runtime, texts ([`corpus`]) and number of threads (one for each core). Outputs are verified to be
//! equal before timing ([`vectors`]). Every benchmark fills a [`report`]; [`pages`] renders the reports
//! for the documentation.

#![expect(clippy::print_stdout, reason = "a command line program answers on standard output")]

mod chart;
mod cold;
mod comparison;
mod contestant;
mod contestants;
mod corpus;
mod dense;
mod image;
mod int8;
mod kernels;
mod lanes;
mod late;
mod machine;
mod models;
mod muvera;
mod pages;
mod python;
mod report;
mod rerank;
mod retrieval;
mod roofline;
mod rounds;
mod scale;
mod serve;
mod serve_like;
mod sizes;
mod sparse;
mod variants;
mod vectors;

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use clap::Parser;
use xtask::{exit, repo};

use self::{
    contestants::{Contestants, Setting},
    corpus::Corpus,
    report::{Report, Results},
    scale::Scale,
};

/// Measure speed and memory, compared with other libraries on the same machine.
#[derive(Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
struct Arguments {
    /// Benchmarks to run
    #[arg(value_enum, default_value = "all")]
    what: Vec<What>,
    /// Fewer texts and rounds, to try things out: the figures mean little
    #[arg(long)]
    quick: bool,
    /// Install the peers that need torch, even if the package index has its build for CUDA only: gigabytes
    #[arg(long)]
    torch: bool,
    /// Rounds of each benchmark [default: 3, or 2 with --quick]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Results file, which keeps the latest figures of each benchmark [default:
    /// .cache/bench/results.json]
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Collection for `retrieval` instead of ours: a folder with corpus.jsonl, queries.jsonl and
    /// qrels.tsv as BEIR has them; its figures are printed only
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// All but serve, python, variants and retrieval
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
    /// Our matrix products by element and instruction set
    Kernels,
    /// The engine with as many lanes as large machines have cores, simulated
    Lanes,
    /// From the start of a process to the first vector
    Cold,
    /// Time and peak memory by the number of texts
    Sizes,
    /// Many callers on one model: single queries and requests of 32 texts
    ServeLike,
    /// The HTTP server beside the library: throughput, latency, memory over 200,000 requests
    Serve,
    /// The Python package beside the library, and FastEmbed
    Python,
    /// Methods of retrieval on a labelled collection: quality and speed
    Retrieval,
    /// Our own settings compared with each other
    Variants,
    /// Measure nothing: put what was measured beside the figures of docs/, and draw these again
    Docs,
}

impl What {
    /// Benchmarks of `all`.
    const ALL: [Self; 14] = [
        Self::Dense,
        Self::Bm25,
        Self::Sparse,
        Self::Late,
        Self::Rerank,
        Self::Muvera,
        Self::Maxsim,
        Self::Image,
        Self::Int8,
        Self::Kernels,
        Self::Lanes,
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
            Self::Kernels => "kernels",
            Self::Lanes => "lanes",
            Self::Cold => "cold",
            Self::Sizes => "sizes",
            Self::ServeLike => "serve-like",
            Self::Serve => "serve",
            Self::Python => "python",
            Self::Retrieval => "retrieval",
            Self::Variants => "variants",
            Self::Docs => "docs",
        }
    }
}

fn main() -> ExitCode {
    exit::code(run(&Arguments::parse()))
}

/// Runs the benchmarks and prints the reports.
fn run(arguments: &Arguments) -> Result<()> {
    let _alone = alone()?;
    let folder = folder();
    let file = arguments.json.clone().unwrap_or_else(|| folder.join("results.json"));
    // Unreadable results should fail before anything is measured.
    let mut results = Results::read(&file)?;
    let mut all = Vec::new();
    for what in &arguments.what {
        match what {
            What::All => all.extend(What::ALL),
            What::Docs => {}
            what => all.push(*what),
        }
    }
    let mut measured = Measured { results: &mut results, file: &file, failed: Vec::new() };
    let scale = Scale::new(arguments.quick, arguments.rounds.map(|rounds| rounds as usize));
    if all.contains(&What::Retrieval) {
        // One round unless more are asked for: quality is the same in all, and it takes minutes.
        let rounds = arguments.rounds.map_or(1, |rounds| rounds as usize);
        let data = arguments.data.as_deref();
        let report = Report::new(What::Retrieval.name(), arguments.quick, rounds);
        let keep = data.is_none();
        measured.add(report, keep, |report| retrieval::measure(&folder, data, report))?;
        all.retain(|what| *what != What::Retrieval);
    }
    if !all.is_empty() {
        let contestants = Contestants::ready(&folder, arguments.torch)?;
        let setting =
            Setting { contestants: &contestants, threads: machine::cores(), folder: &folder };
        let corpus = corpus::read()?;
        for what in all {
            let report = Report::new(what.name(), arguments.quick, scale.rounds);
            measured
                .add(report, true, |report| measure(what, &setting, &scale, &corpus, report))?;
        }
    }
    let failed = measured.failed;
    if arguments.what != [What::Docs] {
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

/// Reports of this run, kept as they come.
struct Measured<'a> {
    results: &'a mut Results,
    file: &'a Path,
    failed: Vec<String>,
}

impl Measured<'_> {
    /// Fills a report and keeps it, or not. A failure does not stop the others.
    fn add(
        &mut self,
        mut report: Report,
        keep: bool,
        measure: impl FnOnce(&mut Report) -> Result<()>,
    ) -> Result<()> {
        let start = Instant::now();
        match measure(&mut report) {
            Ok(()) if keep => {
                self.results.replace(report);
                self.results.write(self.file)?;
            }
            Ok(()) => {}
            Err(error) => {
                println!("  {} FAILED: {error:#}", report.bench);
                self.failed.push(report.bench);
            }
        }
        println!("  took {:.0} s", start.elapsed().as_secs_f64());
        Ok(())
    }
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
        What::Kernels => kernels::measure(setting, scale, report),
        What::Lanes => lanes::measure(setting, scale, report),
        What::Muvera => muvera::measure(setting, scale, report),
        What::Cold => cold::measure(setting, scale, corpus, report),
        What::Sizes => sizes::measure(setting, scale, corpus, report),
        What::ServeLike => serve_like::measure(setting, scale, corpus, report),
        What::Serve => serve::measure(setting, scale, corpus, report),
        What::Python => python::measure(setting, scale, corpus, report),
        What::Variants => variants::measure(setting, scale, corpus, report),
        What::Retrieval | What::All | What::Docs => bail!("{} is no benchmark", what.name()),
    }
}

/// Prints the goals of all benchmarks, including earlier runs.
fn summarise(results: &Results) {
    println!("\ngoals");
    for report in &results.benches {
        for (row, goal) in report.goals() {
            let busy = if report.is_busy() { "  (on a busy machine)" } else { "" };
            println!("  {:<8} {:<62} {}{busy}", report.bench, row.what, goal.said(row.median));
        }
    }
}

/// Files of the benchmarks.
fn folder() -> PathBuf {
    repo::root().join(".cache").join("bench")
}

/// Locks out other benchmarks of this repository, which would use the same files and spoil the figures
/// of both. The lock ends with the process.
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
        // The second may also come from this process: locks belong to the open file.
        let Ok(_first) = alone() else { return }; // a real one is running
        let error = alone().expect_err("the first still holds the lock");
        assert_eq!(error.to_string(), "another benchmark is running");
    }
}
