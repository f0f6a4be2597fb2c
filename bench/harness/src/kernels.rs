//! `kernels`: rates of our matrix products of int8, bf16 and f32 on one core, for each instruction set of this processor.

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::json;

use super::{
    contestant::Contestant,
    contestants::Setting,
    report::{Goal, Report, percentile},
    rounds::{giga, zip},
    scale::Scale,
};

/// Rows, inner dimension and columns of all-MiniLM-L6-v2's products for a batch and for short texts, and whether a GELU
/// follows.
const PRODUCTS: [([usize; 3], bool); 6] = [
    ([256, 384, 1536], false),
    ([256, 384, 1536], true),
    ([256, 384, 384], false),
    ([256, 1536, 384], false),
    ([16, 384, 1536], false),
    ([8, 384, 1536], false),
];
/// The product and the kernels of int8 for which there is a goal: the first is so much faster than the second.
const COMPARED: ([usize; 3], bool) = PRODUCTS[0];
const KERNELS: [&str; 2] = ["amx", "avx512-vnni"];
const TIMES: f64 = 5.0;
/// Runs of each kernel in a round, of which the median counts.
const RUNS: usize = 20;

#[derive(Deserialize)]
struct Timed {
    elements: String,
    kernel: String,
    seconds: Vec<f64>,
}

/// Measures.
pub(super) fn measure(setting: &Setting<'_>, scale: &Scale, report: &mut Report) -> Result<()> {
    let mut kernels = setting.contestants.kernels()?;
    report.inputs = json!({"products": PRODUCTS, "runs": RUNS});
    for product @ ([rows, k, columns], gelu) in PRODUCTS {
        let multiply_adds = (rows * k * columns) as f64;
        let mut names: Vec<(String, String)> = Vec::new();
        let mut rates: Vec<Vec<f64>> = Vec::new();
        // The runs are short, so more rounds cost little.
        for _ in 0..3 * scale.rounds {
            let all = time(&mut kernels, product)?;
            rates.resize_with(all.len(), Vec::new);
            names = all.iter().map(|one| (one.elements.clone(), one.kernel.clone())).collect();
            for (rates, one) in rates.iter_mut().zip(&all) {
                rates.push(multiply_adds / percentile(&one.seconds, 0.5));
            }
        }
        let after = if gelu { ", with GELU" } else { "" };
        report.side_section(&format!("{rows} x {k} x {columns}{after}, one core"));
        for ((elements, kernel), rates) in names.iter().zip(&rates) {
            report.add(format!("{elements}, {kernel}"), "10^9 multiply-adds/s", giga(rates));
        }
        let of = |kernel: &str| {
            let at = names
                .iter()
                .position(|name| (name.0.as_str(), name.1.as_str()) == ("int8", kernel));
            at.map(|at| &rates[at])
        };
        let [fast, slow] = KERNELS;
        if let (Some(tiles), Some(vectors)) = (of(fast), of(slow)) {
            let ratio = zip(tiles, vectors, |tiles, vectors| tiles / vectors);
            let what = format!("int8, {fast} / {slow}");
            match product == COMPARED {
                true => report.add_goal(what, "x", ratio, Goal::AtLeast(TIMES)),
                false => report.add(what, "x", ratio),
            }
        }
    }
    Ok(())
}

fn time(
    kernels: &mut Contestant,
    ([rows, k, columns], gelu): ([usize; 3], bool),
) -> Result<Vec<Timed>> {
    let request = json!({"op": "product", "rows": rows, "k": k, "columns": columns, "gelu": gelu, "runs": RUNS});
    let answer = kernels.ask(&request)?;
    serde_json::from_value(answer["kernels"].clone()).context("there are no kernels")
}
