//! From a word to its stem.

use std::{borrow::Cow, fmt};

use crate::language::Language;

/// A stemmer of the caller's own: from a lower-case word to its stem, which may be empty to leave
/// the word out. It has to give the same stem for the same word, since stems are remembered.
#[cfg(feature = "bm25")]
#[derive(Clone)]
pub struct Stemmer(std::sync::Arc<dyn Fn(&str) -> String + Send + Sync>);

#[cfg(feature = "bm25")]
impl Stemmer {
    /// A stemmer from a function.
    pub fn new(stem: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        Self(std::sync::Arc::new(stem))
    }
}

#[cfg(feature = "bm25")]
impl fmt::Debug for Stemmer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stemmer")
    }
}

/// The Snowball stemmer of a language, which BM25 uses.
///
/// ```
/// use embedkit_sparse::Snowball;
///
/// assert_eq!(Snowball::new("english")?.stem("jumping"), "jump");
/// # Ok::<(), embedkit_types::Error>(())
/// ```
#[cfg(feature = "bm25")]
#[derive(Debug)]
pub struct Snowball(Stemming);

#[cfg(feature = "bm25")]
impl Snowball {
    /// The stemmer of a language, by its English name in any case.
    ///
    /// # Errors
    /// A language without a stemmer.
    pub fn new(language: &str) -> Result<Self, embedkit_types::Error> {
        Ok(Self(Stemming::snowball(Language::find(language)?)))
    }

    /// The stem of a lower-case word.
    #[must_use]
    pub fn stem<'a>(&self, word: &'a str) -> Cow<'a, str> {
        self.0.stem(word)
    }
}

/// How words become stems.
pub(crate) enum Stemming {
    Snowball(rust_stemmers::Stemmer),
    #[cfg(feature = "bm25")]
    Own(Stemmer),
    /// Words are their own stems.
    #[cfg(feature = "bm25")]
    Off,
}

impl Stemming {
    pub(crate) fn snowball(language: Language) -> Self {
        Self::Snowball(rust_stemmers::Stemmer::create(language.algorithm))
    }

    pub(crate) fn stem<'a>(&self, word: &'a str) -> Cow<'a, str> {
        match self {
            Self::Snowball(stemmer) => stemmer.stem(word),
            #[cfg(feature = "bm25")]
            Self::Own(Stemmer(stem)) => Cow::Owned(stem(word)),
            #[cfg(feature = "bm25")]
            Self::Off => Cow::Borrowed(word),
        }
    }
}

impl fmt::Debug for Stemming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Snowball(_) => "Snowball",
            #[cfg(feature = "bm25")]
            Self::Own(_) => "Own",
            #[cfg(feature = "bm25")]
            Self::Off => "Off",
        })
    }
}
