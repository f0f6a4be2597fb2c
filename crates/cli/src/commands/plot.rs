//! `embedkit plot`: a map of embeddings.

use std::path::Path;

use anyhow::Result;

use crate::{
    args::PlotArgs,
    output::{Target, write_whole},
    plot::{Files, Picture, Points, Rows, draw},
    report::{Report, failure, usage},
};

pub(crate) fn run(args: &PlotArgs, report: &Report) -> Result<()> {
    let format = Picture::of(&args.output)?;
    let (input, stdin) = (args.input.as_path(), Path::new("-"));
    if input == stdin && args.labels.as_deref() == Some(stdin) {
        return Err(usage("embeddings and labels cannot both come from standard input").into());
    }
    let files = Files {
        embeddings: input,
        labels: args.labels.as_deref(),
        color_by: args.color_by.as_deref(),
    };
    let target = Target::open(Some(&args.output), &Rows::origin(&files))?;
    let mut rows = Rows::open(&files)?;
    let mut points = Points::new(args.max_points);
    while let Some(point) = rows.next()? {
        points.push(point)?;
    }
    let name = if input == stdin {
        "embeddings".into()
    } else {
        input.file_name().unwrap_or_default().to_string_lossy()
    };
    if points.is_empty() && rows.skipped > 0 {
        let what =
            format!("{name} has an error in place of each of its {} embeddings", rows.skipped);
        return Err(failure(what).into());
    }
    let map = points.into_map(args.title.as_deref().unwrap_or(&name), report)?;
    if rows.skipped > 0 {
        let have = if rows.skipped == 1 { "has" } else { "have" };
        report.warn(&format!(
            "{} of {} lines {have} an error in place of an embedding",
            rows.skipped,
            rows.count()
        ));
    }
    write_whole(target, &draw(&map, format, report)?)
}
