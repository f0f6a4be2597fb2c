//! `bm25` and `sparse`: BM25, and SPLADE and BM42, compared with the original.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use embedkit_convert::{ConvertOptions, Head};
use serde_json::{Value, json};

use super::{
    comparison::{Comparison, Inputs, Side, timed},
    contestants::{Kind, Open, Peer, Setting},
    corpus::{self, Corpus},
    dense, models,
    report::{Goal, Report},
    rounds::{interleave, rates, zip},
    scale::Scale,
};
use xtask::assets;

/// Required speedup over the original BM25 on one thread.
const BM25_TIMES: f64 = 20.0;
/// Required share of the single-thread speed for each further thread.
const LINEAR: f64 = 0.85;
/// Multiple of texts for ours on all threads, which would otherwise finish too soon.
const MORE: usize = 10;
/// Asset for SPLADE.
const SPLADE: &str = "splade-tiny";
/// Maximum tokens of a text for the original's SPLADE at its default batch size. It holds the scores of
/// the whole vocabulary for each token of the batch four times, once in double precision, which exceeds
/// the memory of most machines for longer texts.
const SPLADE_TOKENS: usize = 64;

/// Measures the models with graphs.
pub(super) fn measure(
    setting: &Setting<'_>,
    scale: &Scale,
    corpus: &Corpus,
    report: &mut Report,
) -> Result<()> {
    report.inputs = json!({"fingerprint": corpus.fingerprint, "texts": scale.fewer});
    let options = ConvertOptions { head: Head::Attention, ..ConvertOptions::default() };
    let bm42 = models::converted(setting.folder, "bm42", &assets::minilm(), &options)?;
    fs::copy(bm25_folder(setting)?.join("english.txt"), bm42.join("stopwords.txt"))
        .context("could not copy the stopwords")?;
    graph(setting, scale, corpus, Kind::Bm42, &bm42, report)?;
    let splade = assets::model_dir(SPLADE);
    if !splade.join("model.onnx").is_file() {
        report.skip("SPLADE", "its model is not fetched; run `cargo xtask assets`");
        return Ok(());
    }
    graph(setting, scale, corpus, Kind::Splade, &splade, report)
}

/// Folder of stopwords for the original's BM25.
pub(super) fn bm25_folder(setting: &Setting<'_>) -> Result<PathBuf> {
    let folder = setting.folder.join("models").join("bm25");
    fs::create_dir_all(&folder).with_context(|| format!("could not make {}", folder.display()))?;
    let open = Open { kind: Kind::Bm25, model: Path::new(""), threads: 1, options: &Value::Null };
    let answer = setting.contestants.ours("embedkit", open)?.0.ask(&json!({"op": "stopwords"}))?;
    let words: Vec<String> = serde_json::from_value(answer["words"].clone())?;
    if words.is_empty() {
        bail!("there are no stopwords");
    }
    corpus::write(&folder.join("english.txt"), words)?;
    fs::write(folder.join("config.json"), "{}").context("could not write a configuration")?;
    Ok(folder)
}

/// Measures BM25.
pub(super) fn bm25(
    setting: &Setting<'_>,
    scale: &Scale,
    corpus: &Corpus,
    report: &mut Report,
) -> Result<()> {
    report.inputs = json!({"fingerprint": corpus.fingerprint, "texts": scale.words});
    let folder = bm25_folder(setting)?;
    let threads = setting.threads;
    let open = |threads| Open { kind: Kind::Bm25, model: &folder, threads, options: &Value::Null };
    let (mut one, _) = setting.contestants.ours("embedkit, 1 thread", open(1))?;
    let (mut all, _) = setting.contestants.ours("embedkit, all threads", open(threads))?;
    let texts = corpus::repeated(&corpus.texts, scale.words);
    let inputs = Inputs::write(setting, "words", texts, &mut one)?;

    if let Some(reason) = setting.contestants.skipped(Peer::FastEmbed) {
        report.skip(Peer::FastEmbed.name(), reason);
    } else {
        let processes = json!({"processes": threads});
        let alone = setting.contestants.peer(Peer::FastEmbed, open(1))?.0;
        let together = Open { options: &processes, ..open(threads) };
        let together = setting.contestants.peer(Peer::FastEmbed, together)?.0;
        let mut sides =
            [one, all, alone, together].map(|contestant| Side { contestant, batch: None });
        report.section(&format!("BM25, {} texts", inputs.count()));
        for side in &mut sides {
            side.timed(&inputs)?;
        }
        let seconds = interleave(scale.rounds, sides.len(), |turn| sides[turn].timed(&inputs))?;
        let processes = format!("FastEmbed 0.9.1, {threads} processes");
        let names = ["embedkit, 1 thread", "embedkit, all threads", "FastEmbed 0.9.1", &processes];
        for (name, seconds) in names.into_iter().zip(&seconds) {
            report.add(name, "texts/s", rates(seconds, inputs.count()));
        }
        report.side_section("BM25 against the original");
        let goal = Some(Goal::AtLeast(BM25_TIMES));
        report.times_faster("FastEmbed 0.9.1, BM25, 1 thread each", &seconds[2], &seconds[0], goal);
        report.times_faster(&format!("{processes}, BM25"), &seconds[3], &seconds[1], None);
        let [again_one, again_all, ..] = sides;
        (one, all) = (again_one.contestant, again_all.contestant);
    }
    if threads == 1 {
        return Ok(());
    }
    let texts = corpus::repeated(&corpus.texts, scale.words * MORE);
    let many = Inputs::write(setting, "words", texts, &mut one)?;
    let seconds = interleave(scale.rounds, 2, |turn| {
        timed(if turn == 0 { &mut one } else { &mut all }, &many, None)
    })?;
    let ratio = zip(&seconds[0], &seconds[1], |one, all| one / all);
    let what = format!("BM25 on {threads} threads / on 1, {} texts", many.count());
    report.add_goal(what, "x", ratio, Goal::AtLeast(1.0 + LINEAR * (threads as f64 - 1.0)));
    Ok(())
}

fn graph(
    setting: &Setting<'_>,
    scale: &Scale,
    corpus: &Corpus,
    kind: Kind,
    model: &Path,
    report: &mut Report,
) -> Result<()> {
    let what = if kind == Kind::Splade { "mixed SPLADE texts" } else { "mixed BM42 texts" };
    let comparison = Comparison::of(setting, scale, kind, model, what);
    let mut ours = comparison.ours()?;
    let mixed = Inputs::write(setting, "mixed-fewer", &corpus.texts[..scale.fewer], &mut ours)?;
    let few = Inputs::write(setting, "few", &corpus.texts[..scale.few], &mut ours)?;
    if kind != Kind::Splade {
        return comparison.with_original(&few, &few, &mixed, ours, report);
    }
    let all = setting.folder.join("all.txt");
    corpus::write(&all, &corpus.texts)?;
    let tokens = dense::tokens(&mut ours, &all)?;
    let short = corpus.texts.iter().zip(tokens).filter(|(_, tokens)| *tokens <= SPLADE_TOKENS);
    let short = short.map(|(text, _)| text).take(scale.few);
    let short = Inputs::write(setting, "short", short, &mut ours)?;
    report.note(format!(
        "at its default batch size the original's SPLADE is measured on texts of at most \
         {SPLADE_TOKENS} tokens: longer ones take more memory than there is"
    ));
    comparison.with_original(&few, &short, &mixed, ours, report)
}
