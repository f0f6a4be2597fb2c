//! `embedkit models check`: whether a model gives the results that it should, and the same ones in any
//! batch and on any device.

use anyhow::{Context as _, Result};
use embedkit::{
    Device, Input, LoadOptions, Model, ModelBuilder, Options, Output, Resolved, Role,
    canary::{Deviation, samples},
    resolve,
};
use serde::Serialize;

use crate::{
    args::{CheckArgs, RunArgs},
    model::show_downloads,
    output::print,
    report::{Report, failure},
};

/// Largest difference, for numbers up to 1 in magnitude: sums have another order in another batch, and
/// another device may round in between.
const ON_CPU: f32 = 1e-4;
const ON_DEVICE: f32 = 2e-3;

pub(crate) fn run(args: &CheckArgs, run: &RunArgs, report: &Report) -> Result<()> {
    // The comparisons of the command are finer than those at a first use.
    let options = LoadOptions {
        variant: args.variant.clone(),
        precision: args.precision.into(),
        skip_canary: true,
        ..run.load_options()
    };
    let found = resolve(&args.id, &options)?;
    let model = open(&found, &options, report)?;
    let mut checks = Vec::new();
    if let Some(known) = found.canonical() {
        let texts: Vec<_> = known.texts.iter().map(|text| Input::from(&**text)).collect();
        let deviation = Deviation::from_known(&batch(&model, &texts)?, known)?;
        checks.push(Check::of("canonical".to_owned(), deviation, known.tolerance));
    }
    for &kind in &model.capabilities().inputs {
        let inputs = samples(kind)?;
        let together = batch(&model, &inputs)?;
        let device = model.device(kind)?.to_owned();
        let allowed = if device == "cpu" { ON_CPU } else { ON_DEVICE };
        let alone = inputs.iter().map(|input| batch(&model, std::slice::from_ref(input)));
        let alone = alone.collect::<Result<Vec<_>>>()?.concat();
        checks.push(Check::scaled(
            format!("{kind}: alone and in a batch"),
            Deviation::between(&alone, &together)?,
            allowed,
        ));
        if device != "cpu" {
            let options = LoadOptions { device: Device::Cpu, ..options.clone() };
            let on_cpu = batch(&open(&found, &options, report)?, &inputs)?;
            checks.push(Check::scaled(
                format!("{kind}: {device} and the CPU"),
                Deviation::between(&together, &on_cpu)?,
                ON_DEVICE,
            ));
        }
    }
    if args.json {
        let mut text = serde_json::to_string_pretty(&checks)?;
        text.push('\n');
        print(&text)?;
    } else {
        print(&checks.iter().map(Check::render).collect::<String>())?;
    }
    let wrong: Vec<_> = checks.iter().filter(|check| !check.ok).map(|check| &*check.name).collect();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(failure(format!("results of {} deviate: {}", args.id, wrong.join(", "))).into())
}

fn open(found: &Resolved, options: &LoadOptions, report: &Report) -> Result<Model> {
    let builder = ModelBuilder::from(found.clone()).options(Options::from(options.clone()));
    Ok(builder.on_event(show_downloads(report)).open()?)
}

/// Outputs of raw inputs that were given at once.
fn batch(model: &Model, inputs: &[Input]) -> Result<Vec<Output>> {
    let outputs = model.embed(Role::Raw, inputs.to_vec()).enumerate();
    outputs
        .map(|(index, result)| {
            let output = result.and_then(|embedded| {
                embedded.value.check_finite()?;
                Ok(embedded.value)
            });
            output.with_context(|| format!("input {index}"))
        })
        .collect()
}

/// Result of one comparison, as scripts read it.
#[derive(Debug, Serialize)]
struct Check {
    name: String,
    ok: bool,
    /// Largest difference.
    largest: f32,
    /// Largest difference that is none.
    allowed: f32,
    /// Place of the largest difference.
    place: Option<String>,
}

impl Check {
    fn of(name: String, deviation: Deviation, allowed: f32) -> Self {
        let Deviation { largest, place, .. } = deviation;
        Self { name, ok: largest <= allowed, largest, allowed, place }
    }

    /// `allowed` grows with the largest number.
    fn scaled(name: String, deviation: Deviation, allowed: f32) -> Self {
        let allowed = allowed * deviation.magnitude.max(1.0);
        Self::of(name, deviation, allowed)
    }

    fn render(&self) -> String {
        let Self { name, ok, largest, allowed, place } = self;
        let result = if *ok { "ok" } else { "deviates" };
        let place = place.as_ref().map(|place| format!(" at {place}")).unwrap_or_default();
        format!("{name:40}  {result:8}  {largest:.2e}{place}, allowed {allowed:.0e}\n")
    }
}
