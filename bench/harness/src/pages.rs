//! Charts and tables for the documentation, from stored figures.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{
    chart::{self, Bar},
    machine,
    report::{Goal, Report, Results, Row, Section},
    retrieval,
};
use xtask::repo;

/// The benchmark with a page of its own.
const RETRIEVAL: &str = "retrieval";
/// The reports that the pages show, so that one part can be measured and the others stay.
const FIGURES: &str = "bench/figures.json";
const BEGIN: &str = "<!-- figures: begin, made by `cargo xtask bench docs` -->";
const END: &str = "<!-- figures: end -->";

/// A page with figures.
struct Page {
    file: PathBuf,
    text: String,
    /// Charts by file name.
    charts: Vec<(String, String)>,
}

/// Puts new reports in the place of the documentation's earlier ones, draws all into `docs/charts` and writes their
/// tables into the pages. Pages without figures stay as they are.
pub(super) fn write(results: &Results) -> Result<()> {
    let root = repo::root();
    let file = root.join(FIGURES);
    let mut figures = Results::read(&file)?;
    for bench in figures.take(results) {
        println!("left out {bench}: it was measured with --quick");
    }
    figures.write(&file)?;
    let (retrieval, others): (Vec<&Report>, Vec<&Report>) =
        figures.benches.iter().partition(|report| report.bench == RETRIEVAL);
    let docs = root.join("docs");
    let folder = docs.join("charts");
    fs::create_dir_all(&folder).with_context(|| format!("could not make {}", folder.display()))?;
    if !others.is_empty() {
        let (text, charts) = render(&others);
        remove_others(&folder, &charts)?;
        Page { file: docs.join("performance.md"), text, charts }.write(&folder)?;
    }
    for report in retrieval {
        let (table, chart) = retrieval::page(report);
        let text =
            format!("{}\n![Quality by speed](charts/{RETRIEVAL}.svg)\n\n{table}", heading(report));
        let charts = vec![(format!("{RETRIEVAL}.svg"), chart)];
        Page { file: docs.join("retrieval.md"), text, charts }.write(&folder)?;
    }
    Ok(())
}

impl Page {
    fn write(&self, folder: &Path) -> Result<()> {
        let shown = self.file.display();
        let before = fs::read_to_string(&self.file).with_context(|| format!("reading {shown}"))?;
        let after = replaced(&before, &self.text)
            .with_context(|| format!("{shown} has no place for figures"))?;
        for (name, svg) in &self.charts {
            let file = folder.join(name);
            fs::write(&file, svg).with_context(|| format!("could not write {}", file.display()))?;
        }
        fs::write(&self.file, after).with_context(|| format!("could not write {shown}"))?;
        println!("{} and {} charts are written", repo::short(&self.file), self.charts.len());
        Ok(())
    }
}

/// Deletes charts of earlier runs that are no longer drawn, but for those of other pages.
fn remove_others(folder: &Path, charts: &[(String, String)]) -> Result<()> {
    let names: BTreeSet<&str> = charts.iter().map(|(name, _)| name.as_str()).collect();
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    let files: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let ours = name.ends_with(".svg") && !name.starts_with(RETRIEVAL);
        if ours && !names.contains(name.as_str()) {
            fs::remove_file(&file)
                .with_context(|| format!("could not remove {}", file.display()))?;
        }
    }
    Ok(())
}

/// Machine and rounds of a report.
fn heading(report: &Report) -> String {
    let state = if report.is_busy() {
        "**Something else ran at the same time: trust ratios only.**"
    } else {
        "Nothing else ran."
    };
    let rounds = if report.rounds == 1 { "round" } else { "rounds" };
    format!("{}; {} {rounds}. {state}\n", machine::line(&report.machine), report.rounds)
}

/// Replaces the text between the marks; `None` if they are missing.
fn replaced(page: &str, text: &str) -> Option<String> {
    let (head, rest) = page.split_once(BEGIN)?;
    let (_, tail) = rest.split_once(END)?;
    Some(format!("{head}{BEGIN}\n\n{text}\n{END}{tail}"))
}

/// The text, and the charts by file name.
fn render(reports: &[&Report]) -> (String, Vec<(String, String)>) {
    let mut text = String::new();
    let mut charts = Vec::new();
    let faster: Vec<Bar> = reports.iter().flat_map(|report| faster_bars(report)).collect();
    if !faster.is_empty() {
        let title = "How many times as fast as the original or as asked for; goals in red";
        charts.push(("goals.svg".to_owned(), chart::ratios(title, &faster)));
        text.push_str("![All goals](charts/goals.svg)\n\n");
    }
    for report in reports {
        let mut sections = report.sections.iter();
        if !sections.any(|section| section.drawn || section.rows.iter().any(is_listed)) {
            continue;
        }
        let _ = writeln!(text, "### `cargo xtask bench {}`\n", report.bench);
        let _ = writeln!(text, "{}", heading(report));
        for (at, section) in report.sections.iter().enumerate() {
            if let Some(svg) = amounts(section) {
                let name = format!("{}-{at}.svg", report.bench);
                let _ = writeln!(text, "![{}](charts/{name})\n", section.title);
                charts.push((name, svg));
            }
        }
        table(report, &mut text);
        for (name, reason) in &report.skipped {
            let _ = writeln!(text, "- skipped {name}: {reason}");
        }
        for note in &report.notes {
            let _ = writeln!(text, "- {note}");
        }
        text.push('\n');
    }
    (text.trim_end().to_owned() + "\n", charts)
}

