//! The contestants, each installed in its own place under `.cache/bench`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::contestant::Contestant;
use crate::{
    assets::{self, NEWEST, Set},
    repo, run,
};

/// What the virtual environment of FastEmbed holds; its own dependencies come with it.
const PACKAGES: &[&str] = &["fastembed==0.9.1", "pillow<13"];

/// A library that is compared with ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    /// The original, in Python.
    FastEmbed,
    /// Its other port to Rust.
    FastembedRs,
}

impl Peer {
    /// All of them.
    pub(super) const ALL: [Self; 2] = [Self::FastEmbed, Self::FastembedRs];

    /// Name and version, as in the report.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::FastEmbed => "FastEmbed 0.9.1",
            Self::FastembedRs => "fastembed-rs 7.5.0",
        }
    }
}

/// All contestants, ready to start.
pub(super) struct Peers {
    /// The ONNX Runtime of all of them.
    pub(super) onnxruntime: PathBuf,
    model: PathBuf,
    threads: usize,
    embedkit: PathBuf,
    roofline: PathBuf,
    fastembed: Result<PathBuf, String>,
    fastembed_rs: Result<PathBuf, String>,
}

/// What the measurements have in common.
pub(super) struct Setting<'a> {
    /// The contestants.
    pub(super) peers: &'a Peers,
    /// Threads that each may compute with.
    pub(super) threads: usize,
    /// Where texts and results are.
    pub(super) folder: &'a Path,
}

impl Peers {
    /// Builds and installs all; a peer that cannot be had is left out with its reason.
    pub(super) fn ready(folder: &Path, threads: usize) -> Result<Self> {
        assets::ensure(Set::Demo)?;
        println!("building the contestants");
        let reason = |error: anyhow::Error| {
            // The whole chain, in one line.
            format!("{error:#}").lines().next().unwrap_or_default().to_owned()
        };
        Ok(Self {
            onnxruntime: assets::newest_runtime(),
            model: assets::minilm(),
            threads,
            // Its lock file follows the workspace's crates, so it may change.
            embedkit: build("embedkit", "bench-embedkit", &[])?,
            roofline: build("embedkit", "roofline", &[])?,
            fastembed: python(&folder.join("fastembed")).map_err(reason),
            fastembed_rs: build("fastembed-rs", "bench-fastembed-rs", &["--locked"])
                .map_err(reason),
        })
    }

    /// Why a peer is left out; `None` for one that is there.
    pub(super) fn skipped(&self, peer: Peer) -> Option<&str> {
        let ready = match peer {
            Peer::FastEmbed => &self.fastembed,
            Peer::FastembedRs => &self.fastembed_rs,
        };
        ready.as_ref().err().map(String::as_str)
    }

    /// The peers that are there.
    pub(super) fn there(&self) -> impl Iterator<Item = Peer> {
        Peer::ALL.into_iter().filter(|peer| self.skipped(*peer).is_none())
    }

    /// Starts the matrix product, which is loaded by its own request.
    pub(super) fn roofline(&self) -> Result<Contestant> {
        Contestant::start("matrix product", &mut Command::new(&self.roofline))
    }

    /// Starts ours, with settings that differ from the library's own, and loads the model. Also
    /// returns the seconds that loading took.
    pub(super) fn ours(&self, name: &str, options: &Value) -> Result<(Contestant, f64)> {
        self.load(Contestant::start(name, &mut Command::new(&self.embedkit))?, options)
    }

    /// Starts a peer and loads the model. Also returns the seconds that loading took.
    pub(super) fn peer(&self, peer: Peer) -> Result<(Contestant, f64)> {
        let mut command = match peer {
            Peer::FastEmbed => {
                let python = self.fastembed.as_ref().map_err(|why| anyhow::anyhow!("{why}"))?;
                let mut command = Command::new(python);
                command.arg(package("fastembed").join("contestant.py"));
                command.env("PYTHONDONTWRITEBYTECODE", "1").env("HF_HUB_OFFLINE", "1");
                command
            }
            Peer::FastembedRs => {
                let program = self.fastembed_rs.as_ref().map_err(|why| anyhow::anyhow!("{why}"))?;
                let mut command = Command::new(program);
                command.env("ORT_DYLIB_PATH", &self.onnxruntime);
                command
            }
        };
        self.load(Contestant::start(peer.name(), &mut command)?, &Value::Null)
    }

    fn load(&self, mut contestant: Contestant, options: &Value) -> Result<(Contestant, f64)> {
        let answer = contestant.ask(&json!({
            "op": "load", "model": self.model, "onnxruntime": self.onnxruntime,
            "threads": self.threads, "options": options,
        }))?;
        let seconds = answer["seconds"].as_f64().context("loading took no time")?;
        Ok((contestant, seconds))
    }
}

/// The folder of a contestant's package.
fn package(name: &str) -> PathBuf {
    repo::root().join("bench").join(name)
}

/// Builds a program of a package under `bench` and returns where it is.
fn build(folder: &str, program: &str, options: &[&str]) -> Result<PathBuf> {
    let mut command = run::cargo(["build", "--release", "--quiet", "--bin", program]);
    command.args(options).arg("--message-format=json-render-diagnostics");
    // From its folder, so that the settings there and no others count.
    command.current_dir(package(folder));
    command.arg("--target-dir").arg(super::folder().join("target"));
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("could not start `{}`", run::line(&command)))?;
    if !output.status.success() {
        bail!("`{}` ended with {}", run::line(&command), output.status);
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|text| serde_json::from_str::<Value>(text).ok())
        .filter(|message| message["target"]["name"] == program)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .with_context(|| format!("cargo built no program called {program}"))
}

/// The Python of a virtual environment with FastEmbed, made where it is not there or was made with
/// other packages.
fn python(folder: &Path) -> Result<PathBuf> {
    let python = if cfg!(windows) {
        folder.join("Scripts").join("python.exe")
    } else {
        folder.join("bin").join("python")
    };
    let runtime = format!("onnxruntime=={NEWEST}");
    let packages: Vec<&str> = PACKAGES.iter().copied().chain([runtime.as_str()]).collect();
    let stamp = folder.join("packages");
    let wanted = packages.join("\n");
    if fs::read_to_string(&stamp).is_ok_and(|there| there == wanted) {
        return Ok(python);
    }
    println!("making a virtual environment in {}", repo::short(folder));
    let mut make = Command::new(if cfg!(windows) { "python" } else { "python3" });
    run::status(make.args(["-m", "venv", "--clear"]).arg(folder))
        .context("FastEmbed needs Python 3.11 or later with venv")?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    run::status(pip.args(&packages)).context("could not install FastEmbed")?;
    fs::write(&stamp, wanted).with_context(|| format!("could not write {}", stamp.display()))?;
    Ok(python)
}
