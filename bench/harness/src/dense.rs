//! `dense`: all-MiniLM-L6-v2 in f32, compared with the peers: throughput relative to the matrix
//! product, and latency of single queries.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::{
    comparison::{Comparison, Inputs, Side, shares},
    contestant::{Contestant, Queried},
    contestants::{Kind, Open, Peer, Setting},
    corpus::{self, Corpus},
    report::{Goal, Report, percentile},
    roofline::{self, Roofline},
    rounds::{giga, interleave, rates, zip},
    scale::Scale,
};
use xtask::assets;

/// Concurrent callers of single queries.
const CALLERS: usize = 8;
/// Share of the matrix product above which a peer's ratio has no goal.
const NEAR_THE_ROOF: f64 = 0.6;
/// Matrix products at a time.
const PRODUCTS: usize = 40;

/// Texts, with the FLOP that they need.
struct Texts {
    inputs: Inputs,
    /// Tokens of all texts, special tokens included.
    tokens: f64,
    /// FLOP of the model for them.
    flop: f64,
}

/// Model of all contestants.
pub(super) fn open<'a>(model: &'a Path, threads: usize, options: &'a Value) -> Open<'a> {
    Open { kind: Kind::Dense, model, threads, options }
}

/// The comparison of this kind.
pub(super) fn comparison<'a>(
    setting: &'a Setting<'a>,
    model: &'a Path,
    scale: &Scale,
) -> Comparison<'a> {
    Comparison {
        goal_default: Some(10.0),
        goal_best: None,
        ..Comparison::of(setting, scale, Kind::Dense, model, "mixed texts")
    }
}

/// Measures.
pub(super) fn measure(
    setting: &Setting<'_>,
    scale: &Scale,
    corpus: &Corpus,
    report: &mut Report,
) -> Result<()> {
    let model = assets::minilm();
    let comparison = comparison(setting, &model, scale);
    let mut ours = comparison.ours()?;
    let mixed = Texts::new(setting, "mixed", &corpus.texts[..scale.texts], &mut ours)?;
    let few = Inputs::write(setting, "few", &corpus.texts[..scale.few], &mut ours)?;
    let equal = equal_texts(setting, scale, corpus, &mut ours)?;
    let queries = setting.folder.join("queries.txt");
    corpus::write(&queries, corpus::queries(&corpus.texts, scale.queries))?;
    report.inputs = json!({
        "fingerprint": corpus.fingerprint, "median_words": corpus.median_words,
        "mixed": mixed.describe(), "few": few.describe(), "equal": equal.describe(),
    });

    let mut peers = Vec::new();
    for peer in Peer::ALL {
        if let Some(reason) = setting.contestants.skipped(peer) {
            report.skip(peer.name(), reason);
            continue;
        }
        peers.push(comparison.batch_sizes(peer, &few, &few, &mut ours, report)?);
    }
    let mut all = vec![Side { contestant: ours, batch: None }];
    all.append(&mut peers);

    let mut roofline = Roofline::start(setting)?;
    report.section(&format!(
        "{} mixed texts, {} tokens; peers at their best batch size",
        mixed.inputs.count(),
        mixed.tokens
    ));
    throughput(&comparison, true, &mixed, &mut all, &mut roofline, report)?;
    report.section(&format!("{} texts of 128 tokens each", equal.inputs.count()));
    throughput(&comparison, false, &equal, &mut all, &mut roofline, report)?;
    drop(roofline); // its threads spin
    latency(scale, &queries, &mut all, report)
}

/// Measures all in turn, and the matrix product beside ours.
fn throughput(
    comparison: &Comparison<'_>,
    is_mixed: bool,
    texts: &Texts,
    all: &mut [Side],
    roofline: &mut Roofline,
    report: &mut Report,
) -> Result<()> {
    let mut product = Vec::new();
    let seconds = comparison.side_by_side(all, &texts.inputs, || {
        product.push(roofline.rates(PRODUCTS)?.0);
        Ok(())
    })?;
    for (side, seconds) in all.iter().zip(&seconds) {
        report.add(side.name(), "tokens/s", rates(seconds, texts.tokens));
    }
    let kind = if is_mixed { "mixed texts" } else { "texts of 128 tokens" };
    report.side_section(&format!(
        "{} {kind}; work against a plain matrix product of the same runtime and threads",
        texts.inputs.count()
    ));
    report.add("matrix product", "GFLOP/s", giga(&product));
    let mut reached = Vec::new();
    for (side, seconds) in all.iter().zip(&seconds) {
        let share = shares(&rates(seconds, texts.flop), &product);
        reached.push(percentile(&share, 0.5));
        let goal = Some(Goal::AtLeast(0.85)).filter(|_| side.batch.is_none() && is_mixed);
        let what = format!("{} / matrix product", side.name());
        match goal {
            Some(goal) => report.add_goal(what, "x", share, goal),
            None => report.add(what, "x", share),
        }
    }
    for (at, side) in all.iter().enumerate().skip(1) {
        // Close to the roofline a ratio has no headroom; our own share decides.
        let limit = if is_mixed { 1.3 } else { 1.1 };
        let has_goal = !(is_mixed && reached[at] > NEAR_THE_ROOF) && is_library(side);
        let goal = Some(Goal::AtLeast(limit)).filter(|_| has_goal);
        report.times_faster(&side.name(), &seconds[at], &seconds[0], goal);
    }
    Ok(())
}

