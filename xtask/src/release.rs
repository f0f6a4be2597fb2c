//! `cargo xtask release`: checks before publishing the crates.
//!
//! Without a tool or toolchain its step is skipped with the reason. Nothing is published, tagged or
//! changed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

mod unmaintained;

use crate::{
    codegen, repo, run,
    steps::{Outcome, Steps},
};

/// Maximum size of a package. The registry takes ten times as much; a larger package has something that
/// belongs elsewhere.
const LARGEST_PACKAGE: u64 = 1 << 20;

/// Files that a package may contain beside its sources.
const ALLOWED: [&str; 7] = [
    ".cargo_vcs_info.json",
    "Cargo.lock",
    "Cargo.toml",
    "Cargo.toml.orig",
    "LICENSE",
    "README.md",
    "THIRD-PARTY.md",
];

/// Options of the command.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// These checks only; all when none is named
    #[arg(value_enum)]
    checks: Vec<Check>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Check {
    /// Generated files are what the generator makes
    Codegen,
    /// Packages contain their sources and nothing else
    Contents,
    /// Packages build from the packaged files alone
    Packages,
    /// No public item changed against the newest tag without its version (cargo-semver-checks)
    Semver,
    /// Licences and sources of the dependencies (cargo-deny)
    Licences,
    /// No dependency has a known vulnerability (cargo-deny, and a database that it fetches)
    Advisories,
    /// Unmaintained dependencies, including indirect ones: reported, never a failure (cargo-deny,
    /// and the same database)
    Unmaintained,
    /// The lowest versions that the manifests name are enough (nightly)
    MinimalVersions,
    /// The lowest Rust that the manifests name is enough
    LowestRust,
}

const ALL: [Check; 9] = [
    Check::Codegen,
    Check::Contents,
    Check::Packages,
    Check::Semver,
    Check::Licences,
    Check::Advisories,
    Check::Unmaintained,
    Check::MinimalVersions,
    Check::LowestRust,
];

/// Runs the checks and ends with a table.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let chosen = if arguments.checks.is_empty() { &ALL[..] } else { &arguments.checks };
    let packages = packages()?;
    let mut steps = Steps::default();
    for check in chosen {
        match check {
            Check::Codegen => steps.run("generated files", || {
                codegen::run(true)?;
                Ok(Outcome::Passed("as generated".into()))
            }),
            Check::Contents => steps.run("contents of the packages", || contents(&packages)),
            Check::Packages => steps.run("packages build alone", || build(&packages)),
            Check::Semver => steps.run("public interface", semver),
            Check::Licences => steps.run("licences and sources", licences),
            Check::Advisories => steps.run("advisories", advisories),
            Check::Unmaintained => steps.run("unmaintained", unmaintained::run),
            Check::MinimalVersions => steps.run("lowest dependencies", minimal_versions),
            Check::LowestRust => steps.run("lowest Rust", || lowest_rust(&packages)),
        }
    }
    steps.finish()
}

/// A package of the workspace that is published.
#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
    rust_version: Option<String>,
    publish: Option<Vec<String>>,
}

fn packages() -> Result<Vec<Package>> {
    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }
    let text = run::output(&mut run::cargo(["metadata", "--no-deps", "--format-version=1"]))?;
    let metadata: Metadata =
        serde_json::from_str(&text).context("cargo metadata wrote something unexpected")?;
    let published = |package: &Package| !package.publish.as_ref().is_some_and(Vec::is_empty);
    Ok(metadata.packages.into_iter().filter(published).collect())
}

/// Lists each package's files and rejects unexpected ones.
fn contents(packages: &[Package]) -> Result<Outcome> {
    let mut strangers = Vec::new();
    for package in packages {
        let list = ["package", "--list", "--allow-dirty", "--quiet", "--package", &package.name];
        let list = run::output(&mut run::cargo(list))?;
        let files: Vec<_> = list.lines().collect();
        ensure!(files.contains(&"LICENSE"), "{} has no LICENSE", package.name);
        let strange = files.iter().filter(|file| !belongs(file));
        strangers.extend(strange.map(|file| format!("{}: {file}", package.name)));
    }
    if !strangers.is_empty() {
        bail!("packages contain what is no source: {}", strangers.join(", "));
    }
    Ok(Outcome::Passed(format!("{} packages", packages.len())))
}

fn belongs(file: &str) -> bool {
    let file = file.replace('\\', "/");
    ALLOWED.contains(&&*file) || (file.starts_with("src/") && !file.contains("/."))
}

/// Packages all crates and builds each from its package.
fn build(packages: &[Package]) -> Result<Outcome> {
    let mut arguments = vec!["package", "--allow-dirty", "--quiet"];
    for package in packages {
        arguments.extend(["--package", &package.name]);
    }
    run::status(&mut run::cargo(arguments))?;
    let folder = target_directory()?.join("package");
    let mut largest = 0;
    for package in packages {
        let file = folder.join(format!("{}-{}.crate", package.name, package.version));
        let size = fs::metadata(&file).with_context(|| file.display().to_string())?.len();
        ensure!(size <= LARGEST_PACKAGE, "{} has {size} bytes", package.name);
        largest = size.max(largest);
    }
    Ok(Outcome::Passed(format!("{} packages, at most {} KiB", packages.len(), largest >> 10)))
}

/// Compares public items with those of the latest release.
fn semver() -> Result<Outcome> {
    let tags = ["tag", "--list", "v*", "--sort=-version:refname"];
    let tags = run::output(Command::new("git").args(tags).current_dir(repo::root()))?;
    let Some(tag) = tags.lines().next() else {
        return Ok(Outcome::Skipped("nothing is released yet: there is no tag v*".into()));
    };
    if let Some(reason) = missing("semver-checks") {
        return Ok(Outcome::Skipped(reason));
    }
    // `core` is internal: its API may change in any version.
    let public = ["semver-checks", "--workspace", "--exclude", "embedkit-core"];
    run::status(run::cargo(public).args(["--baseline-rev", tag]))?;
    Ok(Outcome::Passed(format!("compared with {tag}")))
}

