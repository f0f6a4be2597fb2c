//! `embedkit rerank`: how well each input answers a query.

use std::{
    io::{self, IsTerminal as _},
    sync::Arc,
};

use anyhow::Result;
use embedkit::{Input, Model, Output, OutputKind, Role, rerank::sigmoid};

use crate::{
    args::{Format, RerankArgs, RunArgs},
    input::{AcceptedInputs, QueryKey, Source},
    model::Selected,
    output::{self, Records, RowShape, Target},
    ranking::{Best, Hit},
    record::Record,
    report::{Report, usage},
    stream::{Items, Results, Run},
};

pub(crate) fn run(args: RerankArgs, run_args: &RunArgs, report: &Report) -> Result<()> {
    let format = args.output.format.unwrap_or(Format::Jsonl);
    let on_error = args.input.on_error;
    output::check(format, OutputKind::Score, on_error)?;
    let selected = Selected::reranker(&args.model, run_args)?;
    if args.top_k.is_some() && args.query.is_none() {
        return Err(usage("--top-k ranks the inputs for one query, and there is no --query").into());
    }
    let query = if args.query.is_some() { QueryKey::Refused } else { QueryKey::Needed };
    let accepted = AcceptedInputs { query, ..selected.accepted_inputs(args.input.image)? };
    let source = Source::choose(args.inputs, &args.input, io::stdin().is_terminal())?;
    if args.query.is_none() && !source.is_jsonl() {
        return Err(usage("there is no query")
            .hint(r#"give one with --query, or one a text: {"query":…,"text":…} a line of jsonl"#)
            .into());
    }
    let inputs = source.open(accepted)?;
    let origin = inputs.origin();
    let run = Run::begin(inputs, on_error)?;
    let target = Target::open(args.output.output.as_deref(), &origin)?;
    let Some(run) = run else {
        return Records::start(format, target, Some(RowShape::Number))?.close(Ok(()));
    };
    run.warn_of_json(args.input.input_format, report);
    let model = selected.open(None, report)?;
    let score = |items| score_all(&model, args.query.as_deref(), args.sigmoid, items);

    let on_screen = target.is_terminal();
    let records = Records::start(format, target, None)?;
    let mut best = args.top_k.map(Best::new);
    let mut skipped = None;
    let done = run.embed(
        report,
        |_| Ok(()),
        score,
        |record| {
            if let Some(best) = &mut best {
                if let Err(why) = &record.result {
                    skipped.get_or_insert(why.clone());
                }
                if let Some(hit) = Hit::of(record) {
                    best.push(hit);
                }
                return Ok(());
            }
            let write = || records.write(&record);
            if on_screen { report.beside_progress(write) } else { write() }
        },
    );
    let done = done.and_then(|count| {
        for hit in best.map(Best::into_sorted).into_iter().flatten() {
            records.write(&Record::from(hit))?;
        }
        Ok(count)
    });
    records.close(done)?.report(report, skipped)
}

/// The scores of texts for one query, or of pairs.
fn score_all<'a>(
    model: &Model,
    query: Option<&str>,
    map_to_one: bool,
    items: Items<'a>,
) -> Results<'a> {
    let query: Option<Arc<str>> = query.map(Arc::from);
    let pairs = items.map(move |input| match (input, &query) {
        (Input::Text(document), Some(query)) => Input::Pair { query: Arc::clone(query), document },
        (input, _) => input,
    });
    let scores = model.embed(Role::Raw, pairs);
    if !map_to_one {
        return Box::new(scores);
    }
    Box::new(scores.map(|result| {
        let mut scored = result?;
        if let Output::Score(score) = &mut scored.value {
            *score = sigmoid(*score);
        }
        Ok(scored)
    }))
}
