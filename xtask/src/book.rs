//! `cargo xtask book`: the pages of `docs` as a site, made by mdBook.
//!
//! The pages are the same files that are read in the repository, those of `docs` and others that the table
//! of contents names, such as `CONTRIBUTING.md`. On the way into the book, links to other files become
//! addresses of the repository on the web; nothing else changes.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::{repo, run, tidy::links};

/// Version of mdBook that is fetched where none of its minor version is installed.
const MDBOOK: &str = "0.5.4";
/// Folder of the pages.
const PAGES: &str = "docs/";
/// The table of contents, which has to name every page of the folder.
const SUMMARY: &str = "docs/SUMMARY.md";
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
    let mut files = Vec::new();
    list(&repo::root().join(PAGES), PAGES, &mut files)?;
    let summary = fs::read_to_string(repo::root().join(SUMMARY)).context(SUMMARY)?;
    let pages = named(&summary);
    let missing = missing(&pages, &files);
    ensure!(missing.is_empty(), "{SUMMARY} does not name {}", missing.join(", "));
    // The book is laid out like the repository, with the table of contents above all.
    for path in pages.iter().chain(files.iter().filter(|path| !is_page(path))) {
        let (from, to) = (repo::root().join(path), source.join(path));
        fs::create_dir_all(to.parent().unwrap_or(&source)).context("creating a folder")?;
        if is_page(path) {
            let text = fs::read_to_string(&from).with_context(|| format!("reading {path}"))?;
            fs::write(&to, linked(path, &text, |link, target| in_book(link, target, &pages)))
                .with_context(|| format!("writing {path}"))?;
        } else {
            fs::copy(&from, &to).with_context(|| format!("copying {path}"))?;
        }
    }
    let contents = linked(SUMMARY, &summary, |_, target| Some(target.to_owned()));
    fs::write(source.join("SUMMARY.md"), contents).context("writing the table of contents")?;
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

/// Files below a folder, as paths from the root of the repository.
fn list(folder: &Path, name: &str, files: &mut Vec<String>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("listing {name}"))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("listing {name}"))?;
        let path = format!("{name}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            list(&entry.path(), &format!("{path}/"), files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn is_page(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "md")
}

/// Pages that the table of contents names, from the root of the repository.
fn named(summary: &str) -> BTreeSet<String> {
    let targets = links::links(summary).into_iter().map(|(_, target)| target);
    targets.filter_map(|target| links::resolve(SUMMARY, target)).collect()
}

/// Pages among the files that the table of contents does not lead to.
fn missing(pages: &BTreeSet<String>, files: &[String]) -> Vec<String> {
    let files = files.iter().filter(|path| is_page(path) && *path != SUMMARY);
    files.filter(|path| !pages.contains(*path)).cloned().collect()
}

/// The link in the book to a file of the repository; `None` if it stays as it is.
fn in_book(link: &str, target: &str, pages: &BTreeSet<String>) -> Option<String> {
    if !target.starts_with(PAGES) && !pages.contains(target) {
        return Some(format!("{FILES}/{target}"));
    }
    // mdBook gives such a page this name, and leaves links to it.
    link.strip_suffix("README.md").map(|folder| format!("{folder}index.md"))
}

/// A page with other links: `change` gives them for links and their paths from the root of the repository,
/// `None` for those that stay.
fn linked(page: &str, text: &str, change: impl Fn(&str, &str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (_, target) in links::links(text) {
        let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
        if target.contains("://") || path.is_empty() {
            continue;
        }
        let Some(new) = links::resolve(page, path).and_then(|target| change(path, &target)) else {
            continue;
        };
        // A link is a part of the text.
        let start = target.as_ptr() as usize - text.as_ptr() as usize;
        let separator = if anchor.is_empty() { "" } else { "#" };
        out += &text[done..start];
        out += &format!("{new}{separator}{anchor}");
        done = start + target.len();
    }
    out += &text[done..];
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(path: &str, text: &str) -> String {
        let pages = named("[D](guide/dense.md) [C](../CONTRIBUTING.md)");
        linked(path, text, |link, target| in_book(link, target, &pages))
    }

    #[test]
    fn links_out_of_the_book_lead_to_the_web() {
        let text = "[a](../README.md#try-it) [b](guide/dense.md) `[c](../x.md)` [d](#here)\n\
                    [e]: ../../crates/hub\n";
        assert_eq!(
            page("docs/a.md", text),
            format!(
                "[a]({FILES}/README.md#try-it) [b](guide/dense.md) `[c](../x.md)` [d](#here)\n\
                 [e]: ../../crates/hub\n"
            ),
            "a link out of the repository stays for tidy to report"
        );
        let text = "[e]: ../../crates/hub\n";
        assert_eq!(page("docs/guide/a.md", text), format!("[e]: {FILES}/crates/hub\n"));
    }

    #[test]
    fn links_within_the_book_stay() {
        let text = "[c](../../CONTRIBUTING.md#rules) [d](../charts/a.svg)";
        assert_eq!(page("docs/guide/a.md", text), text);
        let text = "[d](docs/guide/dense.md#roles)";
        assert_eq!(page("CONTRIBUTING.md", text), text);
        assert_eq!(page("docs/a.md", "[g](guide/README.md#a)"), "[g](guide/index.md#a)");
    }

    #[test]
    fn contents_are_seen_from_the_root() {
        let contents =
            linked(SUMMARY, "[D](guide/dense.md) [C](../CONTRIBUTING.md)", |_, target| {
                Some(target.to_owned())
            });
        assert_eq!(contents, "[D](docs/guide/dense.md) [C](CONTRIBUTING.md)");
    }

    #[test]
    fn a_page_outside_of_the_contents_is_named() {
        let files = ["docs/a.md", "docs/guide/b.md", "docs/c.svg", SUMMARY].map(str::to_owned);
        assert_eq!(missing(&named("- [A](a.md)\n"), &files), ["docs/guide/b.md"]);
    }
}
