//! Results of a model, built in place as a column.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{
            ArrayRef, BooleanBuilder, FixedSizeListArray, Float32Array, ListArray,
            NullBufferBuilder, StringBuilder, StructArray, UInt32Array, UInt32Builder,
        },
        buffer::{OffsetBuffer, ScalarBuffer},
        datatypes::{DataType, Field, Fields},
    },
    error::{DataFusionError, Result},
};
use embedkit::{Embedded, Output, OutputKind};

use super::types;

/// A column that grows by a row for each result.
pub(crate) trait Column: Send {
    /// Appends the result of a row. An error is that of the model as a whole, such as another dimension.
    fn push(&mut self, result: Embedded<Output>) -> Result<()>;

    /// Appends NULL for a row without input.
    fn push_null(&mut self);

    /// Appends a row that cannot be embedded.
    fn push_bad(&mut self, reason: &str) {
        let _ = reason;
        self.push_null();
    }

    /// The column.
    fn finish(self: Box<Self>) -> Result<ArrayRef>;
}

/// The column of a type for about `rows` rows. `None` for a type that no model gives.
pub(crate) fn column(kind: &DataType, rows: usize) -> Option<Box<dyn Column>> {
    match kind {
        DataType::Float32 => Some(Box::new(Scores::new(rows))),
        DataType::FixedSizeList(_, size) => {
            Some(Box::new(Dense::new(usize::try_from(*size).ok()?, rows)))
        }
        DataType::List(_) => Some(Box::new(Multi::new(types::multi_dim(kind)?, rows))),
        DataType::Struct(fields) if fields.len() == types::SPARSE.len() => {
            Some(Box::new(Sparse::new(rows)))
        }
        DataType::Struct(fields) => {
            let results = column(fields.first()?.data_type(), rows)?;
            Some(Box::new(Tried::new(results, rows, fields.clone())))
        }
        _ => None,
    }
}

fn wrong_kind(output: &Output, expected: OutputKind) -> DataFusionError {
    DataFusionError::Execution(format!("expected {expected}, the model gave {}", output.kind()))
}

fn check_dim(found: usize, expected: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(DataFusionError::Execution(format!(
        "expected vectors of dimension {expected}, as the query was planned with; the model gave {found}"
    )))
}

/// A number for each row.
struct Scores {
    values: Vec<f32>,
    nulls: NullBufferBuilder,
}

impl Scores {
    fn new(rows: usize) -> Self {
        Self { values: Vec::with_capacity(rows), nulls: NullBufferBuilder::new(rows) }
    }
}

impl Column for Scores {
    fn push(&mut self, result: Embedded<Output>) -> Result<()> {
        let Output::Score(score) = result.value else {
            return Err(wrong_kind(&result.value, OutputKind::Score));
        };
        self.values.push(score);
        self.nulls.append_non_null();
        Ok(())
    }

    fn push_null(&mut self) {
        self.values.push(0.0);
        self.nulls.append_null();
    }

    fn finish(mut self: Box<Self>) -> Result<ArrayRef> {
        Ok(Arc::new(Float32Array::try_new(self.values.into(), self.nulls.finish())?))
    }
}

/// One vector for each row.
pub(crate) struct Dense {
    dim: usize,
    values: Vec<f32>,
    nulls: NullBufferBuilder,
}

impl Dense {
    pub(crate) fn new(dim: usize, rows: usize) -> Self {
        let values = Vec::with_capacity(dim.saturating_mul(rows));
        Self { dim, values, nulls: NullBufferBuilder::new(rows) }
    }

    /// Appends a vector.
    pub(crate) fn append(&mut self, vector: &[f32]) -> Result<()> {
        check_dim(vector.len(), self.dim)?;
        self.values.extend_from_slice(vector);
        self.nulls.append_non_null();
        Ok(())
    }

    pub(crate) fn append_null(&mut self) {
        self.values.resize(self.values.len() + self.dim, 0.0);
        self.nulls.append_null();
    }

    pub(crate) fn array(&mut self) -> Result<FixedSizeListArray> {
        let DataType::FixedSizeList(item, size) = types::dense(self.dim)? else {
            unreachable!("a vector is a list of fixed size")
        };
        let values = Float32Array::from(std::mem::take(&mut self.values));
        Ok(FixedSizeListArray::try_new(item, size, Arc::new(values), self.nulls.finish())?)
    }
}

impl Column for Dense {
    fn push(&mut self, result: Embedded<Output>) -> Result<()> {
        match &result.value {
            Output::Dense(vector) => self.append(vector),
            other => Err(wrong_kind(other, OutputKind::Dense)),
        }
    }

    fn push_null(&mut self) {
        self.append_null();
    }

