//! `late` and `maxsim`: one vector for each token, and scoring with them.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};
use embedkit_convert::{ConvertOptions, Head};
use serde_json::json;

use super::{
    comparison::{Comparison, Inputs, shares},
    contestant::Contestant,
    contestants::{Kind, Open, Peer, Setting},
    corpus::Corpus,
    models, muvera,
    report::{Goal, Report},
    roofline::Roofline,
    rounds::{giga, interleave, rates},
    scale::Scale,
};
use xtask::assets;

/// Required share of a plain matrix product's rate.
const OF_PRODUCT: f64 = 0.5;
const DIM: usize = 128;
const QUERY: usize = 32;
const ROWS: usize = 128;
const DOCUMENTS: usize = 10_000;
/// Distinct documents in the file; the others repeat them.
const DIFFERENT: usize = 100;
/// Matrix products at a time.
const PRODUCTS: usize = 20;

/// Measures embedding.
pub(super) fn measure(
    setting: &Setting<'_>,
    scale: &Scale,
    corpus: &Corpus,
    report: &mut Report,
) -> Result<()> {
    // The original passes no token types after the marker that it adds.
    let options =
        ConvertOptions { head: Head::Hidden, token_types: false, ..ConvertOptions::default() };
    let model = models::converted(setting.folder, "late", &assets::minilm(), &options)?;
    let comparison = Comparison::of(setting, scale, Kind::Late, &model, "mixed ColBERT texts");
    let mut ours = comparison.ours()?;
    let mixed = Inputs::write(setting, "mixed-fewer", &corpus.texts[..scale.fewer], &mut ours)?;
    let few = Inputs::write(setting, "few", &corpus.texts[..scale.few], &mut ours)?;
    report.inputs = json!({
        "fingerprint": corpus.fingerprint, "mixed": mixed.describe(), "few": few.describe(),
    });
    comparison.with_original(&few, &few, &mixed, ours, report)
}

/// Measures scoring.
pub(super) fn max_sim(setting: &Setting<'_>, scale: &Scale, report: &mut Report) -> Result<()> {
    let file = setting.folder.join("vectors.f32");
    // The query's vectors come first.
    let numbers = muvera::unit_vectors(QUERY + DIFFERENT * ROWS, DIM);
    let bytes: Vec<u8> = numbers.into_iter().flat_map(f32::to_le_bytes).collect();
    fs::write(&file, bytes).with_context(|| format!("could not write {}", file.display()))?;
    let options = json!({
        "dim": DIM, "vectors": file, "query": QUERY, "rows": ROWS, "documents": DOCUMENTS,
    });
    // Without the path, which is of one machine.
    report.inputs = json!({"dim": DIM, "query": QUERY, "rows": ROWS, "documents": DOCUMENTS});
    let open = Open {
        kind: Kind::MaxSim,
        model: Path::new(""),
        threads: setting.threads,
        options: &options,
    };
    let mut all = vec![setting.contestants.ours("embedkit", open)?.0];
    match setting.contestants.skipped(Peer::FastEmbed) {
        Some(reason) => report.skip("numpy", reason),
        None => all.push(setting.contestants.peer(Peer::FastEmbed, open)?.0),
    }
    let mut expected = None;
    for contestant in &mut all {
        let (_, sum) = score(contestant)?;
        let expected = *expected.get_or_insert(sum);
        if (sum - expected).abs() > 1e-4 * expected.abs() {
            bail!("the scores of {} add up to {sum}, ours to {expected}", contestant.name());
        }
    }
    let mut roofline = Roofline::start(setting)?;
    let mut product = Vec::new();
    // The runs are short, so more rounds cost little.
    let seconds = interleave(3 * scale.rounds, all.len(), |turn| {
        if turn == 0 {
            product.push(roofline.rates(PRODUCTS)?.0);
        }
        Ok(score(&mut all[turn])?.0)
    })?;
    let flop = 2.0 * (QUERY * ROWS * DIM * DOCUMENTS) as f64;
    report.section(&format!(
        "one query of {QUERY} vectors against {DOCUMENTS} documents of {ROWS}, width {DIM}"
    ));
    report.add("matrix product", "GFLOP/s", giga(&product));
    let names = ["embedkit", "numpy, a product for each document"];
    for (name, seconds) in names.into_iter().zip(&seconds) {
        report.add(name, "GFLOP/s", giga(&rates(seconds, flop)));
    }
    let share = shares(&rates(&seconds[0], flop), &product);
    report.add_goal("MaxSim / matrix product", "x", share, Goal::AtLeast(OF_PRODUCT));
    if let Some(numpy) = seconds.get(1) {
        report.times_faster("numpy, MaxSim", numpy, &seconds[0], None);
    }
    Ok(())
}

/// Seconds, and the sum of all scores.
fn score(contestant: &mut Contestant) -> Result<(f64, f64)> {
    let answer = contestant.ask(&json!({"op": "score"}))?;
    let number = |key: &str| answer[key].as_f64().with_context(|| format!("there is no {key}"));
    if number("count")? != DOCUMENTS as f64 {
        bail!("{} scored {} documents, not {DOCUMENTS}", contestant.name(), answer["count"]);
    }
    Ok((number("seconds")?, number("sum")?))
}