/// Returns `false` for loops around a runtime, which have no goals.
fn is_library(side: &Side) -> bool {
    Peer::ALL.iter().any(|peer| peer.is_library() && peer.name() == side.contestant.name())
}

/// Latency of one short query in each call, by one caller and by several.
fn latency(scale: &Scale, queries: &Path, all: &mut [Side], report: &mut Report) -> Result<()> {
    for (callers, title) in [
        (1, format!("one short query a call, {} calls", scale.queries)),
        (CALLERS, format!("one short query a call, {CALLERS} callers on one model")),
    ] {
        report.section(&title);
        for side in all.iter_mut() {
            side.contestant.query(queries, callers)?;
        }
        let calls = interleave(scale.rounds, all.len(), |turn| {
            all[turn].contestant.query(queries, callers)
        })?;
        for (side, calls) in all.iter().zip(&calls) {
            add_latency(side.contestant.name(), calls, report);
        }
        report.side_section(&format!("… of which, {callers} at a time"));
        for (side, calls) in all.iter().zip(&calls) {
            let rate = |queried: &Queried| queried.seconds.len() as f64 / queried.wall;
            report.add(side.contestant.name(), "queries/s", calls.iter().map(rate).collect());
        }
        for (side, theirs) in all.iter().zip(&calls).skip(1) {
            for (what, share) in [("p50", 0.5), ("p99", 0.99)] {
                let ours = percentiles(&calls[0], share);
                let ratio = zip(&ours, &percentiles(theirs, share), |ours, theirs| ours / theirs);
                let what = format!("time of embedkit / {}, {what}", side.contestant.name());
                if what.ends_with("p50") && callers == 1 && is_library(side) {
                    report.add_goal(what, "x", ratio, Goal::AtMost(1.0));
                } else {
                    report.add(what, "x", ratio);
                }
            }
        }
    }
    Ok(())
}

/// Adds p50 and p99, one value for each round.
pub(super) fn add_latency(name: &str, rounds: &[Queried], report: &mut Report) {
    for (what, share) in [("p50", 0.5), ("p99", 0.99)] {
        let milliseconds = percentiles(rounds, share).iter().map(|s| s * 1e3).collect();
        report.add(format!("{name}, {what}"), "ms", milliseconds);
    }
}

/// Percentile of each round's calls.
pub(super) fn percentiles(rounds: &[Queried], share: f64) -> Vec<f64> {
    rounds.iter().map(|round| percentile(&round.seconds, share)).collect()
}

impl Texts {
    fn new(
        setting: &Setting<'_>,
        name: &str,
        texts: &[String],
        ours: &mut Contestant,
    ) -> Result<Self> {
        let inputs = Inputs::write(setting, name, texts, ours)?;
        let tokens = tokens(ours, &inputs.file)?;
        Ok(Self {
            inputs,
            tokens: tokens.iter().sum::<usize>() as f64,
            flop: roofline::flop(&tokens),
        })
    }

    fn describe(&self) -> Value {
        json!({
            "count": self.inputs.count(), "tokens": self.tokens, "gflop": self.flop / 1e9,
        })
    }
}

/// Texts of 128 tokens each, from words of one token.
fn equal_texts(
    setting: &Setting<'_>,
    scale: &Scale,
    corpus: &Corpus,
    ours: &mut Contestant,
) -> Result<Texts> {
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
    Texts::new(setting, "equal", &texts, ours)
}

/// Number of tokens of each text of a file, counted by ours.
pub(super) fn tokens(ours: &mut Contestant, file: &PathBuf) -> Result<Vec<usize>> {
    let answer = ours.ask(&json!({"op": "tokens", "inputs": file}))?;
    serde_json::from_value(answer["tokens"].clone()).context("counts of tokens were expected")
}
