//! `registry update`: pins the models of `models.toml` to the current state of the hub.
//!
//! The file is edited in place: comments, order and everything else stay.

use std::{collections::HashSet, fmt::Write as _, fs};

use anyhow::{Context as _, bail, ensure};
use clap::Subcommand;
use embedkit_hub::{Hub, LookedUp};
use embedkit_types::{FileDigest, ModelSpec, cache::cache_dir};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, Value};

use crate::{codegen, repo};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Pin models to the newest commit of their repositories, with size and SHA-256 of each file
    ///
    /// Edits models.toml, renders what comes from it and prints what changed. Where a repository
    /// cannot be reached, nothing is changed.
    Update {
        /// The models, as models.toml writes them; all that have a repository when none is given
        #[arg(value_name = "ID")]
        ids: Vec<String>,
    },
}

pub(crate) fn run(command: &Command) -> anyhow::Result<()> {
    let Command::Update { ids } = command;
    let hub = Hub::from_env(cache_dir(|name| std::env::var_os(name)), false)?;
    let path = repo::root().join("models.toml");
    let old = fs::read_to_string(&path).with_context(|| repo::short(&path))?;
    let updated = update(&old, ids, |spec| {
        eprintln!("asking for {}", spec.id);
        Ok(hub.look_up(spec)?)
    });
    let (new, changes) = updated.context("nothing was changed")?;
    print!("{changes}");
    if new == old {
        eprintln!("everything is pinned to what the hub has");
        return Ok(());
    }
    fs::write(&path, new).with_context(|| repo::short(&path))?;
    eprintln!("wrote {}", repo::short(&path));
    codegen::run(false)
}

/// Pins the models of `ids`, or all, to the result of `look_up`. Returns the new text of the table and
/// a list of changes.
fn update(
    text: &str,
    ids: &[String],
    look_up: impl Fn(&ModelSpec) -> anyhow::Result<LookedUp>,
) -> anyhow::Result<(String, String)> {
    let specs = codegen::parse(text)?.model;
    for id in ids {
        let mut found = specs.iter().filter(|spec| spec.id.eq_ignore_ascii_case(id)).peekable();
        ensure!(found.peek().is_some(), "no model {id} is registered");
        ensure!(found.all(|spec| spec.source.repo.is_some()), "{id} comes from no repository");
    }
    let chosen: HashSet<_> = ids.iter().map(|id| id.to_lowercase()).collect();
    let is_chosen = |spec: &ModelSpec| {
        // An alias has the same pins as its model and changes with it.
        let names = [Some(&spec.id), spec.alias_of.as_ref()];
        let named = names.into_iter().flatten().any(|id| chosen.contains(&id.to_lowercase()));
        spec.source.repo.is_some() && (chosen.is_empty() || named)
    };
    let mut document: DocumentMut = text.parse()?;
    let rows = document.get_mut("model").and_then(Item::as_array_of_tables_mut);
    let rows = rows.context("models.toml has no [[model]]")?;
    ensure!(rows.len() == specs.len(), "the rows of models.toml are not all [[model]]");
    let mut changes = String::new();
    for (n, spec) in specs.iter().enumerate().filter(|(_, spec)| is_chosen(spec)) {
        let found = look_up(spec).with_context(|| format!("{} cannot be looked up", spec.id))?;
        let revision = match spec.source.revision.as_deref() {
            // A branch or a tag stays as it is; the files are pinned all the same.
            Some(named) if !is_commit(named) => named.to_owned(),
            _ => found.commit,
        };
        let before = changes.len();
        describe(&mut changes, spec, &revision, &found.files);
        if changes.len() > before {
            pin(row(rows, n)?, &revision, &found.files)
                .with_context(|| spec.id.clone().into_owned())?;
        }
    }
    let new = document.to_string();
    codegen::parse(&new).context("the updated table does not hold together")?;
    Ok((new, changes))
}

fn row(rows: &mut ArrayOfTables, n: usize) -> anyhow::Result<&mut Table> {
    rows.get_mut(n).context("a row is missing")
}

fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Differences from the row, one for each line; empty if there are none.
fn describe(out: &mut String, spec: &ModelSpec, revision: &str, files: &[FileDigest]) {
    let mut lines = String::new();
    let old = spec.source.revision.as_deref();
    if old != Some(revision) {
        let _ = writeln!(lines, "  revision: {} -> {revision}", old.unwrap_or("none"));
    }
    for file in files {
        let now = format!("{} bytes, sha256 {}", file.size, file.sha256);
        match spec.pinned(&file.path) {
            Some(before) if before == file => {}
            Some(FileDigest { size, sha256, .. }) => {
                let path = &file.path;
                let _ = writeln!(lines, "  {path}: {size} bytes, sha256 {sha256} -> {now}");
            }
            None => {
                let _ = writeln!(lines, "  {}: none -> {now}", file.path);
            }
        }
    }
    for gone in spec.files.iter().filter(|old| files.iter().all(|file| file.path != old.path)) {
        let _ = writeln!(lines, "  {}: no longer needed", gone.path);
    }
    if !lines.is_empty() {
        let _ = write!(out, "{} ({})\n{lines}", spec.id, spec.task.name());
    }
}

