//! Scores of embeddings.

use embedkit::{
    MultiVector,
    scoring::{MaxSim, Ranked, cosine as score, reciprocal_rank_fusion as fuse},
    types::MultiVectorError,
};
use numpy::{PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::{exceptions::PyValueError, prelude::*};

use crate::{errors::OrRaise, postprocess::contiguous, values};

/// MaxSim of a query with each document, in float32.
#[pyfunction]
pub(crate) fn max_sim<'py>(
    py: Python<'py>,
    query: PyReadonlyArray2<'py, f32>,
    documents: Vec<PyReadonlyArray2<'py, f32>>,
) -> PyResult<Bound<'py, PyArray1<f32>>> {
    let query = multi_vector(&query)?;
    let documents = documents.iter().map(multi_vector).collect::<PyResult<Vec<_>>>()?;
    let scores = py.detach(|| MaxSim::new(&documents)?.score(&query)).or_raise(py)?;
    Ok(PyArray1::from_vec(py, scores))
}

/// Fewer vectors of about the same meaning: one for `factor` tokens.
#[pyfunction]
pub(crate) fn pool_tokens<'py>(
    py: Python<'py>,
    vectors: PyReadonlyArray2<'py, f32>,
    factor: f64,
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let vectors = multi_vector(&vectors)?;
    let pooled = py.detach(|| embedkit::pool_tokens(&vectors, factor)).or_raise(py)?;
    Ok(values::matrix(py, pooled))
}

/// The cosine of a query with each row of a matrix.
#[pyfunction]
pub(crate) fn cosine<'py>(
    py: Python<'py>,
    query: PyReadonlyArray1<'py, f32>,
    documents: PyReadonlyArray2<'py, f32>,
) -> PyResult<Bound<'py, PyArray1<f32>>> {
    let query: Vec<f32> = query.as_array().iter().copied().collect();
    let (values, dim) = contiguous(documents.as_array().into_dyn())?;
    let scores = py.detach(|| {
        values.chunks_exact(dim.max(1)).map(|document| score(&query, document)).collect()
    });
    let scores: Result<Vec<f32>, _> = scores;
    let scores = scores.map_err(|mismatch| PyValueError::new_err(mismatch.to_string()))?;
    Ok(PyArray1::from_vec(py, scores))
}

/// One ranking of several, each a list of positions, best first: pairs of position and score.
#[pyfunction]
pub(crate) fn reciprocal_rank_fusion(rankings: Vec<Vec<usize>>, k: f64) -> Vec<(usize, f32)> {
    let ranked = |ranking: Vec<usize>| -> Vec<Ranked> {
        ranking.into_iter().map(|index| Ranked { index, score: 0.0 }).collect()
    };
    let fused = fuse(rankings.into_iter().map(ranked), k);
    fused.into_iter().map(|ranked| (ranked.index, ranked.score)).collect()
}

fn multi_vector(array: &PyReadonlyArray2<'_, f32>) -> PyResult<MultiVector> {
    let (values, dim) = contiguous(array.as_array().into_dyn())?;
    let refused = |error: MultiVectorError| PyValueError::new_err(error.to_string());
    MultiVector::new(values, dim).map_err(refused)
}
