//! What was measured: rows for a table and for a JSON file.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;

use crate::repo;

/// What a row's value has to be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Goal {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

/// One figure, over all rounds.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    section: String,
    what: String,
    unit: &'static str,
    median: f64,
    min: f64,
    max: f64,
    rounds: Vec<f64>,
    goal: Option<Goal>,
}

/// All figures of a run.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    machine: Value,
    corpus: Value,
    skipped: Vec<(String, String)>,
    notes: Vec<String>,
    rows: Vec<Row>,
    #[serde(skip)]
    section: String,
}

impl Report {
    /// An empty report.
    pub(super) fn new(machine: Value, corpus: Value) -> Self {
        let (skipped, notes, rows) = Default::default();
        Self { machine, corpus, skipped, notes, rows, section: String::new() }
    }

    /// Begins a section; also says that its measurements begin.
    pub(super) fn section(&mut self, title: &str) {
        println!("measuring: {title}");
        title.clone_into(&mut self.section);
    }

    /// Adds a figure that was measured once a round.
    pub(super) fn add(&mut self, what: impl Into<String>, unit: &'static str, rounds: Vec<f64>) {
        self.push(what.into(), unit, rounds, None);
    }

    /// Adds a figure that has a goal, which its median has to reach.
    pub(super) fn add_goal(
        &mut self,
        what: impl Into<String>,
        unit: &'static str,
        rounds: Vec<f64>,
        goal: Goal,
    ) {
        self.push(what.into(), unit, rounds, Some(goal));
    }

    fn push(&mut self, what: String, unit: &'static str, rounds: Vec<f64>, goal: Option<Goal>) {
        self.rows.push(Row {
            section: self.section.clone(),
            what,
            unit,
            median: percentile(&rounds, 0.5),
            min: percentile(&rounds, 0.0),
            max: percentile(&rounds, 1.0),
            rounds,
            goal,
        });
    }

    /// Adds a contestant that could not be had.
    pub(super) fn skip(&mut self, name: &str, reason: &str) {
        self.skipped.push((name.to_owned(), reason.to_owned()));
    }

    /// Adds a sentence to read the figures by.
    pub(super) fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    /// Writes the JSON file and prints the table.
    pub(super) fn finish(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("a report is plain data")?;
        fs::write(file, text).with_context(|| format!("could not write {}", file.display()))?;
        println!("\n{}", super::machine::line(&self.machine));
        print!("{}", self.table());
        println!("written to {}", repo::short(file));
        Ok(())
    }

    fn table(&self) -> String {
        let width = self.rows.iter().map(|row| row.what.chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        let mut section = "";
        for row in &self.rows {
            if row.section != section {
                section = &row.section;
                text.push_str(&format!("\n{section}\n"));
            }
            let [median, min, max] = [row.median, row.min, row.max].map(number);
            let spread =
                if row.rounds.len() > 1 { format!("{min} .. {max}") } else { String::new() };
            let goal = row.goal.map_or(String::new(), |goal| goal.said(row.median));
            let line =
                format!("  {:width$}  {median:>9} {:<8}  {spread:<22}  {goal}", row.what, row.unit);
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text.push('\n');
        for (name, reason) in &self.skipped {
            text.push_str(&format!("skipped {name}: {reason}\n"));
        }
        for note in &self.notes {
            text.push_str(&format!("{note}\n"));
        }
        text
    }
}

impl Goal {
    fn said(self, value: f64) -> String {
        let (met, sign, limit) = match self {
            Self::AtLeast(limit) => (value >= limit, ">=", limit),
            Self::AtMost(limit) => (value <= limit, "<=", limit),
        };
        format!("{} {sign} {limit}", if met { "met" } else { "MISSED" })
    }
}

/// The smallest value that at least the given share of the values does not exceed (the nearest-rank
/// method). Not a number when there are none.
pub(super) fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// A number with about four digits.
fn number(value: f64) -> String {
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
    fn the_table_shows_spread_and_goals() {
        let mut report = Report::new(Value::Null, Value::Null);
        report.section("Speed");
        report.add("ours", "tok/s", vec![1500.0, 1400.0, 1600.0]);
        report.add_goal("ratio", "x", vec![1.25], Goal::AtLeast(1.3));
        report.skip("other", "no network");
        let table = report.table();
        assert!(table.contains("ours        1500 tok/s     1400 .. 1600\n"), "{table}");
        assert!(table.contains("MISSED >= 1.3"), "{table}");
        assert!(table.contains("skipped other: no network"), "{table}");
    }

    #[test]
    fn goals_at_their_limits_are_met() {
        assert_eq!(Goal::AtLeast(0.8).said(0.8), "met >= 0.8");
        assert_eq!(Goal::AtMost(1.0).said(1.01), "MISSED <= 1");
    }
}
