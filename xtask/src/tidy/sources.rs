//! Rules for source files.

use std::path::Path;

/// Maximum lines of a file; a longer one should be split.
const LINES: usize = 800;
/// Maximum header of a `lib.rs`: one screen.
const HEADER_LINES: usize = 60;
/// First line of a generated file.
const GENERATED: &str = "//! Generated ";

/// Violations in a Rust file; `path` is relative to the root and uses `/`.
pub(super) fn check(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let generated = text.starts_with(GENERATED);
    let header = text.lines().take_while(|line| line.starts_with("//!")).count();
    if header == 0 {
        found.push(format!("{path}: does not begin with a `//!` line that says what it is"));
    }
    let lines = text.lines().count();
    if lines > LINES && !generated {
        found.push(format!("{path}: has {lines} lines, over {LINES}"));
    }
    if path.ends_with("src/lib.rs") && header > 0 {
        if header > HEADER_LINES {
            found.push(format!("{path}: its header has {header} lines, over {HEADER_LINES}"));
        }
        if !text.lines().take(header).any(|line| line.trim_start_matches("//!").trim() == "```") {
            found.push(format!("{path}: its header shows no example"));
        }
    }
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        let doc = line.strip_prefix("//!").or_else(|| line.strip_prefix("///"));
        let fence = doc.and_then(|doc| doc.trim_start().strip_prefix("```"));
        if fence.is_some_and(|fence| fence.split(',').any(|word| word.trim() == "ignore")) {
            found.push(format!("{path}:{number}: an example that is ignored is never checked"));
        }
        if line.starts_with(concat!("#[", "ignore]")) {
            found.push(format!("{path}:{number}: a test that is ignored does not say why"));
        }
    }
    found
}

/// Lines of a text file that name a folder of the machine it was written on.
pub(super) fn machine_paths(path: &str, text: &str, folders: &[String]) -> Vec<String> {
    (1..)
        .zip(text.lines())
        .filter_map(|(number, line): (usize, _)| {
            let folder = folders.iter().find(|folder| names(line, folder))?;
            Some(format!("{path}:{number}: names a folder of one machine, {folder}"))
        })
        .collect()
}

/// Returns `true` if a line has a folder as the start of a path, not in the middle of one.
fn names(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-~/}".contains(c))
    })
}

/// Folders that no file may name: the repository's, its parent, and the user's.
pub(super) fn folders(root: &Path, home: Option<&Path>) -> Vec<String> {
    let mut folders = Vec::new();
    for folder in [Some(root), root.parent(), home].into_iter().flatten() {
        // The root of the file system matches nothing specific.
        if folder.parent().is_some() && folder.is_absolute() {
            folders.push(format!("{}{}", folder.display(), std::path::MAIN_SEPARATOR));
        }
    }
    for foreign in [concat!("/Us", "ers/"), concat!("/home/run", "ner/")] {
        folders.push(foreign.to_owned());
    }
    folders
}

/// Returns `true` if a package's manifest inherits the workspace lints.
pub(super) fn inherits_lints(manifest: &str) -> bool {
    manifest
        .parse::<toml::Table>()
        .ok()
        .and_then(|table| table.get("lints")?.get("workspace")?.as_bool())
        .unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_file_passes() {
        assert!(check("crates/a/src/one.rs", "//! One thing.\n\nfn one() {}\n").is_empty());
        let lib = "//! A crate.\n//!\n//! ```\n//! let x = 1;\n//! ```\n";
        assert!(check("crates/a/src/lib.rs", lib).is_empty());
    }

    #[test]
    fn a_file_without_a_header_is_found() {
        let found = check("a.rs", "use std::path::Path;\n");
        assert_eq!(found, ["a.rs: does not begin with a `//!` line that says what it is"]);
    }

    #[test]
    fn a_long_file_is_found_unless_it_is_generated() {
        let long = format!("//! Long.\n{}", "// x\n".repeat(LINES));
        assert_eq!(check("a.rs", &long), ["a.rs: has 801 lines, over 800"]);
        let generated = format!("{GENERATED}by a program.\n{}", "// x\n".repeat(LINES));
        assert!(check("a.rs", &generated).is_empty());
        let just = format!("//! Just.\n{}", "// x\n".repeat(LINES - 1));
        assert!(check("a.rs", &just).is_empty());
    }

    #[test]
    fn the_header_of_a_library_shows_an_example_on_one_screen() {
        let found = check("crates/a/src/lib.rs", "//! A crate.\n");
        assert_eq!(found, ["crates/a/src/lib.rs: its header shows no example"]);
        let long = format!("//! ```\n//! ```\n{}", "//! x\n".repeat(HEADER_LINES));
        let found = check("crates/a/src/lib.rs", &long);
        assert_eq!(found, ["crates/a/src/lib.rs: its header has 62 lines, over 60"]);
    }

    #[test]
    fn what_is_never_run_is_found() {
        let text =
            concat!("//! A.\n/// ```", "ignore\n/// ```\n/// ```no_run,", "ignore\n/// ```\n");
        let found = check("a.rs", text);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("a.rs:2: an example"), "{found:?}");
        let found = check("a.rs", concat!("//! A.\n#[test]\n    #[", "ignore]\nfn a() {}\n"));
        assert_eq!(found, ["a.rs:3: a test that is ignored does not say why"]);
        assert!(check("a.rs", "//! A.\n/// ```no_run\n/// let ignore = 1;\n/// ```\n").is_empty());
    }

    #[test]
    #[cfg(unix)]
    fn paths_of_a_machine_are_found() {
        let folders = folders(Path::new("/build/here"), Some(Path::new("/people/me")));
        assert_eq!(folders[..3], ["/build/here/", "/build/", "/people/me/"]);
        let text = "see /build/here/x\nsee docs/build/x\nor $HOME/people/me/x\nin '/people/me/x'";
        let found = machine_paths("a.md", text, &folders);
        assert_eq!(
            found,
            [
                "a.md:1: names a folder of one machine, /build/here/",
                "a.md:4: names a folder of one machine, /people/me/",
            ]
        );
        // A repository directly in the root of the file system does not forbid `/`.
        assert!(!super::folders(Path::new("/here"), None).contains(&"/".to_owned()));
    }

    #[test]
    fn lints_are_inherited_or_not() {
        assert!(inherits_lints("[package]\nname = 'a'\n[lints]\nworkspace = true\n"));
        assert!(!inherits_lints("[package]\nname = 'a'\n"));
    }
}
