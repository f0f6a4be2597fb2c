//! JSON files, read within bounds, whose fields are checked one by one.

use std::{fmt::Display, ops::RangeInclusive};

use serde_json::{Map, Value};

use crate::{DescribeError, Fact, Files, Place};

/// Most bytes of a configuration; the label names of large classifiers take the most.
const MOST_BYTES: usize = 10_000_000;
/// Dimensions of vectors that are taken for real.
pub(crate) const DIMS: RangeInclusive<usize> = 1..=65_536;
/// Tokens of a text that are taken for real.
pub(crate) const TOKENS: RangeInclusive<usize> = 1..=1_048_576;
/// Most characters of a value in an error.
const BRIEF: usize = 80;

/// The files of one model, and the facts that came from them.
pub(crate) struct Reader<'a> {
    pub(crate) model: &'a str,
    files: &'a dyn Files,
    pub(crate) paths: Vec<String>,
    pub(crate) facts: Vec<Fact>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(model: &'a str, files: &'a dyn Files) -> Self {
        let mut paths = files.paths();
        paths.sort();
        Self { model, files, paths, facts: Vec::new() }
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.paths.binary_search_by(|known| known.as_str().cmp(path)).is_ok()
    }

    /// Notes that a field of the description has this value because of `file`.
    pub(crate) fn note(&mut self, field: &'static str, value: &dyn Display, file: &str) {
        self.facts.push(Fact { field, value: value.to_string(), file: file.to_owned() });
    }

    /// Content of a file of at most `limit` bytes.
    pub(crate) fn bytes(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, DescribeError> {
        let content = self.start(path, limit.saturating_add(1))?;
        if content.as_ref().is_some_and(|content| content.len() > limit) {
            let (model, file) = (self.model.to_owned(), path.to_owned());
            return Err(DescribeError::TooLarge { model, file, limit });
        }
        Ok(content)
    }

    /// The first `most` bytes of a file.
    pub(crate) fn start(&self, path: &str, most: usize) -> Result<Option<Vec<u8>>, DescribeError> {
        let (model, file) = (self.model, path);
        self.files.read(path, most).map_err(|source| DescribeError::Read {
            model: model.to_owned(),
            file: file.to_owned(),
            source,
        })
    }

    /// The JSON value in a file.
    pub(crate) fn json(&self, path: &str) -> Result<Option<Value>, DescribeError> {
        let Some(bytes) = self.bytes(path, MOST_BYTES)? else { return Ok(None) };
        // The parser has a limit on depth.
        serde_json::from_slice(&bytes).map(Some).map_err(|source| DescribeError::Json {
            model: self.model.to_owned(),
            file: path.to_owned(),
            source,
        })
    }

    /// The JSON object in a file.
    pub(crate) fn document(&self, path: &str) -> Result<Option<Document>, DescribeError> {
        let Some(value) = self.json(path)? else { return Ok(None) };
        self.object(path, "", value).map(Some)
    }

    /// The JSON object in a file that has to exist.
    pub(crate) fn required(&self, path: &str, by: &str) -> Result<Document, DescribeError> {
        self.document(path)?.ok_or_else(|| self.missing_file(path, by))
    }

    /// The error of a value that a file cannot have.
    pub(crate) fn wrong(
        &self,
        file: &str,
        field: &str,
        expected: &str,
        got: &Value,
    ) -> DescribeError {
        let (model, expected) = (self.model.to_owned(), expected.to_owned());
        DescribeError::Wrong { model, got: place(file, field, brief(got)), expected }
    }

    /// The error of a file that `by` needs.
    pub(crate) fn missing_file(&self, file: &str, by: &str) -> DescribeError {
        let (model, file, needed_by) = (self.model.to_owned(), file.to_owned(), by.to_owned());
        DescribeError::MissingFile { model, file, needed_by }
    }

    /// The error of a value that asks for something that is not done here.
    pub(crate) fn unsupported(
        &self,
        file: &str,
        field: &str,
        got: &str,
        supported: &str,
    ) -> DescribeError {
        let got = place(file, field, got.chars().take(BRIEF).collect());
        let (model, supported) = (self.model.to_owned(), supported.to_owned());
        DescribeError::Unsupported { model, got, supported }
    }

    /// A JSON object that was found as `field` in a file.
    pub(crate) fn object(
        &self,
        file: &str,
        field: &str,
        value: Value,
    ) -> Result<Document, DescribeError> {
        match value {
            Value::Object(fields) => Ok(Document {
                model: self.model.to_owned(),
                file: file.to_owned(),
                prefix: if field.is_empty() { String::new() } else { format!("{field}.") },
                fields,
            }),
            other => Err(self.wrong(file, field, "an object", &other)),
        }
    }
}

/// A place for an error; the whole of a file has no field.
fn place(file: &str, field: &str, value: String) -> Box<Place> {
    let field = if field.is_empty() { "(root)" } else { field };
    Box::new(Place { file: file.to_owned(), field: field.to_owned(), value })
}

