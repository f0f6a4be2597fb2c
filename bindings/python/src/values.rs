//! Results as objects of Python.

use embedkit::{Embedded, MultiVector, Output, Terms};
use numpy::{PyArray1, PyArray2, ndarray::Array2};
use pyo3::{exceptions::PyTypeError, prelude::*};

/// The result of one input.
#[derive(Debug)]
pub(crate) enum Value {
    Output(Output),
    /// Weighted terms in the order of the text.
    Terms(Terms),
}

impl Value {
    /// A float32 array of shape `(dim,)` or `(vectors, dim)`, a pair of arrays (indices in int64, weights
    /// in float64), or a float. Buffers of vectors are handed over, not copied.
    pub(crate) fn into_object(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        match self {
            Self::Output(Output::Dense(vector)) => Ok(PyArray1::from_vec(py, vector).into_any()),
            Self::Output(Output::MultiVector(vectors)) => Ok(matrix(py, vectors).into_any()),
            Self::Output(Output::Score(score)) => {
                Ok(f64::from(score).into_pyobject(py)?.into_any())
            }
            Self::Output(Output::Sparse(terms)) => {
                terms_object(py, terms.iter().map(|(index, weight)| (index, f64::from(weight))))
            }
            Self::Terms(terms) => terms_object(py, terms.into_iter()),
            Self::Output(other) => {
                let kind = other.kind().name();
                Err(PyTypeError::new_err(format!("an output of kind {kind} has no form in Python")))
            }
        }
    }

    /// The components of a dense vector, for a matrix.
    pub(crate) fn vector(&self) -> Option<&[f32]> {
        match self {
            Self::Output(Output::Dense(vector)) => Some(vector),
            _ => None,
        }
    }
}

/// One result, alone or with `(tokens, truncated)` behind it.
pub(crate) fn object<'py>(
    py: Python<'py>,
    result: Embedded<Value>,
    detailed: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let Embedded { value, tokens, truncated } = result;
    let value = value.into_object(py)?;
    if detailed { Ok((value, tokens, truncated).into_pyobject(py)?.into_any()) } else { Ok(value) }
}

fn terms_object(
    py: Python<'_>,
    terms: impl Iterator<Item = (u32, f64)>,
) -> PyResult<Bound<'_, PyAny>> {
    let (indices, weights): (Vec<i64>, Vec<f64>) =
        terms.map(|(index, weight)| (i64::from(index), weight)).unzip();
    let arrays = (PyArray1::from_vec(py, indices), PyArray1::from_vec(py, weights));
    Ok(arrays.into_pyobject(py)?.into_any())
}

/// Vectors as an array of shape `(vectors, dim)`.
pub(crate) fn matrix(py: Python<'_>, vectors: MultiVector) -> Bound<'_, PyArray2<f32>> {
    let shape = (vectors.len(), vectors.dim());
    let array = Array2::from_shape_vec(shape, vectors.into_values());
    PyArray2::from_owned_array(py, array.expect("a multi-vector has whole vectors"))
}
