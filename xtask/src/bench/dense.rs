//! `cargo xtask bench dense`: all-MiniLM-L6-v2 in single precision, ours beside the peers.
//!
//! Every figure is measured once a round and the contestants take turns within a round, each round
//! beginning with another one. Ratios are made within a round.

mod memory;
mod speed;
mod variants;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{
    contestant::{Contestant, Embedded},
    corpus::{self, Corpus},
    folder, machine,
    peers::{Peer, Peers, Setting},
    report::Report,
    roofline,
};

/// What is measured and how long.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Fewer texts and rounds, to try things out: the figures mean little
    #[arg(long)]
    quick: bool,
    /// Compare settings of ours with each other instead: replicas and threads, spinning, batch sizes
    #[arg(long)]
    variants: bool,
    /// How often everything is measured [default: 5, or 2 with --quick]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
}

/// How much is measured.
struct Scale {
    rounds: usize,
    /// Texts of the mixed corpus.
    texts: usize,
    /// Texts of equal length.
    equal: usize,
    /// Texts at the peers' default batch size, where they are slow, and to compare vectors on.
    few: usize,
    queries: usize,
    /// Matrix products at a time.
    products: usize,
    /// Numbers of texts that our memory is measured at; peers at the first only.
    memory: &'static [usize],
}

impl Scale {
    fn of(arguments: &Arguments) -> Self {
        let rounds = |default| arguments.rounds.map_or(default, |rounds| rounds as usize);
        if arguments.quick {
            Self {
                rounds: rounds(2),
                texts: 200,
                equal: 50,
                few: 64,
                queries: 40,
                products: 10,
                memory: &[200, 1000],
            }
        } else {
            Self {
                rounds: rounds(5),
                texts: corpus::TEXTS,
                equal: 500,
                few: 256,
                queries: 200,
                products: 40,
                memory: &[1000, 10_000, 50_000],
            }
        }
    }
}

/// A file of texts and what is known of them.
struct Texts {
    file: PathBuf,
    /// Tokens of all texts, special tokens included.
    tokens: f64,
    /// FLOP that the model needs for them.
    flop: f64,
    /// What ours gave for them; every other run has to give the same.
    expected: Embedded,
}

/// The files of texts that are measured on.
struct Inputs {
    mixed: Texts,
    few: Texts,
    equal: Texts,
    queries: PathBuf,
}

/// Measures and reports.
pub(super) fn run(arguments: &Arguments) -> Result<()> {
    let scale = Scale::of(arguments);
    let folder = folder();
    let threads = machine::cores();
    let peers = Peers::ready(&folder, threads)?;
    let setting = Setting { peers: &peers, threads, folder: &folder };
    let corpus = corpus::read()?;
    println!(
        "{} texts, the median of {} words, fingerprint {:.16}",
        corpus.texts.len(),
        corpus.median_words,
        corpus.fingerprint
    );
    let (mut ours, _) = peers.ours("embedkit", &Value::Null)?;
    let inputs = Inputs::make(&setting, &scale, &corpus, &mut ours)?;
    let mut report = Report::new(machine::describe(), describe(&corpus, &inputs));
    if let Some(load) = machine::load().filter(|load| *load > 0.5) {
        report.note(format!(
            "the machine was not idle: {load} busy threads in the minute before; trust ratios only"
        ));
    }
    if arguments.quick {
        report.note("measured with --quick: the figures mean little".to_owned());
    }
    if arguments.variants {
        drop(ours);
        variants::measure(&setting, &scale, &inputs, &mut report)?;
        return report.finish(&folder.join("dense-variants.json"));
    }
    for peer in Peer::ALL {
        if let Some(reason) = peers.skipped(peer) {
            report.skip(peer.name(), reason);
        }
    }
    let best = speed::at_batch_sizes(&setting, &scale, &inputs, &mut ours, &mut report)?;
    speed::side_by_side(&setting, &scale, &inputs, ours, &best, &mut report)?;
    memory::measure(&setting, &scale, &corpus, &best, &mut report)?;
    memory::load_times(&setting, &scale, &mut report)?;
    report.finish(&folder.join("dense.json"))
}

impl Inputs {
    fn make(
        setting: &Setting<'_>,
        scale: &Scale,
        corpus: &Corpus,
        ours: &mut Contestant,
    ) -> Result<Self> {
        let file = |name: &str| setting.folder.join(name);
        let queries = file("queries.txt");
        corpus::write(&queries, corpus::queries(&corpus.texts, scale.queries))?;
        let mixed = corpus.texts[..scale.texts].to_vec();
        let few = corpus.texts[..scale.few].to_vec();
        let equal = equal_texts(setting, scale, corpus, ours)?;
        Ok(Self {
            mixed: Texts::of(file("mixed.txt"), &mixed, ours)?,
            few: Texts::of(file("few.txt"), &few, ours)?,
            equal: Texts::of(file("equal.txt"), &equal, ours)?,
            queries,
        })
    }
}

impl Texts {
    fn of(file: PathBuf, texts: &[String], ours: &mut Contestant) -> Result<Self> {
        corpus::write(&file, texts)?;
        let tokens = tokens(ours, &file)?;
        Ok(Self {
            tokens: tokens.iter().sum::<usize>() as f64,
            flop: roofline::flop(&tokens),
            expected: ours.embed(&file, None)?,
            file,
        })
    }
}

/// Texts of 128 tokens each: words that are one token are put together.
fn equal_texts(
    setting: &Setting<'_>,
    scale: &Scale,
    corpus: &Corpus,
    ours: &mut Contestant,
) -> Result<Vec<String>> {
    const TOKENS: usize = 128;
    const SPECIAL: usize = 2;
    let file = setting.folder.join("equal.txt");
    let mut words = corpus::words(&corpus.texts);
    corpus::write(&file, &words)?;
    let mut counts = tokens(ours, &file)?.into_iter();
    words.retain(|_| counts.next() == Some(1 + SPECIAL));
    if words.len() < 100 {
        bail!("only {} words of the corpus are one token each", words.len());
    }
    let texts = corpus::equal(&words, TOKENS - SPECIAL, scale.equal);
    corpus::write(&file, &texts)?;
    if let Some(found) = tokens(ours, &file)?.into_iter().find(|found| *found != TOKENS) {
        bail!("a text that should have {TOKENS} tokens has {found}");
    }
    Ok(texts)
}

fn tokens(ours: &mut Contestant, file: &PathBuf) -> Result<Vec<usize>> {
    let answer = ours.ask(&json!({"op": "tokens", "texts": file}))?;
    serde_json::from_value(answer["tokens"].clone()).context("counts of tokens were expected")
}

fn describe(corpus: &Corpus, inputs: &Inputs) -> Value {
    let one = |texts: &Texts| json!({"texts": texts.expected.count, "tokens": texts.tokens, "gflop": texts.flop / 1e9});
    json!({
        "fingerprint": corpus.fingerprint,
        "median_words": corpus.median_words,
        "mixed": one(&inputs.mixed),
        "few": one(&inputs.few),
        "equal": one(&inputs.equal),
    })
}

/// The order of turns in a round: every round begins with another contestant.
fn turns(count: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |turn| (turn + round) % count)
}

/// Element by element.
fn zip(a: &[f64], b: &[f64], with: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| with(*a, *b)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_has_a_turn_and_begins_once() {
        let rounds: Vec<Vec<_>> = (0..3).map(|round| turns(3, round).collect()).collect();
        assert_eq!(rounds, [[0, 1, 2], [1, 2, 0], [2, 0, 1]]);
    }
}
