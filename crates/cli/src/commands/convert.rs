//! `embedkit convert`: a safetensors checkpoint becomes an ONNX graph.

use anyhow::Result;
use embedkit_convert::{ConvertOptions, Head, convert_with_progress};

use crate::{
    args::ConvertArgs,
    report::{Report, usage},
};

pub(crate) fn run(args: &ConvertArgs, report: &Report) -> Result<()> {
    let head = match (&*args.head, args.true_token) {
        (Head::NEXT_TOKEN, Some(true_token)) => {
            Head::NextToken { true_token, false_token: args.false_token }
        }
        (name, None) => name.parse().map_err(embedkit::Error::from)?,
        (name, Some(_)) => {
            let what = format!("--true-token is for --head {}, not for {name}", Head::NEXT_TOKEN);
            return Err(usage(what).into());
        }
    };
    let options =
        ConvertOptions { head, token_types: !args.no_token_types, precision: args.precision };
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
