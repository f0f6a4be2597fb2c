//! The languages of the stemmers.

use rust_stemmers::Algorithm;

use crate::OptionError;

/// Name, stemmer, and the code of its list of stopwords. NLTK, and so the original, has none for
/// Tamil.
const LANGUAGES: [(&str, Algorithm, Option<&str>); 18] = [
    ("arabic", Algorithm::Arabic, Some("ar")),
    ("danish", Algorithm::Danish, Some("da")),
    ("dutch", Algorithm::Dutch, Some("nl")),
    ("english", Algorithm::English, Some("en")),
    ("finnish", Algorithm::Finnish, Some("fi")),
    ("french", Algorithm::French, Some("fr")),
    ("german", Algorithm::German, Some("de")),
    ("greek", Algorithm::Greek, Some("el")),
    ("hungarian", Algorithm::Hungarian, Some("hu")),
    ("italian", Algorithm::Italian, Some("it")),
    ("norwegian", Algorithm::Norwegian, Some("no")),
    ("portuguese", Algorithm::Portuguese, Some("pt")),
    ("romanian", Algorithm::Romanian, Some("ro")),
    ("russian", Algorithm::Russian, Some("ru")),
    ("spanish", Algorithm::Spanish, Some("es")),
    ("swedish", Algorithm::Swedish, Some("sv")),
    ("tamil", Algorithm::Tamil, None),
    ("turkish", Algorithm::Turkish, Some("tr")),
];

/// A language with a Snowball stemmer.
#[derive(Clone, Copy)]
pub(crate) struct Language {
    /// In lower case, as files of stopwords are named.
    #[cfg_attr(not(feature = "bm25"), expect(dead_code, reason = "only BM25 has lists in files"))]
    pub(crate) name: &'static str,
    pub(crate) algorithm: Algorithm,
    /// Code of the list of stopwords, if there is one.
    #[cfg_attr(not(feature = "bm25"), expect(dead_code, reason = "only BM25 has built-in lists"))]
    pub(crate) list: Option<&'static str>,
}

impl Language {
    /// The language of an English name, in any case; the original knows lower case only.
    pub(crate) fn find(name: &str) -> Result<Self, OptionError> {
        let found = LANGUAGES.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name));
        let &(name, algorithm, list) = found.ok_or_else(|| OptionError::UnknownLanguage {
            language: name.to_owned(),
            known: LANGUAGES.iter().map(|(name, ..)| *name).collect(),
        })?;
        Ok(Self { name, algorithm, list })
    }
}

/// The words that BM25 leaves out of texts in a language, by its English name in any case; none where there
/// is no list.
#[cfg(feature = "bm25")]
#[must_use]
pub fn stopwords(language: &str) -> Vec<&'static str> {
    let code = Language::find(language).ok().and_then(|language| language.list);
    let list = code.and_then(stop_words::lookup);
    list.map(<[_]>::to_vec).unwrap_or_default()
}
