//! Renders models as tables for people.

use embedkit_types::{ModelSpec, Task};

use super::Table;

/// Tasks in the order of their tables, with a description.
const TASKS: [(&str, &str); 7] = [
    ("text-dense", "Text to one vector"),
    ("sparse", "Text to weighted terms"),
    ("late-text", "Text to one vector per token"),
    ("late-multimodal", "Text or image of a page to many vectors"),
    ("image", "Image to one vector"),
    ("rerank", "Query and document to a score"),
    ("text-hybrid", "Text to one vector, weighted terms and one vector per token at once"),
];

/// A column: its head, and the cell of a model.
type Column = (&'static str, fn(&ModelSpec) -> String);

/// Columns for choosing a model.
const CHOICE: [Column; 6] = [
    ("Model", |spec| code(&spec.id)),
    ("Dim", |spec| optional(spec.task.dim())),
    ("Tokens", |spec| optional(spec.max_tokens)),
    ("Languages", languages),
    ("Licence", |spec| optional(spec.license.as_deref())),
    ("GB", |spec| optional(spec.size_gb)),
];

/// Columns for using a model.
const USE: [Column; 3] = [("IDF needed", idf), ("Prompts", prompts), ("Source", source)];

/// `docs/models.md`.
pub(super) fn reference(models: &[ModelSpec]) -> String {
    let mut out = String::from(
        "<!-- Generated from models.toml by `cargo xtask codegen`. Do not edit. -->\n\n\
         # Models\n\n\
         Every built-in model and the facts to choose by. The program prints them as well:\n\n\
         ```sh\nembedkit models list --task text-dense\nembedkit models show BAAI/bge-small-en-v1.5\n\
         ```\n\n\
         Ids are looked up without regard to case, and so are the repositories under *Source*. \
         FastEmbed's models come first in each table. *Tokens* is the context length that the authors \
         state, *GB* the download; an empty cell means that nobody states it. *Prompts* are what the \
         authors put before queries (Q) and passages (P); they are added only when asked for. \
         [Choosing a model](guide/choosing-a-model.md) helps to pick one. \
         [Adding a model](adding-a-model.md) takes one row, and a model of your own needs no change \
         of the registry at all.\n",
    );
    for (task, title) in TASKS {
        let of_task: Vec<_> = models.iter().filter(|spec| spec.task.name() == task).collect();
        out += &format!("\n## {title}: `{task}`\n\n");
        out += &rows(&of_task, &[&CHOICE[..], &USE].concat());
        let notes = of_task.iter().filter_map(|spec| Some((&spec.id, note(spec)?)));
        let notes: Vec<_> = notes.map(|(id, note)| format!("- {}: {note}\n", code(id))).collect();
        if !notes.is_empty() {
            out += "\n";
            out += &notes.concat();
        }
    }
    out
}

/// The README's table: the chosen models, and a link to all of them.
pub(super) fn overview(table: &Table) -> anyhow::Result<String> {
    let columns = [&CHOICE[..1], &[("Kind", title)], &CHOICE[1..]].concat();
    let all = table.model.iter().filter(|spec| spec.alias_of.is_none()).count();
    Ok(format!(
        "\n{}\n[All {all} models](docs/models.md), with prompts, sources and pooling.\n\n",
        rows(&table.chosen()?, &columns)
    ))
}

/// A table without the columns that would be empty.
fn rows(models: &[&ModelSpec], columns: &[Column]) -> String {
    let used: Vec<_> = columns
        .iter()
        .map(|(head, cell)| (*head, models.iter().map(|spec| cell(spec)).collect::<Vec<_>>()))
        .filter(|(_, cells)| cells.iter().any(|cell| !cell.is_empty()))
        .collect();
    let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
    let mut out = line(used.iter().map(|(head, _)| *head).collect());
    out += &line(vec!["---"; used.len()]);
    for row in 0..models.len() {
        out += &line(used.iter().map(|(_, cells)| cells[row].as_str()).collect());
    }
    out
}

/// Escapes text for a cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', "\\n")
}

fn code(text: &str) -> String {
    format!("`{}`", cell(text))
}

fn optional<T: std::fmt::Display>(value: Option<T>) -> String {
    value.map_or_else(String::new, |value| cell(&value.to_string()))
}

/// Description of a model's task.
fn title(spec: &ModelSpec) -> String {
    let name = spec.task.name();
    TASKS.iter().find(|(task, _)| *task == name).map_or(name, |(_, title)| title).to_owned()
}

/// Languages, or their number if there are many.
fn languages(spec: &ModelSpec) -> String {
    match spec.languages.len() {
        0..=3 => cell(&spec.languages.join(", ")),
        many => format!("{many} languages"),
    }
}

fn idf(spec: &ModelSpec) -> String {
    spec.task.requires_idf().map_or("", |needed| if needed { "yes" } else { "no" }).to_owned()
}

fn prompts(spec: &ModelSpec) -> String {
    let Some(prompts) = &spec.prompts else {
        return String::new();
    };
    if prompts.unknown {
        return "needed, text not known".to_owned();
    }
    let texts = [("Q", &prompts.query), ("P", &prompts.passage)];
    let given = texts.iter().filter_map(|(role, text)| Some((role, text.as_deref()?)));
    given.map(|(role, text)| format!("{role} {}", code(text))).collect::<Vec<_>>().join("<br>")
}

fn source(spec: &ModelSpec) -> String {
    let from = spec.source.repo.as_deref().or(spec.source.url.as_deref()).unwrap_or_default();
    let revision = spec.source.revision.as_ref().map(|revision| format!("@{revision}"));
    format!("{}{} {}", cell(from), revision.unwrap_or_default(), code(&spec.file))
}

/// Notes that do not fit into a table.
fn note(spec: &ModelSpec) -> Option<String> {
    let mut notes = Vec::new();
    if let Some(right) = &spec.alias_of {
        notes.push(format!("an old spelling of {}", code(right)));
    }
    if let Task::TextDense(dense) = &spec.task
        && let Some(tasks) = &dense.tasks
    {
        notes.push(format!(
            "has the tasks {}; `{}` unless another is chosen",
            tasks.names.iter().map(|name| code(name)).collect::<Vec<_>>().join(", "),
            tasks.names[tasks.default]
        ));
    }
    if spec.languages.len() > 3 {
        notes.push(cell(&spec.languages.join(", ")));
    }
    notes.extend(spec.notice.as_ref().map(|notice| cell(notice)));
    (!notes.is_empty()).then(|| notes.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_has_a_table() {
        assert_eq!(TASKS.map(|(name, _)| name), Task::NAMES);
    }

    #[test]
    fn cells_stay_cells_and_empty_columns_go() {
        let spec = ModelSpec { id: "a|b".into(), max_tokens: Some(8), ..ModelSpec::DEFAULT };
        let columns = [CHOICE[0], CHOICE[2], CHOICE[4]];
        assert_eq!(
            rows(&[&spec], &columns),
            "| Model | Tokens |\n| --- | --- |\n| `a\\|b` | 8 |\n"
        );
    }
}
