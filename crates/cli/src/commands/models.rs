//! `embedkit models`: what there is, what is known about it, and fetching it.

mod row;
mod search;
mod table;

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _},
    path::Path,
};

use anyhow::{Error, Result};
use console::Term;
use embedkit::{
    LoadOptions, Resolved,
    hub::{self, Hub, Outcome, VerifiedFile},
    registry, resolve,
};
use embedkit_types::{ModelPrompts, ModelSpec, Str};
use serde::Serialize;

pub(super) use row::size;
use row::{FactRow, Row, to_json};

use super::check;
use crate::{
    args::{ModelsCommand, RunArgs},
    model::open_hub,
    output::print,
    report::{Report, failure, one_line},
};

pub(crate) fn run(command: &ModelsCommand, run: &RunArgs, report: &Report) -> Result<()> {
    match command {
        ModelsCommand::List { task, json } => {
            let hub = cache(run);
            let rows: Vec<_> = registry::models()
                .iter()
                .filter(|spec| task.as_deref().is_none_or(|task| task == spec.task.name()))
                .map(|spec| Row::new(spec, hub.as_ref()))
                .collect();
            print(&if *json { to_json(&rows)? } else { listed(&rows) })
        }
        ModelsCommand::Search { words, json } => {
            let specs = search::search(words)?;
            let hub = cache(run);
            let rows: Vec<_> = specs.iter().map(|spec| Row::new(spec, hub.as_ref())).collect();
            print(&if *json { to_json(&rows)? } else { listed(&rows) })
        }
        ModelsCommand::Show { id, model_dir, json } => {
            let dir = model_dir.as_deref().map(folder_name);
            let name = id.clone().or(dir).unwrap_or_default();
            show(&name, *json, run)
        }
        ModelsCommand::Pull { id } => {
            let options = run.load_options();
            let hub = open_hub(&options, report)?;
            let mut found = in_cache(id, &options)?;
            if !(hub.offline || found.facts.is_empty()) {
                // The description of the newest commit.
                hub.pull_snapshot(id, None)?;
                found = in_cache(id, &options)?;
            }
            let mut shown = Vec::new();
            for spec in &found.specs {
                let files = if hub.offline { hub.files(spec)? } else { hub.pull(spec)?.files };
                if !shown.contains(&files.root) {
                    print(&format!("{}\n", files.root.display()))?;
                    shown.push(files.root);
                }
            }
            Ok(())
        }
        ModelsCommand::Check(args) => check::run(args, run, report),
        ModelsCommand::Verify { id, json } => verify(id, *json, run),
    }
}