/// Writes revision and files into a row.
fn pin(row: &mut Table, revision: &str, files: &[FileDigest]) -> anyhow::Result<()> {
    let source = row.get_mut("source").and_then(Item::as_inline_table_mut);
    let source = source.context("its source is not written as { repo = … }")?;
    if source.get("revision").and_then(Value::as_str) != Some(revision) {
        source.insert("revision", revision.into());
        source.fmt();
    }
    let item = render(files)?;
    if let Some(there) = row.get_mut("files") {
        *there = item;
        return Ok(());
    }
    // Next to the source of the files; everything below moves to the end, in its order.
    let keys: Vec<String> = row.iter().map(|(key, _)| key.to_owned()).collect();
    let anchors = ["additional_files", "file", "source"];
    let anchor = anchors.iter().find_map(|anchor| keys.iter().position(|key| key == anchor));
    let Some(anchor) = anchor else { bail!("it has no source") };
    let below: Vec<_> = keys[anchor + 1..].iter().filter_map(|key| row.remove_entry(key)).collect();
    row.insert("files", item);
    for (key, item) in below {
        row.insert_formatted(&key, item);
    }
    Ok(())
}

/// Formats the list with one line for each file.
fn render(files: &[FileDigest]) -> anyhow::Result<Item> {
    let mut text = String::from("files = [\n");
    for FileDigest { path, size, sha256 } in files {
        let (path, sha256) = (Value::from(path.as_ref()), Value::from(sha256.as_ref()));
        let _ = writeln!(text, "    {{ path = {path}, size = {size}, sha256 = {sha256} }},");
    }
    text += "]\n";
    let mut document: DocumentMut = text.parse()?;
    document.remove("files").context("it was just written")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = r#"# Every model.

# The first.

[[model]]
id = "org/One" # a remark
source = { repo = "org/one" }
file = "onnx/model.onnx"
license = "mit"

# what it does
task = "rerank"

[[model]]
id = "org/Old"
source = { repo = "org/one" }
file = "onnx/model.onnx"
license = "mit"
alias_of = "org/One"
task = "rerank"

[[model]]
id = "org/two"
source = { repo = "org/two", revision = "v1" }
additional_files = ["a.bin"]
task = "rerank"

# The end.
"#;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn found(commit: &str, seed: char, paths: &[&str]) -> LookedUp {
        let files = paths.iter().map(|path| FileDigest {
            path: (*path).to_owned().into(),
            size: 7,
            sha256: seed.to_string().repeat(64).into(),
        });
        LookedUp::new(commit.into(), files.collect())
    }

    fn of(spec: &ModelSpec) -> anyhow::Result<LookedUp> {
        Ok(match spec.source.repo.as_deref() {
            Some("org/one") => found(COMMIT, 'a', &["onnx/model.onnx", "tokenizer.json"]),
            _ => found(COMMIT, 'b', &["a.bin"]),
        })
    }

    #[test]
    fn rows_are_pinned_in_place() {
        let (new, changes) = update(TABLE, &["ORG/one".into()], of).unwrap();
        let hash = "a".repeat(64);
        let files = format!(
            "files = [\n    {{ path = \"onnx/model.onnx\", size = 7, sha256 = \"{hash}\" }},\n    \
             {{ path = \"tokenizer.json\", size = 7, sha256 = \"{hash}\" }},\n]\n"
        );
        let expected = TABLE
            .replace(
                "{ repo = \"org/one\" }",
                &format!("{{ repo = \"org/one\", revision = \"{COMMIT}\" }}"),
            )
            .replace(
                "file = \"onnx/model.onnx\"\n",
                &format!("file = \"onnx/model.onnx\"\n{files}"),
            );
        assert_eq!(new, expected);
        assert!(changes.starts_with("org/One (rerank)\n  revision: none -> 0123"), "{changes}");
        assert!(changes.contains("  tokenizer.json: none -> 7 bytes, sha256 aaaa"), "{changes}");
        assert!(changes.contains("org/Old (rerank)\n") && !changes.contains("org/two"));
        // Unchanged models are not mentioned.
        assert_eq!(update(&new, &["org/One".into()], of).unwrap(), (new.clone(), String::new()));

        let moved = |_: &ModelSpec| Ok(found(&"f".repeat(40), 'c', &["onnx/model.onnx"]));
        let (newer, changes) = update(&new, &["org/One".into()], moved).unwrap();
        assert!(changes.contains(&format!("revision: {COMMIT} -> ffff")), "{changes}");
        assert!(changes.contains("onnx/model.onnx: 7 bytes, sha256 aaaa"), "{changes}");
        assert!(changes.contains("tokenizer.json: no longer needed"), "{changes}");
        assert!(!newer.contains("tokenizer.json") && newer.contains("# a remark"));
        assert_eq!(newer.matches("\nfiles = [").count(), 2);
    }

    #[test]
    fn all_are_pinned_and_named_revisions_stay() {
        let (new, changes) = update(TABLE, &[], of).unwrap();
        assert_eq!(new.matches("\nfiles = [").count(), 3);
        assert!(new.contains("revision = \"v1\"") && changes.contains("org/two (rerank)\n  a.bin"));
        let specs = codegen::parse(&new).unwrap().model;
        assert_eq!(specs[2].pinned("a.bin").unwrap().sha256, "b".repeat(64));
    }

    #[test]
    fn what_cannot_be_looked_up_is_an_error() {
        let gone = |_: &ModelSpec| bail!("no such host");
        let error = update(TABLE, &[], gone).unwrap_err();
        assert_eq!(format!("{error:#}"), "org/One cannot be looked up: no such host");
        assert!(update(TABLE, &["org/three".into()], of).is_err());
    }
}
