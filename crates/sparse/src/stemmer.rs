//! From a word to its stem.

use std::{borrow::Cow, fmt, sync::Arc};

use crate::language::Language;

/// A stemmer of the caller's own: from a lower-case word to its stem, which may be empty to leave
/// the word out. It has to give the same stem for the same word, since stems are remembered.
#[derive(Clone)]
pub struct Stemmer(Arc<dyn Fn(&str) -> String + Send + Sync>);

impl Stemmer {
    /// A stemmer from a function.
    pub fn new(stem: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        Self(Arc::new(stem))
    }
}

impl fmt::Debug for Stemmer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stemmer")
    }
}

/// How words become stems.
pub(crate) enum Stemming {
    Snowball(rust_stemmers::Stemmer),
    Own(Stemmer),
    /// Words are their own stems.
    Off,
}

impl Stemming {
    pub(crate) fn snowball(language: Language) -> Self {
        Self::Snowball(rust_stemmers::Stemmer::create(language.algorithm))
    }

    pub(crate) fn stem<'a>(&self, word: &'a str) -> Cow<'a, str> {
        match self {
            Self::Snowball(stemmer) => stemmer.stem(word),
            Self::Own(Stemmer(stem)) => Cow::Owned(stem(word)),
            Self::Off => Cow::Borrowed(word),
        }
    }
}

impl fmt::Debug for Stemming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Snowball(_) => "Snowball",
            Self::Own(_) => "Own",
            Self::Off => "Off",
        })
    }
}
