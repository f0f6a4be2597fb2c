//! Benchmark reports: printed and stored in one file.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::machine;

/// Goal of a row.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Goal {
    /// At least.
    AtLeast(f64),
    /// At most.
    AtMost(f64),
}

/// One figure, over all rounds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) what: String,
    /// `x` for a ratio of speeds or times, empty for a plain number such as a cosine or a count.
    pub(super) unit: String,
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    rounds: Vec<f64>,
    pub(super) goal: Option<Goal>,
}

/// A group of figures.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Section {
    pub(super) title: String,
    /// The documentation draws the section's figures, except ratios.
    pub(super) drawn: bool,
    pub(super) rows: Vec<Row>,
}

/// All figures of one benchmark.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Report {
    /// Name of the benchmark.
    pub(super) bench: String,
    pub(super) machine: Value,
    /// A short run, whose figures mean little.
    pub(super) quick: bool,
    pub(super) rounds: usize,
    /// Machine of the run.
    pub(super) inputs: Value,
    pub(super) skipped: Vec<(String, String)>,
    pub(super) notes: Vec<String>,
    pub(super) sections: Vec<Section>,
}

/// The figures of several benchmarks.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Results {
    /// In the order in which they were first measured.
    pub(super) benches: Vec<Report>,
}

impl Report {
    /// An empty report.
    pub(super) fn new(bench: &str, quick: bool, rounds: usize) -> Self {
        let machine = machine::describe();
        println!("\n== {bench} == {}", machine::line(&machine));
        let mut report = Self {
            bench: bench.to_owned(),
            machine,
            quick,
            rounds,
            inputs: Value::Null,
            skipped: Vec::new(),
            notes: Vec::new(),
            sections: Vec::new(),
        };
        if let Some(load) = report.load_at_start().filter(|_| report.is_busy()) {
            report.note(format!(
                "the machine was not idle: {load} busy threads in the minute before; trust ratios only"
            ));
        }
        if quick {
            report.note("measured with --quick: the figures mean little".to_owned());
        }
        report
    }

    fn load_at_start(&self) -> Option<f64> {
        self.machine["load_at_start"].as_f64()
    }

    /// Returns `true` if the machine was busy when the measurements began.
    pub(super) fn is_busy(&self) -> bool {
        self.machine["busy"] == true
    }

    /// Begins a section with a chart in the documentation.
    pub(super) fn section(&mut self, title: &str) {
        self.begin(title, true);
    }

    /// Begins a section of which the documentation shows only ratios.
    pub(super) fn side_section(&mut self, title: &str) {
        self.begin(title, false);
    }

    fn begin(&mut self, title: &str, drawn: bool) {
        println!("\n{title}");
        self.sections.push(Section { title: title.to_owned(), drawn, rows: Vec::new() });
    }

    /// Adds a figure with one value for each round.
    pub(super) fn add(&mut self, what: impl Into<String>, unit: &str, rounds: Vec<f64>) {
        self.push(what.into(), unit, rounds, None);
    }

    /// Adds a figure with a goal for its median.
    pub(super) fn add_goal(
        &mut self,
        what: impl Into<String>,
        unit: &str,
        rounds: Vec<f64>,
        goal: Goal,
    ) {
        self.push(what.into(), unit, rounds, Some(goal));
    }

    /// Adds the ratio of a contestant's time to `ours`, round by round.
    pub(super) fn times_faster(
        &mut self,
        than: &str,
        theirs: &[f64],
        ours: &[f64],
        goal: Option<Goal>,
    ) {
        let ratio = theirs.iter().zip(ours).map(|(theirs, ours)| theirs / ours).collect();
        self.push(format!("embedkit / {than}"), "x", ratio, goal);
    }

    fn push(&mut self, what: String, unit: &str, rounds: Vec<f64>, goal: Option<Goal>) {
        let row = Row {
            what,
            unit: unit.to_owned(),
            median: percentile(&rounds, 0.5),
            min: percentile(&rounds, 0.0),
            max: percentile(&rounds, 1.0),
            rounds,
            goal,
        };
        println!("{}", row.line());
        if self.sections.is_empty() {
            self.side_section("");
        }
        if let Some(section) = self.sections.last_mut() {
            section.rows.push(row);
        }
    }

    /// Adds a contestant that is not available.
    pub(super) fn skip(&mut self, name: &str, reason: &str) {
        println!("  skipped {name}: {reason}");
        self.skipped.push((name.to_owned(), reason.to_owned()));
    }

    /// Adds an explanatory sentence.
    pub(super) fn note(&mut self, text: String) {
        println!("  {text}");
        self.notes.push(text);
    }

    /// All figures that have a goal.
    pub(super) fn goals(&self) -> impl Iterator<Item = (&Row, Goal)> {
        let rows = self.sections.iter().flat_map(|section| &section.rows);
        rows.filter_map(|row| Some((row, row.goal?)))
    }
}

impl Results {
    /// Reads the results of earlier runs; empty if there is no file.
    pub(super) fn read(file: &Path) -> Result<Self> {
        if !file.exists() {
            return Ok(Self::default());
        }
        let text =
            fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} holds no results of this program", file.display()))
    }

    /// Replaces the earlier report of the same benchmark.
    pub(super) fn replace(&mut self, report: Report) {
        match self.benches.iter_mut().find(|one| one.bench == report.bench) {
            Some(earlier) => *earlier = report,
            None => self.benches.push(report),
        }
    }

    /// Takes the reports of `newer` in the place of earlier ones, but for those of quick runs, whose names it returns.
    pub(super) fn take(&mut self, newer: &Self) -> Vec<String> {
        let (quick, whole): (Vec<_>, Vec<_>) = newer.benches.iter().partition(|one| one.quick);
        for report in whole {
            self.replace(report.clone());
        }
        quick.into_iter().map(|report| report.bench.clone()).collect()
    }

    /// Writes all reports.
    pub(super) fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("a report is plain data")?;
        fs::write(file, text).with_context(|| format!("could not write {}", file.display()))
    }
}

