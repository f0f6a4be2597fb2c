//! `int8`: `embedkit quantize` of all-MiniLM-L6-v2, compared with f32: speedup, similarity of vectors,
//! batch invariance, and correlation with human judgements. The same for bf16 where the processor has it, and for
//! ONNX Runtime's own dynamic quantisation, as FastEmbed runs it.

mod correlation;
mod similarity;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Error, Result, bail, ensure};
use serde_json::{Value, json};

use self::similarity::Similarity;
use super::{
    comparison::{BATCHES, Inputs, TRIES, timed},
    contestant::Contestant,
    contestants::{Peer, Setting},
    corpus::{self, Corpus},
    dense, models,
    report::{Goal, Report, percentile},
    rounds::{interleave, rates, zip},
    scale::Scale,
    vectors,
};
use embedkit_core::onnx::{bf16_kernel, int8_kernel};
use xtask::{
    assets::{self, NEWEST, Set},
    python, repo, run,
};

/// Required speedups of int8 over f32, by the kernel of this processor.
const INT8_TIMES: [(&str, f64); 3] = [("amx", 4.0), ("avx512-vnni", 3.0), ("avx-vnni", 2.0)];
/// Required speedups of bf16.
const BF16_TIMES: [(&str, f64); 2] = [("amx", 2.5), ("avx512-bf16", 1.3)];
/// Padded tokens of a batch when ours runs with larger batches than its default.
const LARGE_BATCH: usize = 4096;
/// Batch size in which FastEmbed's vectors are compared with those of texts alone.
const THEIR_BATCH: usize = 32;
/// Additional package of ONNX Runtime's quantisation.
const ONNX: &str = "onnx==1.23.0";

/// A library with a model file.
struct Form {
    name: &'static str,
    contestant: Contestant,
    /// Batch size; ours decides itself.
    batch: Option<usize>,
    goals: Option<Goals>,
}

/// Goals of a form of ours.
#[derive(Clone, Copy)]
struct Goals {
    /// Speedup over f32, if there is one for this processor.
    times: Option<f64>,
    /// Cosine to f32, of the mean and of every text.
    cosines: [f64; 2],
}

impl Goals {
    fn int8() -> Self {
        Self { times: of_kernel(&INT8_TIMES, Some(int8_kernel())), cosines: [0.999, 0.995] }
    }

    fn bf16() -> Self {
        Self { times: of_kernel(&BF16_TIMES, bf16_kernel()), cosines: [0.999_98, 0.999_9] }
    }
}

fn of_kernel(times: &[(&str, f64)], kernel: Option<&str>) -> Option<f64> {
    times.iter().find(|(name, _)| kernel == Some(name)).map(|(_, times)| *times)
}

/// Measures.
pub(super) fn measure(
    setting: &Setting<'_>,
    scale: &Scale,
    corpus: &Corpus,
    report: &mut Report,
) -> Result<()> {
    let original = assets::minilm();
    let int8 = models::quantized(setting.folder)?;
    let mut files = vec![("f32", original.clone()), ("embedkit quantize", int8.clone())];
    let mut all = vec![
        ours(setting, "embedkit f32", &original, None, &Value::Null)?,
        ours(setting, "embedkit int8", &int8, Some(Goals::int8()), &Value::Null)?,
    ];
    match bf16_kernel() {
        Some(_) => {
            let bf16 = models::in_bf16(setting.folder)?;
            all.push(ours(setting, "embedkit bf16", &bf16, Some(Goals::bf16()), &Value::Null)?);
            files.push(("bf16", bf16));
        }
        None => report.skip("embedkit bf16", "this processor has no instructions for it"),
    }
    let few = &corpus.texts[..scale.few];
    let dynamic_name = "FastEmbed 0.9.1, dynamic int8";
    match dynamic(setting) {
        Ok(model) => {
            all.push(theirs(setting, dynamic_name, Peer::FastEmbed, &model, few)?);
            files.push(("dynamic", model));
        }
        Err(error) => report.skip(dynamic_name, &first_line(&error)),
    }
    let calibrated_name = "OpenVINO 2026.4, int8 by NNCF";
    match calibrated(setting, few) {
        Ok(model) => {
            all.push(theirs(setting, calibrated_name, Peer::OpenVino, &model, few)?);
            files.push(("OpenVINO int8", model));
        }
        Err(error) => report.skip(calibrated_name, &first_line(&error)),
    }
    let sizes = files.iter().map(|(name, folder)| {
        let weights = ["model.onnx", "model.bin"].map(|file| fs::metadata(folder.join(file)));
        let bytes = weights.into_iter().find_map(Result::ok).map_or(f64::NAN, |it| it.len() as f64);
        format!("{name} {:.1} MB", bytes / 1e6)
    });
    report.note(format!("files: {}", sizes.collect::<Vec<_>>().join(", ")));
    report.inputs = json!({
        "fingerprint": corpus.fingerprint, "texts": scale.texts, "compared": scale.compared,
        "int8": int8_kernel(), "bf16": bf16_kernel(),
    });

    speed(setting, scale, &corpus.texts[..scale.texts], &mut all, report)?;
    latency(setting, scale, corpus, &mut all, report)?;
    let options = json!({"batch_tokens": LARGE_BATCH});
    let large = ours(setting, "embedkit int8", &int8, None, &options)?;
    closeness(setting, &corpus.texts[..scale.compared], &mut all, large, report)?;
    quality(setting, &mut all, report)
}

