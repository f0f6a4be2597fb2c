//! Checks of single values.

use std::{fmt::Display, ops::RangeInclusive};

use crate::{GraphOutput, Str};

use super::{Row, RowError};

/// Dimensions of vectors that are taken for real.
pub(super) const DIMS: RangeInclusive<usize> = 1..=65_536;
/// All other counts and lengths: large enough for any model, too small to exhaust memory.
pub(super) const COUNTS: RangeInclusive<usize> = 1..=1_048_576;
/// Bytes of an id or a path.
const NAME_BYTES: usize = 512;

/// Checks of values, with what an error has to name.
pub(super) struct Checks {
    pub(super) id: String,
    pub(super) task: String,
}

impl Checks {
    pub(super) fn invalid(
        &self,
        field: &'static str,
        found: &dyn Display,
        expected: &str,
    ) -> RowError {
        RowError::Invalid {
            id: self.id.clone(),
            task: self.task.clone(),
            field,
            found: format!("{:?}", found.to_string()),
            expected: expected.to_owned(),
        }
    }

    pub(super) fn require(
        &self,
        good: bool,
        field: &'static str,
        found: &dyn Display,
        expected: &str,
    ) -> Result<(), RowError> {
        if good { Ok(()) } else { Err(self.invalid(field, found, expected)) }
    }

    pub(super) fn present<T>(&self, field: &'static str, value: Option<T>) -> Result<T, RowError> {
        value.ok_or_else(|| RowError::Missing {
            id: self.id.clone(),
            task: self.task.clone(),
            field,
        })
    }

    pub(super) fn text(&self, field: &'static str, text: &str) -> Result<(), RowError> {
        self.require(!text.trim().is_empty(), field, &text, "not empty")
    }

    pub(super) fn present_text(
        &self,
        field: &'static str,
        value: Option<Str>,
    ) -> Result<Str, RowError> {
        let value = self.present(field, value)?;
        self.text(field, &value)?;
        Ok(value)
    }

    pub(super) fn range(
        &self,
        field: &'static str,
        value: usize,
        range: RangeInclusive<usize>,
    ) -> Result<usize, RowError> {
        let rule = format!("{} to {}", range.start(), range.end());
        self.require(range.contains(&value), field, &value, &rule)?;
        Ok(value)
    }

    pub(super) fn dim(&self, row: &mut Row) -> Result<usize, RowError> {
        self.range("dim", self.present("dim", row.dim.take())?, DIMS)
    }

    pub(super) fn count(
        &self,
        field: &'static str,
        value: Option<usize>,
    ) -> Result<usize, RowError> {
        self.range(field, self.present(field, value)?, COUNTS)
    }

    pub(super) fn number(&self, field: &'static str, value: Option<f64>) -> Result<f64, RowError> {
        let value = self.present(field, value)?;
        self.require(value.is_finite() && value >= 0.0, field, &value, "a number, 0 or more")?;
        Ok(value)
    }

    pub(super) fn average(&self, field: &'static str, value: Option<f64>) -> Result<f64, RowError> {
        let value = self.number(field, value)?;
        self.require(value > 0.0, field, &value, "above 0")?;
        Ok(value)
    }

    /// The output that the row names, else the first.
    pub(super) fn output(&self, row: &mut Row) -> Result<GraphOutput, RowError> {
        let output = row.output.take().unwrap_or(GraphOutput::Index(0));
        self.graph_output("output", &output)?;
        Ok(output)
    }

    pub(super) fn graph_output(
        &self,
        field: &'static str,
        output: &GraphOutput,
    ) -> Result<(), RowError> {
        match output {
            GraphOutput::Index(index) => self.range(field, *index, 0..=1023).map(drop),
            GraphOutput::Name(name) => self.text(field, name),
        }
    }

    /// A path that stays within the folder it is joined to, on every platform. Ids become parts of
    /// paths, hence the same rule for them.
    pub(super) fn path(&self, field: &'static str, path: &str) -> Result<(), RowError> {
        let expected = "a relative path with `/` between non-empty parts, without `..`, `:`, \
                        backslashes and control characters";
        let good = path.len() <= NAME_BYTES
            && path.trim() == path
            && !path.contains(|c: char| c == '\\' || c == ':' || c.is_control())
            && path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        self.require(good, field, &path, expected)
    }

    pub(super) fn present_path(
        &self,
        field: &'static str,
        value: Option<Str>,
    ) -> Result<Str, RowError> {
        let value = self.present(field, value)?;
        self.path(field, &value)?;
        Ok(value)
    }

    pub(super) fn sha256(&self, field: &'static str, digits: &str) -> Result<(), RowError> {
        let digit = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
        let good = digits.len() == 64 && digits.bytes().all(digit);
        self.require(good, field, &digits, "64 lower-case hexadecimal digits")
    }

    pub(super) fn repository(&self, field: &'static str, repo: &str) -> Result<(), RowError> {
        self.path(field, repo)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        let good = repo.chars().all(plain) && repo.split('/').count() == 2;
        self.require(good, field, &repo, "`organisation/name` in letters, digits, `-`, `_` and `.`")
    }
}

pub(super) fn is_blank_or_control(c: char) -> bool {
    c.is_whitespace() || c.is_control()
}
