//! `sizes`: time and peak memory by the number of texts, each figure from a separate process.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{
    comparison::Inputs,
    contestant::{Contestant, Embedded},
    contestants::{Peer, Setting},
    corpus::{self, Corpus},
    dense,
    report::{Goal, Report},
    scale::Scale,
};
use xtask::assets;

/// Maximum ratio of the memory for the most texts to that for a tenth of them; equality would ask too
/// much of an allocator.
const GROWTH: f64 = 1.1;

/// Measures.
pub(super) fn measure(
    setting: &Setting<'_>,
    scale: &Scale,
    corpus: &Corpus,
    report: &mut Report,
) -> Result<()> {
    let model = assets::minilm();
    let comparison = dense::comparison(setting, &model, scale);
    let mut ours = comparison.ours()?;
    let few = Inputs::write(setting, "few", &corpus.texts[..scale.few], &mut ours)?;
    report.inputs = json!({"fingerprint": corpus.fingerprint, "sizes": scale.sizes});
    let mut sides = vec![("embedkit".to_owned(), None, None, usize::MAX)];
    for peer in Peer::ALL {
        if let Some(reason) = setting.contestants.skipped(peer) {
            report.skip(peer.name(), reason);
            continue;
        }
        let batch = comparison.best_batch(peer, &few)?;
        let [most, most_at_default] = scale.peer_sizes;
        sides.push((format!("{} at {batch}", peer.name()), Some(peer), Some(batch), most));
        if let Some(default) = peer.default_batch(comparison.open.kind) {
            let name = format!("{} at its default of {default}", peer.name());
            sides.push((name, Some(peer), None, most_at_default));
        }
    }
    drop(ours);

    let file = setting.folder.join("many.txt");
    let mut found = Vec::new();
    for &count in scale.sizes {
        corpus::write(&file, corpus::repeated(&corpus.texts, count))?;
        for (name, peer, batch, most) in &sides {
            if count > *most {
                continue;
            }
            let (mut contestant, _) = match peer {
                None => setting.contestants.ours(name, comparison.open)?,
                Some(peer) => setting.contestants.peer(*peer, comparison.open)?,
            };
            let request =
                json!({"op": "embed", "inputs": file, "batch": batch, "stream": peer.is_none()});
            let (seconds, peak) = one(&mut contestant, &request)?;
            println!(
                "  {name}, {count} texts: {seconds:.1} s, {:.0} MB",
                peak.unwrap_or(0.0) / 1e6
            );
            found.push((name.clone(), peer.is_none(), count, seconds, peak));
        }
    }

    report.section("time for a text, by the number of texts");
    for (name, _, count, seconds, _) in &found {
        report.add(format!("{name}, {count} texts"), "ms", vec![seconds * 1e3 / *count as f64]);
    }
    report.section("peak memory of the whole process, by the number of texts");
    for (name, _, count, _, peak) in &found {
        if let Some(peak) = peak {
            report.add(format!("{name}, {count} texts"), "MB", vec![peak / 1e6]);
        }
    }
    report.side_section("growth of memory");
    for (name, _, count, _, peak) in &found {
        if let Some(peak) = peak {
            let kilobytes = peak / 1e3 / *count as f64;
            report.add(format!("{name}, {count} texts"), "kB/text", vec![kilobytes]);
        }
    }
    let ours: Vec<f64> = found.iter().filter(|one| one.1).filter_map(|one| one.4).collect();
    if let [.., before, last] = ours[..] {
        let what = "memory of embedkit for the most texts / for the next fewer";
        report.add_goal(what, "x", vec![last / before], Goal::AtMost(GROWTH));
    }
    Ok(())
}

/// Seconds and peak memory of one run, without the peak of loading if the system can tell them apart.
fn one(contestant: &mut Contestant, request: &Value) -> Result<(f64, Option<f64>)> {
    contestant.forget_peak();
    let answer = contestant.ask(request)?;
    let embedded: Embedded =
        serde_json::from_value(answer).context("a contestant says how long it took")?;
    Ok((embedded.seconds, contestant.peak()))
}
