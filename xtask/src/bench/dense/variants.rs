//! `--variants`: settings of ours beside each other. They decide the library's defaults.

use anyhow::Result;
use serde_json::{Value, json};

use super::{
    Inputs, Scale,
    speed::{giga, latency, rates, timed},
    turns, zip,
};
use crate::bench::{contestant::Contestant, peers::Setting, report::Report, roofline::Roofline};

const SPINNING: &str = "session.intra_op.allow_spinning";

/// Measures each setting on the mixed corpus and on single queries.
pub(super) fn measure(
    setting: &Setting<'_>,
    scale: &Scale,
    inputs: &Inputs,
    report: &mut Report,
) -> Result<()> {
    let settings = settings(setting.threads);
    let mut roofline = Roofline::start(setting)?;
    let mut all: Vec<Contestant> = Vec::new();
    for (name, options) in &settings {
        let (mut contestant, _) = setting.peers.ours(name, options)?;
        timed(&mut contestant, &inputs.mixed, None)?;
        all.push(contestant);
    }
    report.section(&format!("{} mixed texts, {} tokens", scale.texts, inputs.mixed.tokens));
    let (mut seconds, mut shares) = (vec![Vec::new(); all.len()], vec![Vec::new(); all.len()]);
    for round in 0..scale.rounds {
        for turn in turns(all.len(), round) {
            let (product, _) = roofline.rates(scale.products)?;
            let took = timed(&mut all[turn], &inputs.mixed, None)?;
            seconds[turn].push(took);
            shares[turn].push(inputs.mixed.flop / took / product);
        }
    }
    for (contestant, seconds) in all.iter().zip(&seconds) {
        report.add(contestant.name(), "GFLOP/s", giga(&rates(seconds, inputs.mixed.flop)));
    }
    report.section("share of the matrix product, measured before each");
    for (contestant, shares) in all.iter().zip(shares) {
        report.add(contestant.name(), "x", shares);
    }
    report.section(&format!("speed relative to {}", all[0].name()));
    for (contestant, theirs) in all.iter().zip(&seconds) {
        let ratio = zip(&seconds[0], theirs, |first, other| first / other);
        report.add(contestant.name(), "x", ratio);
    }

    report.section(&format!("one short query a call, {} calls", scale.queries));
    for contestant in &mut all {
        contestant.query(&inputs.queries, 1)?;
    }
    let mut calls = vec![Vec::new(); all.len()];
    for round in 0..scale.rounds {
        for turn in turns(all.len(), round) {
            calls[turn].push(all[turn].query(&inputs.queries, 1)?);
        }
    }
    for (contestant, calls) in all.iter().zip(&calls) {
        latency(contestant.name(), calls, report);
    }
    Ok(())
}

/// Names and options; the first are the library's own.
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
