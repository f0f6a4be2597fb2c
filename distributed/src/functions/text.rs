//! Columns of texts, read where they are.

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, LargeStringArray, StringArray, StringViewArray},
        compute::cast,
        datatypes::DataType,
    },
    error::{DataFusionError, Result},
    logical_expr::ColumnarValue,
};

/// The texts of a batch. A clone shares them.
#[derive(Debug, Clone)]
pub(crate) struct Texts {
    column: Column,
    /// True for one text that stands for every row.
    constant: bool,
    rows: usize,
}

#[derive(Debug, Clone)]
enum Column {
    Utf8(StringArray),
    Large(LargeStringArray),
    View(StringViewArray),
}

impl Texts {
    /// The texts of an argument, for `rows` rows.
    pub(crate) fn new(value: &ColumnarValue, rows: usize) -> Result<Self> {
        let (array, constant) = match value {
            ColumnarValue::Array(array) => (ArrayRef::clone(array), false),
            ColumnarValue::Scalar(scalar) => (scalar.to_array()?, true),
        };
        let array = match array.data_type() {
            DataType::Null => cast(&array, &DataType::Utf8)?,
            DataType::Dictionary(_, value) => cast(&array, value)?,
            _ => array,
        };
        let column = match array.data_type() {
            DataType::Utf8 => Column::Utf8(array.as_string().clone()),
            DataType::LargeUtf8 => Column::Large(array.as_string().clone()),
            DataType::Utf8View => Column::View(array.as_string_view().clone()),
            other => {
                let what = format!("expected a column of texts, got {other}");
                return Err(DataFusionError::Execution(what));
            }
        };
        Ok(Self { column, constant, rows })
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// True for one text that stands for every row.
    pub(crate) fn is_constant(&self) -> bool {
        self.constant
    }

    /// The same with one row, where one text stands for all.
    pub(crate) fn once(self) -> Self {
        if self.constant { Self { rows: self.rows.min(1), ..self } } else { self }
    }

    /// The text of a row, unless it is NULL.
    pub(crate) fn get(&self, row: usize) -> Option<&str> {
        let row = if self.constant { 0 } else { row };
        match &self.column {
            Column::Utf8(array) => array.is_valid(row).then(|| array.value(row)),
            Column::Large(array) => array.is_valid(row).then(|| array.value(row)),
            Column::View(array) => array.is_valid(row).then(|| array.value(row)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion::{
        arrow::{array::DictionaryArray, datatypes::Int8Type},
        common::ScalarValue,
    };

    use super::*;

    #[test]
    fn all_kinds_of_text_columns_are_read() {
        let values = [Some("a"), None, Some("ü")];
        let arrays: [ArrayRef; 3] = [
            Arc::new(StringArray::from_iter(values)),
            Arc::new(LargeStringArray::from_iter(values)),
            Arc::new(StringViewArray::from_iter(values)),
        ];
        for array in arrays {
            let texts = Texts::new(&ColumnarValue::Array(array), 3).unwrap();
            let found: Vec<_> = (0..3).map(|row| texts.get(row)).collect();
            assert_eq!(found, values);
        }
        let null = Texts::new(&ColumnarValue::Scalar(ScalarValue::Null), 2).unwrap();
        assert_eq!((null.get(0), null.get(1)), (None, None));
        let words = DictionaryArray::<Int8Type>::from_iter(values);
        let words = Texts::new(&ColumnarValue::Array(Arc::new(words)), 3).unwrap();
        assert_eq!((words.get(1), words.get(2)), (None, Some("ü")));
    }

    #[test]
    fn a_constant_stands_for_every_row() {
        let value = ColumnarValue::Scalar(ScalarValue::Utf8(Some("a".into())));
        let texts = Texts::new(&value, 3).unwrap();
        assert_eq!((texts.get(2), texts.rows()), (Some("a"), 3));
        assert_eq!(texts.once().rows(), 1);
        let number = ColumnarValue::Scalar(ScalarValue::Int32(Some(1)));
        assert!(Texts::new(&number, 1).unwrap_err().to_string().contains("Int32"));
    }
}
