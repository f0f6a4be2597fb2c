//! `embedkit embed`: a vector for each input.

use std::io::{self, IsTerminal as _};

use anyhow::Result;

use crate::{
    args::{EmbedArgs, Format, RunArgs},
    input::Source,
    model::Selected,
    output::{self, Record, Records, Target},
    report::Report,
    stream::Checked,
};

pub(crate) fn run(args: EmbedArgs, run: &RunArgs, report: &Report) -> Result<()> {
    let format = args.output.format.unwrap_or(Format::Jsonl);
    let on_error = args.input.on_error;
    output::check(format, on_error)?;
    let source = Source::choose(args.inputs, &args.input, io::stdin().is_terminal())?;
    let mut selected = Selected::new(&args.model, run)?;
    selected.options_mut().dimensions = args.dimensions;
    selected.warn_of_idle_options(args.role, report);

    let inputs = Checked::begin(source.open()?, on_error)?;
    let target = Target::open(args.output.output.as_deref(), args.input.input.as_deref())?;
    let Some(inputs) = inputs else {
        return target.empty();
    };
    let model = selected.open(report)?;
    let on_screen = target.is_terminal();
    let mut records = Records::start(format, target)?;
    let done = inputs.run(
        report,
        |texts| model.embed_detailed(args.role.into(), texts),
        |done| {
            let record = Record {
                index: done.index,
                truncated: done.embedding.as_ref().is_ok_and(|embedded| embedded.truncated),
                embedding: done.embedding.as_ref().map(|done| &*done.value).map_err(|why| &**why),
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
