//! Checks of pages: links lead to something, every page of `docs` is linked, and Rust examples are
//! tested.

use std::collections::{BTreeMap, BTreeSet};

/// Folder whose pages need a link from another page.
const PAGES: &str = "docs/";
/// Table of contents of the site, which names every page and is no page itself.
const SUMMARY: &str = "docs/SUMMARY.md";
/// File that includes the pages' examples as tests.
pub(super) const TESTED: &str = "examples/src/lib.rs";

/// Dead relative links and unlinked pages. `files` are all files of the repository, relative to its
/// root with `/`; `pages` are the Markdown files with their text.
pub(super) fn check(files: &[String], pages: &[(&str, String)]) -> Vec<String> {
    let files: BTreeSet<&str> = files.iter().map(String::as_str).collect();
    let anchors: BTreeMap<&str, BTreeSet<String>> =
        pages.iter().map(|(path, text)| (*path, anchors(text))).collect();
    let mut found = Vec::new();
    let mut reached = BTreeSet::new();
    for (page, text) in pages {
        for (number, target) in links(text) {
            // Links with a scheme are external.
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let Some(path) = resolve(page, path) else {
                found.push(format!("{page}:{number}: `{target}` leads out of the repository"));
                continue;
            };
            let path = path.as_str();
            if path != *page && *page != SUMMARY {
                reached.insert(path.to_owned());
            }
            let folder = || path.is_empty() || files.range(path..).any(|file| is_in(file, path));
            if !files.contains(path) && !folder() {
                found.push(format!("{page}:{number}: `{target}` leads to nothing"));
            } else if !anchor.is_empty()
                && anchors.get(path).is_none_or(|anchors| !anchors.contains(anchor))
            {
                found.push(format!("{page}:{number}: `{target}` names no heading of {path}"));
            }
        }
    }
    let lost = pages.iter().map(|(page, _)| *page);
    let lost = lost.filter(|page| page.starts_with(PAGES) && *page != SUMMARY);
    let lost = lost.filter(|page| !reached.contains(*page));
    found.extend(lost.map(|page| format!("{page}: no other page links to it")));
    found
}

/// Pages with Rust examples that are not tested; `tested` is the file that includes the tested ones.
pub(super) fn untested(pages: &[(&str, String)], tested: &str) -> Vec<String> {
    pages
        .iter()
        .filter(|(_, text)| text.lines().any(|line| line.trim_start().starts_with("```rust")))
        .filter(|(page, _)| !tested.contains(&format!("\"{page}\"")))
        .map(|(page, _)| format!("{page}: has examples in Rust and is not named in {TESTED}"))
        .collect()
}

/// Returns `true` if a file is in a folder.
fn is_in(file: &str, folder: &str) -> bool {
    file.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// Path of a link's target from the root of the repository; `None` outside it.
pub(crate) fn resolve(page: &str, target: &str) -> Option<String> {
    if target.is_empty() {
        return Some(page.to_owned());
    }
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Targets of links and images outside code, with line numbers.
pub(crate) fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        for (at, _) in line.match_indices("](") {
            if in_code(line, at) {
                continue;
            }
            let rest = &line[at + 2..];
            if let Some(end) = rest.find(')') {
                // A title may follow.
                found.extend(rest[..end].split_whitespace().next().map(|target| (number, target)));
            }
        }
        // `[name]: target`, to which `[text][name]` refers.
        if line.starts_with('[')
            && let Some((_, target)) = line.split_once("]: ")
        {
            found.extend(target.split_whitespace().next().map(|target| (number, target)));
        }
    }
    found
}

/// Returns `true` if a position of a line is between backticks.
fn in_code(line: &str, at: usize) -> bool {
    line[..at].matches('`').count() % 2 == 1
}

/// Anchors of a page's headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for (_, line) in prose(text) {
        let heading = line.trim_start_matches('#');
        if !line.starts_with('#') || !heading.starts_with(' ') {
            continue;
        }
        let name = anchor(heading.trim());
        let numbered = (1..).map(|number| format!("{name}-{number}"));
        let free = std::iter::once(name.clone()).chain(numbered).find(|n| !anchors.contains(n));
        anchors.extend(free);
    }
    anchors
}

/// GitHub's anchor of a heading: lower-case letters, digits, `-` and `_`, and `-` for each space.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Lines outside code blocks, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fence && !fenced
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pages: &[(&str, &str)], others: &[&str]) -> Vec<String> {
        let all = pages.iter().map(|(path, _)| *path).chain(others.iter().copied());
        let files: Vec<String> = all.map(str::to_owned).collect();
        let pages: Vec<_> = pages.iter().map(|(path, text)| (*path, (*text).to_owned())).collect();
        check(&files, &pages)
    }

    #[test]
    fn files_folders_and_headings_are_found() {
        let readme = "[a](docs/a.md) [b](docs/a.md#two-words) ![c](pictures/c.svg) [d](crates/x)\n\
                      [out](https://example.org/none) [top](#the-top), see [e]\n\
                      # The top\n\n[e]: docs/a.md";
        let a = "## Two words\n[back](../README.md#the-top)";
        let pages = [("README.md", readme), ("docs/a.md", a)];
        assert_eq!(found(&pages, &["pictures/c.svg", "crates/x/Cargo.toml"]), [""; 0]);
    }

    #[test]
    fn what_leads_nowhere_is_named_with_its_line() {
        let page = "text\n[a](b.md) [b](../../c.md)\n[c](#gone) [d](docs/a.md#none)\n[e]: x.md";
        assert_eq!(
            found(&[("README.md", page), ("docs/a.md", "# One")], &["b.mdx"]),
            [
                "README.md:2: `b.md` leads to nothing",
                "README.md:2: `../../c.md` leads out of the repository",
                "README.md:3: `#gone` names no heading of README.md",
                "README.md:3: `docs/a.md#none` names no heading of docs/a.md",
                "README.md:4: `x.md` leads to nothing",
            ]
        );
    }

    #[test]
    fn a_page_that_nothing_leads_to_is_lost() {
        let pages =
            [("README.md", "[a](docs/a.md)"), ("docs/a.md", ""), ("docs/b.md", "[me](b.md)")];
        assert_eq!(found(&pages, &[]), ["docs/b.md: no other page links to it"]);
    }

    #[test]
    fn code_has_no_links() {
        let page = "```rust\nlet x = v[0](1);\n[a](b)\n```\n`[a](b)` and `c[0](d)`";
        assert_eq!(found(&[("README.md", page)], &[]), [""; 0]);
    }

    #[test]
    fn a_page_with_examples_has_to_be_named() {
        let pages = [
            ("docs/a.md", "```rust,no_run\nlet x = 1;\n```".to_owned()),
            ("docs/b.md", "```sh\nrustc\n```".to_owned()),
        ];
        assert_eq!(untested(&pages, "a: \"docs/a.md\","), [""; 0]);
        assert_eq!(
            untested(&pages, "a: \"docs/aa.md\","),
            ["docs/a.md: has examples in Rust and is not named in examples/src/lib.rs"]
        );
    }

    #[test]
    fn anchors_are_those_that_github_makes() {
        let page = "# A `code` & more!\n## Twice\n## Twice\n#no heading\n```\n# no heading\n```";
        let expected = ["a-code--more", "twice", "twice-1"].map(str::to_owned);
        assert_eq!(anchors(page), BTreeSet::from(expected));
    }
}
