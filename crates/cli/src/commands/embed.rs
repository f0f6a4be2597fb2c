//! `embedkit embed`: a vector for each input.

use std::io::{self, IsTerminal as _};

use anyhow::Result;

use crate::{
    args::{EmbedArgs, Format, RunArgs},
    input::Source,
    model::{Encoders, Selected},
    output::{self, Record, Records, Target},
    report::{Report, usage},
    stream::Checked,
    value::Shape,
};

pub(crate) fn run(args: EmbedArgs, run: &RunArgs, report: &Report) -> Result<()> {
    let format = args.output.format.unwrap_or(Format::Jsonl);
    let on_error = args.input.on_error;
    let mut selected = Selected::new(&args.model, run)?;
    if args.dimensions.is_some() && selected.shape() != Shape::Vector {
        let what = format!("--dimensions is for models that give one vector, {}", selected.id());
        return Err(usage(format!("{what} gives {}", selected.shape().name())).into());
    }
    selected.options.dimensions = args.dimensions;
    output::check(format, selected.shape(), on_error)?;
    let source = Source::choose(args.inputs, &args.input, io::stdin().is_terminal())?;
    selected.warn_of_idle_options(args.role, report);

    let inputs = Checked::begin(source.open(selected.wanted())?, on_error)?;
    let target = Target::open(args.output.output.as_deref(), args.input.input.as_deref())?;
    let Some(inputs) = inputs else {
        return target.empty();
    };
    let encoders = Encoders::open(&selected, inputs.kind(), report)?;
    let on_screen = target.is_terminal();
    let mut records = Records::start(format, target)?;
    let done = inputs.run(
        report,
        |kind, items| Ok(encoders.get(kind)?.embed(args.role.into(), items)),
        |done| {
            let record = Record {
                index: done.index,
                truncated: done.result.as_ref().is_ok_and(|(_, embedded)| embedded.truncated),
                value: done.result.as_ref().map(|(_, done)| &done.value).map_err(|why| &**why),
            };
            if on_screen {
                return report.beside_progress(|| records.write(&record));
            }
            records.write(&record)
        },
    );
    // What was embedded before a failure is kept; of two failures the first one counts.
    let finished = records.finish();
    let count = done?;
    finished?;
    count.report(report);
    Ok(())
}
