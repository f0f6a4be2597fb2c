//! Objects of Python as inputs of a model.

use std::{borrow::Cow, path::PathBuf, sync::Arc};

use embedkit::{Input, image::RgbImage};
use pyo3::{
    exceptions::PyTypeError,
    prelude::*,
    types::{PyBytes, PyString, PyTuple},
};

use crate::errors::OrRaise;

/// Meaning of the objects that a caller passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `str` is a text.
    Text,
    /// `str` and paths are files; `bytes` are the content of one; `(width, height, bytes)` are pixels.
    Image,
    /// `(str, str)` is a query with a document.
    Pair,
    /// `str` is a text, two of them are a pair, the rest are images.
    Any,
}

impl Kind {
    /// The kind of a name, which the package's own modules choose.
    pub(crate) fn named(name: &str) -> PyResult<Self> {
        Ok(match name {
            "text" => Self::Text,
            "image" => Self::Image,
            "pair" => Self::Pair,
            "any" => Self::Any,
            other => {
                return Err(PyTypeError::new_err(format!("there is no kind of input {other:?}")));
            }
        })
    }

    /// Words for what is expected.
    fn expected(self) -> &'static str {
        match self {
            Self::Text => "a str",
            Self::Image => "a path, a PIL image or the bytes of a file",
            Self::Pair => "a pair of str: query and document",
            Self::Any => "a str, a pair of str, a path, a PIL image or the bytes of a file",
        }
    }
}

/// Inputs of one stream, one after the other.
#[derive(Debug)]
pub(crate) struct Reader {
    kind: Kind,
    /// The query of the last pair, which the next one often shares.
    query: Option<Arc<str>>,
    read: usize,
}

impl Reader {
    pub(crate) fn new(kind: Kind) -> Self {
        Self { kind, query: None, read: 0 }
    }

    /// One object as an input.
    pub(crate) fn input(&mut self, object: &Bound<'_, PyAny>) -> PyResult<Input> {
        let input = match self.kind {
            Kind::Text => text(object)?.map(|text| Input::Text(text.into())),
            Kind::Pair => self.pair(object)?,
            Kind::Image => image(object, true)?,
            Kind::Any => match text(object)? {
                Some(text) => Some(Input::Text(text.into())),
                None => match self.pair(object)? {
                    Some(pair) => Some(pair),
                    None => image(object, false)?,
                },
            },
        };
        let position = self.read;
        self.read += 1;
        input.ok_or_else(|| {
            let (expected, found) = (self.kind.expected(), object.get_type());
            let found = found.name().map_or_else(|_| "?".to_owned(), |name| name.to_string());
            PyTypeError::new_err(format!(
                "input {position} is of type {found}, expected {expected}"
            ))
        })
    }

    fn pair(&mut self, object: &Bound<'_, PyAny>) -> PyResult<Option<Input>> {
        let Ok((query, document)) = object.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>() else {
            return Ok(None);
        };
        let (Some(query), Some(document)) = (text(&query)?, text(&document)?) else {
            return Ok(None);
        };
        let query = match self.query.take().filter(|last| **last == *query) {
            Some(same) => same,
            None => query.into(),
        };
        self.query = Some(Arc::clone(&query));
        Ok(Some(Input::Pair { query, document: document.into() }))
    }
}

/// A text; `None` for another object.
fn text<'a>(object: &'a Bound<'_, PyAny>) -> PyResult<Option<Cow<'a, str>>> {
    match object.cast::<PyString>() {
        // A lone surrogate is no Unicode text: the exception is Python's own.
        Ok(text) => text.to_cow().map(Some),
        Err(_) => Ok(None),
    }
}

fn image(object: &Bound<'_, PyAny>, names: bool) -> PyResult<Option<Input>> {
    if let Ok(bytes) = object.cast::<PyBytes>() {
        return Ok(Some(Input::image(bytes.as_bytes().to_vec())));
    }
    if let Ok(pixels) = object.cast::<PyTuple>() {
        let Ok((width, height, pixels)) = pixels.extract::<(u32, u32, Bound<'_, PyBytes>)>() else {
            return Ok(None);
        };
        let image = RgbImage::new(width, height, pixels.as_bytes().to_vec());
        return image.or_raise(object.py()).map(|image| Some(Input::image(image)));
    }
    let is_path = object.hasattr("__fspath__")? || (names && object.is_instance_of::<PyString>());
    if !is_path {
        return Ok(None);
    }
    object.extract::<PathBuf>().map(|path| Some(Input::image(path)))
}
