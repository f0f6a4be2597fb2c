//! The native module of the Python package `embedkit`: conversions between Python and
//! [`embedkit::Model`], and nothing that a Python module could do as well. Classes, their documentation
//! and their types are in `python/embedkit`.
//!
//! ```python
//! from embedkit import _embedkit
//!
//! model = _embedkit.Model.open("Qdrant/bm25", "sparse")
//! [terms] = model.embed_now("document", "text", ["the boat is rusty"], terms=True)
//! ```
//!
//! The interpreter's lock is released wherever a model works or a thread waits.

#![allow(
    clippy::needless_pass_by_value,
    reason = "arguments of Python's functions are extracted to values"
)]

mod bm25;
mod errors;
mod exchange;
mod inputs;
mod model;
mod options;
mod pending;
mod postprocess;
mod registry;
mod scoring;
mod stream;
mod values;

/// Native parts of embedkit. Its interface may change in any version: use `embedkit`.
#[pyo3::pymodule(gil_used = false)]
mod _embedkit {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::{
        bm25::{Bm25, Stemmer},
        model::Model,
        pending::Pending,
        postprocess::Muvera,
        registry::{describe, fetch, find, models, providers, resolve},
        scoring::{cosine, max_sim, pool_tokens, reciprocal_rank_fusion},
        stream::Stream,
    };

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
