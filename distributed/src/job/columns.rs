//! Columns of a part: results without their reasons, which go to the list of failed rows.

use std::sync::Arc;

use datafusion::arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    datatypes::{DataType, Field, Schema, SchemaRef},
    util::display::{ArrayFormatter, FormatOptions},
};
use serde::Serialize;

use super::{JobError, statement::is_tried};

/// A row without a result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct FailedRow {
    /// Value of the column that names rows.
    pub(crate) id: String,
    /// Column without a value.
    pub(crate) column: String,
    /// Reason.
    pub(crate) reason: String,
}

/// Columns of the parts.
#[derive(Debug)]
pub(crate) struct Columns {
    schema: SchemaRef,
    id: usize,
}

impl Columns {
    /// Those of a statement, with the column that names rows.
    pub(crate) fn new(statement: &Schema, id: usize) -> Self {
        let field = |field: &Arc<Field>| match field.data_type() {
            DataType::Struct(parts) if is_tried(field.data_type()) => {
                Field::new(field.name(), parts[0].data_type().clone(), true)
            }
            _ => field.as_ref().clone(),
        };
        let fields: Vec<_> = statement.fields().iter().map(field).collect();
        Self { schema: Arc::new(Schema::new(fields)), id }
    }

    /// Columns of the parts.
    pub(crate) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Position of the column that names rows.
    pub(crate) fn id(&self) -> usize {
        self.id
    }

    /// The rows of a part, and those that failed.
    pub(crate) fn split(
        &self,
        batch: &RecordBatch,
    ) -> Result<(RecordBatch, Vec<FailedRow>), JobError> {
        let mut failed = Vec::new();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(batch.num_columns());
        for (at, column) in batch.columns().iter().enumerate() {
            if !is_tried(column.data_type()) {
                columns.push(Arc::clone(column));
                continue;
            }
            let parts = column.as_struct();
            columns.push(Arc::clone(parts.column(0)));
            let reasons = parts.column(1).as_string::<i32>();
            let name = self.schema.field(at).name();
            for row in (0..batch.num_rows()).filter(|&row| reasons.is_valid(row)) {
                failed.push(FailedRow {
                    id: text_of(batch.column(self.id), row)?,
                    column: name.clone(),
                    reason: reasons.value(row).to_owned(),
                });
            }
        }
        Ok((RecordBatch::try_new(self.schema(), columns)?, failed))
    }
}

/// A value as text.
pub(crate) fn text_of(column: &ArrayRef, row: usize) -> Result<String, JobError> {
    let options = FormatOptions::default().with_null("NULL");
    Ok(ArrayFormatter::try_new(column, &options)?.value(row).to_string())
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;

    use super::*;

    #[tokio::test]
    async fn reasons_become_a_list() {
        let sql = "SELECT 'a' AS id, named_struct('vector', arrow_cast(NULL, 'Float32'), 'error', 'too long', \
                   'tokens', 3, 'truncated', false) AS v";
        let batch =
            SessionContext::new().sql(sql).await.unwrap().collect().await.unwrap().remove(0);
        let columns = Columns::new(&batch.schema(), 0);
        let (part, failed) = columns.split(&batch).unwrap();
        assert_eq!(part.schema().field(1).data_type(), &DataType::Float32);
        assert!(part.column(1).is_null(0));
        let row = FailedRow { id: "a".into(), column: "v".into(), reason: "too long".into() };
        assert_eq!(failed, [row]);
    }
}
