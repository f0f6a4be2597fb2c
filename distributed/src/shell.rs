//! Statements on the command line, and a shell.

use std::{
    io::{self, Write},
    sync::Arc,
};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringArray},
        datatypes::{DataType, Field, Schema},
        util::{
            display::{ArrayFormatter, FormatOptions},
            pretty::pretty_format_batches,
        },
    },
    error::Result,
    prelude::SessionContext,
};

/// Amounts of a result that are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// Rows at most.
    pub rows: usize,
    /// Characters of a text or a vector at most; all of them without.
    pub characters: Option<usize>,
}

impl Default for Shown {
    fn default() -> Self {
        Self { rows: 1000, characters: Some(72) }
    }
}

/// Runs a statement and writes its result as a table.
///
/// # Errors
/// Those of the statement, and of writing.
pub async fn show(
    session: &SessionContext,
    sql: &str,
    Shown { rows, characters }: Shown,
    out: &mut impl Write,
) -> Result<()> {
    // One row more tells whether there are others, without all of them.
    let found = session.sql(sql).await?.limit(0, Some(rows.saturating_add(1)))?.collect().await?;
    let count: usize = found.iter().map(RecordBatch::num_rows).sum();
    let mut left = rows;
    let shown: Vec<_> = found
        .into_iter()
        .map(|batch| {
            let batch = batch.slice(0, batch.num_rows().min(left));
            left -= batch.num_rows();
            match characters {
                Some(most) => cut(&batch, most),
                None => Ok(batch),
            }
        })
        .collect::<Result<_>>()?;
    if shown.iter().all(|batch| batch.num_columns() == 0) {
        return Ok(());
    }
    writeln!(out, "{}", pretty_format_batches(&shown)?)?;
    match count {
        1 => writeln!(out, "1 row")?,
        count if count > rows => writeln!(out, "the first {rows} rows (-n shows more)")?,
        count => writeln!(out, "{count} rows")?,
    }
    Ok(())
}

/// The rows with long texts, lists and structs cut: a vector would fill the screen.
fn cut(batch: &RecordBatch, most: usize) -> Result<RecordBatch> {
    let (mut fields, mut columns) = (Vec::new(), Vec::new());
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let kind = column.data_type();
        if kind.is_nested() || kind.is_string() {
            fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
            columns.push(cut_column(column, most)?);
        } else {
            fields.push(Arc::clone(field));
            columns.push(Arc::clone(column));
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
}

fn cut_column(column: &ArrayRef, most: usize) -> Result<ArrayRef> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(column, &options)?;
    let length = |row: usize| match column.data_type() {
        DataType::FixedSizeList(_, size) => Some(i64::from(*size)),
        DataType::List(_) => Some(i64::from(column.as_list::<i32>().value_length(row))),
        _ => None,
    };
    let text = |row: usize| {
        if column.is_null(row) {
            return None;
        }
        let mut text = formatter.value(row).to_string();
        if let Some((end, _)) = text.char_indices().nth(most) {
            text.truncate(end);
            text.push('…');
            if let Some(items) = length(row) {
                text.push_str(&format!(" {items} in all]"));
            }
        }
        Some(text)
    };
    Ok(Arc::new((0..column.len()).map(text).collect::<StringArray>()))
}

/// Statements that end in a semicolon, read line by line. Semicolons within quotes and comments do not count.
#[derive(Debug, Default)]
pub struct Statements {
    text: String,
}

impl Statements {
    /// True if no statement is begun.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.trim().is_empty()
    }

    /// Adds a line and returns the statements that it completes.
    pub fn push(&mut self, line: &str) -> Vec<String> {
        self.text.push_str(line);
        self.text.push('\n');
        let mut complete = Vec::new();
        while let Some(end) = end_of_statement(&self.text) {
            let rest = self.text.split_off(end + 1);
            self.text.pop();
            let statement = std::mem::replace(&mut self.text, rest);
            if !statement.trim().is_empty() {
                complete.push(statement.trim().to_owned());
            }
        }
        complete
    }

    /// The rest, as the statement that the input ends with.
    #[must_use]
    pub fn finish(self) -> Option<String> {
        let rest = self.text.trim();
        (!rest.is_empty()).then(|| rest.to_owned())
    }
}

/// Position of the first semicolon outside of quotes and comments.
fn end_of_statement(text: &str) -> Option<usize> {
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            ';' => return Some(at),
            quote @ ('\'' | '"') => {
                // A doubled quote is the end of one text and the start of another.
                characters.by_ref().find(|&(_, other)| other == quote)?;
            }
            '-' if characters.peek().is_some_and(|&(_, next)| next == '-') => {
                characters.by_ref().find(|&(_, other)| other == '\n')?;
            }
            _ => {}
        }
    }
    None
}

/// Runs all statements of a text.
///
/// # Errors
/// Those of the first statement that fails.
pub async fn show_all(
    session: &SessionContext,
    sql: &str,
    shown: Shown,
    out: &mut impl Write,
) -> Result<()> {
    let mut statements = Statements::default();
    let mut all: Vec<_> = sql.lines().flat_map(|line| statements.push(line)).collect();
    all.extend(statements.finish());
    for statement in all {
        show(session, &statement, shown, out).await?;
    }
    Ok(())
}

/// True for the error of a reader that has gone away, which ends the program quietly.
#[must_use]
pub fn is_closed(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_semicolons_outside_of_quotes() {
        let mut statements = Statements::default();
        assert_eq!(statements.push("SELECT ';', 'it''s; here' -- no; end"), [""; 0]);
        assert_eq!(
            statements.push("; ; SELECT 2;SELECT"),
            ["SELECT ';', 'it''s; here' -- no; end", "SELECT 2"]
        );
        assert!(!statements.is_empty());
        assert_eq!(statements.finish().as_deref(), Some("SELECT"));
        assert_eq!(Statements::default().finish(), None);
    }

    #[tokio::test]
    async fn a_result_is_a_table_of_limited_length() {
        let session = SessionContext::new();
        let mut out = Vec::new();
        let shown = Shown { rows: 2, ..Shown::default() };
        show_all(&session, "SELECT 1 AS a; SELECT * FROM (VALUES (1), (2), (3))", shown, &mut out)
            .await
            .unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("| a |") && text.contains("1 row\n"), "{text}");
        assert!(text.ends_with("the first 2 rows (-n shows more)\n"), "{text}");
    }

    #[tokio::test]
    async fn long_values_are_cut() {
        let session = SessionContext::new();
        let sql = "SELECT make_array(1, 2, 3, 4) AS v, NULL AS n, 12345678 AS i, 'abcdefgh' AS t, \
                   arrow_cast(make_array(1, 2, 3, 4), 'FixedSizeList(4, Int64)') AS f";
        let mut out = Vec::new();
        let shown = Shown { characters: Some(4), ..Shown::default() };
        show_all(&session, sql, shown, &mut out).await.unwrap();
        let text = String::from_utf8(out).unwrap();
        let list = "[1, … 4 in all]";
        assert!(text.contains(&format!("| {list} |   | 12345678 | abcd… | {list} |")), "{text}");
        let mut out = Vec::new();
        let shown = Shown { characters: None, ..Shown::default() };
        show_all(&session, sql, shown, &mut out).await.unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("[1, 2, 3, 4]") && text.contains("abcdefgh"), "{text}");
    }
}