/// Throughput on the mixed corpus, in wall time and in CPU time.
fn speed(
    setting: &Setting<'_>,
    scale: &Scale,
    texts: &[String],
    all: &mut [Form],
    report: &mut Report,
) -> Result<()> {
    let file = setting.folder.join("mixed.txt");
    corpus::write(&file, texts)?;
    // The vectors of each file differ, so each is compared with its own first run, which does not
    // count.
    let inputs = all.iter_mut().map(|form| {
        let expected = form.contestant.embed(&file, form.batch)?;
        ensure!(expected.count == texts.len(), "{} gave {} vectors", form.name, expected.count);
        Ok(Inputs { file: file.clone(), expected })
    });
    let inputs = inputs.collect::<Result<Vec<_>>>()?;
    let measured = interleave(scale.rounds, all.len(), |turn| {
        let form = &mut all[turn];
        let before = form.contestant.processor_seconds();
        let wall = timed(&mut form.contestant, &inputs[turn], form.batch)?;
        let after = form.contestant.processor_seconds();
        Ok((wall, after.zip(before).map(|(after, before)| after - before)))
    })?;
    let wall: Vec<Vec<f64>> =
        measured.iter().map(|rounds| rounds.iter().map(|one| one.0).collect()).collect();
    // Empty if the system does not report it for one of them.
    let processor: Option<Vec<Vec<f64>>> =
        measured.iter().map(|rounds| rounds.iter().map(|one| one.1).collect()).collect();

    let kernels = match bf16_kernel() {
        Some(bf16) => format!("kernels {} and {bf16}", int8_kernel()),
        None => format!("kernel {}", int8_kernel()),
    };
    report.section(&format!("{} mixed texts, {kernels}", texts.len()));
    for (form, wall) in all.iter().zip(&wall) {
        report.add(form.label(), "texts/s", rates(wall, texts.len() as f64));
    }
    for (at, form) in all.iter().enumerate().skip(1) {
        let what = format!("{} / embedkit f32, wall time", form.label());
        let ratio = zip(&wall[0], &wall[at], |f32, theirs| f32 / theirs);
        match form.goals.and_then(|goals| goals.times) {
            Some(times) => report.add_goal(what, "x", ratio, Goal::AtLeast(times)),
            None => report.add(what, "x", ratio),
        }
        if let Some(processor) = &processor {
            let ratio = zip(&processor[0], &processor[at], |f32, theirs| f32 / theirs);
            report.add(format!("{} / embedkit f32, processor time", form.label()), "x", ratio);
        }
    }
    if all.iter().any(|form| form.goals.is_some_and(|goals| goals.times.is_none())) {
        report.note(format!(
            "there is no goal for the kernel {}: only VNNI and AMX multiply four times as many eight-bit integers as \
             f32 and more",
            int8_kernel()
        ));
    }
    Ok(())
}

/// Latency of one short query in each call.
fn latency(
    setting: &Setting<'_>,
    scale: &Scale,
    corpus: &Corpus,
    all: &mut [Form],
    report: &mut Report,
) -> Result<()> {
    let queries = setting.folder.join("queries.txt");
    corpus::write(&queries, corpus::queries(&corpus.texts, scale.queries))?;
    for form in all.iter_mut() {
        form.contestant.query(&queries, 1)?;
    }
    let calls =
        interleave(scale.rounds, all.len(), |turn| all[turn].contestant.query(&queries, 1))?;
    report.section(&format!("one short query a call, {} calls, f32 and int8", scale.queries));
    for (form, calls) in all.iter().zip(&calls) {
        dense::add_latency(form.name, calls, report);
    }
    let of_f32 = dense::percentiles(&calls[0], 0.5);
    for (form, calls) in all.iter().zip(&calls).skip(1) {
        let ratio = zip(&dense::percentiles(calls, 0.5), &of_f32, |theirs, f32| theirs / f32);
        report.add(format!("time of {} / embedkit f32, p50", form.name), "x", ratio);
    }
    Ok(())
}

