//! Peak memory and load times, each figure from a process of its own.

use anyhow::Result;
use serde_json::{Value, json};

use super::{Scale, speed::Best, turns};
use crate::bench::{
    contestant::Contestant,
    corpus::{self, Corpus},
    peers::Setting,
    report::{Goal, Report},
};

/// How often a model is loaded.
const LOADS: usize = 5;
/// How much more memory the most texts may take than the fewest; the same would be asking too much
/// of an allocator.
const GROWTH: f64 = 1.1;

/// Measures the most memory that a process takes while it embeds texts.
pub(super) fn measure(
    setting: &Setting<'_>,
    scale: &Scale,
    corpus: &Corpus,
    best: &Best,
    report: &mut Report,
) -> Result<()> {
    report.section("peak memory while embedding mixed texts, of the whole process");
    let file = setting.folder.join("many.txt");
    let mut ours = Vec::new();
    for &count in scale.memory {
        corpus::write(&file, corpus::repeated(&corpus.texts, count))?;
        let (mut contestant, _) = setting.peers.ours("embedkit", &Value::Null)?;
        let request = json!({"op": "embed", "texts": file, "stream": true});
        let Some(peak) = peak(&mut contestant, &request)? else {
            report.note("this system does not tell how much memory a process takes".to_owned());
            return Ok(());
        };
        report.add(format!("embedkit, {count} texts"), "MB", vec![peak / 1e6]);
        ours.push(peak);
    }
    if let (Some(first), Some(last)) = (ours.first(), ours.last()) {
        let what = "embedkit, the most texts / the fewest";
        report.add_goal(what, "x", vec![last / first], Goal::AtMost(GROWTH));
    }
    let count = scale.memory[0];
    corpus::write(&file, corpus::repeated(&corpus.texts, count))?;
    for (peer, batch) in best {
        for batch in [Some(*batch), None] {
            let (mut contestant, _) = setting.peers.peer(*peer)?;
            let request = json!({"op": "embed", "texts": file, "batch": batch});
            let Some(peak) = peak(&mut contestant, &request)? else { continue };
            let at = batch.map_or("its default batch size".to_owned(), |batch| batch.to_string());
            report.add(format!("{} at {at}, {count} texts", peer.name()), "MB", vec![peak / 1e6]);
        }
    }
    Ok(())
}

/// The peak of one run. What loading the model took for a while does not count, where the system
/// lets that be told apart.
fn peak(contestant: &mut Contestant, request: &Value) -> Result<Option<f64>> {
    contestant.forget_peak();
    contestant.ask(request)?;
    Ok(contestant.peak())
}

/// Measures how long it takes to load the model into a fresh process, its file being in the
/// system's cache.
pub(super) fn load_times(setting: &Setting<'_>, scale: &Scale, report: &mut Report) -> Result<()> {
    report.section("loading the model in a fresh process");
    let peers: Vec<_> = setting.peers.there().collect();
    let mut seconds = vec![Vec::new(); 1 + peers.len()];
    for round in 0..LOADS.min(scale.rounds + 1) {
        for turn in turns(seconds.len(), round) {
            let (_, took) = match turn {
                0 => setting.peers.ours("embedkit", &Value::Null)?,
                turn => setting.peers.peer(peers[turn - 1])?,
            };
            seconds[turn].push(took);
        }
    }
    let names = std::iter::once("embedkit").chain(peers.iter().map(|peer| peer.name()));
    for (name, seconds) in names.zip(seconds) {
        report.add(name, "s", seconds);
    }
    Ok(())
}
