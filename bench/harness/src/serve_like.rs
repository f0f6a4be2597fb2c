//! `serve-like`: many callers on one model, as behind a server: single queries and small requests.

use std::path::Path;

use anyhow::Result;
use serde_json::json;

use super::{
    comparison::Side,
    contestants::{Peer, Setting},
    corpus::{self, Corpus},
    dense,
    report::{Goal, Report},
    rounds::{interleave, zip},
    scale::Scale,
};
use xtask::assets;

/// Concurrent callers.
const CALLERS: [usize; 3] = [1, 8, 64];
/// Texts of a request.
const TEXTS: usize = 32;
/// Single queries of each caller in a round, enough to keep all busy most of the time.
const QUERIES: usize = 16;
/// Maximum ratio of p99 to p50.
const TAIL: f64 = 3.0;

/// Measures.
pub(super) fn measure(
    setting: &Setting<'_>,
    scale: &Scale,
    corpus: &Corpus,
    report: &mut Report,
) -> Result<()> {
    let model = assets::minilm();
    let comparison = dense::comparison(setting, &model, scale);
    let mut all = vec![Side { contestant: comparison.ours()?, batch: None }];
    for peer in [Peer::FastEmbed, Peer::FastembedRs] {
        if let Some(reason) = setting.contestants.skipped(peer) {
            report.skip(peer.name(), reason);
            continue;
        }
        let (contestant, _) = setting.contestants.peer(peer, comparison.open)?;
        all.push(Side { contestant, batch: None });
    }
    report.inputs = json!({"fingerprint": corpus.fingerprint, "queries": scale.queries});
    let most = CALLERS[CALLERS.len() - 1] * QUERIES;
    let queries = setting.folder.join("many-queries.txt");
    corpus::write(&queries, corpus::queries(&corpus.texts, most))?;
    for callers in CALLERS {
        calls(scale, &queries, 1, callers, &mut all, report)?;
    }
    let texts = setting.folder.join("requests.txt");
    corpus::write(&texts, &corpus.texts[..scale.texts])?;
    for callers in CALLERS {
        calls(scale, &texts, TEXTS, callers, &mut all, report)?;
    }
    Ok(())
}

/// Latency and throughput of calls with `texts` texts each, by a number of callers.
fn calls(
    scale: &Scale,
    file: &Path,
    texts: usize,
    callers: usize,
    all: &mut [Side],
    report: &mut Report,
) -> Result<()> {
    let what = if texts == 1 { "one query".to_owned() } else { format!("{texts} texts") };
    report.section(&format!("{what} a call, {callers} callers on one model"));
    for side in all.iter_mut() {
        side.contestant.calls(file, texts, callers)?;
    }
    let rounds = interleave(scale.rounds, all.len(), |turn| {
        all[turn].contestant.calls(file, texts, callers)
    })?;
    for (side, rounds) in all.iter().zip(&rounds) {
        dense::add_latency(side.contestant.name(), rounds, report);
        let rates = rounds.iter().map(|round| (round.seconds.len() * texts) as f64 / round.wall);
        report.add(side.contestant.name(), "texts/s", rates.collect());
    }
    let [ours, theirs @ ..] = &rounds[..] else { return Ok(()) };
    let tail =
        zip(&dense::percentiles(ours, 0.99), &dense::percentiles(ours, 0.5), |p99, p50| p99 / p50);
    report.side_section("embedkit beside itself and the others");
    if callers == CALLERS[CALLERS.len() - 1] && texts == 1 {
        report.add_goal("p99 / p50 of embedkit", "x", tail, Goal::AtMost(TAIL));
    } else {
        report.add("p99 / p50 of embedkit", "x", tail);
    }
    let wall = |rounds: &[super::contestant::Queried]| -> Vec<f64> {
        rounds.iter().map(|round| round.wall).collect()
    };
    for (side, theirs) in all[1..].iter().zip(theirs) {
        report.times_faster(side.contestant.name(), &wall(theirs), &wall(ours), None);
    }
    Ok(())
}
