//! `cargo xtask golden`: runs the original, FastEmbed 0.9.1, and compares it with ours.
//!
//! The original is in a virtual environment in `.cache/oracle`, made with pip on the first call.
//! Without `--live` the golden values of the tiny dense models are made again, which changes committed
//! files only after a change of the original or the script; `crates/testkit/data/README.md` names the
//! scripts of the other families. With `--live` the same texts go through the original and the program
//! `embedkit` on the real model; with `--pictures` both decode all files of Pillow's own tests.

mod pictures;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::{
    assets::{self, NEWEST, Set},
    python, repo, run,
};

/// Packages of the virtual environment; the original's dependencies are installed, too. Both sides use
/// the same ONNX Runtime.
const PACKAGES: &[&str] = &["fastembed==0.9.1", "onnx==1.23.2", "safetensors==0.8.0"];

/// Maximum difference of a component from the original's.
const TOLERANCE: f64 = 1e-5;

/// Prints the texts of a golden file as JSON lines, with recipes for long ones expanded.
const EXPAND: &str = "import json, sys\n\
                      from pathlib import Path\n\
                      from live import read_texts\n\
                      for text in read_texts(Path(sys.argv[1])): print(json.dumps({'text': text}))";

/// Options of the command.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Compare with the original on the real model instead of making golden values again
    #[arg(long)]
    live: bool,
    /// Texts to compare on: .json, .jsonl, or a text a line [default: the 200 of the test kit]
    #[arg(long, value_name = "FILE", requires = "live")]
    texts: Option<PathBuf>,
    /// Decode every file of Pillow's source package with both instead
    #[arg(long, conflicts_with = "live")]
    pictures: bool,
    /// Only these cases of the tiny dense models
    #[arg(conflicts_with_all = ["live", "pictures"])]
    cases: Vec<String>,
}

/// Makes golden values or compares.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let oracle = Oracle::ready()?;
    if arguments.live {
        return compare(&oracle, arguments.texts.as_deref());
    }
    if arguments.pictures {
        return pictures::compare(&oracle);
    }
    let mut command = oracle.script("make.py");
    run::status(command.arg("dense").args(&arguments.cases))?;
    println!("made again; `git diff --stat crates/testkit/data` shows what changed");
    Ok(())
}

fn compare(oracle: &Oracle, texts: Option<&Path>) -> Result<()> {
    assets::ensure(Set::Demo)?;
    let embedkit = run::build_embedkit(true)?;
    let folder = assets::minilm();

    // Both read the same file, so both see the same texts.
    let given = texts.map_or_else(|| data().join("minilm.json"), Path::to_owned);
    let lines = run::output(oracle.python(EXPAND).arg(&given))?;
    let file = oracle.folder.join("texts.jsonl");
    fs::write(&file, lines).with_context(|| format!("could not write {}", file.display()))?;

    println!("running FastEmbed");
    let theirs = vectors(&run::output(oracle.script("live.py").arg(&folder).arg(&file))?)?;
    println!("running embedkit");
    let mut command = Command::new(&embedkit);
    command.args(["embed", "--quiet", "--format", "jsonl"]);
    command.args(["--model", "sentence-transformers/all-MiniLM-L6-v2"]);
    command.arg("--model-dir").arg(&folder).arg("--input").arg(&file);
    command.arg("--onnxruntime").arg(assets::newest_runtime());
    let ours = vectors(&run::output(&mut command)?)?;

    let difference = Difference::between(&ours, &theirs)?;
    println!(
        "{} texts: largest difference of a component {:.2e} (text {}), smallest cosine {:.9}",
        ours.len(),
        difference.largest,
        difference.at,
        difference.cosine
    );
    if difference.largest > TOLERANCE {
        bail!("the largest difference is over {TOLERANCE:e}");
    }
    Ok(())
}

fn data() -> PathBuf {
    repo::root().join("crates").join("testkit").join("data")
}

/// The original in its virtual environment.
struct Oracle {
    folder: PathBuf,
    python: PathBuf,
}