impl Row {
    fn line(&self) -> String {
        let goal = self.goal.map_or(String::new(), |goal| goal.said(self.median));
        let line = format!(
            "  {:<62}  {:>9} {:<8}  {:<20}  {goal}",
            self.what,
            self.shown(self.median),
            self.unit,
            self.spread()
        );
        line.trim_end().to_owned()
    }

    /// Minimum to maximum, if there was more than one round.
    pub(super) fn spread(&self) -> String {
        if self.rounds.len() < 2 {
            return String::new();
        }
        format!("{} to {}", self.shown(self.min), self.shown(self.max))
    }

    /// A value of the row. Plain numbers have more digits, since their distance from 1 may matter.
    pub(super) fn shown(&self, value: f64) -> String {
        match self.unit.is_empty() {
            true if value.fract() == 0.0 => format!("{value:.0}"),
            true => format!("{value:.5}"),
            false => number(value),
        }
    }
}

impl Goal {
    /// Returns `true` if a value reaches the goal.
    pub(super) fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(limit) => value >= limit,
            Self::AtMost(limit) => value <= limit,
        }
    }

    /// The limit.
    pub(super) fn limit(self) -> f64 {
        match self {
            Self::AtLeast(limit) | Self::AtMost(limit) => limit,
        }
    }

    /// The goal in words, and `true` if a value reaches it.
    pub(super) fn said(self, value: f64) -> String {
        let sign = match self {
            Self::AtLeast(_) => ">=",
            Self::AtMost(_) => "<=",
        };
        let met = if self.is_met(value) { "met" } else { "MISSED" };
        format!("{met} {sign} {}", self.limit())
    }
}

/// Percentile by the nearest-rank method; NaN for an empty list.
pub(super) fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// A number with about four digits.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        x if x >= 1000.0 => format!("{value:.0}"),
        x if x >= 100.0 => format!("{value:.1}"),
        x if x >= 10.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let values = [4.0, 1.0, 3.0, 2.0];
        assert_eq!(percentile(&values, 0.0), 1.0);
        assert_eq!(percentile(&values, 0.5), 2.0);
        assert_eq!(percentile(&values, 1.0), 4.0);
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(percentile(&hundred, 0.99), 99.0);
        assert!(percentile(&[], 0.5).is_nan());
    }

    #[test]
    fn a_line_shows_spread_and_goal() {
        let mut report = Report::new("one", false, 3);
        report.section("Speed");
        report.add("ours", "tok/s", vec![1500.0, 1400.0, 1600.0]);
        report.times_faster("theirs", &[2.5], &[2.0], Some(Goal::AtLeast(1.3)));
        let lines: Vec<_> = report.sections[0].rows.iter().map(Row::line).collect();
        assert!(lines[0].ends_with("1500 tok/s     1400 to 1600"), "{}", lines[0]);
        assert!(lines[1].starts_with("  embedkit / theirs"), "{}", lines[1]);
        assert!(lines[1].ends_with("1.250 x                               MISSED >= 1.3"));
        assert_eq!(report.goals().count(), 1);
    }

    #[test]
    fn plain_numbers_tell_how_far_from_one_they_are() {
        let mut report = Report::new("one", false, 1);
        report.add_goal("cosine", "", vec![0.999_08], Goal::AtLeast(0.999));
        report.add_goal("texts", "", vec![3.0], Goal::AtMost(0.0));
        let lines: Vec<_> = report.sections[0].rows.iter().map(Row::line).collect();
        assert!(lines[0].contains("  0.99908  ") && lines[0].ends_with("met >= 0.999"));
        assert!(lines[1].contains("  3  ") && lines[1].ends_with("MISSED <= 0"));
    }

    #[test]
    fn goals_at_their_limits_are_met() {
        assert_eq!(Goal::AtLeast(0.8).said(0.8), "met >= 0.8");
        assert_eq!(Goal::AtMost(1.0).said(1.01), "MISSED <= 1");
        assert!(!Goal::AtLeast(1.0).is_met(f64::NAN), "what was not measured meets no goal");
    }

    #[test]
    fn parts_that_were_not_measured_again_stay() {
        let results = |reports: &[(&str, bool, usize)]| {
            let reports =
                reports.iter().map(|&(name, quick, rounds)| Report::new(name, quick, rounds));
            Results { benches: reports.collect() }
        };
        let mut kept = results(&[("one", false, 1), ("two", false, 1), ("three", false, 1)]);
        let left_out =
            kept.take(&results(&[("two", false, 5), ("three", true, 5), ("four", false, 5)]));
        assert_eq!(left_out, ["three"]);
        let found: Vec<_> =
            kept.benches.iter().map(|one| (one.bench.as_str(), one.rounds)).collect();
        assert_eq!(found, [("one", 1), ("two", 5), ("three", 1), ("four", 5)]);
    }

    #[test]
    fn a_benchmark_replaces_its_earlier_results_only() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("results.json");
        for (bench, rounds) in [("one", 1), ("two", 2), ("one", 3)] {
            let mut results = Results::read(&file).expect("results");
            results.replace(Report::new(bench, true, rounds));
            results.write(&file).expect("written");
        }
        let results = Results::read(&file).expect("results");
        let found: Vec<_> =
            results.benches.iter().map(|one| (one.bench.as_str(), one.rounds)).collect();
        assert_eq!(found, [("one", 3), ("two", 2)]);
    }
}
