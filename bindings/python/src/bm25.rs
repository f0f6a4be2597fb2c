//! The steps of BM25, for callers who change one of them.

use embedkit::{
    SparseOptions, TaskKind, registry,
    sparse::{Snowball, StopwordLists, stopwords, term_index},
    types::{SparseKind, Task},
};
use pyo3::{exceptions::PyValueError, prelude::*};

use crate::{errors::OrRaise, options};

/// BM25 without a search engine.
#[pyclass(frozen, module = "embedkit._embedkit")]
pub(crate) struct Bm25 {
    bm25: embedkit::sparse::Bm25,
}

#[pymethods]
impl Bm25 {
    #[new]
    #[pyo3(signature = (family=""))]
    fn new(py: Python<'_>, family: &str) -> PyResult<Self> {
        let options = options::sparse(family)?;
        let spec = registry::find_task("Qdrant/bm25", TaskKind::Sparse).or_raise(py)?;
        let Task::Sparse(task) = &spec.task else {
            return Err(PyValueError::new_err("the registry has no BM25"));
        };
        let SparseKind::Bm25(config) = &task.kind else {
            return Err(PyValueError::new_err("the registry has no BM25"));
        };
        let options = SparseOptions { disable_stemmer: true, ..options };
        let bm25 =
            embedkit::sparse::Bm25::new(config, &options, StopwordLists::BuiltIn).or_raise(py)?;
        Ok(Self { bm25 })
    }

    /// The lower-case words of a text, before any is left out.
    fn tokens(&self, text: &str) -> Vec<String> {
        self.bm25.tokens(text)
    }

    /// The index of a stem.
    #[staticmethod]
    fn term_index(stem: &str) -> u32 {
        term_index(stem)
    }

    /// The built-in list of a language; empty where there is none.
    #[staticmethod]
    fn stopwords(language: &str) -> Vec<String> {
        stopwords(language).into_iter().map(str::to_owned).collect()
    }
}

/// A Snowball stemmer.
#[pyclass(frozen, module = "embedkit._embedkit")]
pub(crate) struct Stemmer {
    stemmer: Snowball,
}

#[pymethods]
impl Stemmer {
    #[new]
    fn new(py: Python<'_>, language: &str) -> PyResult<Self> {
        Ok(Self { stemmer: Snowball::new(language).or_raise(py)? })
    }

    /// The stem of a lower-case word.
    fn stem_word(&self, word: &str) -> String {
        self.stemmer.stem(word).into_owned()
    }
}
