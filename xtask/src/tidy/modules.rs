//! Dependency cycles among the modules of a crate.
//!
//! A module depends on the modules in its paths: `crate::a::b`, `self::a`, `super::a`, in `use` and
//! elsewhere, without tests. A name that `lib.rs` re-exports counts as a name of its module. The crate root
//! is not a node, since it declares everything.

use std::collections::{BTreeMap, BTreeSet};

/// Folders of crates whose modules must not have cycles.
pub(super) const ACYCLIC: &[&str] =
    &["crates/cli", "crates/embedkit", "crates/hub", "crates/server"];

/// A module by its path below the crate, `["runtime", "official"]`.
type Module = Vec<String>;

/// Cycles among the modules of one crate, each once. `files` are paths below its `src`, with their text.
pub(super) fn cycles(files: &[(&str, &str)]) -> Vec<String> {
    let texts: BTreeMap<Module, String> =
        files.iter().map(|(path, text)| (module(path), code(text))).collect();
    let root = texts.get(&Module::new()).map_or("", String::as_str);
    let exported: BTreeMap<String, Module> = paths(root)
        .into_iter()
        .filter(|path| path.len() > 1)
        .filter_map(|path| Some((path.last()?.clone(), path[..path.len() - 1].to_vec())))
        .collect();
    let graph: BTreeMap<&Module, BTreeSet<&Module>> = texts
        .iter()
        .filter(|(module, _)| !module.is_empty())
        .map(|(module, text)| {
            let used = paths(text).into_iter().filter_map(|path| {
                let mut path = absolute(module, path)?;
                if let Some(origin) = path.first().and_then(|name| exported.get(name)) {
                    path = origin.clone();
                }
                // The longest beginning that is a module; the rest is an item in it.
                let mut lengths = (1..=path.len()).rev();
                let found = lengths.find_map(|length| texts.get_key_value(&path[..length]))?.0;
                (found != module).then_some(found)
            });
            (module, used.collect())
        })
        .collect();
    let mut found = BTreeSet::new();
    let (mut done, mut trail) = (BTreeSet::new(), Vec::new());
    for module in graph.keys() {
        walk(&graph, module, &mut done, &mut trail, &mut found);
    }
    found.into_iter().collect()
}

/// Depth-first search: a module that is on the trail already closes a cycle.
fn walk<'a>(
    graph: &BTreeMap<&'a Module, BTreeSet<&'a Module>>,
    module: &'a Module,
    done: &mut BTreeSet<&'a Module>,
    trail: &mut Vec<&'a Module>,
    found: &mut BTreeSet<String>,
) {
    if let Some(start) = trail.iter().position(|earlier| *earlier == module) {
        let cycle = trail[start..].iter().chain([&module]);
        found.insert(cycle.map(|module| module.join("::")).collect::<Vec<_>>().join(" -> "));
        return;
    }
    if done.contains(module) {
        return;
    }
    trail.push(module);
    for used in &graph[module] {
        walk(graph, used, done, trail, found);
    }
    trail.pop();
    done.insert(module);
}

/// The module of a file: `pipeline/mod.rs` and `pipeline.rs` are `pipeline`, `lib.rs` is the root.
fn module(path: &str) -> Module {
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let path = path.strip_suffix("/mod").unwrap_or(path);
    if path == "lib" { Module::new() } else { path.split('/').map(str::to_owned).collect() }
}

/// The path from the root, for a path as `module` writes it.
fn absolute(module: &Module, path: Module) -> Option<Module> {
    let mut here = module.clone();
    let mut parts = path.into_iter();
    match parts.next()?.as_str() {
        "crate" => here.clear(),
        "self" => {}
        "super" => drop(here.pop()),
        _ => return None,
    }
    for part in parts {
        match part.as_str() {
            "super" => drop(here.pop()),
            "self" => {}
            _ => here.push(part),
        }
    }
    Some(here)
}

/// The code of a file without comments, and without the tests at its end.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or(text);
    text.lines().map(|line| line.split("//").next().unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// All paths of more than one part in a text, those in braces one by one.
fn paths(text: &str) -> Vec<Module> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| is_name(c)) {
        rest = path(&rest[start..], &mut Module::new(), &mut found);
    }
    found
}

/// Reads one path, the lists in it included, and returns the text behind it.
fn path<'a>(mut rest: &'a str, before: &mut Module, found: &mut Vec<Module>) -> &'a str {
    let depth = before.len();
    loop {
        let end = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
        before.push(rest[..end].to_owned());
        rest = &rest[end..];
        let Some(next) = rest.strip_prefix("::") else {
            if before.len() > 1 {
                found.push(before.clone());
            }
            break;
        };
        rest = next;
        if let Some(list) = rest.strip_prefix('{') {
            rest = list;
            loop {
                rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
                match rest.chars().next() {
                    Some(c) if is_name(c) => rest = path(rest, before, found),
                    Some('}') => {
                        rest = &rest[1..];
                        break;
                    }
                    // `*`, or something that is no list of names.
                    Some(c) => rest = &rest[c.len_utf8()..],
                    None => break,
                }
            }
            break;
        }
        if !rest.starts_with(is_name) {
            found.push(before.clone()); // generics, `*`
            break;
        }
    }
    before.truncate(depth);
    rest
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_of_modules_has_no_cycles() {
        let files = [
            ("lib.rs", "mod a;\nmod b;\npub use a::{One, Two};\n"),
            ("a.rs", "pub struct One;\n"),
            ("b/mod.rs", "mod c;\nuse crate::{One, a::Two};\nuse self::c::Three;\n"),
            (
                "b/c.rs",
                "use crate::a;\n// crate::b\n#[cfg(test)]\nmod tests {\n use crate::b;\n}\n",
            ),
        ];
        assert_eq!(cycles(&files), <[&str; 0]>::default());
    }

    #[test]
    fn cycles_are_found_however_they_are_written() {
        let root = ("lib.rs", "mod a;\nmod b;\npub use b::{self, Item};\n");
        for text in [
            "use crate::Item;\n",
            "use crate::{x::Y, b::{self, Item as Other}};\n",
            "use super::b::Item;\n",
            "fn f() -> crate::b::Item<crate::x::Y> {}\n",
        ] {
            let files = [root, ("a.rs", text), ("b.rs", "use crate::a::f;\n")];
            assert_eq!(cycles(&files), ["a -> b -> a"], "{text}");
        }
        let child = [("a.rs", "use self::c::C;\n"), ("a/c.rs", "use super::A;\n")];
        assert_eq!(cycles(&child), ["a -> a::c -> a"]);
        let three =
            [("a.rs", "crate::b::f()"), ("b.rs", "crate::c::f()"), ("c.rs", "crate::a::f()")];
        assert_eq!(cycles(&three), ["a -> b -> c -> a"]);
    }
}