/// Similarity to f32, and batch invariance.
fn closeness(
    setting: &Setting<'_>,
    texts: &[String],
    all: &mut [Form],
    mut large: Form,
    report: &mut Report,
) -> Result<()> {
    let file = setting.folder.join("compared.txt");
    corpus::write(&file, texts)?;
    let mut alone = Vec::new();
    let mut together = Vec::new();
    for form in all.iter_mut() {
        together.push(form.vectors(setting, &file, texts.len(), THEIR_BATCH)?);
        alone.push(form.vectors_alone(setting, texts)?);
    }
    let in_large = large.vectors(setting, &file, texts.len(), THEIR_BATCH)?;

    report.side_section(&format!("cosine to f32, {} paragraphs", texts.len()));
    for (at, form) in all.iter().enumerate().skip(1) {
        let mut ways = vec![(form.in_batches(), &together[at])];
        if !form.is_ours() {
            ways.push((format!("{} at 1", form.name), &alone[at]));
        }
        for (name, vectors) in ways {
            let cosines = cosines(&alone[0], vectors);
            let mean = cosines.iter().sum::<f64>() / cosines.len() as f64;
            let least = percentile(&cosines, 0.0);
            for (at, (what, value)) in [("mean", mean), ("least", least)].into_iter().enumerate() {
                let what = format!("{name}, {what} cosine to f32");
                match form.goals.map(|goals| goals.cosines[at]) {
                    Some(limit) => report.add_goal(what, "", vec![value], Goal::AtLeast(limit)),
                    None => report.add(what, "", vec![value]),
                }
            }
        }
    }

    report.side_section(&format!(
        "of {} paragraphs, those whose vectors alone and in a batch differ in any bit",
        texts.len()
    ));
    for (at, form) in all.iter().enumerate() {
        let name = form.in_batches();
        let differ = vec![differing(&alone[at], &together[at])];
        let what = format!("{name}, texts that differ");
        if form.goals.is_some() {
            report.add_goal(what, "", differ, Goal::AtMost(0.0));
        } else {
            report.add(what, "", differ);
        }
        if form.name == large.name {
            let differ = vec![differing(&alone[at], &in_large)];
            let what = format!("{name}, texts that differ in batches of {LARGE_BATCH} tokens");
            report.add_goal(what, "", differ, Goal::AtMost(0.0));
        }
        if form.goals.is_none() {
            let cosines = cosines(&alone[at], &together[at]);
            let what = format!("{name}, least cosine alone to in a batch");
            report.add(what, "", vec![percentile(&cosines, 0.0)]);
        }
    }
    Ok(())
}

/// Correlation of cosines with human judgements.
fn quality(setting: &Setting<'_>, all: &mut [Form], report: &mut Report) -> Result<()> {
    let folder = assets::model_dir(assets::SIMILARITY);
    if let Some((_, reason)) =
        assets::missing(Set::Bench).into_iter().find(|(name, _)| name.ends_with(assets::SIMILARITY))
    {
        report.skip("correlation with people's judgements", &reason);
        return Ok(());
    }
    for set in similarity::read(&folder)? {
        let Similarity { title, texts, pairs, judged } = set;
        let file = setting.folder.join("judged.txt");
        corpus::write(&file, &texts)?;
        report.side_section(&format!("agreement with people's judgements, {title}"));
        for form in all.iter_mut() {
            let batch = form.batch.unwrap_or(1);
            let vectors = form.vectors(setting, &file, texts.len(), batch)?;
            let cosines: Vec<f64> =
                pairs.iter().map(|&[a, b]| cosine(&vectors[a], &vectors[b])).collect();
            for (what, of) in [
                ("rank correlation", correlation::spearman as fn(&[f64], &[f64]) -> Option<f64>),
                ("correlation", correlation::pearson),
            ] {
                let value = of(&cosines, &judged)
                    .with_context(|| format!("{} has no {what} with people", form.name))?;
                report.add(format!("{}, {what}", form.label()), "", vec![value]);
            }
        }
    }
    Ok(())
}

impl Form {
    fn is_ours(&self) -> bool {
        self.batch.is_none()
    }

    /// Name and batch size.
    fn label(&self) -> String {
        match self.batch {
            None => self.name.to_owned(),
            Some(batch) => format!("{} at {batch}", self.name),
        }
    }

    /// Name and batch size for comparing vectors in batches.
    fn in_batches(&self) -> String {
        match self.batch {
            None => self.name.to_owned(),
            Some(_) => format!("{} at {THEIR_BATCH}", self.name),
        }
    }

    /// Vectors of a file of texts; ours chooses its batches.
    fn vectors(
        &mut self,
        setting: &Setting<'_>,
        file: &Path,
        texts: usize,
        batch: usize,
    ) -> Result<Vec<Vec<f32>>> {
        let numbers = vectors::of(&mut self.contestant, file, batch, setting.folder)?;
        let width = numbers.len() / texts.max(1);
        if width == 0 || numbers.len() != width * texts {
            bail!("{} gave {} numbers for {texts} texts", self.name, numbers.len());
        }
        Ok(numbers.chunks_exact(width).map(<[f32]>::to_vec).collect())
    }

