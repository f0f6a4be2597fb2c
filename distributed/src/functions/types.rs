//! Types of the functions' results.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, Field, FieldRef, Fields},
    error::{DataFusionError, Result},
};

/// Names of the fields of a sparse vector.
pub(crate) const SPARSE: [&str; 2] = ["indices", "values"];
/// Names of the fields of a result with its error.
pub(crate) const TRIED: [&str; 4] = ["vector", "error", "tokens", "truncated"];

fn item(kind: DataType) -> FieldRef {
    Arc::new(Field::new("item", kind, true))
}

/// One vector: `FixedSizeList<Float32, dim>`.
///
/// # Errors
/// A dimension above that of any vector.
pub(crate) fn dense(dim: usize) -> Result<DataType> {
    let size = i32::try_from(dim)
        .map_err(|_| DataFusionError::Plan(format!("a vector cannot have {dim} components")))?;
    Ok(DataType::FixedSizeList(item(DataType::Float32), size))
}

/// Fields of a sparse vector: `indices: List<UInt32>` and `values: List<Float32>`.
pub(crate) fn sparse_fields() -> Fields {
    let list = |kind| DataType::List(item(kind));
    Fields::from(vec![
        Field::new(SPARSE[0], list(DataType::UInt32), false),
        Field::new(SPARSE[1], list(DataType::Float32), false),
    ])
}

/// Many vectors: `List<FixedSizeList<Float32, dim>>`.
///
/// # Errors
/// Those of [`dense`].
pub(crate) fn multi(dim: usize) -> Result<DataType> {
    Ok(DataType::List(item(dense(dim)?)))
}

/// Fields of a result with its error; `vector` is of the type of the model's results.
pub(crate) fn tried_fields(result: DataType) -> Fields {
    Fields::from(vec![
        Field::new(TRIED[0], result, true),
        Field::new(TRIED[1], DataType::Utf8, true),
        Field::new(TRIED[2], DataType::UInt32, true),
        Field::new(TRIED[3], DataType::Boolean, true),
    ])
}

/// Dimension of a column of many vectors.
pub(crate) fn multi_dim(kind: &DataType) -> Option<usize> {
    let (DataType::List(vector) | DataType::LargeList(vector)) = kind else { return None };
    let DataType::FixedSizeList(component, size) = vector.data_type() else { return None };
    let size = usize::try_from(*size).ok().filter(|&size| size > 0)?;
    (component.data_type() == &DataType::Float32).then_some(size)
}

/// True for columns of texts.
pub(crate) fn is_text(kind: &DataType) -> bool {
    matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}