/// Ratios of a report with a goal, higher is better. What was measured, at the beginning of a section's title,
/// distinguishes those with the same name.
fn faster_bars(report: &Report) -> Vec<Bar> {
    let mut found: Vec<(&Section, &Row, f64)> = Vec::new();
    for section in &report.sections {
        for row in &section.rows {
            if let Some(Goal::AtLeast(limit)) = row.goal.filter(|_| row.unit == "x") {
                found.push((section, row, limit));
            }
        }
    }
    let bar = |&(section, row, limit): &(&Section, &Row, f64)| {
        let same = found.iter().filter(|(_, other, _)| other.what == row.what).count();
        let (measured, _) = section.title.split_once(';').unwrap_or((&section.title, ""));
        let measured = if same > 1 { format!(", {measured}") } else { String::new() };
        Bar {
            label: format!("{}: {}{measured}", report.bench, row.what),
            value: row.median,
            range: [row.min, row.max],
            goal: Some(limit),
            ours: true,
        }
    };
    found.iter().map(bar).collect()
}

/// Chart of a section: amounts in the unit that most of them have.
fn amounts(section: &Section) -> Option<String> {
    let unit = &section.rows.iter().find(|row| !is_listed(row))?.unit;
    if !section.drawn {
        return None;
    }
    let rows = section.rows.iter().filter(|row| row.unit == *unit);
    let bars: Vec<Bar> = rows
        .map(|row| Bar {
            label: row.what.clone(),
            value: row.median,
            range: [row.min, row.max],
            goal: None,
            ours: row.what.starts_with("embedkit"),
        })
        .collect();
    Some(chart::amounts(&section.title, unit, &bars))
}

/// Returns `true` for rows of the table: ratios and plain numbers, which no chart shows.
fn is_listed(row: &Row) -> bool {
    row.unit == "x" || row.unit.is_empty()
}

/// Ratios and plain numbers of a report; everything else is drawn.
fn table(report: &Report, text: &mut String) {
    let sections = report.sections.iter();
    let rows = sections.flat_map(|section| section.rows.iter().map(move |row| (section, row)));
    let listed: Vec<_> = rows.filter(|(_, row)| is_listed(row)).collect();
    if listed.is_empty() {
        return;
    }
    text.push_str("| measured on | figure | median | range | goal |\n|---|---|---|---|---|\n");
    let mut before = "";
    for (section, row) in listed {
        let title = if section.title == before { "…" } else { section.title.as_str() };
        before = &section.title;
        let goal = row.goal.map_or(String::new(), |goal| goal.said(row.median));
        let _ = writeln!(
            text,
            "| {title} | {} | {} | {} | {goal} |",
            row.what,
            row.shown(row.median),
            row.spread()
        );
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::new("dense", false, 2);
        report.section("Speed");
        report.add("embedkit", "texts/s", vec![20.0, 22.0]);
        report.add("other", "texts/s", vec![10.0, 11.0]);
        report.times_faster("other", &[2.0], &[1.0], Some(Goal::AtLeast(1.5)));
        report.add_goal("likeness", "", vec![0.999_5], Goal::AtLeast(0.999));
        report.skip("third", "no network");
        report
    }

    #[test]
    fn amounts_are_drawn_and_ratios_are_in_the_table() {
        let report = report();
        let (text, charts) = render(&[&report]);
        let names: Vec<_> = charts.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["goals.svg", "dense-0.svg"]);
        assert!(text.contains("![Speed](charts/dense-0.svg)"), "{text}");
        assert!(text.contains("| Speed | embedkit / other | 2.000 |  | met >= 1.5 |"), "{text}");
        assert!(text.contains("| … | likeness | 0.99950 |  | met >= 0.999 |"), "{text}");
        assert!(!charts[0].1.contains("likeness"), "a likeness is no speed");
        assert!(text.contains("- skipped third: no network"), "{text}");
        assert!(!charts[1].1.contains("embedkit / other"), "a ratio is no amount");
    }

    #[test]
    fn goals_of_one_name_say_what_was_measured() {
        let mut report = Report::new("dense", false, 1);
        let goal = Some(Goal::AtLeast(1.5));
        for title in ["mixed texts; against a product", "equal texts"] {
            report.side_section(title);
            report.times_faster("other", &[2.0], &[1.0], goal);
        }
        report.times_faster("third", &[2.0], &[1.0], goal);
        let labels: Vec<_> = faster_bars(&report).into_iter().map(|bar| bar.label).collect();
        let expected =
            ["embedkit / other, mixed texts", "embedkit / other, equal texts", "embedkit / third"];
        assert_eq!(labels, expected.map(|label| format!("dense: {label}")));
    }

    #[test]
    fn a_report_that_the_page_would_not_show_has_no_heading() {
        let mut report = Report::new("kernels", false, 1);
        report.side_section("256 x 384 x 1536");
        report.add("int8", "10^9 multiply-adds/s", vec![320.0]);
        assert_eq!(render(&[&report]).0.trim(), "");
    }

    #[test]
    fn the_page_keeps_what_is_around_the_figures() {
        let page = format!("head\n{BEGIN}\nold\n{END}\ntail\n");
        let new = replaced(&page, "new").expect("marks");
        assert_eq!(new, format!("head\n{BEGIN}\n\nnew\n{END}\ntail\n"));
        assert_eq!(replaced(&new, "new").expect("marks"), new);
        assert!(replaced("no marks", "new").is_none());
    }
}
