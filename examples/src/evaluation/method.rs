//! Methods of retrieval, made of models.

use std::{fmt, str::FromStr};

use anyhow::{Error, ensure};

/// Models that search, fused by rank if there are several, and one that puts the best in order.
///
/// Written as `words`, `words+dense` or `words+dense>reranker`, with names of models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Method {
    /// Models that search all documents.
    pub first: Vec<String>,
    /// The model that scores the best of these again.
    pub then: Option<String>,
}

impl Method {
    /// Its models, each once.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        let then = self.then.iter().filter(|then| !self.first.contains(then));
        self.first.iter().chain(then).map(String::as_str)
    }
}

impl FromStr for Method {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (first, then) = match text.split_once('>') {
            Some((first, then)) => (first, Some(then.to_owned())),
            None => (text, None),
        };
        let method = Self { first: first.split('+').map(str::to_owned).collect(), then };
        let is_name = |name: &str| !name.is_empty() && !name.contains(['>', '+']);
        ensure!(method.models().all(is_name), "{text:?} is no method: expected a, a+b or a+b>c");
        Ok(method)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.first.join("+"))?;
        self.then.iter().try_for_each(|then| write!(f, ">{then}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_read_as_they_are_written() {
        for text in ["a", "a+b", "a>b", "a+b+c>d"] {
            assert_eq!(text.parse::<Method>().expect("a method").to_string(), text);
        }
        for text in ["", "a+", ">a", "a>", "a>b>c", "a>b+c"] {
            let error = text.parse::<Method>().expect_err("no method").to_string();
            assert!(error.starts_with(&format!("{text:?} is no method")), "{error}");
        }
    }

    #[test]
    fn a_model_that_is_there_twice_counts_once() {
        let method: Method = "a+b>b".parse().expect("a method");
        assert_eq!(method.models().collect::<Vec<_>>(), ["a", "b"]);
    }
}
