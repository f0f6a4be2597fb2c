//! The contestants, each installed under `.cache/bench`.

use std::{
    cell::OnceCell,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};

use super::contestant::Contestant;
use xtask::{
    assets::{self, NEWEST, Set},
    python, repo, run,
};

/// Packages of FastEmbed's virtual environment; dependencies are installed, too.
const FASTEMBED: &[&str] = &["fastembed==0.9.1", "pillow<13"];
/// Packages of the environment of our Python package, beside the wheel itself.
const PYTHON: &[&str] = &[python::MATURIN, "numpy>=2,<3", "pillow<13"];
/// Packages of the virtual environment of sentence-transformers.
const SENTENCE_TRANSFORMERS: &[&str] = &["sentence-transformers[onnx]"];
/// Packages of the virtual environment of OpenVINO, with those that quantise.
const OPENVINO: &[&str] = &["openvino==2026.4.1", "nncf==3.4.0", "tokenizers>=0.23,<1"];
/// Packages of the virtual environment of infinity's server.
const INFINITY: &[&str] = &["infinity-emb[server,torch]"];

/// A library that is compared with ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    /// The original, in Python.
    FastEmbed,
    /// Its other port to Rust.
    FastembedRs,
    /// The library that most models are made with, in Python.
    SentenceTransformers,
    /// A plain loop around ONNX Runtime: the baseline without any library.
    Plain,
    /// A plain loop around OpenVINO, in Python.
    OpenVino,
}

impl Peer {
    /// All of them.
    pub(super) const ALL: [Self; 5] = [
        Self::FastEmbed,
        Self::FastembedRs,
        Self::SentenceTransformers,
        Self::Plain,
        Self::OpenVino,
    ];

    /// Name and version, as in the report.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::FastEmbed => "FastEmbed 0.9.1",
            Self::FastembedRs => "fastembed-rs 7.5.0",
            Self::SentenceTransformers => "sentence-transformers",
            Self::Plain => "plain loop",
            Self::OpenVino => "OpenVINO 2026.4",
        }
    }

    /// Returns `false` for a loop around a runtime.
    pub(super) fn is_library(self) -> bool {
        !matches!(self, Self::Plain | Self::OpenVino)
    }

    /// Default batch size; `None` for a library without one.
    pub(super) fn default_batch(self, kind: Kind) -> Option<usize> {
        match (self, kind) {
            (Self::Plain | Self::OpenVino, _) => None,
            (Self::SentenceTransformers, _) => Some(32),
            (Self::FastEmbed, Kind::Image) => Some(16),
            (Self::FastEmbed, Kind::Rerank) => Some(64),
            (Self::FastEmbed | Self::FastembedRs, _) => Some(256),
        }
    }
}

/// A library that decodes and resizes image files, in Python.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ImageLibrary {
    /// The library that the original uses.
    Pillow,
    /// Its fork with vector instructions, which pip compiles.
    PillowSimd,
    /// libvips, which streams.
    Vips,
}

impl ImageLibrary {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Pillow, Self::PillowSimd, Self::Vips];

    /// Name in the report.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pillow => "Pillow 12",
            Self::PillowSimd => "Pillow-SIMD",
            Self::Vips => "libvips",
        }
    }
}

/// Kind of a model, with its name in requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Dense,
    Bm25,
    Splade,
    Bm42,
    Late,
    Rerank,
    Image,
    Muvera,
    MaxSim,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Dense => "dense",
            Self::Bm25 => "bm25",
            Self::Splade => "splade",
            Self::Bm42 => "bm42",
            Self::Late => "late",
            Self::Rerank => "rerank",
            Self::Image => "image",
            Self::Muvera => "muvera",
            Self::MaxSim => "maxsim",
        }
    }
}

/// All contestants, each built or installed on first use.
pub(super) struct Contestants {
    /// The ONNX Runtime of all contestants.
    pub(super) onnxruntime: PathBuf,
    folder: PathBuf,
    /// Installs torch even if it is a build for CUDA.
    torch: bool,
    embedkit: PathBuf,
    plain: PathBuf,
    roofline: PathBuf,
    kernels: PathBuf,
    lanes: PathBuf,
    python: OnceCell<Ready>,
    fastembed: OnceCell<Ready>,
    fastembed_rs: OnceCell<Ready>,
    sentence_transformers: OnceCell<Ready>,
    openvino: OnceCell<Ready>,
}

/// Program or interpreter of a peer, or the reason why it is not available.
type Ready = Result<PathBuf, String>;

/// Shared state of the benchmarks.
pub(super) struct Setting<'a> {
    /// The contestants.
    pub(super) contestants: &'a Contestants,
    /// Threads of each contestant.
    pub(super) threads: usize,
    /// Folder of texts and results.
    pub(super) folder: &'a Path,
}

/// Model of a contestant.
#[derive(Clone, Copy)]
pub(super) struct Open<'a> {
    pub(super) kind: Kind,
    /// The folder with the model's files; empty for a kind without.
    pub(super) model: &'a Path,
    pub(super) threads: usize,
    /// Settings other than the contestant's defaults.
    pub(super) options: &'a Value,
}

