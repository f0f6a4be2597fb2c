//! Results as objects of Python.

use std::{ffi::c_void, mem, ptr};

use embedkit::{Embedded, MultiVector, Output, Terms};
use numpy::{Element, PyArray1, PyArray2, PyArrayMethods, ndarray::Array2};
use pyo3::{
    exceptions::PyTypeError,
    ffi, intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyTuple, PyType},
};

/// The result of one input.
#[derive(Debug)]
pub(crate) enum Value {
    Output(Output),
    /// Weighted terms in the order of the text.
    Terms(Terms),
}

impl Value {
    /// A float32 array of shape `(dim,)` or `(vectors, dim)`, a `SparseEmbedding` (indices in int64, weights
    /// in float64), or a float. Buffers of vectors are handed over, not copied.
    pub(crate) fn into_object(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        match self {
            Self::Output(Output::Dense(vector)) => Ok(PyArray1::from_vec(py, vector).into_any()),
            Self::Output(Output::MultiVector(vectors)) => Ok(matrix(py, vectors).into_any()),
            Self::Output(Output::Score(score)) => {
                Ok(f64::from(score).into_pyobject(py)?.into_any())
            }
            Self::Output(Output::Sparse(terms)) => {
                let terms = terms.iter().map(|(index, weight)| (index, f64::from(weight)));
                sparse(py, &terms.collect::<Terms>())
            }
            Self::Terms(terms) => sparse(py, &terms),
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

/// Weighted terms as a `SparseEmbedding`.
fn sparse<'py>(py: Python<'py>, terms: &[(u32, f64)]) -> PyResult<Bound<'py, PyAny>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let embedding = without_init(CLASS.import(py, "embedkit.results", "SparseEmbedding")?)?;
    embedding.setattr(intern!(py, "values"), array(py, terms, |&(_, weight)| weight))?;
    embedding.setattr(intern!(py, "indices"), array(py, terms, |&(index, _)| i64::from(index)))?;
    Ok(embedding)
}

/// A component of terms as an array with memory of NumPy's, which costs a small one less than the owner of a
/// buffer would.
fn array<'py, T: Element + Copy>(
    py: Python<'py>,
    terms: &[(u32, f64)],
    component: impl Fn(&(u32, f64)) -> T,
) -> Bound<'py, PyArray1<T>> {
    #[expect(unsafe_code, reason = "safe functions need the components in a buffer of their own")]
    // SAFETY: nobody else has the array yet, and it has an element for each of the terms.
    unsafe {
        let array = PyArray1::<T>::new(py, [terms.len()], false);
        for (place, term) in terms.iter().enumerate() {
            array.data().add(place).write(component(term));
        }
        array
    }
}

/// An object of a class in Python whose attributes are yet to be set, as unpickling makes one: a call of
/// `__init__` would take longer than all the rest.
fn without_init<'py>(class: &Bound<'py, PyType>) -> PyResult<Bound<'py, PyAny>> {
    let (py, arguments) = (class.py(), PyTuple::empty(class.py()));
    #[expect(unsafe_code, reason = "the safe way to `__new__` makes a tuple and looks up a method")]
    // SAFETY: the slot of a class in Python holds a `newfunc`, which takes the class, a tuple and perhaps a
    // dictionary, and returns a new reference, or null with an exception.
    unsafe {
        let slot = ffi::PyType_GetSlot(class.as_type_ptr(), ffi::Py_tp_new);
        let new = mem::transmute::<*mut c_void, Option<ffi::newfunc>>(slot);
        let object = new.map_or(ptr::null_mut(), |new| {
            new(class.as_type_ptr(), arguments.as_ptr(), ptr::null_mut())
        });
        Bound::from_owned_ptr_or_err(py, object)
    }
}

/// Vectors as an array of shape `(vectors, dim)`.
pub(crate) fn matrix(py: Python<'_>, vectors: MultiVector) -> Bound<'_, PyArray2<f32>> {
    let shape = (vectors.len(), vectors.dim());
    let array = Array2::from_shape_vec(shape, vectors.into_values());
    PyArray2::from_owned_array(py, array.expect("a multi-vector has whole vectors"))
}
