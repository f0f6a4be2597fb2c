//! Chart of speed and memory beside other libraries, in a light and a dark form.

use std::{fmt::Write as _, fs};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::{FOLDER, escaped};
use crate::repo;

/// Width and side margin of the chart.
const WIDTH: f64 = 880.0;
const MARGIN: f64 = 20.0;
/// First panel, height of a panel, of a row in it, and of a bar.
const TOP: f64 = 56.0;
const PANEL: f64 = 148.0;
const ROW: f64 = 28.0;
const BAR: f64 = 18.0;
/// Widths within a panel: of the labels, and of the longest bar.
const LABEL: f64 = 96.0;
const LONGEST: f64 = 220.0;

/// Colours by class; a reader's system says which apply.
const STYLE: &str = "\
.card{fill:#ffffff;stroke:#d1d9e0}.ink{fill:#1f2328}.faint{fill:#59636e}.ours{fill:#c2410c}\
.theirs{fill:#b1bac4}
@media (prefers-color-scheme:dark){\
.card{fill:#0d1117;stroke:#3d444d}.ink{fill:#f0f6fc}.faint{fill:#9198a1}.ours{fill:#f0883e}\
.theirs{fill:#57606a}}";

/// `docs/pictures/chart.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Chart {
    title: String,
    subtitle: String,
    footer: String,
    /// In reading order, two beside each other.
    panel: Vec<Panel>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Panel {
    title: String,
    subtitle: String,
    unit: Unit,
    bar: Vec<Bar>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
enum Unit {
    #[serde(rename = "tokens/s")]
    TokensPerSecond,
    #[serde(rename = "MB")]
    Megabytes,
    /// A speed of 1 divided by the figure.
    #[serde(rename = "times slower")]
    TimesSlower,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bar {
    label: String,
    figure: f64,
    /// Published place of the figure; none for the unit of a comparison.
    source: Option<Source>,
}

/// A row of a chart or of a table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    file: String,
    row: String,
}

/// Reads the figures.
pub(super) fn read() -> Result<Chart> {
    let path = repo::root().join(FOLDER).join("chart.toml");
    let text = fs::read_to_string(&path).with_context(|| repo::short(&path))?;
    let chart: Chart = toml::from_str(&text).with_context(|| repo::short(&path))?;
    for bar in chart.panel.iter().flat_map(|panel| &panel.bar) {
        ensure!(bar.figure > 0.0, "{}: expected a positive figure", bar.label);
        if let Some(source) = &bar.source {
            check(bar, source)?;
        }
    }
    Ok(chart)
}

/// Compares a figure with the published one.
fn check(bar: &Bar, Source { file, row }: &Source) -> Result<()> {
    let page = fs::read_to_string(repo::root().join(file)).with_context(|| file.clone())?;
    let found = published(&page, row).with_context(|| format!("{file} has no row `{row}`"))?;
    ensure!(
        found.parse() == Ok(bar.figure),
        "{row}: {file} publishes {found}, and {FOLDER}/chart.toml has {}",
        bar.figure
    );
    Ok(())
}

/// The figure of a row in a chart or in a table of a page.
fn published<'a>(page: &'a str, row: &str) -> Option<&'a str> {
    if let Some((_, after)) = page.split_once(&format!(">{row}</text>")) {
        let (_, after) = after.split_once("<text")?;
        return Some(after.split_once('>')?.1.split_once('<')?.0);
    }
    let line = page.lines().find(|line| line.contains(&format!("| {row} |")))?;
    line.split('|').nth(3).map(str::trim)
}

/// Draws the chart.
pub(super) fn draw(chart: &Chart) -> String {
    let panels = chart.panel.len().div_ceil(2) as f64;
    let bottom = TOP + panels * PANEL;
    let height = bottom + 20.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 \
         {WIDTH} {height}\" font-family=\"system-ui, -apple-system, 'Segoe UI', sans-serif\" \
         font-size=\"13\">\n<style>\n{STYLE}\n</style>\n\
         <rect x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"8\" class=\"card\"/>\n",
        WIDTH - 1.0,
        height - 1.0,
    );
    text(
        &mut svg,
        MARGIN,
        26.0,
        "class=\"ink\" font-size=\"16\" font-weight=\"600\"",
        &chart.title,
    );
    text(&mut svg, MARGIN, 45.0, "class=\"faint\" font-size=\"12\"", &chart.subtitle);
    for (index, panel) in chart.panel.iter().enumerate() {
        let (row, column) = (index / 2, index % 2);
        let x = MARGIN + column as f64 * (WIDTH / 2.0 - MARGIN / 2.0);
        draw_panel(&mut svg, panel, x, TOP + row as f64 * PANEL);
    }
    text(&mut svg, MARGIN, bottom + 2.0, "class=\"faint\" font-size=\"11\"", &chart.footer);
    svg.push_str("</svg>\n");
    svg
}

fn draw_panel(svg: &mut String, panel: &Panel, x: f64, y: f64) {
    text(svg, x, y + 22.0, "class=\"ink\" font-weight=\"600\"", &panel.title);
    text(svg, x, y + 39.0, "class=\"faint\" font-size=\"12\"", &panel.subtitle);
    let longest = panel.bar.iter().map(|bar| panel.unit.amount(bar.figure)).fold(0.0, f64::max);
    for (index, bar) in panel.bar.iter().enumerate() {
        let middle = y + 48.0 + ROW * index as f64 + ROW / 2.0;
        let class = if bar.label == "embedkit" { "ours" } else { "theirs" };
        let width = (LONGEST * panel.unit.amount(bar.figure) / longest).max(1.0);
        let end = "class=\"ink\" text-anchor=\"end\"";
        text(svg, x + LABEL - 8.0, middle + 4.5, end, &bar.label);
        let _ = writeln!(
            svg,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"2\" \
             class=\"{class}\"/>",
            x + LABEL,
            middle - BAR / 2.0,
        );
        let value = panel.unit.shown(bar.figure);
        text(svg, x + LABEL + width + 7.0, middle + 4.5, "class=\"ink\"", &value);
    }
}

fn text(svg: &mut String, x: f64, y: f64, attributes: &str, text: &str) {
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" {attributes}>{}</text>", escaped(text));
}