impl Contestants {
    /// Builds ours. With `torch`, peers that need it are measured even if it is a build for CUDA.
    pub(super) fn ready(folder: &Path, torch: bool) -> Result<Self> {
        assets::ensure(Set::Bench)?;
        println!("building the contestants");
        // Its lock file follows the workspace's crates, so it may change.
        let programs = ["bench-embedkit", "plain", "roofline", "kernels", "lanes"];
        let [embedkit, plain, roofline, kernels, lanes] = build("embedkit", programs, &[])?;
        Ok(Self {
            onnxruntime: assets::newest_runtime(),
            folder: folder.to_owned(),
            torch,
            embedkit,
            plain,
            roofline,
            kernels,
            lanes,
            python: OnceCell::new(),
            fastembed: OnceCell::new(),
            fastembed_rs: OnceCell::new(),
            sentence_transformers: OnceCell::new(),
            openvino: OnceCell::new(),
        })
    }

    fn peer_program(&self, peer: Peer) -> Result<&PathBuf, &String> {
        let runtime = format!("onnxruntime=={NEWEST}");
        let ready = match peer {
            Peer::Plain => return Ok(&self.plain),
            Peer::FastEmbed => self.fastembed.get_or_init(|| {
                let packages: Vec<&str> =
                    FASTEMBED.iter().copied().chain([runtime.as_str()]).collect();
                python::environment(&self.folder.join("fastembed"), &packages)
                    .map_err(|error| reason(&error))
            }),
            Peer::FastembedRs => self.fastembed_rs.get_or_init(|| {
                let built = build("fastembed-rs", ["bench-fastembed-rs"], &["--locked"]);
                built.map(|[program]| program).map_err(|error| reason(&error))
            }),
            Peer::SentenceTransformers => self.sentence_transformers.get_or_init(|| {
                let packages: Vec<&str> =
                    SENTENCE_TRANSFORMERS.iter().copied().chain([runtime.as_str()]).collect();
                self.with_torch("sentence-transformers", &packages).map_err(|error| reason(&error))
            }),
            Peer::OpenVino => self.openvino.get_or_init(|| {
                python::environment(&self.folder.join("openvino"), OPENVINO)
                    .map_err(|error| reason(&error))
            }),
        };
        ready.as_ref()
    }

    /// Reason why a peer is left out; `None` for an available one.
    pub(super) fn skipped(&self, peer: Peer) -> Option<&str> {
        self.peer_program(peer).err().map(String::as_str)
    }

    /// The Python of OpenVINO.
    pub(super) fn openvino(&self) -> Result<&Path> {
        self.peer_program(Peer::OpenVino).map(PathBuf::as_path).map_err(|why| anyhow!("{why}"))
    }

    /// The Python of infinity's server.
    pub(super) fn infinity(&self) -> Result<PathBuf> {
        self.with_torch("infinity", INFINITY)
    }

    fn with_torch(&self, name: &str, packages: &[&str]) -> Result<PathBuf> {
        let folder = self.folder.join(name);
        if self.torch {
            return python::environment(&folder, packages);
        }
        without_cuda(&folder, packages)
    }

    /// Starts the matrix product, which has its own load request.
    pub(super) fn roofline(&self) -> Result<Contestant> {
        Contestant::start("matrix product", &mut Command::new(&self.roofline))
    }

    /// Starts our kernels, which open no model.
    pub(super) fn kernels(&self) -> Result<Contestant> {
        Contestant::start("kernels", &mut Command::new(&self.kernels))
    }

    /// Starts our engine with lanes that sleep.
    pub(super) fn lanes(&self) -> Result<Contestant> {
        Contestant::start("lanes", &mut Command::new(&self.lanes))
    }

    /// Starts a library that decodes and resizes images, on one thread. Returns its version, too.
    pub(super) fn image_library(&self, library: ImageLibrary) -> Result<(Contestant, String)> {
        let (name, packages): (_, &[&str]) = match library {
            ImageLibrary::Pillow => ("pillow", &[]),
            ImageLibrary::PillowSimd => ("pillow-simd", &["pillow-simd", "numpy>=2,<3"]),
            ImageLibrary::Vips => ("libvips", &["pyvips>=3", "pyvips-binary", "numpy>=2,<3"]),
        };
        let interpreter = if packages.is_empty() {
            self.peer_program(Peer::FastEmbed).map_err(|why| anyhow!("{why}"))?.clone()
        } else {
            python::environment(&self.folder.join(name), packages)
                .map_err(|error| anyhow!(reason(&error)))?
        };
        let mut command = command(&interpreter, 1);
        command.arg(package("images").join("contestant.py")).arg(name);
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("VIPS_CONCURRENCY", "1");
        let mut contestant = Contestant::start(library.name(), &mut command)?;
        let answer = contestant.ask(&json!({"op": "version"}))?;
        let version = answer["version"].as_str().context("a library has no version")?.to_owned();
        Ok((contestant, version))
    }

