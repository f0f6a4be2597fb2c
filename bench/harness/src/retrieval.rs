//! `retrieval`: quality and speed of methods of retrieval on one labelled collection.
//!
//! The program `evaluate` of the examples embeds, searches and judges. The collection is made of the
//! documentation that the other benchmarks embed (`pairs`), or is one of your own in the form of BEIR.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::json;
use xtask::{
    assets::{self, Set},
    repo, run,
};

use super::{
    chart::{self, Point},
    corpus::{self, Pair},
    models,
    report::{Report, Row},
};

/// Queries of the collection; all pairs are documents.
const QUERIES: usize = 500;
/// Documents and queries of a quick run.
const QUICK: [usize; 2] = [500, 100];

/// Methods, as `evaluate` reads them, with their names in the report.
const METHODS: [(&str, &str); 9] = [
    ("bm25", "BM25"),
    ("splade", "SPLADE (tiny)"),
    ("static", "static vectors"),
    ("dense", "dense"),
    ("int8", "dense, int8"),
    ("tokens", "token vectors, MaxSim"),
    ("bm25+dense", "BM25 + dense"),
    ("dense>tokens", "dense, best 100 by MaxSim"),
    ("bm25+dense>tokens", "BM25 + dense, best 100 by MaxSim"),
];

const NDCG: &str = "nDCG@10";
const RECALL: &str = "recall@100";
const MRR: &str = "MRR@10";
const INDEX: &str = "embedding the documents";
const QUERY: &str = "a query";

/// Figures of a method, as `evaluate` writes them.
#[derive(Deserialize)]
struct Figures {
    method: String,
    ndcg_10: f64,
    recall_100: f64,
    mrr_10: f64,
    index_seconds: f64,
    query_ms: f64,
}

/// Evaluates all methods, on the collection in `data` if there is one.
pub(super) fn measure(folder: &Path, data: Option<&Path>, report: &mut Report) -> Result<()> {
    assets::ensure(Set::Bench)?;
    let data = match data {
        Some(data) => std::path::absolute(data)?,
        None => made(folder, report)?,
    };
    let models = models(folder, report)?;
    let has = |name: &str| models.iter().any(|model| model.starts_with(&format!("{name}=")));
    let methods = METHODS.iter().map(|(method, _)| *method);
    let methods: Vec<&str> = methods.filter(|method| method.split(['+', '>']).all(has)).collect();
    println!("building the program that evaluates");
    let mut build = run::cargo(["build", "--release", "--package", "embedkit-examples"]);
    let [program] = run::built(build.args(["--bin", "evaluate"]), ["evaluate"])?;
    let mut rounds = Vec::new();
    for _ in 0..report.rounds {
        let mut command = Command::new(&program);
        command
            .arg("--json")
            .arg(&data)
            .args(&models)
            .env("ORT_DYLIB_PATH", assets::newest_runtime());
        command.args(&methods);
        let text = run::output(&mut command)?;
        rounds.push(serde_json::from_str(&text).context("evaluate wrote no figures")?);
    }
    add(report, &methods, &rounds)
}

/// A row for each figure of each method.
fn add(report: &mut Report, methods: &[&str], rounds: &[Vec<Figures>]) -> Result<()> {
    /// Title, unit and value.
    type Column = (&'static str, &'static str, fn(&Figures) -> f64);
    let figures: [Column; 5] = [
        (NDCG, "", |it| it.ndcg_10),
        (RECALL, "", |it| it.recall_100),
        (MRR, "", |it| it.mrr_10),
        (INDEX, "s", |it| it.index_seconds),
        (QUERY, "ms", |it| it.query_ms),
    ];
    for (title, unit, figure) in figures {
        report.side_section(title);
        for (method, name) in METHODS.into_iter().filter(|(method, _)| methods.contains(method)) {
            let of_round =
                |round: &Vec<Figures>| round.iter().find(|it| it.method == method).map(figure);
            let values: Option<Vec<f64>> = rounds.iter().map(of_round).collect();
            report.add(name, unit, values.with_context(|| format!("{method} was not evaluated"))?);
        }
    }
    Ok(())
}

/// Names and places of the models, without those that cannot be fetched.
fn models(folder: &Path, report: &mut Report) -> Result<Vec<String>> {
    const MINILM: &str = "sentence-transformers/all-MiniLM-L6-v2";
    let minilm = assets::minilm();
    println!("quantising the dense model");
    let int8 = models::quantized(folder)?;
    let at = |name: &str, id: &str, folder: &Path| format!("{name}={id}@{}", folder.display());
    let mut models = vec![
        "bm25=Qdrant/bm25".to_owned(),
        at("dense", MINILM, &minilm),
        at("int8", MINILM, &int8),
        at("tokens", &format!("tokens:{MINILM}"), &minilm),
    ];
    let missing = assets::missing(Set::Bench);
    for (name, id, asset) in [
        ("splade", "prithivida/Splade_PP_en_v1", "splade-tiny"),
        ("static", "minishlab/potion-base-8M", "tokenlearn-static"),
    ] {
        match missing.iter().find(|(missing, _)| missing.ends_with(asset)) {
            Some((_, reason)) => report.skip(name, reason),
            None => models.push(at(name, id, &assets::model_dir(asset))),
        }
    }
    Ok(models)
}

