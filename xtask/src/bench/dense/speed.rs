//! Throughput and the latency of single queries.

use std::path::Path;

use anyhow::Result;

use super::{Inputs, Scale, Texts, turns, zip};
use crate::bench::{
    contestant::{Contestant, Queried},
    peers::{Peer, Setting},
    report::{Goal, Report, percentile},
    roofline::Roofline,
    vectors,
};

/// The batch sizes that a peer's best one is chosen from.
const BATCHES: [usize; 4] = [1, 8, 32, 256];
/// The batch size at which vectors are compared: at this one the results of all are least affected
/// by padding, and none needs much memory.
const COMPARED_BATCH: usize = 8;
/// Callers at once, of single queries.
const CALLERS: usize = 8;

/// The share of the matrix product above which a peer's ratio has no goal.
const NEAR_THE_ROOF: f64 = 0.6;

/// A peer and its best batch size.
pub(super) type Best = Vec<(Peer, usize)>;

/// Compares vectors, then measures the peers at their default batch size and at others, on few
/// texts. Peers run one after the other, as at the default size each takes gigabytes.
pub(super) fn at_batch_sizes(
    setting: &Setting<'_>,
    scale: &Scale,
    inputs: &Inputs,
    ours: &mut Contestant,
    report: &mut Report,
) -> Result<Best> {
    let mut best = Vec::new();
    let texts = &inputs.few;
    let vectors = vectors::of(ours, &texts.file, COMPARED_BATCH, setting.folder)?;
    for peer in setting.peers.there() {
        report.section(&format!("{} by batch size, {} mixed texts", peer.name(), scale.few));
        let (mut contestant, _) = setting.peers.peer(peer)?;
        let theirs = vectors::of(&mut contestant, &texts.file, COMPARED_BATCH, setting.folder)?;
        let difference = vectors::compare(peer.name(), &vectors, &theirs)?;
        report.note(format!(
            "{}: largest difference of a component from ours {difference:.1e}, over {} texts",
            peer.name(),
            texts.expected.count
        ));

        // Turn 0 is ours, 1 the peer's own default, the others its batch sizes but the largest,
        // which is its default.
        let sizes: Vec<Option<usize>> =
            [None].into_iter().chain(BATCHES[..3].iter().copied().map(Some)).collect();
        let mut seconds = vec![Vec::new(); 1 + sizes.len()];
        for round in 0..scale.rounds.min(3) {
            for turn in turns(seconds.len(), round) {
                let took = match turn {
                    0 => timed(ours, texts, None)?,
                    turn => timed(&mut contestant, texts, sizes[turn - 1])?,
                };
                seconds[turn].push(took);
            }
        }
        report.add("embedkit", "texts/s", rates(&seconds[0], scale.few as f64));
        let mut fastest = (f64::INFINITY, 0);
        for (size, took) in sizes.iter().zip(&seconds[1..]) {
            let median = percentile(took, 0.5);
            let size = size.unwrap_or(BATCHES[3]);
            if median < fastest.0 {
                fastest = (median, size);
            }
            report.add(
                format!("{} at {size}", peer.name()),
                "texts/s",
                rates(took, scale.few as f64),
            );
        }
        let ratio = zip(&seconds[1], &seconds[0], |theirs, ours| theirs / ours);
        let name = format!("embedkit / {} at its default of 256", peer.name());
        report.add_goal(name, "x", ratio, Goal::AtLeast(10.0));
        best.push((peer, fastest.1));
    }
    Ok(best)
}

/// Measures all side by side: mixed and equal texts beside the matrix product, then queries.
pub(super) fn side_by_side(
    setting: &Setting<'_>,
    scale: &Scale,
    inputs: &Inputs,
    ours: Contestant,
    best: &Best,
    report: &mut Report,
) -> Result<()> {
    let mut roofline = Roofline::start(setting)?;
    let mut all = vec![(ours, None)];
    for (peer, batch) in best {
        all.push((setting.peers.peer(*peer)?.0, Some(*batch)));
    }
    let measured = Measured { mixed: true, texts: &inputs.mixed };
    report.section(&format!(
        "{} mixed texts, {} tokens; peers at their best batch size",
        scale.texts, inputs.mixed.tokens
    ));
    measured.run(scale, &mut roofline, &mut all, report)?;
    let measured = Measured { mixed: false, texts: &inputs.equal };
    report.section(&format!("{} texts of 128 tokens each", scale.equal));
    measured.run(scale, &mut roofline, &mut all, report)?;
    queries(scale, &inputs.queries, &mut all, report)
}

struct Measured<'a> {
    mixed: bool,
    texts: &'a Texts,
}

