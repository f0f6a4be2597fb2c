//! What a caller may change about a sparse model, in code or by name and value.

use std::collections::HashSet;

use embedkit_types::{Error, LoadOptions, SparseKind};

use crate::OptionError;
#[cfg(feature = "bm25")]
use crate::Stemmer;

/// What a caller may change about a sparse model; `None` leaves what the model's description says.
/// An option that the kind of model does not have is an error when the model is opened.
#[derive(Debug, Clone, Default)]
pub struct SparseOptions {
    /// BM25, MiniCOIL: how fast repeated terms stop to count; 0 or more.
    pub k: Option<f64>,
    /// BM25, MiniCOIL: how much long texts are marked down; 0 to 1.
    pub b: Option<f64>,
    /// BM25, MiniCOIL: the mean length of the texts, in terms; above 0.
    pub avg_len: Option<f64>,
    /// BM42: exponent of the weights.
    pub alpha: Option<f64>,
    /// BM25: the language of stemmer and stopwords, by its English name in any case.
    pub language: Option<String>,
    /// BM25: the longest word that is kept, in characters, before stemming.
    pub token_max_length: Option<usize>,
    /// BM25: neither stem nor leave out the language's stopwords. Any name of a language will do.
    pub disable_stemmer: bool,
    /// BM25: words to leave out, instead of the language's. Case does not matter.
    pub stopwords: Option<HashSet<String>>,
    /// BM25: a stemmer of the caller's own. Any name of a language will do.
    #[cfg(feature = "bm25")]
    pub stemmer: Option<Stemmer>,
}

const BM25: &[&str] =
    &["k", "b", "avg_len", "language", "disable_stemmer", "token_max_length", "stopwords"];
const MINICOIL: &[&str] = &["k", "b", "avg_len"];
const BM42: &[&str] = &["alpha"];

impl SparseOptions {
    /// The names of the options that a kind of model has, as [`set`](Self::set) takes them.
    #[must_use]
    pub fn names(kind: &SparseKind) -> &'static [&'static str] {
        match kind {
            SparseKind::Bm25(_) => BM25,
            SparseKind::MiniCoil(_) => MINICOIL,
            SparseKind::Bm42(_) => BM42,
            _ => &[],
        }
    }

    /// Sets an option by name, from text: numbers, `true` or `false`, the name of a language, and
    /// for `stopwords` the path of a file with one word a line.
    ///
    /// # Errors
    /// With an [`OptionError`] as the cause, an option that the kind of model does not have and a value
    /// that it cannot have; a file that cannot be read.
    pub fn set(&mut self, kind: &SparseKind, name: &str, value: &str) -> Result<(), Error> {
        let known = Self::names(kind);
        match known.iter().find(|&&option| option == name) {
            Some(&"k") => self.k = Some(check("k", parsed("k", value, COUNT_LIKE)?)?),
            Some(&"b") => self.b = Some(check("b", parsed("b", value, SHARE)?)?),
            Some(&"avg_len") => {
                self.avg_len = Some(check("avg_len", parsed("avg_len", value, POSITIVE)?)?);
            }
            Some(&"alpha") => self.alpha = Some(check("alpha", parsed("alpha", value, FINITE)?)?),
            Some(&"language") => self.language = Some(value.to_owned()),
            Some(&"token_max_length") => {
                self.token_max_length = Some(parsed("token_max_length", value, "a whole number")?);
            }
            Some(&"disable_stemmer") => {
                self.disable_stemmer = parsed("disable_stemmer", value, "true or false")?;
            }
            #[cfg(feature = "bm25")]
            Some(&"stopwords") => {
                let missing = || OptionError::Value {
                    option: "stopwords",
                    value: value.to_owned(),
                    expected: "a file with one word a line",
                };
                let words = crate::stopwords::read(value.as_ref())?.ok_or_else(missing)?;
                self.stopwords = Some(words);
            }
            _ => {
                let (kind, option) = (kind.name(), name.to_owned());
                return Err(OptionError::Unknown { kind, option, known }.into());
            }
        }
        Ok(())
    }

    /// Refuses what the kind of model does not have.
    #[cfg_attr(
        not(any(feature = "bm25", feature = "splade", feature = "bm42", feature = "minicoil")),
        allow(dead_code, reason = "there is no model to open")
    )]
    pub(crate) fn check(&self, kind: &SparseKind, load: &LoadOptions) -> Result<(), OptionError> {
        let known = Self::names(kind);
        #[cfg(feature = "bm25")]
        let stemmer = self.stemmer.is_some();
        #[cfg(not(feature = "bm25"))]
        let stemmer = false;
        let given = [
            ("k", self.k.is_some()),
            ("b", self.b.is_some()),
            ("avg_len", self.avg_len.is_some()),
            ("alpha", self.alpha.is_some()),
            ("language", self.language.is_some()),
            ("token_max_length", self.token_max_length.is_some()),
            ("disable_stemmer", self.disable_stemmer),
            ("stopwords", self.stopwords.is_some()),
            ("stemmer", stemmer),
            ("dim", load.dim.is_some()),
            ("max_tokens", load.max_tokens.is_some()),
        ];
        let takes = |option: &str| match option {
            "stemmer" => matches!(kind, SparseKind::Bm25(_)),
            "max_tokens" => !matches!(kind, SparseKind::Bm25(_)),
            option => known.contains(&option),
        };
        match given.iter().find(|&&(option, given)| given && !takes(option)) {
            Some((option, _)) => {
                let (kind, option) = (kind.name(), (*option).to_owned());
                Err(OptionError::Unknown { kind, option, known })
            }
            None => Ok(()),
        }
    }
}

