//! Corpus: real documentation, the same on every machine.
//!
//! The texts are paragraphs of the Markdown files and of the `//!` comments of the packages that
//! `bench/corpus` names by exact version, without change logs, which are lists of half sentences. Cargo
//! fetches the sources; markup is removed; digests decide which paragraphs are taken. A fingerprint
//! verifies that the texts are those of earlier figures.

mod pairs;
mod prose;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use xtask::{repo, run};

pub(super) use self::pairs::{Pair, pairs};

/// Texts of the mixed corpus.
pub(super) const TEXTS: usize = 2000;
/// Range of characters of a text.
const LENGTH: RangeInclusive<usize> = 20..=2500;
/// Words of the median text.
const MEDIAN: RangeInclusive<usize> = 15..=25;
/// SHA-256 of the corpus, one text for each line.
const FINGERPRINT: &str = "9ed0cffb4005b5938d1408cf2ae2f88bfc29d83b4df02571dc1bed730d2a1e68";

/// The mixed corpus.
pub(super) struct Corpus {
    /// The texts, each without line breaks.
    pub(super) texts: Vec<String>,
    /// SHA-256 of the texts, a line each.
    pub(super) fingerprint: String,
    /// Words of the median text.
    pub(super) median_words: usize,
}

/// Reads the sources and chooses the texts.
pub(super) fn read() -> Result<Corpus> {
    let mut paragraphs = BTreeMap::new();
    for package in sources()? {
        for file in documents(&package)? {
            let bytes = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
            let text = String::from_utf8_lossy(&bytes);
            let found = if file.extension().is_some_and(|it| it == "rs") {
                prose::of_comments(&text)
            } else {
                prose::of_markdown(&text)
            };
            for paragraph in found {
                if LENGTH.contains(&paragraph.chars().count()) && prose::is_prose(&paragraph) {
                    paragraphs.insert(Sha256::digest(&paragraph).to_vec(), paragraph);
                }
            }
        }
    }
    let found = paragraphs.len();
    // Sorting by digest is as good as random.
    let texts: Vec<String> = paragraphs.into_values().take(TEXTS).collect();
    if texts.len() < TEXTS {
        bail!("the sources have {found} paragraphs, fewer than {TEXTS}");
    }
    let median_words = median_words(&texts);
    if !MEDIAN.contains(&median_words) {
        bail!("the median text has {median_words} words, not {MEDIAN:?}");
    }
    let fingerprint = hex(&Sha256::digest(texts.join("\n")));
    if fingerprint != FINGERPRINT {
        bail!(
            "the texts are not those that earlier figures were measured on: their fingerprint is \
             {fingerprint}, not {FINGERPRINT}"
        );
    }
    Ok(Corpus { texts, fingerprint, median_words })
}

/// A number of texts: the corpus, repeated with a word before each text that counts the repetition, so
/// that no two are the same.
pub(super) fn repeated(texts: &[String], count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|i| match (i / texts.len(), &texts[i % texts.len()]) {
        (0, text) => text.clone(),
        (time, text) => format!("{time} {text}"),
    })
}

/// Short queries: the first words of evenly spaced texts.
pub(super) fn queries(texts: &[String], count: usize) -> Vec<String> {
    const WORDS: usize = 6;
    let long: Vec<_> = texts.iter().filter(|text| text.split(' ').count() > WORDS).collect();
    let first = |text: &&String| text.split(' ').take(WORDS).collect::<Vec<_>>().join(" ");
    long.iter().step_by((long.len() / count).max(1)).take(count).map(first).collect()
}

/// The different words of the corpus that are plain lower-case letters, in order of appearance.
pub(super) fn words(texts: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let words = texts.iter().flat_map(|text| text.split(' '));
    let plain = words.filter(|word| word.len() > 2 && word.bytes().all(|b| b.is_ascii_lowercase()));
    plain.filter(|word| seen.insert(*word)).map(str::to_owned).collect()
}