impl Measured<'_> {
    fn run(
        &self,
        scale: &Scale,
        roofline: &mut Roofline,
        all: &mut [(Contestant, Option<usize>)],
        report: &mut Report,
    ) -> Result<()> {
        let (texts, flop) = (self.texts, self.texts.flop);
        // One run that does not count: caches are filled, memory is taken.
        for (contestant, batch) in all.iter_mut() {
            timed(contestant, texts, *batch)?;
        }
        let mut seconds = vec![Vec::new(); all.len()];
        let (mut product, mut best_product) = (Vec::new(), Vec::new());
        for round in 0..scale.rounds {
            for turn in turns(all.len(), round) {
                if turn == 0 {
                    // Beside ours, whose share of it is of most interest.
                    let (median, best) = roofline.rates(scale.products)?;
                    product.push(median);
                    best_product.push(best);
                }
                let (contestant, batch) = &mut all[turn];
                seconds[turn].push(timed(contestant, texts, *batch)?);
            }
        }
        report.add("matrix product, median", "GFLOP/s", giga(&product));
        report.add("matrix product, best", "GFLOP/s", giga(&best_product));
        let mut shares = Vec::new();
        for ((contestant, batch), seconds) in all.iter().zip(&seconds) {
            let name = name(contestant, *batch);
            report.add(&name, "tok/s", rates(seconds, texts.tokens));
            let rate = rates(seconds, flop);
            report.add(&name, "GFLOP/s", giga(&rate));
            let share = zip(&rate, &product, |rate, product| rate / product);
            shares.push(percentile(&share, 0.5));
            let what = format!("{name} / matrix product");
            if batch.is_none() && self.mixed {
                report.add_goal(what, "x", share, Goal::AtLeast(0.8));
            } else {
                report.add(what, "x", share);
            }
        }
        let goal = if self.mixed { 1.3 } else { 1.1 };
        for (at, (contestant, batch)) in all.iter().enumerate().skip(1) {
            let ratio = zip(&seconds[at], &seconds[0], |theirs, ours| theirs / ours);
            let what = format!("embedkit / {}", name(contestant, *batch));
            if self.mixed && shares[at] > NEAR_THE_ROOF {
                // So near, there is no room for a ratio; our own share decides.
                report.add(what, "x", ratio);
            } else {
                report.add_goal(what, "x", ratio, Goal::AtLeast(goal));
            }
        }
        Ok(())
    }
}

/// The latency of one short query a call.
fn queries(
    scale: &Scale,
    file: &Path,
    all: &mut [(Contestant, Option<usize>)],
    report: &mut Report,
) -> Result<()> {
    report.section(&format!("one short query a call, {} calls", scale.queries));
    for (contestant, _) in all.iter_mut() {
        contestant.query(file, 1)?;
    }
    let mut calls = vec![Vec::new(); all.len()];
    let mut together = Vec::new();
    for round in 0..scale.rounds {
        for turn in turns(all.len(), round) {
            calls[turn].push(all[turn].0.query(file, 1)?);
            if turn == 0 {
                together.push(all[0].0.query(file, CALLERS)?);
            }
        }
    }
    for ((contestant, _), calls) in all.iter().zip(&calls) {
        latency(contestant.name(), calls, report);
    }
    for ((contestant, _), theirs) in all.iter().zip(&calls).skip(1) {
        for (what, share) in [("p50", 0.5), ("p99", 0.99)] {
            let ours = percentiles(&calls[0], share);
            let ratio = zip(&ours, &percentiles(theirs, share), |ours, theirs| ours / theirs);
            let what = format!("embedkit / {}, {what}", contestant.name());
            if share < 0.9 {
                report.add_goal(what, "x", ratio, Goal::AtMost(1.0));
            } else {
                report.add(what, "x", ratio);
            }
        }
    }
    report.section(&format!("one short query a call, {CALLERS} callers on one model"));
    latency("embedkit", &together, report);
    let rate = |queried: &Queried| queried.seconds.len() as f64 / queried.wall;
    report.add("embedkit, all callers", "query/s", together.iter().map(rate).collect());
    Ok(())
}

/// Adds p50 and p99, one a round.
pub(super) fn latency(name: &str, rounds: &[Queried], report: &mut Report) {
    for (what, share) in [("p50", 0.5), ("p99", 0.99)] {
        let milliseconds = percentiles(rounds, share).iter().map(|s| s * 1e3).collect();
        report.add(format!("{name}, {what}"), "ms", milliseconds);
    }
}

fn percentiles(rounds: &[Queried], share: f64) -> Vec<f64> {
    rounds.iter().map(|round| percentile(&round.seconds, share)).collect()
}

/// Embeds the texts, checks what came, and returns the seconds.
pub(super) fn timed(
    contestant: &mut Contestant,
    texts: &Texts,
    batch: Option<usize>,
) -> Result<f64> {
    let embedded = contestant.embed(&texts.file, batch)?;
    vectors::check(contestant.name(), &texts.expected, &embedded)?;
    Ok(embedded.seconds)
}

/// How much a second.
pub(super) fn rates(seconds: &[f64], much: f64) -> Vec<f64> {
    seconds.iter().map(|seconds| much / seconds).collect()
}

/// In billions.
pub(super) fn giga(values: &[f64]) -> Vec<f64> {
    values.iter().map(|value| value / 1e9).collect()
}

fn name(contestant: &Contestant, batch: Option<usize>) -> String {
    match batch {
        None => contestant.name().to_owned(),
        Some(batch) => format!("{} at {batch}", contestant.name()),
    }
}