/// A JSON object and the file that it is from. A field that is null counts as absent.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    model: String,
    pub(crate) file: String,
    /// Path of the object within the file, with a dot behind it.
    prefix: String,
    pub(crate) fields: Map<String, Value>,
}

impl Document {
    pub(crate) fn get(&self, field: &str) -> Option<&Value> {
        self.fields.get(field).filter(|value| !value.is_null())
    }

    pub(crate) fn missing(&self, field: &str) -> DescribeError {
        DescribeError::Missing {
            model: self.model.clone(),
            file: self.file.clone(),
            field: self.path(field),
        }
    }

    pub(crate) fn wrong(&self, field: &str, expected: &str, got: &Value) -> DescribeError {
        let got = place(&self.file, &self.path(field), brief(got));
        DescribeError::Wrong { model: self.model.clone(), got, expected: expected.to_owned() }
    }

    pub(crate) fn unsupported(
        &self,
        field: &str,
        got: &dyn Display,
        supported: &str,
    ) -> DescribeError {
        let got = got.to_string().chars().take(BRIEF).collect();
        let got = place(&self.file, &self.path(field), got);
        let (model, supported) = (self.model.clone(), supported.to_owned());
        DescribeError::Unsupported { model, got, supported }
    }

    /// The error of a field whose value is another one than that of a field before it.
    pub(crate) fn contradiction(
        &self,
        field: &str,
        got: &dyn Display,
        other: &Origin,
    ) -> DescribeError {
        let here = place(&self.file, field, got.to_string());
        let there = place(&other.file, &other.field, other.value.to_string());
        DescribeError::Contradiction { model: self.model.clone(), here, there }
    }

    /// A field with the object that it is in.
    fn path(&self, field: &str) -> String {
        format!("{}{field}", self.prefix)
    }

    pub(crate) fn text(&self, field: &str) -> Result<Option<&str>, DescribeError> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(field, "a text", other)),
        }
    }

    pub(crate) fn flag(&self, field: &str) -> Result<Option<bool>, DescribeError> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(self.wrong(field, "true or false", other)),
        }
    }

    pub(crate) fn size(
        &self,
        field: &str,
        range: RangeInclusive<usize>,
    ) -> Result<Option<usize>, DescribeError> {
        let Some(value) = self.get(field) else { return Ok(None) };
        let size = value.as_u64().and_then(|size| usize::try_from(size).ok());
        match size.filter(|size| range.contains(size)) {
            Some(size) => Ok(Some(size)),
            None => {
                let expected = format!("an integer from {} to {}", range.start(), range.end());
                Err(self.wrong(field, &expected, value))
            }
        }
    }

    /// A size with the place that it is from; the first of `fields` that has one.
    pub(crate) fn dim(&self, fields: &[&str]) -> Result<Option<Origin>, DescribeError> {
        for field in fields {
            if let Some(value) = self.size(field, DIMS)? {
                let field = self.path(field);
                return Ok(Some(Origin { file: self.file.clone(), field, value }));
            }
        }
        Ok(None)
    }

    pub(crate) fn list(&self, field: &str) -> Result<Option<&[Value]>, DescribeError> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            Some(other) => Err(self.wrong(field, "a list", other)),
        }
    }

    /// A list of texts.
    pub(crate) fn texts(&self, field: &str) -> Result<Option<Vec<&str>>, DescribeError> {
        let Some(list) = self.list(field)? else { return Ok(None) };
        let text = |value: &'_ Value| -> Result<(), DescribeError> {
            value.as_str().map(|_| ()).ok_or_else(|| self.wrong(field, "a list of texts", value))
        };
        list.iter().try_for_each(text)?;
        Ok(Some(list.iter().filter_map(Value::as_str).collect()))
    }

    /// The error of a field that has a value, unless it is an empty object or list.
    pub(crate) fn refuse(&self, field: &str) -> Result<(), DescribeError> {
        match self.get(field) {
            None => Ok(()),
            Some(Value::Object(fields)) if fields.is_empty() => Ok(()),
            Some(Value::Array(list)) if list.is_empty() => Ok(()),
            Some(other) => Err(self.unsupported(field, &brief(other), "none")),
        }
    }

    /// An object within the object.
    pub(crate) fn inner(&self, field: &str) -> Result<Option<Self>, DescribeError> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::Object(fields)) => Ok(Some(Self {
                model: self.model.clone(),
                file: self.file.clone(),
                prefix: format!("{}{field}.", self.prefix),
                fields: fields.clone(),
            })),
            Some(other) => Err(self.wrong(field, "an object", other)),
        }
    }
}

/// A dimension and the place that it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) file: String,
    pub(crate) field: String,
    pub(crate) value: usize,
}

/// Shortens a value for an error.
pub(crate) fn brief(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        scalar => scalar.to_string().chars().take(BRIEF).collect(),
    }
}
