//! `embedkit search`: the inputs that are nearest to a query.

use std::{
    borrow::Cow,
    io::{self, IsTerminal as _},
    path::Path,
    sync::Arc,
};

use anyhow::{Context as _, Result, anyhow};
use console::Term;
use embedkit::{Input, InputKind, Model, Output, Role};
use serde::Serialize;

use crate::{
    args::{Format, RoleArg, RunArgs, SearchArgs},
    input::{Source, image_path},
    model::Selected,
    output::{Records, Target, print},
    ranking::{Best, Hit, Ranking},
    report::{Report, one_line, usage},
    stream::Run,
};

/// Number of the best inputs that a reranker scores again.
const CANDIDATES: usize = 100;

pub(crate) fn run(args: SearchArgs, run_args: &RunArgs, report: &Report) -> Result<()> {
    if let Some(Format::Npy | Format::Parquet) = args.output.format {
        return Err(usage("search writes a table or jsonl").hint("leave --format out").into());
    }
    let selected = Selected::new(&args.model, run_args)?;
    let accepted = selected.accepted_inputs(args.input.image)?;
    if !accepted.texts {
        let what = format!("{} embeds images only, and the query is a text", selected.id());
        return Err(usage(what).hint("choose a model with an encoder of texts").into());
    }
    let reranker =
        args.rerank.as_deref().map(|id| Selected::reranker_by_name(id, run_args)).transpose()?;
    if reranker.is_some() && accepted.plain == InputKind::Image {
        return Err(usage("only texts can be reranked, and the inputs are images")
            .hint("leave --rerank out")
            .into());
    }
    let source = Source::choose(args.inputs, &args.input, io::stdin().is_terminal())?;
    selected.warn_of_idle_options(RoleArg::Query, report);

    let inputs = source.open(accepted)?;
    let origin = inputs.origin();
    let run = Run::begin(inputs, args.input.on_error)?;
    let target = Target::open(args.output.output.as_deref(), &origin)?;
    let Some(run) = run else {
        return Records::start(Format::Jsonl, target, None)?.close(Ok(()));
    };
    run.warn_of_json(args.input.input_format, report);
    let model = selected.open(run.kind(), report)?;
    selected.open_for(&model, InputKind::Text)?;
    let query = embed_query(&model, &args.query, report)?;
    let limit = args.top_k;
    let kept = if reranker.is_some() { limit.max(CANDIDATES) } else { limit };
    let mut ranking = Ranking::new(query, selected.requires_idf(), kept)?;
    let mut skipped = None;
    let count = run.embed(
        report,
        |kind| selected.open_for(&model, kind),
        |items| Box::new(model.embed(Role::Document, items)),
        |record| match record.result {
            Ok((input, embedded)) => ranking.offer(record.index, input, &embedded),
            Err(why) => {
                skipped.get_or_insert(why);
                Ok(())
            }
        },
    )?;
    let nothing = ranking.nothing();
    let mut hits = ranking.finish();
    if let Some(reranker) = reranker {
        hits = rerank(&reranker, &args.query, hits, limit, report)?;
    }
    if target.is_terminal() && args.output.format.is_none() {
        let (_, columns) = Term::stdout().size();
        print(&render_table(&hits, usize::from(columns)))?;
    } else {
        let records = Records::start(Format::Jsonl, target, None)?;
        let written = (1..).zip(&hits).try_for_each(|(rank, hit)| {
            let (text, image) = match &hit.input {
                Input::Text(text) => (Some(&**text), None),
                other => (None, image_path(other).map(Path::to_string_lossy)),
            };
            records.write_line(&Line { rank, index: hit.index, score: hit.score, text, image })
        });
        records.close(written)?;
    }
    if hits.is_empty() && count.skipped < count.inputs {
        report.warn(nothing);
    }
    count.report(report, skipped)
}

#[derive(Serialize)]
struct Line<'a> {
    rank: u64,
    index: u64,
    score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<Cow<'a, str>>,
}

fn embed_query(model: &Model, query: &str, report: &Report) -> Result<Output> {
    let embedded = model.embed_one(Role::Query, query).context("the query")?;
    embedded.value.check_finite().context("the query")?;
    if embedded.truncated {
        report.warn("the query was longer than the model takes and cut off");
    }
    Ok(embedded.value)
}

/// Scores hits again, with a model that reads query and text together.
fn rerank(
    reranker: &Selected,
    query: &str,
    hits: Vec<Hit>,
    limit: usize,
    report: &Report,
) -> Result<Vec<Hit>> {
    if hits.is_empty() {
        return Ok(hits);
    }
    let model = reranker.open(None, report)?;
    let query: Arc<str> = query.into();
    let pair = |hit: &Hit| match &hit.input {
        Input::Text(text) => {
            Ok(Input::Pair { query: Arc::clone(&query), document: Arc::clone(text) })
        }
        _ => Err(anyhow!("input {} is no text, and only texts can be reranked", hit.index)),
    };
    let pairs = hits.iter().map(pair).collect::<Result<Vec<_>>>()?;
    let mut best = Best::new(limit);
    let mut truncated = 0;
    let mut progress = report.progress(Some(pairs.len() as u64), "inputs reranked");
    for (done, (hit, scored)) in (1..).zip(hits.into_iter().zip(model.embed(Role::Raw, pairs))) {
        let of = || format!("input {}", hit.index);
        let scored = scored.with_context(of)?;
        scored.value.check_finite().with_context(of)?;
        truncated += u64::from(scored.truncated);
        let score = scored.value.into_score().with_context(of)?;
        best.push(Hit { score, ..hit });
        progress.advance(done);
    }
    if truncated > 0 {
        report.warn(&format!(
            "{truncated} of the inputs that were reranked did not fit into the reranker as a whole"
        ));
    }
    Ok(best.into_sorted())
}

/// Rank, score, index and as much of the text as fits.
fn render_table(hits: &[Hit], columns: usize) -> String {
    let widest = hits.iter().map(|hit| hit.index).max().unwrap_or(0).to_string().len().max(5);
    let mut table = format!("rank    score  {:>widest$}  input\n", "index");
    let room = columns.saturating_sub(15 + widest + 2).max(20);
    for (rank, hit) in (1..).zip(hits) {
        let text = one_line(&match &hit.input {
            Input::Text(text) => Cow::Borrowed(&**text),
            other => image_path(other).map_or(Cow::Borrowed(""), Path::to_string_lossy),
        });
        let text = console::truncate_str(&text, room, "…");
        table.push_str(&format!("{rank:>4}  {:>7.4}  {:>widest$}  {text}\n", hit.score, hit.index));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(index: u64, score: f32) -> Hit {
        Hit { index, score, input: format!("text {index}").into(), truncated: false }
    }

    #[test]
    fn the_table_fits_and_stays_in_its_lines() {
        let mut hits = vec![hit(3, 0.5), hit(123_456, -0.25)];
        hits[0].input = "two\nlines of 日本語 that are too long for the table".into();
        let table = render_table(&hits, 50);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines[0], "rank    score   index  input");
        assert_eq!(lines[1], "   1   0.5000       3  two\\nlines of 日本語 that …");
        assert_eq!(lines[2], "   2  -0.2500  123456  text 123456");
        assert!(lines.iter().all(|line| console::measure_text_width(line) <= 50));
    }
}
