//! `embedkit embed`: a vector for each input.

use std::{
    io::{self, IsTerminal as _},
    mem::take,
};

use anyhow::Result;

use crate::{
    args::{EmbedArgs, Format, RunArgs},
    input::Source,
    model::{Encoders, Selected},
    output::{self, Record, Records, Target, Width},
    postprocess::{self, Postprocess},
    report::{Report, usage},
    stream::Checked,
    value::Shape,
};

pub(crate) fn run(mut args: EmbedArgs, run: &RunArgs, report: &Report) -> Result<()> {
    let format = args.output.format.unwrap_or(Format::Jsonl);
    let on_error = args.input.on_error;
    let mut selected = Selected::new(&args.model, run)?;
    if args.dimensions.is_some() && !matches!(selected.shape(), Shape::Vector | Shape::Vectors) {
        let what = format!("--dimensions is for vectors, {} gives", selected.id());
        return Err(usage(format!("{what} {}", selected.shape().name())).into());
    }
    selected.options.dim = args.dimensions;
    let shape = Postprocess::check(&args, selected.id(), selected.shape())?;
    output::check(format, shape, on_error)?;
    let wanted = selected.wanted(args.input.image)?;
    let source = Source::choose(take(&mut args.inputs), &args.input, io::stdin().is_terminal())?;
    selected.warn_of_idle_options(args.role, report);

    let inputs = source.open(wanted)?;
    let origin = inputs.origin();
    let inputs = Checked::begin(inputs, on_error)?;
    let target = Target::open(args.output.output.as_deref(), &origin)?;
    let Some(inputs) = inputs else {
        let width = postprocess::width(&args, &selected)?.map(Width::Vector);
        return Records::start(format, target, width)?.close(Ok(()));
    };
    inputs.warn_of_json(args.input.input_format, report);
    let encoders = Encoders::open(&selected, inputs.kind(), report)?;
    let postprocess = Postprocess::new(&args, encoders.width_of_many())?;
    let on_screen = target.is_terminal();
    let records = Records::start(format, target, None)?;
    let done = inputs.run(
        report,
        |kind, items| Ok(postprocess.apply(encoders.get(kind)?.embed(args.role.into(), items))),
        |done| {
            let write = || records.write(&Record::of(&done));
            if on_screen { report.beside_progress(write) } else { write() }
        },
    );
    records.close(done)?.report(report, None)
}
