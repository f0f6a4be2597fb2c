//! `embedkit compare`: two models on the same inputs.

mod agreement;
mod numbered;
mod page;
mod side;

use std::{
    io::{self, IsTerminal as _},
    path::PathBuf,
};

use anyhow::{Result, anyhow};
use console::Term;
use embedkit::{Input, InputKind};

use self::{
    agreement::{Agreement, Hits, Query},
    numbered::Numbered,
    page::{Comparison, render},
    side::{Side, embed_in_turns},
};
use crate::{
    args::{CompareArgs, ModelArgs, OnError, PrecisionArg, RunArgs},
    input::{AcceptedInputs, QueryKey, Source},
    model::Selected,
    output::print,
    report::{Report, failure, usage},
    sample::Sample,
};

pub(crate) fn run(args: CompareArgs, run_args: &RunArgs, report: &Report) -> Result<()> {
    let select = |model: &str, dir: &Option<PathBuf>, precision| {
        Selected::new(&model_args(model, dir.clone(), precision, &args), run_args)
    };
    let selected = [
        select(&args.model_a, &args.model_dir_a, args.precision_a)?,
        select(&args.model_b, &args.model_dir_b, args.precision_b)?,
    ];
    let accepted = accepted(&selected, &args)?;
    let source = Source::choose(args.inputs, &args.input, io::stdin().is_terminal())?;
    let inputs = read(source, accepted, args.input.on_error, args.max_inputs, report)?;
    let kind = inputs.first().map_or(accepted.plain, |input| input.input.kind());
    let [first, second] = selected;
    let mut sides = [Side::open(first, kind, report)?, Side::open(second, kind, report)?];
    let inputs = embed_in_turns(&mut sides, &inputs, args.input.on_error, report)?;
    let queries: Vec<Input> = args.queries.iter().map(|text| Input::from(text.as_str())).collect();
    for side in &mut sides {
        side.embed_queries(&queries, &inputs)?;
        side.warn_of_truncated(report);
    }
    let asked = if queries.is_empty() {
        inputs.iter().map(Query::of_input).collect()
    } else {
        queries.iter().map(Query::of_text).collect::<Vec<_>>()
    };
    let mut progress = report.progress(Some(asked.len() as u64), "queries");
    let mut agreements = Vec::with_capacity(asked.len());
    for (at, query) in asked.into_iter().enumerate() {
        let own = queries.is_empty().then_some(at);
        let hits = [&sides[0], &sides[1]].map(|side| side.rank(at, own, &inputs));
        let [a, b] = hits;
        let hits = Hits { a: a?, b: b?, among: inputs.len() - usize::from(own.is_some()) };
        agreements.push(Agreement::new(query, hits, args.top_k));
        progress.advance(at as u64 + 1);
    }
    drop(progress);
    let comparison = Comparison::new(&sides, &inputs, agreements, args.top_k, args.show);
    if args.json || !io::stdout().is_terminal() {
        let mut text = serde_json::to_string(&comparison)?;
        text.push('\n');
        return print(&text);
    }
    let (_, columns) = Term::stdout().size();
    print(&render(&comparison, usize::from(columns)))
}

/// The options of one of the two models. A description of a model of one's own is a file.
fn model_args(
    model: &str,
    dir: Option<PathBuf>,
    precision: PrecisionArg,
    args: &CompareArgs,
) -> ModelArgs {
    let described = model.ends_with(".toml");
    ModelArgs {
        model: (!described).then(|| model.to_owned()),
        model_dir: dir,
        model_spec: described.then(|| PathBuf::from(model)),
        variant: None,
        precision,
        outputs: args.outputs,
        prompts: args.prompts,
        max_tokens: args.max_tokens,
        options: Vec::new(),
    }
}

/// Inputs that both models take.
fn accepted(selected: &[Selected; 2], args: &CompareArgs) -> Result<AcceptedInputs> {
    let [a, b] = selected;
    let (one, other) = (a.accepted_inputs(args.input.image)?, b.accepted_inputs(args.input.image)?);
    let both = AcceptedInputs {
        texts: one.texts && other.texts,
        images: one.images && other.images,
        query: QueryKey::Ignored,
        plain: if one.plain == other.plain { one.plain } else { InputKind::Text },
    };
    let has_plain = if both.plain == InputKind::Image { both.images } else { both.texts };
    if !has_plain {
        let what = format!("{} and {} take no common kind of input", a.id(), b.id());
        return Err(usage(what).hint("compare two models of texts, or two of images").into());
    }
    if !args.queries.is_empty() && !both.texts {
        return Err(usage("--query is a text, and one of the models embeds images only")
            .hint("leave --query out: each image is compared with the others")
            .into());
    }
    Ok(both)
}

/// Reads the inputs, or at equal distances so many of them.
fn read(
    source: Source,
    accepted: AcceptedInputs,
    on_error: OnError,
    most: usize,
    report: &Report,
) -> Result<Vec<Numbered>> {
    let mut sample = Sample::new(most);
    let (mut index, mut skipped) = (0, 0);
    for item in source.open(accepted)? {
        match item?.input {
            Ok(input) => sample.push(Numbered { index, input }),
            Err(why) if on_error == OnError::Fail => return Err(anyhow!(why)),
            Err(why) => {
                report.warn(&format!("left out: {why}"));
                skipped += 1;
            }
        }
        index += 1;
    }
    if let Some(notice) = sample.notice("inputs", "compared") {
        report.warn(&format!("{notice}; --max-inputs sets another limit"));
    }
    let inputs = sample.into_items();
    if inputs.len() < 2 {
        let what = format!("expected at least 2 inputs to compare, got {}", inputs.len());
        let hint = if skipped > 0 {
            "the others were left out"
        } else {
            "each is compared with the others"
        };
        return Err(failure(what).hint(hint).into());
    }
    let kind = inputs[0].input.kind();
    if let Some(other) = inputs.iter().find(|other| other.input.kind() != kind) {
        let what = format!(
            "input {} is one of {}, those before it {kind}",
            other.index,
            other.input.kind()
        );
        return Err(failure(what).hint("compare texts and images apart").into());
    }
    Ok(inputs)
}
