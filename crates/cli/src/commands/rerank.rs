//! `embedkit rerank`: how well each input answers a query.

use std::io::{self, IsTerminal as _};

use anyhow::Result;
use embedkit::{TextCrossEncoder, rerank::sigmoid};

use crate::{
    args::{Format, RerankArgs, RunArgs},
    encoder::{Results, results},
    input::{Kind, QueryKey, Source, Wanted},
    model::Selected,
    output::{self, Record, Records, Target, Width},
    ranking::{Best, Hit},
    report::{Report, usage},
    stream::{Checked, Items},
    value::{Shape, Value},
};

pub(crate) fn run(args: RerankArgs, run: &RunArgs, report: &Report) -> Result<()> {
    let format = args.output.format.unwrap_or(Format::Jsonl);
    let on_error = args.input.on_error;
    output::check(format, Shape::Score, on_error)?;
    let selected = Selected::reranker(&args.model, run)?;
    if args.top_k.is_some() && args.query.is_none() {
        return Err(usage("--top-k ranks the inputs for one query, and there is no --query").into());
    }
    let query = if args.query.is_some() { QueryKey::Refused } else { QueryKey::Needed };
    let wanted = Wanted { query, ..selected.wanted(args.input.image)? };
    let source = Source::choose(args.inputs, &args.input, io::stdin().is_terminal())?;
    if args.query.is_none() && !source.is_jsonl() {
        return Err(usage("there is no query")
            .hint(r#"give one with --query, or one a text: {"query":…,"text":…} a line of jsonl"#)
            .into());
    }
    let inputs = source.open(wanted)?;
    let origin = inputs.origin();
    let inputs = Checked::begin(inputs, on_error)?;
    let target = Target::open(args.output.output.as_deref(), &origin)?;
    let Some(inputs) = inputs else {
        return Records::start(format, target, Some(Width::Number))?.close(Ok(()));
    };
    inputs.warn_of_json(args.input.input_format, report);
    let model: TextCrossEncoder = selected.load_only(&(), report)?;
    let score = if args.sigmoid { |score| Value::Score(sigmoid(score)) } else { Value::Score };
    let score = |_: Kind, items: Items| Ok(score_all(&model, args.query.as_deref(), items, score));

    let on_screen = target.is_terminal();
    let records = Records::start(format, target, None)?;
    let mut best = args.top_k.map(Best::new);
    let mut skipped = None;
    let done = inputs.run(report, score, |done| {
        if let Some(best) = &mut best {
            if let Err(why) = &done.result {
                skipped.get_or_insert(why.clone());
            }
            if let Some(hit) = Hit::of(done) {
                best.push(hit);
            }
            return Ok(());
        }
        let write = || records.write(&Record::of(&done));
        if on_screen { report.beside_progress(write) } else { write() }
    });
    let done = done.and_then(|count| {
        for hit in best.map(Best::into_sorted).into_iter().flatten() {
            let value = Value::Score(hit.score);
            let (index, truncated) = (hit.index, hit.truncated);
            records.write(&Record { index, value: Ok(&value), truncated })?;
        }
        Ok(count)
    });
    records.close(done)?.report(report, skipped)
}

/// The scores of texts for one query, or of pairs.
fn score_all(
    model: &TextCrossEncoder,
    query: Option<&str>,
    items: Items,
    score: fn(f32) -> Value,
) -> Results<'static> {
    match query {
        Some(query) => results(model.rerank_detailed(query, items.texts()), score),
        None => results(model.rerank_pairs_detailed(items.pairs()), score),
    }
}
