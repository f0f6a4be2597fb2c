//! Functions of many vectors: `muvera(multi [, options])` and `max_sim(query, document)`.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use datafusion::{
    arrow::{
        array::{Array, AsArray, Float32Array, ListArray},
        datatypes::{DataType, Field, FieldRef, Float32Type},
    },
    error::{DataFusionError, Result},
    logical_expr::{
        ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
    },
};
use embedkit::{MultiVector, late_interaction::max_sim, postprocess::Vectors};

use super::{
    args,
    column::{Column as _, Dense},
    types,
};
use crate::{error, models::Models};

/// A column of many vectors.
struct MultiVectors {
    lists: ListArray,
    dim: usize,
}

impl MultiVectors {
    fn new(value: &ColumnarValue, rows: usize) -> Result<Self> {
        let array = args::array(value, rows)?;
        let dim = types::multi_dim(array.data_type());
        match (dim, array.as_list_opt::<i32>()) {
            (Some(dim), Some(lists)) => Ok(Self { lists: lists.clone(), dim }),
            _ => Err(DataFusionError::Execution(format!(
                "expected a column of many vectors, got {}",
                array.data_type()
            ))),
        }
    }

    /// The components of a row's vectors, one vector after another, where they lie. `None` for NULL, and
    /// where a vector or a component is NULL.
    fn row(&self, row: usize) -> Option<&[f32]> {
        if self.lists.is_null(row) {
            return None;
        }
        let vectors = self.lists.values().as_fixed_size_list();
        let components = vectors.values().as_primitive::<Float32Type>();
        let offsets = self.lists.value_offsets();
        let (start, end) = (offsets[row] as usize, offsets[row + 1] as usize);
        let whole = (start..end).all(|at| vectors.is_valid(at));
        // The values of a list of fixed size are cut as the list is.
        let range = start * self.dim..end * self.dim;
        let complete =
            || components.null_count() == 0 || range.clone().all(|at| components.is_valid(at));
        (whole && complete()).then(|| &components.values()[range.clone()])
    }
}

/// One vector for many, whose dot product approximates MaxSim.
#[derive(Debug)]
pub(crate) struct MuveraFunction {
    models: Models,
    signature: Signature,
}

const MUVERA: &str = "muvera";

impl MuveraFunction {
    pub(crate) fn new(models: Models) -> Self {
        Self { models, signature: Signature::user_defined(Volatility::Volatile) }
    }
}

impl PartialEq for MuveraFunction {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for MuveraFunction {}

impl Hash for MuveraFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        MUVERA.hash(state);
    }
}

impl ScalarUDFImpl for MuveraFunction {
    fn name(&self) -> &'static str {
        MUVERA
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        match given {
            [vectors] => Ok(vec![args::multi(MUVERA, vectors)?]),
            [vectors, options] => {
                Ok(vec![args::multi(MUVERA, vectors)?, args::text(MUVERA, options)?])
            }
            _ => args::texts(MUVERA, given, 1, 2),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Err(DataFusionError::Plan("the type of muvera depends on its options".to_owned()))
    }

    fn return_field_from_args(&self, given: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let options = match given.arg_fields.len() {
            2 => Some(args::constant(&given, 1, MUVERA, "the options")?),
            _ => None,
        };
        let (options, _) = args::muvera(options)?;
        let kind = args::multi(MUVERA, given.arg_fields[0].data_type())?;
        let dim = types::multi_dim(&kind).ok_or_else(|| {
            DataFusionError::Internal(format!("the vectors of {kind} have no dimension"))
        })?;
        let size = self.models.muvera(dim, &options)?.embedding_size();
        Ok(Arc::new(Field::new(MUVERA, types::dense(size)?, true)))
    }

    fn invoke_with_args(&self, given: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let options = match given.args.len() {
            2 => Some(args::constant_value(&given.args, 1, MUVERA, "the options")?),
            _ => None,
        };
        let (options, form) = args::muvera(options)?;
        let rows = given.number_rows;
        let vectors = MultiVectors::new(&given.args[0], rows)?;
        let muvera = self.models.muvera(vectors.dim, &options)?;
        let mut column = Box::new(Dense::new(muvera.embedding_size(), rows));
        let mut encoding = Vec::with_capacity(muvera.embedding_size());
        for row in 0..rows {
            let encoded = vectors
                .row(row)
                .and_then(|values| Vectors::from_f32(values, vectors.dim).ok())
                .and_then(|vectors| muvera.process(&vectors, form).ok());
            match encoded {
                Some(exact) => {
                    encoding.clear();
                    encoding.extend(exact.iter().map(|&component| component as f32));
                    column.append(&encoding)?;
                }
                None => column.append_null(),
            }
        }
        Ok(ColumnarValue::Array(column.finish()?))
    }
}

/// The exact score of late interaction.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct MaxSimFunction {
    signature: Signature,
}

const MAX_SIM: &str = "max_sim";

impl MaxSimFunction {
    pub(crate) fn new() -> Self {
        // A function of its arguments alone: the planner may evaluate it.
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for MaxSimFunction {
    fn name(&self) -> &'static str {
        MAX_SIM
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let [query, document] = given else { return args::texts(MAX_SIM, given, 2, 2) };
        let kinds = vec![args::multi(MAX_SIM, query)?, args::multi(MAX_SIM, document)?];
        if kinds[0] != kinds[1] {
            let what =
                format!("max_sim takes vectors of one dimension, got {query} and {document}");
            return Err(DataFusionError::Plan(what));
        }
        Ok(kinds)
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float32)
    }

    fn invoke_with_args(&self, given: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = given.number_rows;
        let queries = MultiVectors::new(&given.args[0], rows)?;
        let documents = MultiVectors::new(&given.args[1], rows)?;
        let whole = |values: &[f32], dim| {
            MultiVector::new(values.to_vec(), dim)
                .map_err(|reason| DataFusionError::Execution(reason.to_string()))
        };
        let mut scores = Vec::with_capacity(rows);
        for row in 0..rows {
            let (Some(query), Some(document)) = (queries.row(row), documents.row(row)) else {
                scores.push(None);
                continue;
            };
            let query = whole(query, queries.dim)?;
            let document = whole(document, documents.dim)?;
            scores.push(Some(max_sim(&query, &document).map_err(|e| error::planning(&e))?));
        }
        Ok(ColumnarValue::Array(Arc::new(Float32Array::from(scores))))
    }
}
