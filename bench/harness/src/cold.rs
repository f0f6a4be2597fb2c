//! `cold`: from process start to the first vector, with files in the page cache.

use std::{path::Path, time::Instant};

use anyhow::Result;
use serde_json::Value;

use super::{
    contestants::{Kind, Open, Peer, Setting},
    corpus::{self, Corpus},
    report::Report,
    rounds::interleave,
    scale::Scale,
    sparse,
};
use xtask::assets;

/// Measures.
pub(super) fn measure(
    setting: &Setting<'_>,
    scale: &Scale,
    corpus: &Corpus,
    report: &mut Report,
) -> Result<()> {
    let dense = assets::minilm();
    let bm25 = sparse::bm25_folder(setting)?;
    for (kind, model, title) in [
        (Kind::Dense, &dense, "from the start of a process to the first vector, all-MiniLM-L6-v2"),
        (Kind::Bm25, &bm25, "from the start of a process to the first vector, BM25"),
    ] {
        report.section(title);
        let mut peers = Vec::new();
        for peer in Peer::ALL {
            if kind != Kind::Dense && peer != Peer::FastEmbed {
                continue;
            }
            match setting.contestants.skipped(peer) {
                Some(reason) => report.skip(peer.name(), reason),
                None => peers.push(peer),
            }
        }
        let open = Open { kind, model, threads: setting.threads, options: &Value::Null };
        let text = setting.folder.join("one.txt");
        corpus::write(&text, corpus::queries(&corpus.texts, 1))?;
        let times = interleave(scale.starts, 1 + peers.len(), |turn| {
            let peer = turn.checked_sub(1).map(|at| peers[at]);
            one(setting, peer, open, &text)
        })?;
        let names: Vec<_> =
            std::iter::once("embedkit").chain(peers.iter().map(|peer| peer.name())).collect();
        let part = |turn: usize, which: fn(&Start) -> f64| times[turn].iter().map(which).collect();
        for (turn, name) in names.iter().enumerate() {
            report.add(*name, "s", part(turn, |start| start.all));
        }
        let ours: Vec<f64> = part(0, |start| start.all);
        for (turn, name) in names.iter().enumerate().skip(1) {
            report.times_faster(name, &part(turn, |start| start.all), &ours, None);
        }
        report.side_section("of which loading the model");
        for (turn, name) in names.iter().enumerate() {
            report.add(*name, "s", part(turn, |start| start.loading));
        }
    }
    Ok(())
}

/// Seconds of a start.
struct Start {
    all: f64,
    loading: f64,
}

fn one(setting: &Setting<'_>, peer: Option<Peer>, open: Open<'_>, text: &Path) -> Result<Start> {
    let start = Instant::now();
    let (mut contestant, loading) = match peer {
        None => setting.contestants.ours("embedkit", open)?,
        Some(peer) => setting.contestants.peer(peer, open)?,
    };
    contestant.query(text, 1)?;
    Ok(Start { all: start.elapsed().as_secs_f64(), loading })
}
