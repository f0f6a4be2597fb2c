//! Models whose files are in memory.

use std::{collections::BTreeMap, io};

use embedkit_describe::{DescribeError, Description, Files, describe};
use embedkit_types::{Error, ErrorKind};

/// Files in memory.
#[derive(Clone, Default)]
pub(crate) struct Model(pub(crate) BTreeMap<String, Vec<u8>>);

impl Model {
    pub(crate) fn with(mut self, path: &str, content: impl AsRef<[u8]>) -> Self {
        self.0.insert(path.to_owned(), content.as_ref().to_vec());
        self
    }

    pub(crate) fn describe(&self) -> Result<Description, DescribeError> {
        describe("me/model", self)
    }
}

impl Files for Model {
    fn paths(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn read(&self, path: &str, most: usize) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.get(path).map(|content| content[..content.len().min(most)].to_vec()))
    }
}

/// Checks the class of the error, that it has a hint, and that its message has these parts.
#[track_caller]
pub(crate) fn fails(model: &Model, kind: ErrorKind, parts: &[&str]) {
    let error = Error::from(model.describe().expect_err("an error"));
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    for part in parts.iter().chain(&["me/model"]) {
        assert!(text.contains(part), "{text:?} has no {part:?}");
    }
    assert!(error.hint().is_some(), "{text}");
}