/// Writes the collection of summaries and details; returns its folder.
fn made(folder: &Path, report: &mut Report) -> Result<PathBuf> {
    let pairs = corpus::pairs()?;
    let [documents, queries] = if report.quick { QUICK } else { [pairs.len(), QUERIES] };
    let folder = folder.join("retrieval");
    fs::create_dir_all(&folder).with_context(|| format!("could not make {}", folder.display()))?;
    for (name, text) in files(&pairs[..documents], queries) {
        let file = folder.join(name);
        fs::write(&file, text).with_context(|| format!("could not write {}", file.display()))?;
    }
    report.inputs = json!({"documents": documents, "queries": queries});
    println!("{documents} documents and {queries} queries are in {}", repo::short(&folder));
    Ok(folder)
}

/// The files of a collection: all details are documents, the first summaries are queries.
fn files(pairs: &[Pair], queries: usize) -> [(&'static str, String); 3] {
    let entry = |(id, text): (usize, &String)| {
        format!("{}\n", json!({"_id": id.to_string(), "text": text}))
    };
    let asked = &pairs[..queries.min(pairs.len())];
    let answers: String = (0..asked.len()).map(|id| format!("{id}\t{id}\t1\n")).collect();
    [
        ("corpus.jsonl", pairs.iter().map(|pair| &pair.details).enumerate().map(entry).collect()),
        ("queries.jsonl", asked.iter().map(|pair| &pair.summary).enumerate().map(entry).collect()),
        ("qrels.tsv", format!("query-id\tcorpus-id\tscore\n{answers}")),
    ]
}

/// The table, and the chart of quality by speed.
pub(super) fn page(report: &Report) -> (String, String) {
    let section = |title: &str| report.sections.iter().find(|section| section.title == title);
    let row = |title: &str, name: &str| -> Option<&Row> {
        section(title)?.rows.iter().find(|row| row.what == name)
    };
    let mut text = String::from(
        "| method | nDCG@10 | recall@100 | MRR@10 | documents embedded in | a query |\n\
         |---|---|---|---|---|---|\n",
    );
    let mut points = Vec::new();
    for (_, name) in METHODS.into_iter().filter(|(_, name)| row(NDCG, name).is_some()) {
        let quality = |title| row(title, name).map_or(f64::NAN, |row| row.median);
        let speed = |title| {
            row(title, name)
                .map_or_else(String::new, |row| format!("{} {}", row.shown(row.median), row.unit))
        };
        text.push_str(&format!(
            "| {name} | {:.3} | {:.3} | {:.3} | {} | {} |\n",
            quality(NDCG),
            quality(RECALL),
            quality(MRR),
            speed(INDEX),
            speed(QUERY)
        ));
        points.push(Point { label: name.to_owned(), x: quality(QUERY), y: quality(NDCG) });
    }
    let chart =
        chart::scatter("Quality by the time of a query", "ms a query, logarithmic", NDCG, &points);
    (text, chart)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_document_has_a_line_and_every_query_its_answer() {
        let pair = |n: usize| Pair { summary: format!("ask {n}"), details: format!("say \"{n}\"") };
        let [corpus, queries, judgements] = files(&[pair(0), pair(1)], 1).map(|(_, text)| text);
        assert_eq!(
            corpus,
            "{\"_id\":\"0\",\"text\":\"say \\\"0\\\"\"}\n{\"_id\":\"1\",\"text\":\"say \\\"1\\\"\"}\n"
        );
        assert_eq!(queries, "{\"_id\":\"0\",\"text\":\"ask 0\"}\n");
        assert_eq!(judgements, "query-id\tcorpus-id\tscore\n0\t0\t1\n");
    }

    #[test]
    fn the_page_shows_every_method() {
        let round = |scale: f64| -> Vec<Figures> {
            let one = |(at, (method, _)): (usize, &(&str, &str))| Figures {
                method: (*method).to_owned(),
                ndcg_10: 0.5 + at as f64 / 100.0,
                recall_100: 0.9,
                mrr_10: 0.4,
                index_seconds: scale,
                query_ms: scale * 2.0,
            };
            METHODS.iter().enumerate().map(one).collect()
        };
        let all = METHODS.map(|(method, _)| method);
        let mut report = Report::new("retrieval", true, 2);
        add(&mut report, &all, &[round(1.0), round(3.0)]).expect("all methods");
        let (text, chart) = page(&report);
        assert!(
            text.contains("| BM25 + dense | 0.560 | 0.900 | 0.400 | 1.000 s | 2.000 ms |"),
            "{text}"
        );
        assert!(METHODS.iter().all(|(_, name)| chart.contains(name)), "{chart}");
        let mut other = Report::new("retrieval", true, 1);
        add(&mut other, &["bm25"], &[round(1.0)]).expect("one method");
        assert_eq!(page(&other).0.lines().count(), 3, "the others are left out");
        let error = add(&mut other, &["dense"], &[Vec::new()]).expect_err("nothing").to_string();
        assert_eq!(error, "dense was not evaluated");
    }
}
