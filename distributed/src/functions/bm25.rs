//! `bm25(text [, language])`.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use datafusion::{
    arrow::datatypes::{DataType, Field, FieldRef},
    error::Result,
    logical_expr::{
        ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
    },
};
use embedkit::Role;

use super::{
    args,
    column::{Column as _, Sparse},
    text::Texts,
    types,
};
use crate::{error::RowError, models::Models};

const NAME: &str = "bm25";

/// Documents as weighted terms; it needs neither files nor a runtime, so it is an ordinary function.
#[derive(Debug)]
pub(crate) struct Bm25Function {
    models: Models,
    signature: Signature,
}

impl Bm25Function {
    pub(crate) fn new(models: Models) -> Self {
        Self { models, signature: Signature::user_defined(Volatility::Volatile) }
    }
}

impl PartialEq for Bm25Function {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Bm25Function {}

impl Hash for Bm25Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        NAME.hash(state);
    }
}

impl ScalarUDFImpl for Bm25Function {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        args::texts(NAME, given, 1, 2)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Struct(types::sparse_fields()))
    }

    fn return_field_from_args(&self, given: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let language = match given.arg_fields.len() {
            2 => Some(args::constant(&given, 1, NAME, "the language")?),
            _ => None,
        };
        self.models.bm25(language)?;
        Ok(Arc::new(Field::new(NAME, DataType::Struct(types::sparse_fields()), true)))
    }

    fn invoke_with_args(&self, given: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let language = match given.args.len() {
            2 => Some(args::constant_value(&given.args, 1, NAME, "the language")?),
            _ => None,
        };
        let entry = self.models.bm25(language)?;
        let texts = Texts::new(&given.args[0], given.number_rows)?;
        let rows = texts.rows();
        let nonnull = (0..rows).filter(|&row| texts.get(row).is_some()).count();
        self.models.begin(&entry, nonnull)?;
        let model = entry.open()?;
        let mut column = Box::new(Sparse::new(rows));
        // Each on this thread: partitions are the engine's threads, and more of them would only hand texts about.
        for row in 0..rows {
            let result = texts.get(row).map(|text| model.embed_one(Role::Document, text));
            match result.map(|result| result.map_err(RowError::from)) {
                Some(Ok(result)) => column.push(result)?,
                Some(Err(RowError::Fatal(error))) => return Err(error),
                Some(Err(RowError::Bad { reason, .. })) => column.push_bad(&reason),
                None => column.push_null(),
            }
        }
        Ok(ColumnarValue::Array(column.finish()?))
    }
}
