//! `embedkit models check`: whether a model gives the results that it should, and the same ones in any
//! batch and on any device.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use embedkit::{
    Canonical, Device, Difference, Input, InputKind, LoadOptions, Model, ModelBuilder, Options,
    Output, Resolved, Role, image::RgbImage, resolve,
};
use serde::Serialize;

use crate::{
    args::{CheckArgs, RunArgs},
    model::show_downloads,
    output::print,
    report::{Report, failure},
};

/// Texts of several lengths, so that a batch of them has padding.
const TEXTS: [&str; 6] = [
    "hello world",
    "a",
    "Paris is the capital of France.",
    "The quick brown fox jumps over the lazy dog, and the dog does not mind at all.",
    "embeddings",
    "2 + 2 = 4; naïve façade, 東京",
];
const QUERY: &str = "what is the capital of France?";
/// Sides of the images in pixels.
const SIDES: [(u32, u32); 3] = [(64, 64), (96, 48), (33, 71)];

/// Largest difference, for numbers up to 1 in magnitude: sums have another order in another batch, and
/// another device may round in between.
const ON_CPU: f32 = 1e-4;
const ON_DEVICE: f32 = 2e-3;

pub(crate) fn run(args: &CheckArgs, run: &RunArgs, report: &Report) -> Result<()> {
    let options = LoadOptions { variant: args.variant.clone(), ..run.load_options() };
    let found = resolve(&args.id, &options)?;
    let model = open(&found, &options, report)?;
    let mut checks = Vec::new();
    if let Some(known) = found.canonical() {
        checks.push(canonical(&model, known)?);
    }
    for &kind in &model.capabilities().inputs {
        let inputs = samples(kind)?;
        let together = batch(&model, &inputs)?;
        let device = model.device(kind)?.to_owned();
        let allowed = if device == "cpu" { ON_CPU } else { ON_DEVICE };
        let alone = inputs.iter().map(|input| batch(&model, std::slice::from_ref(input)));
        let alone = alone.collect::<Result<Vec<_>>>()?.concat();
        let name = format!("{kind}: alone and in a batch");
        checks.push(Check::of(name, &alone, &together, allowed)?);
        if device != "cpu" {
            let options = LoadOptions { device: Device::Cpu, ..options.clone() };
            let on_cpu = batch(&open(&found, &options, report)?, &inputs)?;
            let name = format!("{kind}: {device} and the CPU");
            checks.push(Check::of(name, &together, &on_cpu, ON_DEVICE)?);
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

/// Inputs of a kind.
fn samples(kind: InputKind) -> Result<Vec<Input>> {
    Ok(match kind {
        InputKind::Text => TEXTS.into_iter().map(Input::from).collect(),
        InputKind::Pair => {
            let query: Arc<str> = QUERY.into();
            TEXTS.into_iter().map(|text| Input::pair(Arc::clone(&query), text)).collect()
        }
        InputKind::Image => {
            let image = |(width, height): (u32, u32)| {
                let pixel = |at: u32| {
                    let (x, y) = (at % width, at / width);
                    [x * 255 / width, y * 255 / height, (x + y) % 256].map(|value| value as u8)
                };
                let pixels = (0..width * height).flat_map(pixel).collect();
                Ok(Input::image(RgbImage::new(width, height, pixels)?))
            };
            SIDES.into_iter().map(image).collect::<Result<_>>()?
        }
        other => return Err(failure(format!("{other} are not checked")).into()),
    })
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

/// Compares with known results.
fn canonical(model: &Model, known: &Canonical) -> Result<Check> {
    let texts: Vec<_> = known.texts.iter().map(|text| Input::from(&**text)).collect();
    let expected: Vec<_> =
        known.vectors.iter().map(|vector| Output::Dense(vector.to_vec())).collect();
    let outputs = batch(model, &texts)?.into_iter().zip(&expected).enumerate();
    let beginnings = outputs.map(|(index, (output, expected))| {
        let Output::Dense(expected) = expected else { unreachable!("it was made as one") };
        let mut vector = output.into_dense().context("known results are of one vector")?;
        if vector.len() < expected.len() {
            let (found, expected) = (vector.len(), expected.len());
            let what =
                format!("input {index}: expected {expected} components or more, got {found}");
            return Err(failure(what).into());
        }
        vector.truncate(expected.len());
        Ok(Output::Dense(vector))
    });
    let found = beginnings.collect::<Result<Vec<_>>>()?;
    let mut check = Check::of("canonical".to_owned(), &found, &expected, known.tolerance)?;
    // The tolerance is stated for these very numbers.
    check.allowed = known.tolerance;
    check.ok = check.largest <= check.allowed;
    Ok(check)
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
    /// Compares outputs one by one; `allowed` grows with the largest number.
    fn of(name: String, one: &[Output], other: &[Output], allowed: f32) -> Result<Self> {
        let (mut worst, mut place) = (0.0f32, None);
        let mut magnitude = 1.0f32;
        for (index, (one, other)) in one.iter().zip(other).enumerate() {
            let Difference { largest, place: at, .. } =
                one.difference(other).with_context(|| format!("{name}, input {index}"))?;
            if largest > worst {
                worst = largest;
                place = at.map(|at| format!("{at} of input {index}"));
            }
            magnitude = magnitude.max(one.magnitude());
        }
        let allowed = allowed * magnitude;
        Ok(Self { name, ok: worst <= allowed, largest: worst, allowed, place })
    }

    fn render(&self) -> String {
        let Self { name, ok, largest, allowed, place } = self;
        let result = if *ok { "ok" } else { "deviates" };
        let place = place.as_ref().map(|place| format!(" at {place}")).unwrap_or_default();
        format!("{name:40}  {result:8}  {largest:.2e}{place}, allowed {allowed:.0e}\n")
    }
}