impl Oracle {
    /// The environment; made if it is missing or has other packages.
    fn ready() -> Result<Self> {
        let folder = repo::root().join(".cache").join("oracle");
        let pinned = [format!("onnxruntime=={NEWEST}"), format!("pillow=={}", pictures::PILLOW)];
        let packages: Vec<&str> =
            PACKAGES.iter().copied().chain(pinned.iter().map(String::as_str)).collect();
        let python = python::environment(&folder, &packages)?;
        Ok(Self { folder, python })
    }

    /// A script of the test kit.
    fn script(&self, name: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(data().join("make").join(name)).env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    /// A short script that may import the modules of the test kit's scripts.
    fn python(&self, lines: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.args(["-c", lines]).env("PYTHONDONTWRITEBYTECODE", "1");
        command.env("PYTHONSAFEPATH", "1"); // nothing of the current folder
        command.env("PYTHONPATH", data().join("make"));
        command
    }
}

/// A line of output, ours and the original's.
#[derive(Deserialize)]
struct Line {
    index: usize,
    embedding: Vec<f64>,
}

fn vectors(text: &str) -> Result<Vec<Vec<f64>>> {
    let mut vectors = Vec::new();
    for line in text.lines() {
        let line: Line =
            serde_json::from_str(line).with_context(|| format!("no vector: {line:.120}"))?;
        if line.index != vectors.len() {
            bail!("index {} came after {} vectors", line.index, vectors.len());
        }
        vectors.push(line.embedding);
    }
    Ok(vectors)
}

/// Difference of two lists of vectors.
#[derive(Debug, PartialEq)]
struct Difference {
    largest: f64,
    at: usize,
    cosine: f64,
}

impl Difference {
    fn between(ours: &[Vec<f64>], theirs: &[Vec<f64>]) -> Result<Self> {
        if ours.is_empty() || ours.len() != theirs.len() {
            bail!("there are {} vectors of ours and {} of theirs", ours.len(), theirs.len());
        }
        let mut difference = Self { largest: 0.0, at: 0, cosine: 1.0 };
        for (at, (a, b)) in ours.iter().zip(theirs).enumerate() {
            if a.len() != b.len() {
                bail!("text {at} has {} components of ours and {} of theirs", a.len(), b.len());
            }
            let (mut dot, mut aa, mut bb) = (0.0, 0.0, 0.0);
            for (x, y) in a.iter().zip(b) {
                let apart = (x - y).abs();
                if !apart.is_finite() {
                    bail!("text {at} has a component that is not a number");
                }
                if apart > difference.largest {
                    difference.largest = apart;
                    difference.at = at;
                }
                dot += x * y;
                aa += x * x;
                bb += y * y;
            }
            difference.cosine = difference.cosine.min(dot / (aa * bb).sqrt());
        }
        Ok(difference)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_difference_is_found() {
        let ours = [vec![1.0, 0.0], vec![0.0, 1.0]];
        let theirs = [vec![1.0, 0.0], vec![0.25, 1.0]];
        let difference = Difference::between(&ours, &theirs).expect("comparable");
        assert_eq!((difference.largest, difference.at), (0.25, 1));
        assert!((difference.cosine - 1.0 / 1.0625_f64.sqrt()).abs() < 1e-12, "{difference:?}");
    }

    #[test]
    fn what_cannot_be_compared_is_an_error() {
        let one = [vec![1.0, 0.0]];
        for other in [&[][..], &[vec![1.0]], &[vec![1.0, f64::NAN]]] {
            assert!(Difference::between(&one, other).is_err(), "{other:?}");
        }
        assert!(Difference::between(&[], &[]).is_err(), "nothing was compared");
    }

    #[test]
    fn vectors_come_in_order() {
        let good = "{\"index\":0,\"embedding\":[1]}\n{\"index\":1,\"embedding\":[0.5]}\n";
        assert_eq!(vectors(good).expect("two vectors"), [[1.0], [0.5]]);
        assert!(vectors("{\"index\":1,\"embedding\":[1]}\n").is_err());
        assert!(vectors("{\"error\":\"ValueError\"}\n").is_err());
    }
}
