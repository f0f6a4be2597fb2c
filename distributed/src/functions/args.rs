//! Arguments of the functions.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::DataType,
    common::ScalarValue,
    error::{DataFusionError, Result},
    logical_expr::{ColumnarValue, ReturnFieldArgs},
};
use embedkit::{
    Role,
    postprocess::{Form, MuveraOptions},
};

use super::types;

/// The text of an argument that has to be a constant, from a planned call.
pub(crate) fn constant<'a>(
    args: &ReturnFieldArgs<'a>,
    at: usize,
    function: &str,
    what: &str,
) -> Result<&'a str> {
    let value = args.scalar_arguments.get(at).copied().flatten();
    value.and_then(text_of).ok_or_else(|| not_constant(function, what))
}

/// The text of an argument that has to be a constant, from a call with values.
pub(crate) fn constant_value<'a>(
    args: &'a [ColumnarValue],
    at: usize,
    function: &str,
    what: &str,
) -> Result<&'a str> {
    let found = match args.get(at) {
        Some(ColumnarValue::Scalar(value)) => text_of(value),
        _ => None,
    };
    found.ok_or_else(|| not_constant(function, what))
}

fn not_constant(function: &str, what: &str) -> DataFusionError {
    DataFusionError::Plan(format!("{function} takes {what} as a text, the same for all rows"))
}

fn text_of(value: &ScalarValue) -> Option<&str> {
    value.try_as_str().flatten()
}

/// The role of an argument: `query`, or `passage` or `document`; raw text without one.
pub(crate) fn role(name: Option<&str>, function: &str) -> Result<Role> {
    match name {
        None => Ok(Role::Raw),
        Some("query") => Ok(Role::Query),
        Some("passage" | "document") => Ok(Role::Document),
        Some(other) => Err(DataFusionError::Plan(format!(
            "{function} takes the role 'query', 'passage' or 'document', got {other:?}"
        ))),
    }
}

/// Parameters of MUVERA: `k_sim=5,dim_proj=16,r_reps=20,seed=42,form=document`, each with its default.
pub(crate) fn muvera(text: Option<&str>) -> Result<(MuveraOptions, Form)> {
    let (mut options, mut form) = (MuveraOptions::default(), Form::DOCUMENT);
    for pair in text.unwrap_or_default().split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let wrong = || {
            DataFusionError::Plan(format!(
                "muvera takes k_sim=5,dim_proj=16,r_reps=20,seed=42,form=document|query, got {pair:?}"
            ))
        };
        let (name, value) = pair.split_once('=').ok_or_else(wrong)?;
        match (name.trim(), value.trim()) {
            ("k_sim", value) => options.k_sim = value.parse().map_err(|_| wrong())?,
            ("dim_proj", value) => options.dim_proj = value.parse().map_err(|_| wrong())?,
            ("r_reps", value) => options.r_reps = value.parse().map_err(|_| wrong())?,
            ("seed", value) => options.random_seed = value.parse().map_err(|_| wrong())?,
            ("form", "document") => form = Form::DOCUMENT,
            ("form", "query") => form = Form::QUERY,
            _ => return Err(wrong()),
        }
    }
    Ok((options, form))
}

/// Types of the arguments after coercion: texts as they are, NULL as a text.
pub(crate) fn texts(
    function: &str,
    given: &[DataType],
    least: usize,
    most: usize,
) -> Result<Vec<DataType>> {
    if !(least..=most).contains(&given.len()) {
        let expected = if least == most { least.to_string() } else { format!("{least} to {most}") };
        let what = format!("{function} takes {expected} arguments, got {}", given.len());
        return Err(DataFusionError::Plan(what));
    }
    given.iter().map(|kind| text(function, kind)).collect()
}

/// Type of an argument that is a text.
pub(crate) fn text(function: &str, given: &DataType) -> Result<DataType> {
    match given {
        kind if types::is_text(kind) => Ok(kind.clone()),
        DataType::Null => Ok(DataType::Utf8),
        DataType::Dictionary(_, value) if types::is_text(value) => Ok((**value).clone()),
        other => Err(DataFusionError::Plan(format!("{function} takes texts, got {other}"))),
    }
}

/// Type of an argument that is many vectors.
pub(crate) fn multi(function: &str, given: &DataType) -> Result<DataType> {
    match types::multi_dim(given) {
        Some(dim) => types::multi(dim),
        None => Err(DataFusionError::Plan(format!(
            "{function} takes many vectors, List<FixedSizeList<Float32, dim>>, got {given}"
        ))),
    }
}

/// A scalar or an array as an array of `rows` rows.
pub(crate) fn array(
    value: &ColumnarValue,
    rows: usize,
) -> Result<Arc<dyn datafusion::arrow::array::Array>> {
    value.to_array(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_muvera_have_defaults() {
        assert_eq!(muvera(None).unwrap(), (MuveraOptions::default(), Form::DOCUMENT));
        let (options, form) = muvera(Some("k_sim=3, seed=7,form=query")).unwrap();
        assert_eq!((options.k_sim, options.random_seed, options.r_reps), (3, 7, 20));
        assert_eq!(form, Form::QUERY);
        for wrong in ["k_sim", "k_sim=-1", "size=3", "form=raw"] {
            assert!(muvera(Some(wrong)).unwrap_err().to_string().contains(wrong), "{wrong}");
        }
    }

    #[test]
    fn roles_are_those_of_the_library() {
        assert_eq!(role(None, "embed").unwrap(), Role::Raw);
        assert_eq!(role(Some("query"), "embed").unwrap(), Role::Query);
        for name in ["passage", "document"] {
            assert_eq!(role(Some(name), "embed").unwrap(), Role::Document);
        }
        assert!(
            role(Some("Query"), "embed").unwrap_err().to_string().contains("embed takes the role")
        );
    }

    #[test]
    fn arguments_are_texts() {
        let kinds = [DataType::Utf8View, DataType::Null];
        assert_eq!(texts("embed", &kinds, 2, 3).unwrap(), [DataType::Utf8View, DataType::Utf8]);
        let error = texts("embed", &kinds[..1], 2, 3).unwrap_err().to_string();
        assert!(error.contains("2 to 3 arguments, got 1"), "{error}");
        let error = text("embed", &DataType::Int64).unwrap_err().to_string();
        assert!(error.contains("Int64"), "{error}");
    }
}
