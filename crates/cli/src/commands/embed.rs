//! `embedkit embed`: a vector for each input.

use std::{
    io::{self, IsTerminal as _},
    mem::take,
};

use anyhow::Result;
use embedkit::{OutputKind, Role};

use crate::{
    args::{EmbedArgs, Format, RunArgs},
    input::Source,
    model::Selected,
    output::{self, Records, RowShape, Target},
    postprocess::{self, Postprocess},
    report::{Report, usage},
    stream::Run,
};

pub(crate) fn run(mut args: EmbedArgs, run_args: &RunArgs, report: &Report) -> Result<()> {
    let format = args.output.format.unwrap_or(Format::Jsonl);
    let on_error = args.input.on_error;
    let mut selected = Selected::new(&args.model, run_args)?;
    let given = selected.output();
    if args.dimensions.is_some() && !matches!(given, OutputKind::Dense | OutputKind::MultiVector) {
        let what = format!("--dimensions is for vectors, {} gives {given}", selected.id());
        return Err(usage(what).into());
    }
    selected.options.load.dim = args.dimensions;
    output::check(format, Postprocess::check(&args, selected.id(), given)?, on_error)?;
    let accepted = selected.accepted_inputs(args.input.image)?;
    let source = Source::choose(take(&mut args.inputs), &args.input, io::stdin().is_terminal())?;
    selected.warn_of_idle_options(args.role, report);

    let inputs = source.open(accepted)?;
    let origin = inputs.origin();
    let run = Run::begin(inputs, on_error)?;
    let target = Target::open(args.output.output.as_deref(), &origin)?;
    let Some(run) = run else {
        let row = postprocess::dim(&args, &selected)?.map(RowShape::Vector);
        return Records::start(format, target, row)?.close(Ok(()));
    };
    run.warn_of_json(args.input.input_format, report);
    let model = selected.open(run.kind(), report)?;
    let postprocess = Postprocess::new(&args, model.dim())?;
    let on_screen = target.is_terminal();
    let records = Records::start(format, target, None)?;
    let done = run.embed(
        report,
        |kind| selected.open_for(&model, kind),
        |items| postprocess.apply(Box::new(model.embed(Role::from(args.role), items))),
        |record| {
            let write = || records.write(&record);
            if on_screen { report.beside_progress(write) } else { write() }
        },
    );
    records.close(done)?.report(report, None)
}
