//! Options of a model, which the Python package writes as JSON.

use std::collections::HashSet;

use embedkit::{
    DenseOptions, ImageOptions, LoadOptions, Options, SparseOptions,
    image::{DecodeOptions, Jpeg},
};
use pyo3::{exceptions::PyValueError, prelude::*};
use serde::Deserialize;

/// Options that some families have, by the names of FastEmbed's parameters.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FamilyOptions {
    task: Option<String>,
    k: Option<f64>,
    b: Option<f64>,
    avg_len: Option<f64>,
    alpha: Option<f64>,
    language: Option<String>,
    token_max_length: Option<usize>,
    disable_stemmer: bool,
    stopwords: Option<HashSet<String>>,
    jpeg: JpegSize,
}

/// [`Jpeg`] by the names of the command line.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum JpegSize {
    #[default]
    Full,
    Scaled,
}

/// All options: `load` is a [`LoadOptions`], `family` what the family has beside it.
pub(crate) fn read(load: &str, family: &str) -> PyResult<Options> {
    let load: LoadOptions = parse("options", load)?;
    let family: FamilyOptions = parse("options of the family", family)?;
    let jpeg = match family.jpeg {
        JpegSize::Full => Jpeg::Full,
        JpegSize::Scaled => Jpeg::Scaled,
    };
    let decode = DecodeOptions { jpeg, ..DecodeOptions::default() };
    Ok(Options {
        image: ImageOptions { decode, ..ImageOptions::default() },
        dense: DenseOptions { task: family.task.clone() },
        sparse: family.into(),
        ..load.into()
    })
}

/// Options of BM25 alone.
pub(crate) fn sparse(family: &str) -> PyResult<SparseOptions> {
    Ok(parse::<FamilyOptions>("options of BM25", family)?.into())
}

impl From<FamilyOptions> for SparseOptions {
    fn from(options: FamilyOptions) -> Self {
        Self {
            k: options.k,
            b: options.b,
            avg_len: options.avg_len,
            alpha: options.alpha,
            language: options.language,
            token_max_length: options.token_max_length,
            disable_stemmer: options.disable_stemmer,
            stopwords: options.stopwords,
            stemmer: None, // one in Python runs in Python
        }
    }
}

/// A value from JSON; the empty text is the default.
pub(crate) fn parse<T: Default + for<'a> Deserialize<'a>>(what: &str, json: &str) -> PyResult<T> {
    if json.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_str(json).map_err(|error| PyValueError::new_err(format!("{what}: {error}")))
}