    /// Vectors of texts in separate calls.
    fn vectors_alone(&mut self, setting: &Setting<'_>, texts: &[String]) -> Result<Vec<Vec<f32>>> {
        let file = setting.folder.join("one.txt");
        let mut found = Vec::new();
        for text in texts {
            corpus::write(&file, [text])?;
            found.append(&mut self.vectors(setting, &file, 1, 1)?);
        }
        Ok(found)
    }
}

/// Ours, with a model file.
fn ours(
    setting: &Setting<'_>,
    name: &'static str,
    model: &Path,
    goals: Option<Goals>,
    options: &Value,
) -> Result<Form> {
    let open = dense::open(model, setting.threads, options);
    Ok(Form { name, contestant: setting.contestants.ours(name, open)?.0, batch: None, goals })
}

/// A peer with a quantised file, at its fastest batch size.
fn theirs(
    setting: &Setting<'_>,
    name: &'static str,
    peer: Peer,
    model: &Path,
    few: &[String],
) -> Result<Form> {
    let open = dense::open(model, setting.threads, &Value::Null);
    let mut contestant = setting.contestants.peer(peer, open)?.0;
    let file = setting.folder.join("few.txt");
    corpus::write(&file, few)?;
    let mut best = (f64::INFINITY, BATCHES[0]);
    for batch in BATCHES.into_iter().cycle().take(BATCHES.len() * TRIES) {
        let seconds = contestant.embed(&file, Some(batch))?.seconds;
        if seconds < best.0 {
            best = (seconds, batch);
        }
    }
    Ok(Form { name, contestant, batch: Some(best.1), goals: None })
}

/// The model quantised by ONNX Runtime's dynamic quantisation with a scale for each column of the
/// weights, if Python has it and FastEmbed to run it.
fn dynamic(setting: &Setting<'_>) -> Result<PathBuf> {
    if let Some(reason) = setting.contestants.skipped(Peer::FastEmbed) {
        bail!("{}: {reason}", Peer::FastEmbed.name());
    }
    let packages = [&format!("onnxruntime=={NEWEST}"), ONNX];
    let python = python::environment(&setting.folder.join("onnxruntime"), &packages)?;
    let model = models::with_tokenizer(setting.folder, "dynamic", &assets::minilm())?;
    let script = repo::root().join("bench").join("onnxruntime").join("quantize.py");
    let mut command = Command::new(python);
    command.arg(script).arg(assets::minilm().join("model.onnx")).arg(model.join("model.onnx"));
    run::status(&mut command)?;
    Ok(model)
}

/// The model quantised by OpenVINO's NNCF with ranges calibrated on `texts`, if Python has both.
fn calibrated(setting: &Setting<'_>, texts: &[String]) -> Result<PathBuf> {
    let python = setting.contestants.openvino()?;
    let model = models::with_tokenizer(setting.folder, "openvino-int8", &assets::minilm())?;
    let (file, out) = (setting.folder.join("few.txt"), model.join("model.xml"));
    corpus::write(&file, texts)?;
    let mut command = Command::new(python);
    command.arg(repo::root().join("bench").join("openvino").join("quantize.py"));
    // Progress bars go to standard output.
    command.arg(assets::minilm()).arg(out).arg(file).stdout(Stdio::null());
    run::status(&mut command)?;
    Ok(model)
}

fn first_line(error: &Error) -> String {
    format!("{error:#}").lines().next().unwrap_or_default().to_owned()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Cosine of each pair of vectors.
fn cosines(a: &[Vec<f32>], b: &[Vec<f32>]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| cosine(a, b)).collect()
}

/// Number of vectors that are not bit-equal.
fn differing(a: &[Vec<f32>], b: &[Vec<f32>]) -> f64 {
    let bits = |vector: &[f32]| vector.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    a.iter().zip(b).filter(|(a, b)| bits(a) != bits(b)).count() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_are_of_directions() {
        assert_eq!(cosine(&[3.0, 4.0], &[6.0, 8.0]), 1.0);
        assert_eq!(cosine(&[1.0, 0.0], &[0.0, 2.0]), 0.0);
        assert!(cosine(&[0.0, 0.0], &[1.0, 2.0]).is_nan());
    }

    #[test]
    fn the_same_means_every_bit() {
        let a = [vec![1.0, f32::NAN], vec![0.0, 1.0], vec![1.0, 2.0]];
        let b = [vec![1.0, f32::NAN], vec![-0.0, 1.0], vec![1.0, 2.000_000_2]];
        assert_eq!(differing(&a, &a), 0.0);
        assert_eq!(differing(&a, &b), 2.0);
    }
}
