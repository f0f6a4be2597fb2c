//! `python`: the Python package beside the library in Rust, and FastEmbed at its best batch size.

use anyhow::Result;
use serde_json::{Value, json};

use super::{
    comparison::{COMPARED_BATCH, Inputs, Side},
    contestants::{Kind, Open, Peer, Setting},
    corpus::{self, Corpus},
    dense,
    report::{Goal, Report},
    rounds::{interleave, rates, zip},
    scale::Scale,
    sparse, vectors,
};
use xtask::assets;

/// Most time of the package, as a multiple of the library's.
const OVERHEAD: f64 = 1.03;

/// Measures.
pub(super) fn measure(
    setting: &Setting<'_>,
    scale: &Scale,
    corpus: &Corpus,
    report: &mut Report,
) -> Result<()> {
    let model = assets::minilm();
    let comparison = dense::comparison(setting, &model, scale);
    let mut library = comparison.ours()?;
    let mixed = Inputs::write(setting, "mixed", &corpus.texts[..scale.texts], &mut library)?;
    let few = Inputs::write(setting, "few", &corpus.texts[..scale.few], &mut library)?;
    report.inputs = json!({"fingerprint": corpus.fingerprint, "mixed": mixed.describe()});
    let mut package = setting.contestants.python(comparison.open)?;
    let [expected, found] = [&mut library, &mut package]
        .map(|one| vectors::of(one, &few.file, COMPARED_BATCH, setting.folder));
    let difference = vectors::compare("the package", &expected?, &found?)?;
    report.note(format!(
        "largest difference of the package from the library {difference:.1e}, over {} texts",
        few.count()
    ));
    let peer = match setting.contestants.skipped(Peer::FastEmbed) {
        Some(reason) => {
            report.skip(Peer::FastEmbed.name(), reason);
            None
        }
        None => {
            let batch = comparison.best_batch(Peer::FastEmbed, &few)?;
            let (contestant, _) = setting.contestants.peer(Peer::FastEmbed, comparison.open)?;
            Some(Side { contestant, batch: Some(batch) })
        }
    };
    let mut all =
        vec![Side { contestant: package, batch: None }, Side { contestant: library, batch: None }];
    all.extend(peer);
    report.section(&format!("{} mixed texts", mixed.count()));
    let seconds = comparison.side_by_side(&mut all, &mixed, || Ok(()))?;
    for (side, seconds) in all.iter().zip(&seconds) {
        report.add(side.name(), "texts/s", rates(seconds, mixed.count()));
    }
    report.side_section("the package beside the library and others");
    overhead("time, the package / the library", &seconds[0], &seconds[1], report);
    for (side, theirs) in all.iter().zip(&seconds).skip(2) {
        report.times_faster(&side.name(), theirs, &seconds[0], None);
    }

    let queries = setting.folder.join("queries.txt");
    corpus::write(&queries, corpus::queries(&corpus.texts, scale.queries))?;
    report.section("single queries, one at a time");
    let calls =
        interleave(scale.rounds, all.len(), |turn| all[turn].contestant.query(&queries, 1))?;
    for (side, calls) in all.iter().zip(&calls) {
        dense::add_latency(side.contestant.name(), calls, report);
    }
    drop(all);
    words(setting, scale, corpus, report)
}

/// BM25, where a text costs little and the package's own work shows.
fn words(setting: &Setting<'_>, scale: &Scale, corpus: &Corpus, report: &mut Report) -> Result<()> {
    let folder = sparse::bm25_folder(setting)?;
    let threads = setting.threads;
    let open = Open { kind: Kind::Bm25, model: &folder, threads, options: &Value::Null };
    let (mut library, _) = setting.contestants.ours("embedkit", open)?;
    let texts = corpus::repeated(&corpus.texts, scale.words);
    let inputs = Inputs::write(setting, "words", texts, &mut library)?;
    let package = setting.contestants.python(open)?;
    let mut all =
        [Side { contestant: package, batch: None }, Side { contestant: library, batch: None }];
    report.section(&format!("{} texts to BM25", inputs.count()));
    for side in &mut all {
        side.timed(&inputs)?;
    }
    let seconds = interleave(scale.rounds, all.len(), |turn| all[turn].timed(&inputs))?;
    for (side, seconds) in all.iter().zip(&seconds) {
        report.add(side.name(), "texts/s", rates(seconds, inputs.count()));
    }
    overhead("time for BM25, the package / the library", &seconds[0], &seconds[1], report);
    Ok(())
}

/// The time of the package as a multiple of the library's.
fn overhead(what: &str, package: &[f64], library: &[f64], report: &mut Report) {
    let ratio = zip(package, library, |package, library| package / library);
    report.add_goal(what, "x", ratio, Goal::AtMost(OVERHEAD));
}
