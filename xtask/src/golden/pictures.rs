//! `cargo xtask golden --pictures`: decodes every file of Pillow's own tests with ours and with Pillow,
//! opened as in FastEmbed. Needs nasm, as the release does.
//!
//! The guide has a table of all files that differ, with reasons.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    path::Path,
    process::Stdio,
};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::Oracle;
use crate::{python, repo, run};

/// Version of Pillow in the original's environment.
pub(super) const PILLOW: &str = "12.3.0";
/// SHA-256 of its source package.
const SHA256: &str = "3b8182a766685eaa002637e28b4ec8d6b18819a0c71f579bf0dbaa5830297cce";

/// Page with the table of differences, and the line above the table.
const PAGE: &str = "docs/reference/image-formats.md";
const HEADING: &str = "## What is not read as Pillow reads it";

/// Decodes all files with both, prints the outcome, and fails if a difference is not on the page.
pub(super) fn compare(oracle: &Oracle) -> Result<()> {
    let folder = repo::root().join(".cache").join("pictures");
    fs::create_dir_all(&folder).with_context(|| format!("could not make {}", folder.display()))?;
    let source = python::source(&oracle.python, "pillow", PILLOW, SHA256, &folder)?;
    let images = source.join("Tests").join("images");
    let found = verdicts(oracle, &folder, &images)?;

    let page = fs::read_to_string(repo::root().join(PAGE)).context(PAGE)?;
    let outside = report(&found, &listed(&page)?);
    ensure!(outside == 0, "{outside} are neither the same nor in the table of {PAGE}");
    Ok(())
}

/// Outcome of a file, as `pictures.py` writes it.
#[derive(Debug, Deserialize)]
struct Found {
    name: String,
    /// Pillow's name of the format.
    format: Option<String>,
    verdict: String,
    #[serde(flatten)]
    details: BTreeMap<String, serde_json::Value>,
}

fn verdicts(oracle: &Oracle, folder: &Path, images: &Path) -> Result<Vec<Found>> {
    let mut names = Vec::new();
    collect(images, images, &mut names)?;
    names.sort();
    println!("{} files of Pillow {PILLOW}; running embedkit", names.len());
    let list = folder.join("names.txt");
    fs::write(&list, names.join("\n")).with_context(|| list.display().to_string())?;
    let pixels = folder.join("pixels");
    if pixels.exists() {
        fs::remove_dir_all(&pixels).with_context(|| pixels.display().to_string())?;
    }
    fs::create_dir(&pixels).with_context(|| pixels.display().to_string())?;
    let ours = folder.join("ours.jsonl");
    let mut command = run::cargo(["run", "--quiet", "--package", "embedkit-image"]);
    command.args(["--example", "decode", "--"]).arg(&pixels).arg(images);
    command.stdin(Stdio::from(File::open(&list)?)).stdout(Stdio::from(File::create(&ours)?));
    run::status(&mut command)?;

    println!("running Pillow");
    let lines = run::output(oracle.script("pictures.py").arg(&ours).arg(images))?;
    let found: Vec<Found> = lines
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("no verdict: {line:.120}")))
        .collect::<Result<_>>()?;
    ensure!(found.len() == names.len(), "{} verdicts on {} files", found.len(), names.len());
    Ok(found)
}

/// Files of a folder and its subfolders, with slashes in between.
fn collect(root: &Path, folder: &Path, names: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, names)?;
        } else {
            let name = path.strip_prefix(root)?.to_str().context("a name that is not UTF-8")?;
            names.push(name.replace('\\', "/"));
        }
    }
    Ok(())
}

