//! `embedkit search`: the inputs that are nearest to a query.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    io::{self, IsTerminal as _},
    sync::Arc,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use console::Term;
use embedkit::TextEmbedding;
use embedkit_types::Role;
use serde::Serialize;

use crate::{
    args::{Format, RoleArg, RunArgs, SearchArgs},
    input::Source,
    model::Selected,
    output::Target,
    report::{Report, one_line, usage},
    stream::{Checked, finite},
};

pub(crate) fn run(args: SearchArgs, run: &RunArgs, report: &Report) -> Result<()> {
    if let Some(Format::Npy | Format::Parquet) = args.output.format {
        return Err(usage("search writes a table or jsonl").hint("leave --format out").into());
    }
    let source = Source::choose(args.inputs, &args.input, io::stdin().is_terminal())?;
    let selected = Selected::new(&args.model, run)?;
    selected.warn_of_idle_options(RoleArg::Query, report);

    let inputs = Checked::begin(source.open()?, args.input.on_error)?;
    let target = Target::open(args.output.output.as_deref(), args.input.input.as_deref())?;
    let Some(inputs) = inputs else {
        return target.empty();
    };
    let model = selected.open(report)?;
    let query = embed_query(&model, &args.query, report)?;
    let mut best = Best::new(args.top_k.get());
    let done = inputs.run(
        report,
        |texts| model.embed_detailed(Role::Document, texts),
        |done| {
            if let Ok(embedded) = done.embedding {
                best.offer(Hit {
                    index: done.index,
                    score: cosine(&query, &embedded.value)?,
                    text: done.text,
                });
            }
            Ok(())
        },
    );
    let count = done?;
    let hits = best.into_sorted();
    let table = target.is_terminal() && args.output.format.is_none();
    target.empty()?;
    let mut out = target.buffered();
    if table {
        let (_, columns) = Term::stdout().size();
        out.write(render_table(&hits, usize::from(columns)).as_bytes())?;
    } else {
        for (rank, hit) in (1..).zip(&hits) {
            let line = Line { rank, index: hit.index, score: hit.score, text: &hit.text };
            out.write(serde_json::to_string(&line)?.as_bytes())?;
            out.write(b"\n")?;
        }
    }
    out.flush()?;
    count.report(report);
    Ok(())
}

#[derive(Serialize)]
struct Line<'a> {
    rank: u64,
    index: u64,
    score: f32,
    text: &'a str,
}

fn embed_query(model: &TextEmbedding, query: &str, report: &Report) -> Result<Vec<f32>> {
    let embedded = model
        .embed_detailed(Role::Query, [query])
        .next()
        .ok_or_else(|| anyhow!("the model gave no result"))
        .and_then(|result| finite(result?))
        .context("the query")?;
    if embedded.truncated {
        report.warn("the query was longer than the model takes and cut off");
    }
    Ok(embedded.value)
}

/// The cosine of the angle between two vectors, added up in f64; 0 where one has no length.
fn cosine(a: &[f32], b: &[f32]) -> Result<f32> {
    ensure!(
        a.len() == b.len(),
        "the query's vector has {} components, the input's {}",
        a.len(),
        b.len()
    );
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    };
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    Ok(if lengths > 0.0 { (dot(a, b) / lengths) as f32 } else { 0.0 })
}

/// An input with its score. The greater hit is the better one; of equal scores the one that comes
/// first.
#[derive(Debug, Clone)]
struct Hit {
    index: u64,
    score: f32,
    text: Arc<str>,
}

impl Ord for Hit {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(other.index.cmp(&self.index))
    }
}

impl PartialOrd for Hit {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Hit {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Hit {}

/// The best hits so far, the worst of them on top.
struct Best {
    limit: usize,
    heap: BinaryHeap<Reverse<Hit>>,
}

impl Best {
    fn new(limit: usize) -> Self {
        Self { limit, heap: BinaryHeap::new() }
    }

    fn offer(&mut self, mut hit: Hit) {
        // Zero has one order: -0 is not behind 0.
        hit.score += 0.0;
        if self.heap.len() < self.limit {
            self.heap.push(Reverse(hit));
        } else if let Some(mut worst) = self.heap.peek_mut()
            && hit > worst.0
        {
            worst.0 = hit;
        }
    }

    fn into_sorted(self) -> Vec<Hit> {
        self.heap.into_sorted_vec().into_iter().map(|Reverse(hit)| hit).collect()
    }
}

/// Rank, score, index and as much of the text as fits.
fn render_table(hits: &[Hit], columns: usize) -> String {
    let widest = hits.iter().map(|hit| hit.index).max().unwrap_or(0).to_string().len().max(5);
    let mut table = format!("rank    score  {:>widest$}  text\n", "index");
    let room = columns.saturating_sub(15 + widest + 2).max(20);
    for (rank, hit) in (1..).zip(hits) {
        let text = one_line(&hit.text);
        let text = console::truncate_str(&text, room, "…");
        table.push_str(&format!("{rank:>4}  {:>7.4}  {:>widest$}  {text}\n", hit.score, hit.index));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(index: u64, score: f32) -> Hit {
        Hit { index, score, text: format!("text {index}").into() }
    }

    #[test]
    fn the_best_come_first_and_ties_in_input_order() {
        let mut best = Best::new(3);
        for (index, score) in [0.5, 0.9, -0.0, 0.9, 0.5, 0.0, 0.9].into_iter().enumerate() {
            best.offer(hit(index as u64, score));
        }
        let order: Vec<_> = best.into_sorted().iter().map(|hit| hit.index).collect();
        assert_eq!(order, [1, 3, 6]);
        let mut best = Best::new(10);
        for (index, score) in [0.0, -0.0, 0.0, -1.0].into_iter().enumerate() {
            best.offer(hit(index as u64, score));
        }
        let order: Vec<_> = best.into_sorted().iter().map(|hit| hit.index).collect();
        assert_eq!(order, [0, 1, 2, 3]);
    }

    #[test]
    fn cosine_is_of_the_angle_only() {
        assert_eq!(cosine(&[1.0, 0.0], &[5.0, 0.0]).unwrap(), 1.0);
        assert_eq!(cosine(&[1.0, 1.0], &[-2.0, -2.0]).unwrap(), -1.0);
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 2.0]).unwrap(), 0.0);
        assert_eq!(cosine(&[1e38, 0.0], &[1e38, 0.0]).unwrap(), 1.0);
        assert!(cosine(&[1.0], &[1.0, 2.0]).is_err());
        assert_eq!(cosine(&[f32::MAX; 3], &[f32::MIN; 3]).unwrap(), -1.0);
        assert_eq!(cosine(&[1e-45], &[1e-45]).unwrap(), 1.0);
    }

    #[test]
    fn the_table_fits_and_stays_in_its_lines() {
        let mut hits = vec![hit(3, 0.5), hit(123_456, -0.25)];
        hits[0].text = "two\nlines of 日本語 that are too long for the table".into();
        let table = render_table(&hits, 50);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines[0], "rank    score   index  text");
        assert_eq!(lines[1], "   1   0.5000       3  two\\nlines of 日本語 that …");
        assert_eq!(lines[2], "   2  -0.2500  123456  text 123456");
        assert!(lines.iter().all(|line| console::measure_text_width(line) <= 50));
    }
}