    /// Starts our Python package and opens a model.
    pub(super) fn python(&self, open: Open<'_>) -> Result<Contestant> {
        let ready = self
            .python
            .get_or_init(|| python_package(&self.folder).map_err(|error| reason(&error)));
        let interpreter = ready.as_ref().map_err(|why| anyhow!("{why}"))?;
        let mut command = command(interpreter, open.threads);
        command.arg(package("fastembed").join("contestant.py")).arg("embedkit");
        command.env("ORT_DYLIB_PATH", &self.onnxruntime).env("PYTHONDONTWRITEBYTECODE", "1");
        Ok(self.load(Contestant::start("embedkit in Python", &mut command)?, open)?.0)
    }

    /// Starts ours under a name and opens a model. Returns the seconds for that, too.
    pub(super) fn ours(&self, name: &str, open: Open<'_>) -> Result<(Contestant, f64)> {
        self.load(Contestant::start(name, &mut command(&self.embedkit, open.threads))?, open)
    }

    /// Starts a peer and opens a model. Returns the seconds for that, too.
    pub(super) fn peer(&self, peer: Peer, open: Open<'_>) -> Result<(Contestant, f64)> {
        let program = self.peer_program(peer).map_err(|why| anyhow!("{why}"))?;
        let mut command = command(program, open.threads);
        match peer {
            Peer::FastEmbed | Peer::SentenceTransformers | Peer::OpenVino => {
                let script = match peer {
                    Peer::FastEmbed => "fastembed",
                    Peer::SentenceTransformers => "sentence-transformers",
                    _ => "openvino",
                };
                command.arg(package(script).join("contestant.py"));
                command.env("PYTHONDONTWRITEBYTECODE", "1").env("HF_HUB_OFFLINE", "1");
                // Environment variables of numpy's BLAS.
                for variable in ["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"] {
                    command.env(variable, open.threads.to_string());
                }
            }
            Peer::FastembedRs => {
                command.env("ORT_DYLIB_PATH", &self.onnxruntime);
            }
            Peer::Plain => {}
        }
        self.load(Contestant::start(peer.name(), &mut command)?, open)
    }

    fn load(&self, mut contestant: Contestant, open: Open<'_>) -> Result<(Contestant, f64)> {
        let answer = contestant.ask(&json!({
            "op": "load", "kind": open.kind.name(), "model": open.model,
            "onnxruntime": self.onnxruntime, "threads": open.threads, "options": open.options,
        }))?;
        let seconds = answer["seconds"].as_f64().context("loading took no time")?;
        Ok((contestant, seconds))
    }
}

/// A program limited to a number of threads. With one thread it is pinned to one core if the system has
/// a command for that: a library that passes work between threads would use more, even if only one of
/// them computes.
fn command(program: &Path, threads: usize) -> Command {
    let pins = Command::new("taskset").arg("--version").output().is_ok();
    if threads != 1 || !pins {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["-c", "0"]).arg(program);
    command
}

/// The folder of a contestant's package.
fn package(name: &str) -> PathBuf {
    repo::root().join("bench").join(name)
}

/// The whole chain of an error, in one line.
fn reason(error: &anyhow::Error) -> String {
    format!("{error:#}").lines().next().unwrap_or_default().to_owned()
}

/// The Python of an environment with our package, built for it.
fn python_package(folder: &Path) -> Result<PathBuf> {
    let (environment, target) = (folder.join("python"), folder.join("target"));
    let interpreter = python::environment(&environment, PYTHON)?;
    println!("building the Python package");
    let wheels = environment.join("wheels");
    let wheel = python::wheel(&interpreter, &wheels, &["--release"], Some(&target))?;
    python::install(&interpreter, &wheel)?;
    Ok(interpreter)
}

/// Builds programs of a package under `bench` and returns their paths.
fn build<const N: usize>(
    folder: &str,
    programs: [&str; N],
    options: &[&str],
) -> Result<[PathBuf; N]> {
    let mut command = run::cargo(["build", "--release", "--quiet"]);
    // In its folder, so that only the settings there apply.
    command.args(options).current_dir(package(folder));
    command.arg("--target-dir").arg(super::folder().join("target"));
    run::built(&mut command, programs)
}

/// The Python of packages that need torch. A torch for CUDA brings gigabytes of libraries that a
/// comparison on the CPU does not need; then nothing is installed. Finding out takes pip minutes, so a
/// file beside the folder stores the answer; it may be removed.
fn without_cuda(folder: &Path, packages: &[&str]) -> Result<PathBuf> {
    let answer = folder.with_extension("skipped");
    if let Ok(reason) = fs::read_to_string(&answer) {
        bail!(reason);
    }
    if !folder.join("packages").exists() {
        println!("asking pip what {} would bring", packages.join(", "));
        let all = python::would_install(packages)?;
        let cuda = all.iter().filter(|name| name.starts_with("nvidia-")).count();
        if cuda > 0 {
            let reason = format!(
                "its torch on the package index is a CUDA build, with {cuda} more packages; \
                 --torch installs it"
            );
            fs::write(&answer, &reason)
                .with_context(|| format!("could not write {}", answer.display()))?;
            bail!(reason);
        }
    }
    python::environment(folder, packages)
}
