//! SQL functions.

mod args;
mod bm25;
mod column;
mod model;
mod text;
mod types;
mod vectors;

use datafusion::logical_expr::{ScalarUDF, async_udf::AsyncScalarUDF};
use std::sync::Arc;

use self::{
    bm25::Bm25Function,
    model::{Family, ModelFunction},
    vectors::{MaxSimFunction, MuveraFunction},
};
use crate::models::Models;

pub(crate) use model::Family as ModelFamily;
pub(crate) use types::TRIED;

/// All functions over a set of models, to be registered in any session or registry.
#[must_use]
pub fn all_functions(models: &Models) -> Vec<Arc<ScalarUDF>> {
    let of_models = Family::ALL.into_iter().map(|family| {
        let function = ModelFunction::new(family, models.clone());
        AsyncScalarUDF::new(Arc::new(function)).into_scalar_udf()
    });
    let others = [
        ScalarUDF::new_from_impl(Bm25Function::new(models.clone())),
        ScalarUDF::new_from_impl(MuveraFunction::new(models.clone())),
        ScalarUDF::new_from_impl(MaxSimFunction::new()),
    ];
    of_models.chain(others).map(Arc::new).collect()
}
