//! A list of steps that are run one after the other and summed up in a table at the end.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It did what it should; the text says what was seen.
    Passed(String),
    /// It did not; the text says why.
    Failed(String),
    /// It could not be run, which is no failure; the text says why.
    Skipped(String),
}

/// The steps so far.
#[derive(Default)]
pub(crate) struct Steps(Vec<(String, Outcome, Duration)>);

impl Steps {
    /// Runs a step. An error is a failed step, and the next ones still run.
    pub(crate) fn run(&mut self, name: &str, step: impl FnOnce() -> Result<Outcome>) {
        println!("\n== {name}");
        let start = Instant::now();
        let outcome = step().unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        self.0.push((name.to_owned(), outcome, start.elapsed()));
    }

    /// Notes a step that was done elsewhere.
    pub(crate) fn note(&mut self, name: &str, outcome: Outcome) {
        self.0.push((name.to_owned(), outcome, Duration::ZERO));
    }

    /// Prints the table; an error when a step failed.
    pub(crate) fn finish(self) -> Result<()> {
        println!("\n{}", self.table());
        let failed = self.0.iter().filter(|step| matches!(step.1, Outcome::Failed(_))).count();
        if failed > 0 {
            bail!("{failed} of {} steps failed", self.0.len());
        }
        Ok(())
    }

    fn table(&self) -> String {
        let width = self.0.iter().map(|step| step.0.chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        for (name, outcome, took) in &self.0 {
            let (word, note) = match outcome {
                Outcome::Passed(note) => ("passed", note),
                Outcome::Failed(note) => ("FAILED", note),
                Outcome::Skipped(note) => ("skipped", note),
            };
            let took = format!("{:.1} s", took.as_secs_f64());
            // One line a step: the causes of a failure were printed in full where they arose.
            let note = note.lines().next().unwrap_or_default();
            let row = format!("{name:width$}  {word:7}  {took:>8}  {note}");
            text.push_str(row.trim_end());
            text.push('\n');
        }
        let count = |word: fn(&Outcome) -> bool| self.0.iter().filter(|step| word(&step.1)).count();
        text.push_str(&format!(
            "{} steps: {} passed, {} failed, {} skipped",
            self.0.len(),
            count(|outcome| matches!(outcome, Outcome::Passed(_))),
            count(|outcome| matches!(outcome, Outcome::Failed(_))),
            count(|outcome| matches!(outcome, Outcome::Skipped(_))),
        ));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_fails_the_whole_and_stops_nothing() {
        let mut steps = Steps::default();
        steps.run("first", || Ok(Outcome::Passed("12 tests".into())));
        steps.run("second", || bail!("no luck\nat all"));
        steps.note("third", Outcome::Skipped("not here".into()));
        let table = steps.table();
        assert!(table.contains("first   passed"), "{table}");
        assert!(table.contains("second  FAILED"), "{table}");
        assert!(table.contains("no luck\n"), "one line a step: {table}");
        assert!(table.ends_with("3 steps: 1 passed, 1 failed, 1 skipped"), "{table}");
        assert_eq!(steps.finish().unwrap_err().to_string(), "1 of 3 steps failed");
    }

    #[test]
    fn skipped_steps_are_no_failure() {
        let mut steps = Steps::default();
        steps.note("only", Outcome::Skipped("not here".into()));
        assert!(steps.finish().is_ok());
    }
}
