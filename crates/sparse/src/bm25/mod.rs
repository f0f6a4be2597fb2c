//! BM25's document side: the share of a term's score that does not depend on the collection.
//!
//! Words are runs of letters and numbers, lower-cased, without stopwords, stemmed; a term's index is
//! a hash of its stem. Weights are computed in f64, in the original's order of operations.

mod seeded;
mod terms;
mod tokens;

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use embedkit_types::{Bm25Config, Error, Role, SparseEmbedding};

use self::{terms::Terms, tokens::each_token};
use crate::{
    OptionError, SparseOptions,
    hash::term_index,
    language::{Language, stopwords as stopwords_of},
    options::check,
    stemmer::Stemming,
    stopwords,
    terms::Terms as WeightedTerms,
    words::is_punctuation,
};

/// Where the lists of stopwords come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopwordLists<'a> {
    /// NLTK's lists, built in.
    BuiltIn,
    /// `<language>.txt` in a folder; none are left out where that is missing.
    Folder(&'a Path),
}

/// BM25 without a search engine: the weights of a text's terms, to be multiplied with the inverse
/// document frequency where the vectors are searched.
///
/// ```
/// use embedkit_sparse::{Bm25, SparseOptions, StopwordLists};
///
/// # let embedkit_types::Task::Sparse(task) =
/// #     &embedkit_core::registry::find_task("Qdrant/bm25", embedkit_types::TaskKind::Sparse)?.task else { panic!() };
/// # let embedkit_types::SparseKind::Bm25(facts) = &task.kind else { panic!() };
/// let bm25 = Bm25::new(facts, &SparseOptions::default(), StopwordLists::BuiltIn)?;
/// assert_eq!(bm25.stems("The foxes were jumping"), ["fox", "jump"]);
/// assert_eq!(bm25.weights("Hello World hello")[0], (613_153_351, 1.904311073541843));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Bm25 {
    k: f64,
    b: f64,
    avg_len: f64,
    rules: Rules,
    /// What has been learned of words; one for each thread that is at work.
    terms: Mutex<Vec<Terms>>,
}

/// Which words count, and as what.
#[derive(Debug)]
struct Rules {
    token_max_length: usize,
    stopwords: HashSet<String>,
    stemming: Stemming,
}

impl Rules {
    /// The stem of a token, handed to `take`; `None` for a token that is left out.
    fn stem<R>(&self, token: &str, take: impl FnOnce(&str) -> R) -> Option<R> {
        let too_long =
            || token.len() > self.token_max_length && token.chars().count() > self.token_max_length;
        if is_punctuation(token) || self.stopwords.contains(token) || too_long() {
            return None;
        }
        let stem = self.stemming.stem(token);
        (!stem.is_empty()).then(|| take(&stem))
    }
}

impl Bm25 {
    /// BM25 with the numbers and the language of a description, changed by options.
    ///
    /// # Errors
    /// A language without a stemmer where one is needed, numbers out of range, a stemmer given and
    /// switched off, a damaged list of stopwords.
    pub fn new(
        facts: &Bm25Config,
        options: &SparseOptions,
        lists: StopwordLists<'_>,
    ) -> Result<Self, Error> {
        let name = options.language.as_deref().unwrap_or(&facts.language);
        let language = Language::find(name);
        let stemming = match (&options.stemmer, options.disable_stemmer) {
            (Some(_), true) => return Err(OptionError::StemmerAndDisabled.into()),
            (Some(stemmer), false) => Stemming::Own(stemmer.clone()),
            (None, true) => Stemming::Off,
            (None, false) => Stemming::snowball(language.clone()?),
        };
        let stopwords = match (&options.stopwords, language) {
            (Some(words), _) => words.iter().map(|word| word.to_lowercase()).collect(),
            (None, Ok(language)) if !options.disable_stemmer => list(language, lists)?,
            _ => HashSet::new(),
        };
        Ok(Self {
            k: check("k", options.k.unwrap_or(facts.k))?,
            b: check("b", options.b.unwrap_or(facts.b))?,
            avg_len: check("avg_len", options.avg_len.unwrap_or(facts.avg_len))?,
            rules: Rules {
                token_max_length: options.token_max_length.unwrap_or(facts.token_max_length),
                stopwords,
                stemming,
            },
            terms: Mutex::default(),
        })
    }

    /// The vector of a document: weights rounded to f32.
    #[must_use]
    pub fn document(&self, text: &str) -> SparseEmbedding {
        let mut pairs = Vec::new();
        self.counter().document(text, &mut pairs);
        SparseEmbedding::from_pairs(pairs)
    }

    /// The vector of a query: 1 for each term.
    #[must_use]
    pub fn query(&self, text: &str) -> SparseEmbedding {
        let mut pairs = Vec::new();
        self.counter().query(text, &mut pairs);
        SparseEmbedding::from_pairs(pairs)
    }

    /// The weights of a document's terms in f64, in the order in which its terms come first.
    #[must_use]
    pub fn weights(&self, text: &str) -> WeightedTerms {
        let mut pairs = Vec::new();
        self.counter().weights(text, &mut pairs);
        pairs
    }