    fn finish(mut self: Box<Self>) -> Result<ArrayRef> {
        Ok(Arc::new(self.array()?))
    }
}

/// A result for each row, or the reason why there is none.
struct Tried {
    results: Box<dyn Column>,
    errors: StringBuilder,
    tokens: UInt32Builder,
    truncated: BooleanBuilder,
    nulls: NullBufferBuilder,
    fields: Fields,
}

impl Tried {
    fn new(results: Box<dyn Column>, rows: usize, fields: Fields) -> Self {
        Self {
            results,
            errors: StringBuilder::new(),
            tokens: UInt32Builder::with_capacity(rows),
            truncated: BooleanBuilder::with_capacity(rows),
            nulls: NullBufferBuilder::new(rows),
            fields,
        }
    }

    fn no_result(&mut self, error: Option<&str>) {
        self.results.push_null();
        self.errors.append_option(error);
        self.tokens.append_null();
        self.truncated.append_null();
        self.nulls.append(error.is_some());
    }
}

impl Column for Tried {
    fn push(&mut self, result: Embedded<Output>) -> Result<()> {
        let (tokens, truncated) = (result.tokens, result.truncated);
        self.results.push(result)?;
        self.errors.append_null();
        self.tokens.append_value(u32::try_from(tokens).unwrap_or(u32::MAX));
        self.truncated.append_value(truncated);
        self.nulls.append_non_null();
        Ok(())
    }

    fn push_null(&mut self) {
        self.no_result(None);
    }

    fn push_bad(&mut self, reason: &str) {
        self.no_result(Some(reason));
    }

    fn finish(mut self: Box<Self>) -> Result<ArrayRef> {
        let columns: Vec<ArrayRef> = vec![
            self.results.finish()?,
            Arc::new(self.errors.finish()),
            Arc::new(self.tokens.finish()),
            Arc::new(self.truncated.finish()),
        ];
        Ok(Arc::new(StructArray::try_new(self.fields, columns, self.nulls.finish())?))
    }
}

/// Offsets of lists that lie one after another.
struct Offsets(Vec<i32>);

impl Offsets {
    fn new(rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self(offsets)
    }

    /// Ends a list at `end` items.
    fn end(&mut self, end: usize) -> Result<()> {
        let end = i32::try_from(end).map_err(|_| {
            DataFusionError::ResourcesExhausted(format!(
                "a column of lists holds at most {} items: lower datafusion.execution.batch_size",
                i32::MAX
            ))
        })?;
        self.0.push(end);
        Ok(())
    }

    /// Ends an empty list.
    fn none(&mut self) {
        self.0.push(self.0.last().copied().unwrap_or_default());
    }

    fn finish(self) -> OffsetBuffer<i32> {
        OffsetBuffer::new(ScalarBuffer::from(self.0))
    }
}

/// Weighted terms for each row.
pub(crate) struct Sparse {
    indices: Vec<u32>,
    values: Vec<f32>,
    offsets: Offsets,
    nulls: NullBufferBuilder,
}

impl Sparse {
    pub(crate) fn new(rows: usize) -> Self {
        let (indices, values) = (Vec::new(), Vec::new());
        Self { indices, values, offsets: Offsets::new(rows), nulls: NullBufferBuilder::new(rows) }
    }
}

impl Column for Sparse {
    fn push(&mut self, result: Embedded<Output>) -> Result<()> {
        let Output::Sparse(terms) = result.value else {
            return Err(wrong_kind(&result.value, OutputKind::Sparse));
        };
        self.indices.extend_from_slice(terms.indices());
        self.values.extend_from_slice(terms.values());
        self.nulls.append_non_null();
        self.offsets.end(self.indices.len())
    }

    fn push_null(&mut self) {
        self.offsets.none();
        self.nulls.append_null();
    }

    fn finish(mut self: Box<Self>) -> Result<ArrayRef> {
        let offsets = self.offsets.finish();
        let item = |kind| Arc::new(Field::new("item", kind, true));
        let (indices, values) = (UInt32Array::from(self.indices), Float32Array::from(self.values));
        let indices =
            ListArray::try_new(item(DataType::UInt32), offsets.clone(), Arc::new(indices), None)?;
        let values = ListArray::try_new(item(DataType::Float32), offsets, Arc::new(values), None)?;
        let columns: Vec<ArrayRef> = vec![Arc::new(indices), Arc::new(values)];
        Ok(Arc::new(StructArray::try_new(types::sparse_fields(), columns, self.nulls.finish())?))
    }
}

/// Many vectors for each row.
struct Multi {
    dim: usize,
    values: Vec<f32>,
    offsets: Offsets,
    nulls: NullBufferBuilder,
}

