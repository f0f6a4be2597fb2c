//! MUVERA.

use embedkit::postprocess::{Form, MuveraOptions, Vectors};
use numpy::{PyArray1, PyArrayDyn, PyArrayMethods, ndarray::ArrayViewD};
use pyo3::{exceptions::PyTypeError, prelude::*};

use crate::errors::OrRaise;

/// An encoder of many vectors as one.
#[pyclass(frozen, module = "embedkit._embedkit")]
pub(crate) struct Muvera {
    muvera: embedkit::postprocess::Muvera,
}

#[pymethods]
impl Muvera {
    #[new]
    fn new(
        py: Python<'_>,
        dim: usize,
        k_sim: u32,
        dim_proj: usize,
        r_reps: usize,
        random_seed: u128,
    ) -> PyResult<Self> {
        let options = MuveraOptions { k_sim, dim_proj, r_reps, random_seed };
        let muvera = py.detach(|| embedkit::postprocess::Muvera::new(dim, options)).or_raise(py)?;
        Ok(Self { muvera })
    }

    #[getter]
    fn embedding_size(&self) -> usize {
        self.muvera.embedding_size()
    }

    /// The encoding of an array of shape `(vectors, dim)`, in float64.
    fn process<'py>(
        &self,
        py: Python<'py>,
        vectors: &Bound<'py, PyAny>,
        fill_empty_clusters: bool,
        normalize_by_count: bool,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let form = Form { fill_empty_clusters, normalize_by_count };
        let encoded = if let Ok(array) = vectors.cast::<PyArrayDyn<f32>>() {
            let array = array.readonly();
            let (values, dim) = contiguous(array.as_array())?;
            py.detach(|| self.muvera.process(&Vectors::from_f32(&values, dim)?, form))
        } else if let Ok(array) = vectors.cast::<PyArrayDyn<f64>>() {
            let array = array.readonly();
            let (values, dim) = contiguous(array.as_array())?;
            py.detach(|| self.muvera.process(&Vectors::from_f64(&values, dim)?, form))
        } else {
            return Err(PyTypeError::new_err("expected an array of float32 or float64"));
        };
        Ok(PyArray1::from_vec(py, encoded.or_raise(py)?))
    }
}

/// The components of an array of two dimensions, row by row, and its second dimension.
pub(crate) fn contiguous<T: Copy>(array: ArrayViewD<'_, T>) -> PyResult<(Vec<T>, usize)> {
    let &[_, dim] = array.shape() else {
        let shape = array.shape().to_vec();
        return Err(PyTypeError::new_err(format!(
            "expected an array of shape (vectors, dim), got {shape:?}"
        )));
    };
    Ok((array.iter().copied().collect(), dim))
}
