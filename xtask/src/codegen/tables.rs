//! The models as tables for people.

use embedkit_types::{ModelSpec, Prompts, Task};

/// One table a task: its name, what it does, and the columns that only it has.
const TASKS: [(&str, &str); 6] = [
    ("text-dense", "Text to one vector"),
    ("sparse", "Text to weighted terms"),
    ("late-text", "Text to one vector per token"),
    ("late-multimodal", "Text or image of a page to many vectors"),
    ("image", "Image to one vector"),
    ("rerank", "Query and document to a score"),
];

/// `docs/models.md`.
pub(super) fn reference(models: &[ModelSpec]) -> String {
    let mut out = String::from(
        "<!-- Generated from models.toml by `cargo xtask codegen`. Do not edit. -->\n\n\
         # Models\n\n\
         Ids are looked up without regard to case. *Tokens* is the context length that the authors \
         state, *GB* the download; an empty cell means that nobody states it. *Prompts* are what the \
         authors put before queries (Q) and passages (P); they are added only when asked for. \
         [Adding a model](adding-a-model.md) takes one row, and a model of your own needs no change \
         of the registry at all.\n",
    );
    for (task, title) in TASKS {
        let rows: Vec<_> = models.iter().filter(|spec| spec.task.name() == task).collect();
        out += &format!("\n## {title}: `{task}`\n\n");
        let prompts = rows.iter().any(|spec| spec.prompts.is_some());
        let idf = rows.iter().any(|spec| spec.task.requires_idf().is_some());
        let dim = rows.iter().any(|spec| spec.task.dim().is_some());
        let mut head = vec!["Model"];
        head.extend(dim.then_some("Dim"));
        head.extend(idf.then_some("IDF needed"));
        head.extend(["Tokens", "Languages", "Licence", "GB"]);
        head.extend(prompts.then_some("Prompts"));
        head.push("Source");
        out += &line(&head);
        out += &line(&vec!["---"; head.len()]);
        for spec in &rows {
            let mut cells = vec![code(&spec.id)];
            cells.extend(dim.then(|| optional(spec.task.dim())));
            cells.extend(idf.then(|| yes(spec.task.requires_idf())));
            cells.extend([
                optional(spec.max_tokens),
                cell(&spec.languages.join(", ")),
                optional(spec.license.as_deref()),
                optional(spec.size_gb),
            ]);
            cells.extend(prompts.then(|| prompt_cell(spec.prompts.as_ref())));
            cells.push(source(spec));
            out += &line(&cells);
        }
        let notes = rows.iter().filter_map(|spec| Some((&spec.id, note(spec)?)));
        let notes: Vec<_> = notes.map(|(id, note)| format!("- {}: {note}\n", code(id))).collect();
        if !notes.is_empty() {
            out += "\n";
            out += &notes.concat();
        }
    }
    out
}

/// The tables of the README: folded up, with the columns by which a model is chosen.
pub(super) fn overview(models: &[ModelSpec]) -> String {
    let mut out = String::new();
    for (task, title) in TASKS {
        let rows: Vec<_> = models
            .iter()
            .filter(|spec| spec.task.name() == task && spec.alias_of.is_none())
            .collect();
        out += &format!(
            "\n<details>\n<summary>{title}: <code>{task}</code>, {} models</summary>\n\n",
            rows.len()
        );
        let dim = rows.iter().any(|spec| spec.task.dim().is_some());
        let mut head = vec!["Model"];
        head.extend(dim.then_some("Dim"));
        head.extend(["Tokens", "Languages", "Licence", "GB"]);
        out += &line(&head);
        out += &line(&vec!["---"; head.len()]);
        for spec in rows {
            let mut cells = vec![code(&spec.id)];
            cells.extend(dim.then(|| optional(spec.task.dim())));
            cells.extend([
                optional(spec.max_tokens),
                languages(spec),
                optional(spec.license.as_deref()),
                optional(spec.size_gb),
            ]);
            out += &line(&cells);
        }
        out += "\n</details>\n";
    }
    out += "\n";
    out
}

fn line(cells: &[impl AsRef<str>]) -> String {
    let cells: Vec<_> = cells.iter().map(AsRef::as_ref).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// Text that cannot break out of a cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', "\\n")
}

fn code(text: &str) -> String {
    format!("`{}`", cell(text))
}

fn optional<T: std::fmt::Display>(value: Option<T>) -> String {
    value.map_or_else(String::new, |value| cell(&value.to_string()))
}

fn yes(value: Option<bool>) -> String {
    value.map_or("", |value| if value { "yes" } else { "no" }).to_owned()
}

/// The languages, or their number where there are many.
fn languages(spec: &ModelSpec) -> String {
    match spec.languages.len() {
        0..=3 => cell(&spec.languages.join(", ")),
        many => format!("{many} languages"),
    }
}

fn prompt_cell(prompts: Option<&Prompts>) -> String {
    let Some(prompts) = prompts else { return String::new() };
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

/// What a table cannot say.
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
    notes.extend(spec.notice.as_ref().map(|notice| cell(notice)));
    (!notes.is_empty()).then(|| notes.join("; "))
}
