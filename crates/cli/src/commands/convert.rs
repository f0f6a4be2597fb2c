//! `embedkit convert`: a safetensors checkpoint becomes an ONNX graph.

use anyhow::Result;
use embedkit_convert::{ConvertOptions, convert_with_progress};

use crate::{args::ConvertArgs, report::Report};

pub(crate) fn run(args: &ConvertArgs, report: &Report) -> Result<()> {
    let options = ConvertOptions {
        head: args.head,
        token_types: !args.no_token_types,
        precision: args.precision,
    };
    let mut bar = None;
    let converted = convert_with_progress(&args.dir, &args.out, &options, &mut |done, all| {
        bar.get_or_insert_with(|| report.bytes("converting", Some(all))).reached(done);
    });
    drop(bar);
    let converted = converted.map_err(embedkit::Error::from)?;
    report.inform(&format!(
        "wrote {}: {} with {} layers of width {}, {:.1} MB, from {} to {}",
        args.out.display(),
        converted.model_type,
        converted.layers,
        converted.width,
        converted.bytes as f64 / 1e6,
        converted.inputs.join(", "),
        converted.output,
    ));
    if let Some(weights) = &converted.external_data {
        report.inform(&format!("the weights are beside it, in {}", weights.display()));
    }
    Ok(())
}
