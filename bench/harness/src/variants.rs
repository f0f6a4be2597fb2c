//! `variants`: our settings compared with each other. They decide the library's defaults.

use anyhow::Result;
use serde_json::{Value, json};

use super::{
    comparison::{Inputs, timed},
    contestant::Contestant,
    contestants::Setting,
    corpus::{self, Corpus},
    dense,
    report::Report,
    roofline::{self, Roofline},
    rounds::{giga, interleave, rates, zip},
    scale::Scale,
};
use xtask::assets;

const SPINNING: &str = "session.intra_op.allow_spinning";
/// Matrix products at a time.
const PRODUCTS: usize = 20;

/// Measures each setting on the mixed corpus and on single queries.
pub(super) fn measure(
    setting: &Setting<'_>,
    scale: &Scale,
    corpus: &Corpus,
    report: &mut Report,
) -> Result<()> {
    let model = assets::minilm();
    let settings = settings(setting.threads);
    let mut all: Vec<Contestant> = Vec::new();
    for (name, options) in &settings {
        let open = dense::open(&model, setting.threads, options);
        all.push(setting.contestants.ours(name, open)?.0);
    }
    let mixed = Inputs::write(setting, "mixed", &corpus.texts[..scale.texts], &mut all[0])?;
    let tokens = dense::tokens(&mut all[0], &mixed.file)?;
    let flop = roofline::flop(&tokens);
    let queries = setting.folder.join("queries.txt");
    corpus::write(&queries, corpus::queries(&corpus.texts, scale.queries))?;
    report.inputs = json!({"fingerprint": corpus.fingerprint, "mixed": mixed.describe()});
    for contestant in &mut all {
        timed(contestant, &mixed, None)?;
    }

    report.side_section(&format!("{} mixed texts", mixed.count()));
    let mut roofline = Roofline::start(setting)?;
    let measured = interleave(scale.rounds, all.len(), |turn| {
        let (product, _) = roofline.rates(PRODUCTS)?;
        let seconds = timed(&mut all[turn], &mixed, None)?;
        Ok((seconds, flop / seconds / product))
    })?;
    drop(roofline); // its threads spin
    let seconds: Vec<Vec<f64>> =
        measured.iter().map(|rounds| rounds.iter().map(|one| one.0).collect()).collect();
    for (contestant, seconds) in all.iter().zip(&seconds) {
        report.add(contestant.name(), "GFLOP/s", giga(&rates(seconds, flop)));
    }
    report.side_section("share of the matrix product, measured before each");
    for (contestant, rounds) in all.iter().zip(&measured) {
        report.add(contestant.name(), "x", rounds.iter().map(|one| one.1).collect());
    }
    report.side_section(&format!("speed relative to {}", all[0].name()));
    for (contestant, theirs) in all.iter().zip(&seconds) {
        let ratio = zip(&seconds[0], theirs, |first, other| first / other);
        report.add(contestant.name(), "x", ratio);
    }

    report.side_section(&format!("one short query a call, {} calls", scale.queries));
    for contestant in &mut all {
        contestant.query(&queries, 1)?;
    }
    let calls = interleave(scale.rounds, all.len(), |turn| all[turn].query(&queries, 1))?;
    for (contestant, calls) in all.iter().zip(&calls) {
        dense::add_latency(contestant.name(), calls, report);
    }
    Ok(())
}

/// Names and options; the first are the defaults.
fn settings(cores: usize) -> Vec<(String, Value)> {
    let mut settings = vec![("defaults".to_owned(), Value::Null)];
    let mut shapes = vec![(1, cores), (cores, 1), (cores, cores)];
    shapes.dedup();
    for (replicas, threads) in shapes {
        for (spins, word) in [("0", ""), ("1", ", spinning")] {
            settings.push((
                format!("replicas {replicas} x threads {threads}{word}"),
                json!({"replicas": replicas, "threads": threads, "session": [[SPINNING, spins]]}),
            ));
        }
    }
    for tokens in [256, 512, 1024, 2048, 4096] {
        settings.push((format!("batch of {tokens} tokens"), json!({"batch_tokens": tokens})));
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_core_has_one_shape() {
        assert_eq!(settings(1).len(), 1 + 2 + 5);
        assert_eq!(settings(2).len(), 1 + 6 + 5);
        assert_eq!(settings(2)[0].1, Value::Null);
    }
}
