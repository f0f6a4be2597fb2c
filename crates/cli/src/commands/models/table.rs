//! Tables of models.

use super::row::{Row, size};

/// Heading and meaning of each task, in the order of the registry.
const HEADINGS: [(&str, &str); 7] = [
    ("text-dense", "a text to one vector"),
    ("sparse", "a text to weighted words"),
    ("late-text", "a text to a vector for each token"),
    ("late-multimodal", "a text or the image of a page to many vectors"),
    ("image", "an image to one vector"),
    ("rerank", "a query and a text to a score"),
    ("text-hybrid", "a text to one vector, words and many vectors at once"),
];
/// Columns behind the id, with the space before each.
const FACTS: usize = 7 + 8 + 9 + 10;
/// The widest id that is padded for.
const NARROWEST: usize = 20;

/// One line for each model, as programs split it.
pub(super) fn plain(rows: &[Row<'_>]) -> String {
    let widest = rows.iter().map(|row| row.id.len()).max().unwrap_or(0).max(5);
    let mut text =
        format!("{:widest$}  {:15}  {:>5}  {:>8}  cached\n", "model", "task", "dim", "size");
    for row in rows {
        let dim = row.dim.map_or_else(|| "-".to_owned(), |dim| dim.to_string());
        let cached = if row.cached { "yes" } else { "" };
        let line = format!(
            "{:widest$}  {:15}  {dim:>5}  {:>8}  {cached}",
            row.id,
            row.task,
            size(row.size_gb)
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Models by task, within so many columns where they are 60 or more. An id that leaves no room has a line of
/// its own.
pub(super) fn grouped(rows: &[Row<'_>], columns: usize) -> String {
    let widest = rows.iter().map(|row| row.id.len()).max().unwrap_or(0);
    let room = columns.saturating_sub(2 + FACTS).max(NARROWEST).min(widest.max(NARROWEST));
    let mut text = String::new();
    for (task, meaning) in HEADINGS {
        let mut of_task = rows.iter().filter(|row| row.task == task).peekable();
        if of_task.peek().is_none() {
            continue;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&format!("{task}: {meaning}\n"));
        text.push_str(&facts("  ", "model", room, ["dim", "tokens", "size", "licence"]));
        for row in of_task {
            text.push_str(&line(row, room));
        }
    }
    let cached = rows.iter().filter(|row| row.cached).count();
    text.push_str(&match (rows.len(), cached) {
        (1, 0) => "\n1 model, not on this machine.\n".to_owned(),
        (all, 0) => format!("\n{all} models, none on this machine yet.\n"),
        (1, _) => "\n1 model; * is on this machine.\n".to_owned(),
        (all, cached) => format!("\n{all} models; {cached} marked * on this machine.\n"),
    });
    text.push_str("All facts of one: embedkit models show ID\n");
    text
}

fn line(row: &Row<'_>, room: usize) -> String {
    let number = |number: Option<String>| number.unwrap_or_else(|| "-".to_owned());
    let (dim, tokens) = (
        number(row.dim.map(|dim| dim.to_string())),
        number(row.max_tokens.map(|tokens| tokens.to_string())),
    );
    let mark = if row.cached { "* " } else { "  " };
    let columns = [&*dim, &tokens, &size(row.size_gb), short(row.license)];
    if row.id.len() <= room {
        facts(mark, row.id, room, columns)
    } else {
        format!("{mark}{}\n{}", row.id, facts("  ", "", room, columns))
    }
}

fn facts(mark: &str, id: &str, room: usize, [dim, tokens, size, licence]: [&str; 4]) -> String {
    let line = format!("{mark}{id:room$}  {dim:>5}  {tokens:>6}  {size:>7}  {licence}");
    format!("{}\n", line.trim_end())
}

/// A licence without its version, which `models show` has.
fn short(license: Option<&str>) -> &str {
    let Some(license) = license else { return "-" };
    let version = license
        .rfind('-')
        .filter(|at| license[at + 1..].chars().all(|char| char.is_ascii_digit() || char == '.'));
    &license[..version.unwrap_or(license.len())]
}

#[cfg(test)]
mod tests {
    use embedkit::registry;
    use embedkit_types::Task;

    use super::*;

    fn rows() -> Vec<Row<'static>> {
        registry::models().iter().map(|spec| Row::new(spec, None)).collect()
    }

    #[test]
    fn the_table_fits_and_has_every_model() {
        for columns in [70, 80, 120] {
            let text = grouped(&rows(), columns);
            let long = text.lines().find(|line| line.len() > columns);
            assert_eq!(long, None, "{columns} columns");
            for row in rows() {
                assert!(text.contains(row.id), "{}", row.id);
            }
        }
        let narrow = grouped(&rows(), 10);
        assert!(narrow.lines().count() > rows().len());
    }

    #[test]
    fn every_task_has_a_heading() {
        assert_eq!(HEADINGS.map(|(task, _)| task), Task::NAMES);
    }

    #[test]
    fn what_is_here_is_marked() {
        let mut rows = rows();
        rows.retain(|row| row.id == "BAAI/bge-small-en-v1.5" || row.id == "Qdrant/bm25");
        rows[0].cached = true;
        let text = grouped(&rows, 80);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "text-dense: a text to one vector");
        assert_eq!(lines[1], "  model                     dim  tokens     size  licence");
        assert_eq!(lines[2], "* BAAI/bge-small-en-v1.5    384     512    67 MB  mit");
        assert_eq!(lines[3], "");
        assert_eq!(lines[4], "sparse: a text to weighted words");
        assert!(text.contains("2 models; 1 marked * on this machine."), "{text}");
    }

    #[test]
    fn licences_lose_their_version() {
        for (full, shown) in [
            (Some("apache-2.0"), "apache"),
            (Some("cc-by-nc-4.0"), "cc-by-nc"),
            (Some("mit"), "mit"),
            (None, "-"),
        ] {
            assert_eq!(short(full), shown);
        }
    }
}