/// A table: for a person one that fits the terminal, else one line for each model.
fn listed(rows: &[Row<'_>]) -> String {
    if io::stdout().is_terminal() {
        let (_, columns) = Term::stdout().size();
        table::grouped(rows, usize::from(columns))
    } else {
        table::plain(rows)
    }
}

/// A folder as the name of a model, which only a path can be.
fn folder_name(dir: &Path) -> String {
    let name = dir.to_string_lossy();
    let begins = [".", ".."].iter().any(|part| dir.starts_with(part));
    if dir.is_absolute() || begins { name.into_owned() } else { format!("./{name}") }
}

/// Everything about a model; of one that is not built in also the files that say it.
fn show(name: &str, json: bool, run: &RunArgs) -> Result<()> {
    let hub = cache(run);
    let found = resolve(name, &run.load_options())?;
    let mut rows: Vec<_> = found.specs.iter().map(|spec| Row::new(spec, hub.as_ref())).collect();
    for row in &mut rows {
        row.cached |= found.dir().is_some();
        row.facts = found.facts.iter().map(FactRow::from).collect();
    }
    if json {
        return print(&to_json(&rows)?);
    }
    let pages: Vec<_> =
        rows.iter().zip(&found.specs).map(|(row, spec)| render_page(row, spec)).collect();
    print(&pages.join("\n"))
}

/// A model whose files are in the cache or on the hub.
fn in_cache(name: &str, options: &LoadOptions) -> Result<Resolved> {
    let found = resolve(name, options)?;
    match found.dir() {
        None => Ok(found),
        Some(dir) => Err(failure(format!("{} is a folder, not in the cache", dir.display()))
            .hint("give a name of `embedkit models list`, or a repository of the hub")
            .into()),
    }
}

/// A file of a cached model as scripts read it.
#[derive(Serialize)]
struct VerifiedRow {
    path: String,
    /// `ok`, `mismatch` or `unknown`.
    result: &'static str,
    sha256: String,
    /// Hash or size that a file which does not match should have.
    expected: Option<String>,
}

fn verify(id: &str, json: bool, run: &RunArgs) -> Result<()> {
    let hub = Hub::from_env(run.cache_dir.clone(), true)?;
    let pull = format!("fetch them with: embedkit models pull {id}");
    let mut rows: Vec<VerifiedRow> = Vec::new();
    let options = LoadOptions { offline: true, ..run.load_options() };
    for spec in &in_cache(id, &options)?.specs {
        let files = hub.verify(spec).map_err(|error| match error {
            missing @ hub::Error::Missing { .. } => {
                failure(missing.to_string()).hint(pull.clone()).into()
            }
            error => Error::from(error),
        })?;
        for VerifiedFile { file, outcome, .. } in files {
            let (result, expected) = match outcome {
                Outcome::Same => ("ok", None),
                Outcome::Different { expected, .. } => ("mismatch", Some(expected)),
                // What comes to be added is nothing that we compared.
                _ => ("unknown", None),
            };
            // The encoders for texts and for images share some.
            if rows.iter().all(|row| row.path != file.path) {
                let (path, sha256) = (file.path.into_owned(), file.sha256.into_owned());
                rows.push(VerifiedRow { path, result, sha256, expected });
            }
        }
    }
    if json {
        let mut text = serde_json::to_string_pretty(&rows)?;
        text.push('\n');
        print(&text)?;
    } else {
        let widest = rows.iter().map(|row| row.path.len()).max().unwrap_or(0);
        let line =
            |row: &VerifiedRow| format!("{:widest$}  {:8}  {}\n", row.path, row.result, row.sha256);
        print(&rows.iter().map(line).collect::<String>())?;
    }
    let wrong: Vec<_> = rows.iter().filter(|row| row.result == "mismatch").collect();
    if wrong.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = wrong.iter().map(|row| row.path.as_str()).collect();
    let message = format!("files of {id} are not what was downloaded: {}", names.join(", "));
    Err(failure(message).hint(pull).into())
}

/// The cache, without the network; `None` where no cache is known.
fn cache(run: &RunArgs) -> Option<Hub> {
    Hub::from_env(run.cache_dir.clone(), true).ok()
}

/// Everything about one model, a line each.
fn render_page(row: &Row<'_>, spec: &ModelSpec) -> String {
    let mut page = format!("{}\n", row.id);
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(page, "  {name:16}  {value}");
    };
    let known = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    line("task", row.task);
    line("dimensions", &known(row.dim.map(|dim| dim.to_string())));
    line("context", &known(row.max_tokens.map(|tokens| format!("{tokens} tokens"))));
    line("languages", &known(row.languages.map(|languages| languages.join(", "))));
    line("licence", row.license.unwrap_or("-"));
    line("year", &known(spec.year.map(|year| year.to_string())));
    line("download", &size(row.size_gb));
    line("repository", row.source.repo.unwrap_or("-"));
    if let Some(revision) = &spec.source.revision {
        line("revision", revision);
    }
    if let Some(url) = &spec.source.url {
        line("archive", url);
    }
    line("model file", row.source.file);
    if !row.source.additional_files.is_empty() {
        line("further files", &row.source.additional_files.join(", "));
    }
    if let Some(pooling) = &row.pooling {
        line("pooling", pooling);
    }
    if let Some(normalize) = row.normalize {
        line("normalised", if normalize { "yes" } else { "no" });
    }
    if let Some(requires_idf) = row.requires_idf {
        line("needs IDF", if requires_idf { "yes" } else { "no" });
    }
    if let embedkit_types::Task::TextDense(dense) = &spec.task
        && let Some(tasks) = &dense.tasks
    {
        line("--option task", &tasks.names.join(", "));
        line("raw texts", &tasks.names[tasks.default]);
    }
    match row.prompts {
        Some(ModelPrompts { unknown: true, .. }) => line("prompts", "needed, but not known here"),
        Some(prompts) => {
            let quoted =
                |text: &Option<Str>| text.as_ref().map_or("-".to_owned(), |t| format!("{t:?}"));
            line("query prompt", &quoted(&prompts.query));
            line("passage prompt", &quoted(&prompts.passage));
        }
        None => line("prompts", "none"),
    }
    if let Some(alias_of) = &spec.alias_of {
        line("old spelling of", alias_of);
    }
    if let Some(notice) = &spec.notice {
        line("notice", notice);
    }
    line("cached", if row.cached { "yes" } else { "no" });
    let widest = row.facts.iter().map(|fact| fact.value.chars().count()).max().unwrap_or(0);
    for (index, FactRow { field, value, file }) in row.facts.iter().enumerate() {
        let name = if index == 0 { "read from files" } else { "" };
        let (value, file) = (one_line(value), one_line(file));
        line(name, &format!("{field:16}  {value:widest$}  {file}"));
    }
    page
}