/// Texts of an exact number of words from `words`, in an order without pattern.
pub(super) fn equal(words: &[String], length: usize, count: usize) -> Vec<String> {
    let mut state = 1_u64;
    let mut word = || {
        // Knuth's linear congruential generator (MMIX); its high bits are the random ones.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        words[(state >> 33) as usize % words.len()].as_str()
    };
    (0..count).map(|_| (0..length).map(|_| word()).collect::<Vec<_>>().join(" ")).collect()
}

/// Writes texts to a file, one for each line.
pub(super) fn write(file: &Path, texts: impl IntoIterator<Item = impl AsRef<str>>) -> Result<()> {
    let mut lines = String::new();
    for text in texts {
        lines.push_str(text.as_ref());
        lines.push('\n');
    }
    fs::write(file, lines).with_context(|| format!("could not write {}", file.display()))
}

fn median_words(texts: &[String]) -> usize {
    let mut words: Vec<_> = texts.iter().map(|text| text.split(' ').count()).collect();
    words.sort_unstable();
    words.get(words.len() / 2).copied().unwrap_or(0)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    req: String,
}

/// Folders of the packages that `bench/corpus` names, by name.
fn sources() -> Result<Vec<PathBuf>> {
    let mut command = run::cargo(["metadata", "--locked", "--format-version=1"]);
    // For one fixed platform: fewer packages to fetch, and no text depends on it.
    command.arg("--filter-platform=x86_64-unknown-linux-gnu");
    command
        .arg("--manifest-path")
        .arg(repo::root().join("bench").join("corpus").join("Cargo.toml"));
    let text = run::output(&mut command).context("could not get the sources of the texts")?;
    let metadata: Metadata =
        serde_json::from_str(&text).context("cargo metadata wrote something unexpected")?;
    let one = |name: &str, version: Option<&str>| {
        let is_it = |package: &&Package| {
            // Build metadata after a plus sign is no part of the requirement.
            let found = package.version.split('+').next();
            package.name == name && (version.is_none() || found == version)
        };
        let package = metadata.packages.iter().find(is_it);
        package.with_context(|| format!("cargo knows no package {name} {version:?}"))
    };
    let mut folders = Vec::new();
    for dependency in &one("bench-corpus", None)?.dependencies {
        let version = dependency.req.strip_prefix('=');
        let version = version.with_context(|| format!("{} is not pinned", dependency.name))?;
        let manifest = &one(&dependency.name, Some(version))?.manifest_path;
        folders.push(manifest.parent().context("a manifest lies in a folder")?.to_owned());
    }
    Ok(folders)
}

/// Documentation files of a package, in a fixed order.
fn documents(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        if path.is_dir() {
            found.extend(documents(&path)?);
        } else if name.ends_with(".RS") || name.ends_with(".MD") && !is_change_log(&name) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn is_change_log(upper_case_name: &str) -> bool {
    upper_case_name.contains("CHANGELOG") || upper_case_name.contains("RELEASE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_texts_differ() {
        let texts = ["a b".to_owned(), "c".to_owned()];
        assert_eq!(repeated(&texts, 5).collect::<Vec<_>>(), ["a b", "c", "1 a b", "1 c", "2 a b"]);
    }

    #[test]
    fn queries_are_the_beginnings_of_longer_texts() {
        let texts = ["one two three four five six seven".to_owned(), "too short".to_owned()];
        assert_eq!(queries(&texts, 10), ["one two three four five six"]);
    }

    #[test]
    fn words_are_plain_and_different() {
        let texts = ["the cat and The cat sat.".to_owned(), "ox the end42 mat".to_owned()];
        assert_eq!(words(&texts), ["the", "cat", "and", "mat"]);
    }

    #[test]
    fn equal_texts_have_their_words_and_come_again_the_same() {
        let words = ["red", "green", "blue"].map(str::to_owned);
        let texts = equal(&words, 126, 4);
        assert!(texts.iter().all(|text| text.split(' ').count() == 126));
        assert!(words.iter().all(|word| texts[0].contains(word)), "{}", texts[0]);
        assert_ne!(texts[0], texts[1]);
        assert_eq!(texts, equal(&words, 126, 4));
    }
}
