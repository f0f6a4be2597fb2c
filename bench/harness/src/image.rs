//! `image`: files to tensors, preprocessing alone on one core, and embedding with a real model, compared
//! with the original and other libraries.

mod files;

use std::fs;

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::{
    comparison::{Comparison, Inputs},
    contestant::Contestant,
    contestants::{Kind, Peer, Setting},
    corpus,
    report::{Goal, Report},
    rounds::{interleave, rates},
    scale::Scale,
    vectors,
};
use xtask::assets;

/// Assets for model and pictures.
const MODEL: &str = "efficientnet-lite0";
const PICTURES: &str = "pictures";
/// Required speedup of preprocessing over the original, exact and fast.
const TIMES: [f64; 2] = [3.0, 5.0];
/// Repetitions of each picture in a round.
const AGAIN: usize = 5;

/// Measures.
pub(super) fn measure(setting: &Setting<'_>, scale: &Scale, report: &mut Report) -> Result<()> {
    let model = assets::model_dir(MODEL);
    if !model.join("model.onnx").is_file() {
        report.skip("images", "the model is not fetched; run `cargo xtask assets`");
        return Ok(());
    }
    if let Some(reason) = setting.contestants.skipped(Peer::FastEmbed) {
        report.skip(Peer::FastEmbed.name(), reason);
        return Ok(());
    }
    let pictures = pictures()?;
    report.inputs = json!({"pictures": pictures.len(), "images": scale.few});
    let comparison = Comparison {
        goal_default: None,
        ..Comparison::of(setting, scale, Kind::Image, &model, "PNG images")
    };
    let mut ours = comparison.ours()?;
    let (mut original, _) = setting.contestants.peer(Peer::FastEmbed, comparison.open)?;
    preprocess(setting, scale, &pictures, &mut ours, &mut original, report)?;
    drop(original);
    files::measure(setting, scale, &pictures, &mut ours, report)?;
    let cycled = |count| pictures.iter().cycle().take(count);
    let many = Inputs::write(setting, "images", cycled(scale.few), &mut ours)?;
    let few = Inputs::write(setting, "few-images", cycled(scale.few / 4), &mut ours)?;
    comparison.with_original(&few, &few, &many, ours, report)
}

/// From pixels to the tensor.
fn preprocess(
    setting: &Setting<'_>,
    scale: &Scale,
    pictures: &[String],
    ours: &mut Contestant,
    original: &mut Contestant,
    report: &mut Report,
) -> Result<()> {
    let file = setting.folder.join("pictures.txt");
    corpus::write(&file, pictures)?;
    let mut tensors = Vec::new();
    for contestant in [&mut *ours, &mut *original] {
        let to = setting.folder.join("tensors.f32");
        contestant.ask(&json!({"op": "preprocess", "inputs": file, "to": to}))?;
        let bytes = fs::read(&to).with_context(|| format!("reading {}", to.display()))?;
        let numbers: Vec<f32> =
            bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        tensors.push(numbers);
    }
    let difference = vectors::compare(Peer::FastEmbed.name(), &tensors[0], &tensors[1])?;
    report.note(format!("preprocessing: largest difference from the original {difference:.1e}"));

    let again: Vec<&String> = pictures.iter().cycle().take(pictures.len() * AGAIN).collect();
    corpus::write(&file, &again)?;
    let seconds = interleave(scale.rounds, 3, |turn| {
        let contestant = if turn == 2 { &mut *original } else { &mut *ours };
        let quality = if turn == 1 { "fast" } else { "exact" };
        let request = json!({"op": "preprocess", "inputs": file, "quality": quality});
        let answer = contestant.ask(&request)?;
        let each: Vec<f64> = serde_json::from_value(answer["seconds"].clone())?;
        Ok(each.iter().sum::<f64>())
    })?;
    report.section("decoded image to tensor, on one core");
    let names = ["embedkit, exact", "embedkit, fast", "FastEmbed 0.9.1"];
    for (name, seconds) in names.into_iter().zip(&seconds) {
        report.add(name, "images/s", rates(seconds, again.len() as f64));
    }
    for (at, what) in ["preprocessing, exact", "preprocessing, fast"].into_iter().enumerate() {
        let goal = Some(Goal::AtLeast(TIMES[at]));
        report.times_faster(&format!("FastEmbed 0.9.1, {what}"), &seconds[2], &seconds[at], goal);
    }
    Ok(())
}

/// Lossless pictures, which all decoders read alike.
fn pictures() -> Result<Vec<String>> {
    let folder = assets::model_dir(PICTURES);
    let entries = fs::read_dir(&folder).with_context(|| {
        format!("{} is not fetched; run `cargo xtask assets`", folder.display())
    })?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == "png") {
            found.push(path.to_str().context("a path of the assets is not UTF-8")?.to_owned());
        }
    }
    found.sort();
    if found.is_empty() {
        bail!("there are no pictures in {}", folder.display());
    }
    Ok(found)
}