/// Prints the names of each verdict. Returns the number that the guide does not explain, plus entries
/// of its table that explain nothing.
fn report(found: &[Found], listed: &[String]) -> usize {
    let mut outside = 0;
    let mut used = vec![false; listed.len()];
    for verdict in ["small JPEG difference", "differs", "panicked", "ours only", "original only"] {
        let those: Vec<&Found> = found.iter().filter(|found| found.verdict == verdict).collect();
        println!("\n{verdict}: {}", those.len());
        for one in those {
            let matching = |entry: &String| is_meant(entry, one);
            let is_listed = verdict != "panicked" && listed.iter().any(matching);
            let counts = !matches!(verdict, "small JPEG difference" | "ours only");
            for (entry, used) in listed.iter().zip(&mut used) {
                *used |= counts && matching(entry);
            }
            let mark = if counts && !is_listed { "NOT IN THE GUIDE " } else { "" };
            outside += usize::from(!mark.is_empty());
            let format = one.format.as_deref().unwrap_or("unknown");
            let details = serde_json::to_string(&one.details).unwrap_or_default();
            println!("  {mark}{} ({format}) {details}", one.name);
        }
    }
    for (entry, _) in listed.iter().zip(used).filter(|(_, used)| !used) {
        println!("\n`{entry}` is in the guide, and nothing is as it says");
        outside += 1;
    }
    let count = |verdict| found.iter().filter(|found| found.verdict == verdict).count();
    println!(
        "\n{} files: {} same, {} with a small JPEG difference, {} differ, {} panicked, {} ours only, \
         {} original only, {} neither",
        found.len(),
        count("same"),
        count("small JPEG difference"),
        count("differs"),
        count("panicked"),
        count("ours only"),
        count("original only"),
        count("neither"),
    );
    outside
}

/// Returns `true` if an entry names the file or its format.
fn is_meant(entry: &str, found: &Found) -> bool {
    match entry.split_once('*') {
        Some((start, end)) => {
            let rest = found.name.strip_prefix(start);
            rest.is_some_and(|rest| rest.ends_with(end))
        }
        None => entry == found.name || Some(entry) == found.format.as_deref(),
    }
}

/// The names, patterns of names and formats in the last column of the guide's table.
fn listed(page: &str) -> Result<Vec<String>> {
    let (_, section) = page.split_once(HEADING).with_context(|| format!("no {HEADING:?}"))?;
    let rows = section.lines().skip_while(|line| !line.starts_with('|'));
    let mut entries = Vec::new();
    for row in rows.take_while(|line| line.starts_with('|')).skip(2) {
        let cell = row.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        let spans: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        if spans.is_empty() {
            bail!("a row without a file or format: {row}");
        }
        entries.extend(spans.into_iter().map(str::to_owned));
    }
    ensure!(!entries.is_empty(), "no table below {HEADING:?}");
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, format: &str, verdict: &str) -> Found {
        Found {
            name: name.into(),
            format: Some(format.into()),
            verdict: verdict.into(),
            details: BTreeMap::new(),
        }
    }

    #[test]
    fn what_the_guide_does_not_explain_is_counted() {
        let page = "# Page\n\n## What is not read as Pillow reads it\n\nText.\n\n| a | b | c |\n\
                    |---|---|---|\n| x | no `code` | `DDS`, `bmp/q/*.bmp` |\n| y | z | `a.tif` |\n\n`d`\n";
        let listed = listed(page).expect("a table");
        assert_eq!(listed, ["DDS", "bmp/q/*.bmp", "a.tif"]);
        let all = [
            found("x.dds", "DDS", "original only"),
            found("bmp/q/1.bmp", "BMP", "differs"),
            found("a.tif", "TIFF", "differs"),
            found("b.png", "PNG", "same"),
            found("c.png", "PNG", "ours only"),
        ];
        assert_eq!(report(&all, &listed), 0);
        assert_eq!(report(&all[1..], &listed), 1, "an entry that explains nothing");
        assert_eq!(report(&all, &listed[..1]), 2, "two that are not listed");
    }

    #[test]
    fn a_page_without_a_table_is_an_error() {
        assert!(listed("# Page\n").is_err());
        assert!(listed("## What is not read as Pillow reads it\n\nNothing.\n").is_err());
        let row = "## What is not read as Pillow reads it\n| a | b |\n|---|---|\n| x | y |\n";
        assert!(listed(row).is_err());
    }
}