impl Unit {
    /// Length of a bar, in any unit.
    fn amount(self, figure: f64) -> f64 {
        match self {
            Self::TokensPerSecond | Self::Megabytes => figure,
            Self::TimesSlower => 1.0 / figure,
        }
    }

    fn shown(self, figure: f64) -> String {
        match self {
            Self::TokensPerSecond => format!("{} tokens/s", thousands(figure)),
            Self::Megabytes => format!("{} MB", thousands(figure)),
            Self::TimesSlower if figure == 1.0 => "1".to_owned(),
            Self::TimesSlower => format!("1/{figure:.0}"),
        }
    }
}

/// A rounded figure of up to six digits, with a comma.
fn thousands(figure: f64) -> String {
    let figure = figure.round() as u64;
    match figure {
        0..1000 => figure.to_string(),
        _ => format!("{},{:03}", figure / 1000, figure % 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chart_is_fresh() {
        let drawn = fs::read_to_string(repo::root().join(FOLDER).join("chart.svg"));
        let drawn = drawn.expect("the chart").replace("\r\n", "\n");
        assert_eq!(drawn, draw(&read().expect("the figures")), "run `cargo xtask pictures chart`");
    }

    #[test]
    fn a_figure_that_is_not_the_published_one_is_an_error() {
        let bar = Bar { label: "embedkit".to_owned(), figure: 1.5, source: None };
        // The chart's number changes with the sections before it.
        let chart = read().expect("the figures");
        let mut sources = chart.panel.iter().flat_map(|panel| &panel.bar);
        let Source { file, row } = sources.find_map(|bar| bar.source.as_ref()).expect("a source");
        let named = |row: &str| Source { file: file.clone(), row: row.to_owned() };
        let error = check(&bar, &named(row)).unwrap_err().to_string();
        assert!(error.contains("publishes") && error.ends_with("chart.toml has 1.5"), "{error}");
        let error = check(&bar, &named("nobody")).unwrap_err().to_string();
        assert_eq!(error, format!("{file} has no row `nobody`"));
    }

    #[test]
    fn figures_are_found_in_charts_and_tables() {
        let chart = "<text x=\"1\">a at 1</text>\n<rect/>\n<text x=\"2\">6756</text>";
        assert_eq!(published(chart, "a at 1"), Some("6756"));
        let table = "| on | figure | median |\n| … | a / b | 15.32 | 15 to 16 |";
        assert_eq!(published(table, "a / b"), Some("15.32"));
        assert_eq!(published(table, "a"), None);
    }

    #[test]
    fn bars_have_the_lengths_of_their_figures() {
        let bar = |label: &str, figure| Bar { label: label.to_owned(), figure, source: None };
        let panel = Panel {
            title: "Speed & size".to_owned(),
            subtitle: String::new(),
            unit: Unit::TimesSlower,
            bar: vec![bar("embedkit", 1.0), bar("other", 10.0)],
        };
        let mut svg = String::new();
        draw_panel(&mut svg, &panel, 0.0, 0.0);
        assert!(svg.contains("width=\"220.0\" height=\"18\" rx=\"2\" class=\"ours\""), "{svg}");
        assert!(svg.contains("width=\"22.0\" height=\"18\" rx=\"2\" class=\"theirs\""), "{svg}");
        assert!(svg.contains(">1/10</text>") && svg.contains("Speed &amp; size"), "{svg}");
        assert_eq!(thousands(5926.4), "5,926");
        assert_eq!(thousands(231.9), "232");
    }
}