const COUNT_LIKE: &str = "a number of 0 or more";
const SHARE: &str = "a number from 0 to 1";
const POSITIVE: &str = "a number above 0";
const FINITE: &str = "a finite number";

fn parsed<T: std::str::FromStr>(
    option: &'static str,
    value: &str,
    expected: &'static str,
) -> Result<T, OptionError> {
    let refused = |_| OptionError::Value { option, value: format!("{value:?}"), expected };
    value.parse().map_err(refused)
}

/// Checks a number, given or of the description. The original takes any, and divides by zero or
/// gives weights without a meaning.
pub(crate) fn check(option: &'static str, value: f64) -> Result<f64, OptionError> {
    let (allowed, expected) = match option {
        "k" => (value >= 0.0, COUNT_LIKE),
        "b" => ((0.0..=1.0).contains(&value), SHARE),
        "avg_len" => (value > 0.0, POSITIVE),
        _ => (true, FINITE),
    };
    if allowed && value.is_finite() {
        Ok(value)
    } else {
        Err(OptionError::Value { option, value: value.to_string(), expected })
    }
}

#[cfg(test)]
mod tests {
    use embedkit_core::registry;
    use embedkit_types::{Task, TaskKind};

    use super::*;

    fn kind(id: &str) -> &'static SparseKind {
        match &registry::find_task(id, TaskKind::Sparse).unwrap().task {
            Task::Sparse(task) => &task.kind,
            other => panic!("{}", other.name()),
        }
    }

    #[test]
    fn options_by_name() {
        let bm25 = kind("Qdrant/bm25");
        let mut options = SparseOptions::default();
        for (name, value) in [
            ("k", "1.5"),
            ("b", "0"),
            ("avg_len", "1e2"),
            ("language", "french"),
            ("disable_stemmer", "true"),
            ("token_max_length", "7"),
        ] {
            options.set(bm25, name, value).unwrap();
        }
        assert_eq!((options.k, options.b, options.avg_len), (Some(1.5), Some(0.0), Some(100.0)));
        assert_eq!(options.language.as_deref(), Some("french"));
        assert!(options.disable_stemmer && options.token_max_length == Some(7));
        let load = LoadOptions::default();
        options.check(bm25, &load).unwrap();
        let error = options.check(kind("Qdrant/minicoil-v1"), &load).unwrap_err();
        assert!(error.to_string().starts_with("minicoil has no option \"language\""), "{error}");
    }

    #[test]
    fn options_of_other_families_are_refused() {
        let load = LoadOptions { dim: Some(64), ..LoadOptions::default() };
        let error = SparseOptions::default().check(kind("Qdrant/bm25"), &load).unwrap_err();
        assert!(error.to_string().starts_with("bm25 has no option \"dim\""), "{error}");
    }

    #[test]
    fn wrong_values_and_names_are_refused() {
        let bm25 = kind("Qdrant/bm25");
        let mut options = SparseOptions::default();
        for (name, value) in [
            ("k", "-1"),
            ("k", "x"),
            ("k", "inf"),
            ("b", "1.5"),
            ("avg_len", "0"),
            ("avg_len", "nan"),
            ("disable_stemmer", "yes"),
            ("token_max_length", "-3"),
            ("stopwords", "/no/such/file"),
            ("alpha", "1"),
            ("stemmer", "x"),
        ] {
            options.set(bm25, name, value).unwrap_err();
        }
        options.set(kind("Qdrant/bm42-all-minilm-l6-v2-attentions"), "alpha", "-1").unwrap();
        let splade = kind("prithivida/Splade_PP_en_v1");
        let error = SparseOptions::default().set(splade, "k", "1").unwrap_err();
        assert_eq!(error.to_string(), "splade has no option \"k\"; it has []");
    }
}
