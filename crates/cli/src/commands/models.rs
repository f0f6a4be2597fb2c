//! `embedkit models`: what there is, what is known about it, and fetching it.

mod row;
mod search;
mod table;

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _},
};

use anyhow::{Error, Result};
use console::Term;
use embedkit::{
    hub::{self, Hub, Outcome, VerifiedFile},
    registry,
};
use embedkit_types::{ModelPrompts, ModelSpec, Str};
use serde::Serialize;

pub(super) use row::size;
use row::{Row, to_json};

use crate::{
    args::{ModelsCommand, RunArgs},
    model::open_hub,
    output::print,
    report::{Report, failure},
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
        ModelsCommand::Show { id, json } => {
            let hub = cache(run);
            let specs = registry::find(id)?;
            let rows: Vec<_> = specs.iter().map(|spec| Row::new(spec, hub.as_ref())).collect();
            if *json {
                return print(&to_json(&rows)?);
            }
            let pages: Vec<_> =
                rows.iter().zip(specs).map(|(row, spec)| render_page(row, spec)).collect();
            print(&pages.join("\n"))
        }
        ModelsCommand::Pull { id } => {
            let hub = open_hub(&run.load_options(), report)?;
            let mut shown = Vec::new();
            for spec in registry::find(id)? {
                let files = if hub.offline { hub.files(spec)? } else { hub.pull(spec)?.files };
                if !shown.contains(&files.root) {
                    print(&format!("{}\n", files.root.display()))?;
                    shown.push(files.root);
                }
            }
            Ok(())
        }
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
    for spec in registry::find(id)? {
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
    if let Some(pooling) = row.pooling {
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
    page
}