    /// Counts texts on one thread.
    pub(crate) fn counter(&self) -> Counter<'_> {
        Counter { bm25: self, terms: self.free().pop() }
    }

    fn free(&self) -> MutexGuard<'_, Vec<Terms>> {
        self.terms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tokens of a text, before any is left out.
    #[must_use]
    pub fn tokens(&self, text: &str) -> Vec<String> {
        let mut tokens = Vec::new();
        each_token(text, |token| tokens.push(token.as_str().to_owned()));
        tokens
    }

    /// The stems that a text is counted as, in order, with repeats.
    #[must_use]
    pub fn stems(&self, text: &str) -> Vec<String> {
        let mut stems = Vec::new();
        each_token(text, |token| {
            stems.extend(self.rules.stem(token.as_str(), str::to_owned));
        });
        stems
    }

    /// The number of [`tokens`](Self::tokens).
    #[must_use]
    pub fn token_count(&self, text: &str) -> usize {
        let mut count = 0;
        each_token(text, |_| count += 1);
        count
    }
}

/// Counts the stems of one text after the other, and remembers words for all that come later.
pub(crate) struct Counter<'a> {
    bm25: &'a Bm25,
    /// `None` after a stemmer of the caller's has panicked half-way.
    terms: Option<Terms>,
}

/// Each function adds the terms of one text to a list and returns how many words the text has.
impl Counter<'_> {
    /// The vector of a text in its role: weights rounded to f32, by ascending index.
    pub(crate) fn embed(&mut self, role: Role, text: &str, pairs: &mut Vec<(u32, f32)>) -> usize {
        match role {
            Role::Query => self.query(text, pairs),
            Role::Raw | Role::Document => self.document(text, pairs),
        }
    }

    /// The terms of a text in its role, in the order in which they come first.
    pub(crate) fn terms(&mut self, role: Role, text: &str, pairs: &mut WeightedTerms) -> usize {
        let start = pairs.len();
        let words = self.weights(text, pairs);
        if role == Role::Query {
            pairs[start..].iter_mut().for_each(|(_, weight)| *weight = 1.0);
        }
        words
    }

    fn document(&mut self, text: &str, pairs: &mut Vec<(u32, f32)>) -> usize {
        let start = pairs.len();
        #[expect(clippy::cast_possible_truncation, reason = "vectors are f32")]
        let (words, collide) = self.count(text, |index, weight| pairs.push((index, weight as f32)));
        if !collide {
            pairs[start..].sort_unstable_by_key(|&(index, _)| index);
            return words;
        }
        // Of stems with one index the last counts, as in the original.
        let mut own = pairs.split_off(start);
        own.sort_by_key(|&(index, _)| index);
        own.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 = next.1;
            }
            same
        });
        pairs.append(&mut own);
        words
    }

    fn query(&mut self, text: &str, pairs: &mut Vec<(u32, f32)>) -> usize {
        let start = pairs.len();
        let words = self.document(text, pairs);
        pairs[start..].iter_mut().for_each(|(_, weight)| *weight = 1.0);
        words
    }

    /// The weights of a document in f64 by first occurrence.
    fn weights(&mut self, text: &str, pairs: &mut WeightedTerms) -> usize {
        let start = pairs.len();
        let (words, collide) = self.count(text, |index, weight| pairs.push((index, weight)));
        if collide {
            let own = pairs.split_off(start);
            pairs.append(&mut merged(own));
        }
        words
    }

    /// Counts the stems of a text and hands indices and weights to `take`. Returns the number of words, and whether
    /// indices may be equal.
    fn count(&mut self, text: &str, mut take: impl FnMut(u32, f64)) -> (usize, bool) {
        let Bm25 { k, b, avg_len, rules, .. } = self.bm25;
        let mut terms = self.terms.take().unwrap_or_default();
        let (mut words, mut stems) = (0, 0usize);
        terms.begin();
        each_token(text, |token| {
            words += 1;
            stems += usize::from(terms.count(&token, rules));
        });
        #[expect(clippy::cast_precision_loss, reason = "counts of words")]
        let length = (1.0 - b) + b * stems as f64 / avg_len;
        let weight = |count: u32| {
            let count = f64::from(count);
            count * (k + 1.0) / (count + k * length)
        };
        // Most terms come once, and a division takes longer than the comparison.
        let once = weight(1);
        for (index, count) in terms.counts() {
            take(index, if count == 1 { once } else { weight(count) });
        }
        let collide = terms.collide();
        self.terms = Some(terms);
        (words, collide)
    }
}

impl Drop for Counter<'_> {
    fn drop(&mut self) {
        self.bm25.free().extend(self.terms.take());
    }
}

/// Each index once, where it comes first; of stems with one index the last counts, as in the original.
fn merged(pairs: WeightedTerms) -> WeightedTerms {
    let mut places = HashMap::with_capacity(pairs.len());
    let mut merged: WeightedTerms = Vec::with_capacity(pairs.len());
    for (index, weight) in pairs {
        let place = *places.entry(index).or_insert(merged.len());
        match merged.get_mut(place) {
            Some((_, kept)) => *kept = weight,
            None => merged.push((index, weight)),
        }
    }
    merged
}

/// The list of a language.
fn list(language: Language, lists: StopwordLists<'_>) -> Result<HashSet<String>, Error> {
    if language.list.is_none() {
        return Ok(HashSet::new());
    }
    Ok(match lists {
        StopwordLists::BuiltIn => {
            stopwords_of(language.name).into_iter().map(str::to_owned).collect()
        }
        StopwordLists::Folder(folder) => {
            stopwords::read_or_none(&folder.join(format!("{}.txt", language.name)))?
        }
    })
}