impl Multi {
    fn new(dim: usize, rows: usize) -> Self {
        let (offsets, nulls) = (Offsets::new(rows), NullBufferBuilder::new(rows));
        Self { dim, values: Vec::new(), offsets, nulls }
    }
}

impl Column for Multi {
    fn push(&mut self, result: Embedded<Output>) -> Result<()> {
        let Output::MultiVector(vectors) = result.value else {
            return Err(wrong_kind(&result.value, OutputKind::MultiVector));
        };
        check_dim(vectors.dim(), self.dim)?;
        self.values.extend_from_slice(vectors.values());
        self.nulls.append_non_null();
        self.offsets.end(self.values.len() / self.dim)
    }

    fn push_null(&mut self) {
        self.offsets.none();
        self.nulls.append_null();
    }

    fn finish(mut self: Box<Self>) -> Result<ArrayRef> {
        let DataType::FixedSizeList(component, size) = types::dense(self.dim)? else {
            unreachable!("a vector is a list of fixed size")
        };
        let values = Arc::new(Float32Array::from(self.values));
        let vectors = FixedSizeListArray::try_new(component, size, values, None)?;
        let DataType::List(item) = types::multi(self.dim)? else {
            unreachable!("many vectors are a list")
        };
        let offsets = self.offsets.finish();
        Ok(Arc::new(ListArray::try_new(item, offsets, Arc::new(vectors), self.nulls.finish())?))
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{Array, AsArray};
    use embedkit::{MultiVector, SparseEmbedding};

    use super::*;

    fn embedded(value: Output) -> Embedded<Output> {
        Embedded { value, tokens: 3, truncated: true }
    }

    fn built(kind: &DataType, outputs: Vec<Option<Output>>) -> ArrayRef {
        let mut column = column(kind, outputs.len()).expect("a type of a result");
        for output in outputs {
            match output {
                Some(output) => column.push(embedded(output)).unwrap(),
                None => column.push_null(),
            }
        }
        let array = column.finish().unwrap();
        assert_eq!(array.data_type(), kind);
        array
    }

    #[test]
    fn vectors_lie_one_after_another() {
        let kind = types::dense(2).unwrap();
        let vectors =
            vec![Some(Output::Dense(vec![1.0, 2.0])), None, Some(Output::Dense(vec![3.0, 4.0]))];
        let array = built(&kind, vectors);
        assert_eq!(array.null_count(), 1);
        let array = array.as_fixed_size_list();
        assert_eq!(
            array.value(2).as_primitive::<datafusion::arrow::datatypes::Float32Type>().values()[..],
            [3.0, 4.0]
        );
    }

    #[test]
    fn terms_and_many_vectors_have_offsets() {
        let terms = SparseEmbedding::from_pairs([(7, 0.5), (9, 1.0)]);
        let kind = DataType::Struct(types::sparse_fields());
        let array = built(&kind, vec![None, Some(Output::Sparse(terms))]);
        let indices = array.as_struct().column(0).as_list::<i32>().value(1);
        assert_eq!(
            indices.as_primitive::<datafusion::arrow::datatypes::UInt32Type>().values()[..],
            [7, 9]
        );

        let vectors = MultiVector::new(vec![1.0, 2.0, 3.0, 4.0], 2).unwrap();
        let array =
            built(&types::multi(2).unwrap(), vec![Some(Output::MultiVector(vectors)), None]);
        assert_eq!(array.as_list::<i32>().value(0).len(), 2);
        assert!(array.is_null(1));
    }

    #[test]
    fn a_bad_row_has_its_reason() {
        let kind = DataType::Struct(types::tried_fields(types::dense(1).unwrap()));
        let mut column = column(&kind, 3).unwrap();
        column.push(embedded(Output::Dense(vec![1.0]))).unwrap();
        column.push_bad("too long");
        column.push_null();
        let array = column.finish().unwrap();
        let array = array.as_struct();
        let errors = array.column(1).as_string::<i32>();
        assert!(errors.is_null(0) && errors.value(1) == "too long");
        let nulls: Vec<_> = (0..3).map(|row| array.is_null(row)).collect();
        assert_eq!(nulls, [false, false, true]);
        assert!(array.column(3).as_boolean().value(0));
    }

    #[test]
    fn another_dimension_or_kind_is_an_error() {
        let mut column = column(&types::dense(2).unwrap(), 1).unwrap();
        let error = column.push(embedded(Output::Dense(vec![1.0]))).unwrap_err().to_string();
        assert!(error.contains("dimension 2") && error.contains("gave 1"), "{error}");
        let error = column.push(embedded(Output::Score(1.0))).unwrap_err().to_string();
        assert!(error.contains("one vector") && error.contains("a score"), "{error}");
    }
}