fn licences() -> Result<Outcome> {
    if let Some(reason) = missing("deny") {
        return Ok(Outcome::Skipped(reason));
    }
    run::status(&mut run::cargo(["deny", "--locked", "check", "licenses", "bans", "sources"]))?;
    Ok(Outcome::Passed(String::new()))
}

/// Separate from the licences: known vulnerabilities say nothing about a change, and the availability
/// of the database says nothing about the dependencies.
fn advisories() -> Result<Outcome> {
    if let Some(reason) = missing("deny") {
        return Ok(Outcome::Skipped(reason));
    }
    if let Some(reason) = no_database() {
        return Ok(Outcome::Skipped(reason));
    }
    run::status(&mut run::cargo(["deny", "--locked", "check", "advisories"]))?;
    Ok(Outcome::Passed(String::new()))
}

/// Reason why there are no advisories to compare with.
fn no_database() -> Option<String> {
    let error = run::output(&mut run::cargo(["deny", "fetch", "db"])).err()?;
    println!("{error:#}");
    Some("the database of advisories cannot be fetched".into())
}

/// Checks a copy of the workspace whose lock file has the lowest versions of its direct dependencies.
fn minimal_versions() -> Result<Outcome> {
    let Some(nightly) = toolchain("nightly") else {
        return Ok(Outcome::Skipped("the toolchain nightly is not installed".into()));
    };
    let copy = target_directory()?.join("minimal-versions");
    let _ = fs::remove_dir_all(&copy);
    let checked = check_minimal_versions(&nightly, &copy);
    fs::remove_dir_all(&copy)?;
    checked.map(|()| Outcome::Passed("the libraries and programs build, with all features".into()))
}

fn check_minimal_versions(nightly: &str, copy: &Path) -> Result<()> {
    let files =
        run::output(Command::new("git").args(["ls-files", "-z"]).current_dir(repo::root()))?;
    let needed = |file: &&str| {
        let kept =
            ["crates/", "docs/", "examples/", "xtask/", "Cargo.toml", "README.md", "models.toml"];
        kept.iter().any(|start| file.starts_with(start)) && !file.starts_with("crates/testkit/data")
    };
    for file in files.split('\0').filter(needed) {
        let to = copy.join(file);
        fs::create_dir_all(to.parent().context("a file without a folder")?)?;
        fs::copy(repo::root().join(file), &to).with_context(|| file.to_owned())?;
    }
    let cargo = |arguments: &[&str]| {
        let mut command = other_cargo(nightly);
        command.args(arguments).arg("--quiet").current_dir(copy);
        run::status(command.env("CARGO_TARGET_DIR", copy.join("target")))
    };
    cargo(&["update", "-Z", "direct-minimal-versions"])?;
    cargo(&["check", "--workspace", "--all-features"])
}

fn lowest_rust(packages: &[Package]) -> Result<Outcome> {
    let rust = packages.first().and_then(|package| package.rust_version.as_deref());
    let rust = rust.context("the manifests name no Rust version")?;
    let Some(toolchain) = toolchain(rust).or_else(|| toolchain(&format!("{rust}.0"))) else {
        return Ok(Outcome::Skipped(format!("the toolchain {rust} is not installed")));
    };
    let mut command = other_cargo(&toolchain);
    command.args(["check", "--workspace", "--all-targets", "--locked", "--quiet"]);
    run::status(command.current_dir(repo::root()))?;
    Ok(Outcome::Passed(format!("Rust {toolchain}")))
}

/// Reason why a subcommand of cargo is not available.
fn missing(subcommand: &str) -> Option<String> {
    let there = run::output(&mut run::cargo([subcommand, "--version"])).is_ok();
    (!there).then(|| format!("cargo-{subcommand} is not installed"))
}

/// Name of an installed toolchain.
fn toolchain(name: &str) -> Option<String> {
    let found = run::output(Command::new("rustup").args(["run", name, "rustc", "--version"]));
    found.is_ok().then(|| name.to_owned())
}

/// The cargo of another toolchain than this program's.
fn other_cargo(toolchain: &str) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", toolchain, "cargo"]);
    // Nothing is linked, so no library is needed.
    command.env("ORT_SKIP_DOWNLOAD", "1");
    // This cargo's settings do not apply to that one.
    command.env_remove("CARGO").env_remove("RUSTC").env_remove("RUSTUP_TOOLCHAIN");
    command
}

/// Cargo's target folder, `target` or the one in the environment.
fn target_directory() -> Result<PathBuf> {
    let metadata = run::output(&mut run::cargo(["metadata", "--no-deps", "--format-version=1"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    Ok(metadata["target_directory"].as_str().context("no target directory")?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sources_and_licences_belong_into_a_package() {
        assert!(belongs("src/lib.rs") && belongs("src\\a\\b.rs") && belongs("LICENSE"));
        assert!(!belongs("tests/data/model.onnx") && !belongs("src/.hidden") && !belongs("notes"));
    }

    #[test]
    fn what_is_published_has_one_version_and_one_lowest_rust() {
        let packages = packages().unwrap();
        assert!(packages.iter().any(|package| package.name == "embedkit"));
        assert!(!packages.iter().any(|package| package.name == "xtask"));
        for package in &packages {
            assert_eq!(package.version, packages[0].version, "{}", package.name);
            assert_eq!(package.rust_version, packages[0].rust_version, "{}", package.name);
        }
    }
}
