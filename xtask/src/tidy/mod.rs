//! `cargo xtask tidy`: repository rules that no compiler checks.
//!
//! [`layers`] holds the allowed dependencies and the guarantees of light use; [`sources`] the rules for
//! source files, [`links`] those for pages and their examples, [`actions`] those for workflows, [`changelog`]
//! that for the changelog; [`modules`] finds module cycles. All violations are listed, not only the first.

mod actions;
mod changelog;
mod layers;
pub(crate) mod links;
mod modules;
mod sources;

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{repo, run};

/// Runs all checks; fails on any violation.
pub(crate) fn run() -> Result<()> {
    let root = repo::root();
    let mut found = Vec::new();
    let text = run::output(&mut run::cargo(["metadata", "--no-deps", "--format-version=1"]))?;
    let metadata: layers::Metadata =
        serde_json::from_str(&text).context("cargo metadata wrote something unexpected")?;
    found.extend(layers::check(&metadata));
    for package in &metadata.packages {
        let manifest = &package.manifest_path;
        let text = fs::read_to_string(manifest).with_context(|| format!("reading {manifest}"))?;
        if !sources::inherits_lints(&text) {
            found.push(format!("{}: does not take the lints of the workspace", package.name));
        }
    }
    for (choice, heavy) in light_uses() {
        found.extend(heavy?.iter().map(|heavy| format!("{choice}: pulls in {heavy}")));
    }
    let files = files(&root)?;
    let home = env::var_os(if cfg!(windows) { "USERPROFILE" } else { "HOME" }).map(PathBuf::from);
    let folders = sources::folders(&root, home.as_deref());
    let mut sources = Vec::new();
    let mut pages = Vec::new();
    for path in &files {
        let Ok(text) = fs::read_to_string(root.join(path)) else {
            continue; // not text, or removed and not yet committed
        };
        if path.ends_with(".rs") {
            found.extend(sources::check(path, &text));
        }
        if !path.ends_with(".lock") {
            found.extend(sources::machine_paths(path, &text, &folders));
        }
        found.extend(actions::check(path, &text));
        if path.ends_with(".md") {
            pages.push((path.as_str(), text));
        } else if path.ends_with(".rs") {
            sources.push((path.as_str(), text));
        }
    }
    for folder in modules::ACYCLIC {
        let prefix = format!("{folder}/src/");
        let files: Vec<_> = sources
            .iter()
            .filter_map(|(path, text)| Some((path.strip_prefix(&prefix)?, text.as_str())))
            .collect();
        let cycles = modules::cycles(&files).into_iter();
        found.extend(cycles.map(|cycle| format!("{folder}: module cycle: {cycle}")));
    }
    found.extend(links::check(&files, &pages));
    let changes = fs::read_to_string(root.join("CHANGELOG.md")).context("CHANGELOG.md")?;
    found.extend(changelog::check(&changes, env!("CARGO_PKG_VERSION")));
    let tested = fs::read_to_string(root.join(links::TESTED)).context(links::TESTED)?;
    found.extend(links::untested(&pages, &tested));
    if !found.is_empty() {
        for line in &found {
            println!("{line}");
        }
        bail!("{} violations of the repository's rules (docs/architecture.md)", found.len());
    }
    println!(
        "tidy: {} crates, {} promises of light use, {} Rust files and {} pages of {} files: nothing \
         found",
        metadata.packages.len(),
        layers::LIGHT_USES.len(),
        sources.len(),
        pages.len(),
        files.len()
    );
    Ok(())
}

/// Guarantees of light use by name, with the dependencies of each feature set that violate it.
pub(crate) fn light_uses() -> impl Iterator<Item = (String, Result<Vec<String>>)> {
    layers::LIGHT_USES.iter().map(|light| {
        let mut arguments =
            vec!["tree", "--prefix=none", "--edges=normal", "--package", light.package];
        arguments.extend(["--no-default-features", "--features", light.features]);
        let tree = run::output(&mut run::cargo(arguments));
        let features = if light.features.is_empty() { "no features" } else { light.features };
        let heavy = tree.map(|tree| layers::heavy_in_tree(&tree, light.without));
        (format!("{} with {features}", light.package), heavy)
    })
}

/// Files of the repository, relative to its root: those that git tracks or would add, or without git
/// all files.
fn files(root: &Path) -> Result<Vec<String>> {
    let arguments = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
    let mut git = std::process::Command::new("git");
    if root.join(".git").exists()
        && let Ok(listed) = run::output(git.args(arguments).current_dir(root))
    {
        let mut files: Vec<String> =
            listed.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect();
        files.sort();
        files.dedup();
        return Ok(files);
    }
    let mut files = Vec::new();
    walk(root, root, &mut files)?;
    files.sort();
    Ok(files)
}

fn walk(root: &Path, folder: &Path, files: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with("target") && ![".git", ".cache", ".venv"].contains(&name.as_str())
            {
                walk(root, &path, files)?;
            }
        } else if let Ok(inside) = path.strip_prefix(root) {
            files.push(inside.to_string_lossy().replace('\\', "/"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_this_repository_are_found_with_and_without_git() {
        let root = repo::root();
        let mut walked = Vec::new();
        walk(&root, &root, &mut walked).expect("the repository can be read");
        for files in [files(&root).expect("the repository can be read"), walked] {
            assert!(files.iter().any(|path| path == "xtask/src/tidy/mod.rs"), "{files:?}");
            assert!(!files.iter().any(|path| path.starts_with("target/")), "{files:?}");
        }
    }
}
