//! `serve`: `embedkit serve` beside the same texts through the library: throughput of many clients, latency
//! at a fixed rate, memory over many requests.
//!
//! The clients run in the harness, on the cores of the server; the library's callers run in its contestant.

mod client;
mod server;

use std::path::Path;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::{
    comparison::COMPARED_BATCH,
    contestant::{Contestant, Queried},
    contestants::Setting,
    corpus::{self, Corpus},
    dense,
    report::{Goal, Report, percentile},
    rounds::{interleave, zip},
    scale::Scale,
    vectors,
};
use client::{Connection, Request};
use server::Server;
use xtask::assets;

/// Concurrent clients, each with a connection of its own.
const CLIENTS: usize = 64;
/// Single queries of each client in a round.
const QUERIES: usize = 16;
/// Texts of a larger request.
const TEXTS: usize = 32;
/// Least share of the library's throughput, for single queries and for larger requests.
const SHARES: [f64; 2] = [0.9, 0.97];
/// Share of the throughput at which latency is measured.
const LOAD: f64 = 0.5;
/// Maximum ratio of the memory after all requests to that after a tenth of them.
const GROWTH: f64 = 1.1;

/// Measures.
pub(super) fn measure(
    setting: &Setting<'_>,
    scale: &Scale,
    corpus: &Corpus,
    report: &mut Report,
) -> Result<()> {
    let model = assets::minilm();
    let mut library = dense::comparison(setting, &model, scale).ours()?;
    report.inputs = json!({"fingerprint": corpus.fingerprint, "requests": scale.requests});
    report.skip("Text Embeddings Inference", "its server is in no package registry");
    let mut all = vec![Server::ours(setting, &model)?];
    match Server::infinity(setting, &model) {
        Ok(server) => all.push(server),
        Err(error) => report.skip("infinity", &format!("{error:#}")),
    }
    let compared = &corpus.texts[..scale.few];
    let file = setting.folder.join("served.txt");
    corpus::write(&file, compared)?;
    let expected = vectors::of(&mut library, &file, COMPARED_BATCH, setting.folder)?;
    for server in &all {
        let difference = compare(server, compared, &expected)?;
        report.note(format!(
            "{}: largest difference from the library {difference:.1e}, over {} texts",
            server.name(),
            compared.len()
        ));
    }

    let queries = corpus::queries(&corpus.texts, CLIENTS * QUERIES);
    let rates = throughput(scale, setting.folder, &queries, 1, &mut library, &all, report)?;
    throughput(
        scale,
        setting.folder,
        &corpus.texts[..scale.texts],
        TEXTS,
        &mut library,
        &all,
        report,
    )?;
    drop(library);

    let [ours, ..] = &all[..] else { return Ok(()) };
    let rate = LOAD * percentile(&rates, 0.5);
    let requests: Vec<_> = queries.iter().map(|text| ours.request(&[text])).collect();
    report.section(&format!("one query a request, {:.0} % of that rate", LOAD * 100.0));
    let rounds = interleave(scale.rounds, 1, |_| client::at_rate(ours, &requests, CLIENTS, rate))?;
    let [rounds] = &rounds[..] else { return Ok(()) };
    dense::add_latency(ours.name(), rounds, report);
    memory(scale, ours, &requests, report)
}

/// The largest difference of a server's numbers from those expected, over texts in requests of their own
/// and several together.
fn compare(server: &Server, texts: &[String], expected: &[f32]) -> Result<f32> {
    let mut connection = Connection::open(server.address())?;
    let mut largest = 0.0_f32;
    for together in [1, TEXTS] {
        let mut found = Vec::with_capacity(expected.len());
        for texts in texts.chunks(together) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let answer: Value = serde_json::from_slice(connection.send(&server.request(&texts))?)?;
            server.read(&answer, texts.len(), &mut found)?;
        }
        largest = largest.max(vectors::compare(server.name(), expected, &found)?);
    }
    Ok(largest)
}

/// Throughput of many clients. Returns that of our server, in requests a second, round by round.
fn throughput(
    scale: &Scale,
    folder: &Path,
    texts: &[String],
    of_each: usize,
    library: &mut Contestant,
    servers: &[Server],
    report: &mut Report,
) -> Result<Vec<f64>> {
    let what = if of_each == 1 { "one query".to_owned() } else { format!("{of_each} texts") };
    report.section(&format!("{what} a request, {CLIENTS} clients"));
    let file = folder.join("served.txt");
    corpus::write(&file, texts)?;
    let requests = |server: &Server| -> Vec<Request> {
        let text = |texts: &[String]| {
            server.request(&texts.iter().map(String::as_str).collect::<Vec<_>>())
        };
        texts.chunks(of_each).map(text).collect()
    };
    let requests: Vec<_> = servers.iter().map(requests).collect();
    let mut run = |turn: usize| match turn.checked_sub(1) {
        None => library.calls(&file, of_each, CLIENTS),
        Some(at) => client::saturate(&servers[at], &requests[at], CLIENTS),
    };
    // A warm-up run fills caches and allocates memory.
    for turn in 0..=servers.len() {
        run(turn)?;
    }
    let rounds = interleave(scale.rounds, 1 + servers.len(), run)?;
    let rates = |rounds: &[Queried]| -> Vec<f64> {
        rounds.iter().map(|round| texts.len() as f64 / round.wall).collect()
    };
    let [theirs, ours, others @ ..] = &rounds[..] else { bail!("nothing was measured") };
    report.add("the library", "texts/s", rates(theirs));
    for (server, rounds) in servers.iter().zip(&rounds[1..]) {
        report.add(server.name(), "texts/s", rates(rounds));
        dense::add_latency(server.name(), rounds, report);
    }
    report.side_section("embedkit serve beside the library and others");
    let shares = zip(&rates(ours), &rates(theirs), |ours, theirs| ours / theirs);
    let goal = SHARES[usize::from(of_each > 1)];
    report.add_goal("embedkit serve / the library", "x", shares, Goal::AtLeast(goal));
    for (server, rounds) in servers.iter().skip(1).zip(others) {
        let ratio = zip(&rates(ours), &rates(rounds), |ours, theirs| ours / theirs);
        report.add(format!("embedkit serve / {}", server.name()), "x", ratio);
    }
    Ok(ours.iter().map(|round| round.seconds.len() as f64 / round.wall).collect())
}

/// Memory of the server after a tenth of the requests and after all.
fn memory(scale: &Scale, server: &Server, requests: &[Request], report: &mut Report) -> Result<()> {
    report.side_section(&format!("memory over {} requests of one query", scale.requests));
    let mut answered = 0;
    let mut after = |count: usize| -> Result<Option<f64>> {
        while answered < count {
            let some = &requests[..requests.len().min(count - answered)];
            client::saturate(server, some, CLIENTS)?;
            answered += some.len();
        }
        Ok(server.memory())
    };
    let (tenth, all) = (after(scale.requests / 10)?, after(scale.requests)?);
    let (Some(tenth), Some(all)) = (tenth, all) else {
        report.skip("memory", "the system does not report it");
        return Ok(());
    };
    const MEGABYTE: f64 = 1e6;
    report.add("after a tenth", "MB", vec![tenth / MEGABYTE]);
    report.add("after all", "MB", vec![all / MEGABYTE]);
    report.add_goal("after all / after a tenth", "x", vec![all / tenth], Goal::AtMost(GROWTH));
    Ok(())
}
