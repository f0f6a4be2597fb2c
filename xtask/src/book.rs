//! `cargo xtask book`: the pages of `docs` as a site, made by mdBook.
//!
//! The pages are the same files that are read in the repository. On the way into the book, links out of
//! `docs` become addresses of the repository on the web; nothing else changes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::{repo, run, tidy::links};

/// Version of mdBook that is fetched where none of its minor version is installed.
const MDBOOK: &str = "0.5.4";
/// The table of contents, which has to name every page.
const SUMMARY: &str = "SUMMARY.md";
/// Address of the files of the repository on the web.
const FILES: &str = "https://github.com/embedkit/embedkit/blob/main";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Show the site in a browser
    #[arg(long)]
    open: bool,
}

/// Makes the site in `.cache/book/html`.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let folder = repo::root().join(".cache/book");
    let source = folder.join("src");
    if source.exists() {
        fs::remove_dir_all(&source).with_context(|| format!("removing {}", source.display()))?;
    }
    let docs = repo::root().join("docs");
    let mut pages = Vec::new();
    copy(&docs, &docs, &source, &mut pages)?;
    let summary = fs::read_to_string(docs.join(SUMMARY)).context("reading docs/SUMMARY.md")?;
    let missing = missing(&summary, &pages);
    ensure!(missing.is_empty(), "docs/{SUMMARY} does not name {}", missing.join(", "));
    fs::copy(repo::root().join("book.toml"), folder.join("book.toml"))
        .context("copying book.toml")?;
    let mut build = Command::new(mdbook()?);
    run::status(build.arg("build").arg(&folder).args(arguments.open.then_some("--open")))?;
    let index = folder.join("html/index.html");
    println!("{} pages: {}", pages.len(), repo::short(&index));
    Ok(())
}

/// mdBook: an installed one, else one that is built in `.cache/tools`.
fn mdbook() -> Result<PathBuf> {
    let (minor, _) = MDBOOK.rsplit_once('.').unwrap_or((MDBOOK, ""));
    let installed = run::output(Command::new("mdbook").arg("--version"));
    if installed.is_ok_and(|version| version.trim_start_matches("mdbook v").starts_with(minor)) {
        return Ok("mdbook".into());
    }
    let tools = repo::root().join(".cache/tools");
    let program = tools.join("bin").join(format!("mdbook{}", std::env::consts::EXE_SUFFIX));
    if !program.exists() {
        let mut install = run::cargo(["install", "mdbook", "--locked", "--version", MDBOOK]);
        install.args(["--no-default-features", "--features", "search", "--quiet", "--root"]);
        run::status(install.arg(&tools))?;
    }
    Ok(program)
}

/// Copies a folder of pages and pictures; `pages` are their paths relative to `root`.
fn copy(root: &Path, from: &Path, to: &Path, pages: &mut Vec<String>) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("creating {}", to.display()))?;
    let entries = fs::read_dir(from).with_context(|| format!("listing {}", from.display()))?;
    let mut entries = entries.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(root, &path, &target, pages)?;
        } else if path.extension().is_some_and(|extension| extension == "md") {
            let name = path.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
            let text = fs::read_to_string(&path).with_context(|| format!("reading {name}"))?;
            fs::write(&target, outward(&format!("docs/{name}"), &text))?;
            if name != SUMMARY {
                pages.push(name);
            }
        } else {
            fs::copy(&path, &target).with_context(|| format!("copying {}", path.display()))?;
        }
    }
    Ok(())
}

/// Pages that the table of contents does not lead to.
fn missing(summary: &str, pages: &[String]) -> Vec<String> {
    let named: Vec<_> = links::links(summary).into_iter().map(|(_, target)| target).collect();
    pages.iter().filter(|page| !named.contains(&page.as_str())).cloned().collect()
}

/// A page whose links to files outside of `docs` lead to the repository on the web.
fn outward(page: &str, text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (_, target) in links::links(text) {
        let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
        if target.contains("://") || path.is_empty() {
            continue;
        }
        let Some(path) = links::resolve(page, path).filter(|path| !path.starts_with("docs/"))
        else {
            continue;
        };
        // A link is a part of the text.
        let start = target.as_ptr() as usize - text.as_ptr() as usize;
        let separator = if anchor.is_empty() { "" } else { "#" };
        out += &text[done..start];
        out += &format!("{FILES}/{path}{separator}{anchor}");
        done = start + target.len();
    }
    out += &text[done..];
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_out_of_the_pages_lead_to_the_web() {
        let page = "[a](../README.md#try-it) [b](guide/dense.md) `[c](../x.md)` [d](#here)\n\
                    [e]: ../../crates/hub\n";
        assert_eq!(
            outward("docs/a.md", page),
            format!(
                "[a]({FILES}/README.md#try-it) [b](guide/dense.md) `[c](../x.md)` [d](#here)\n\
                 [e]: ../../crates/hub\n"
            ),
            "a link out of the repository stays for tidy to report"
        );
        let page = "[e]: ../../crates/hub\n";
        assert_eq!(outward("docs/guide/a.md", page), format!("[e]: {FILES}/crates/hub\n"));
    }

    #[test]
    fn a_page_outside_of_the_contents_is_named() {
        let pages = ["a.md", "guide/b.md"].map(str::to_owned);
        assert_eq!(missing("- [A](a.md)\n", &pages), ["guide/b.md"]);
    }
}
