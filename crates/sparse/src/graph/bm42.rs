//! BM42: words weighted by the attention that the first token pays them.

use std::collections::{HashMap, HashSet};

use embedkit_core::{
    Error as CoreError,
    onnx::Row,
    tokenizer::{Side, Tokenizer, Tokens},
};
use embedkit_types::{Bm42Config, Error, ModelFiles};

use super::subwords::{Word, join};
use crate::{
    OptionError, SparseOptions, hash::term_index, language::Language, options::check,
    stemmer::Stemming, stopwords, terms::Terms,
};

#[derive(Debug)]
pub(super) struct Bm42 {
    alpha: f64,
    stemming: Stemming,
    stopwords: HashSet<String>,
    special: HashSet<u32>,
    prefix: String,
}

impl Bm42 {
    pub(super) fn open(
        facts: &Bm42Config,
        files: &ModelFiles,
        tokenizer: &Tokenizer,
        options: &SparseOptions,
    ) -> Result<Self, Error> {
        let no_prefix = || CoreError::InvalidFile {
            path: files.tokenizer_path("tokenizer.json"),
            reason: "its model does not mark tokens that continue a word, so words cannot be put \
                     together again"
                .to_owned(),
        };
        Ok(Self {
            alpha: check("alpha", options.alpha.unwrap_or(facts.alpha))?,
            stemming: Stemming::snowball(Language::find(&facts.language)?),
            stopwords: stopwords::read_or_none(&files.path(facts.stopwords_file.as_ref()))?,
            special: tokenizer.special_ids(),
            prefix: tokenizer.continuing_subword_prefix().ok_or_else(no_prefix)?.to_owned(),
        })
    }

    /// The terms of a document from its attention `[heads, tokens, tokens]`, padding included.
    pub(super) fn finish(
        &self,
        text: &Tokens,
        row: &Row<'_>,
        tokenizer: &Tokenizer,
    ) -> Result<Terms, Error> {
        let shape_error = || row.shape_error("[texts, heads, tokens, tokens]");
        let &[heads, from, to] = row.shape else { return Err(shape_error().into()) };
        if heads == 0 || from != to || to < text.ids.len() {
            return Err(shape_error().into());
        }
        let start = match tokenizer.padding().side {
            Side::Left => to - text.ids.len(),
            Side::Right => 0,
        };
        #[expect(clippy::cast_precision_loss, reason = "a number of heads")]
        let attention = |position: usize| {
            let paid = |head: usize| row.values[head * from * to + start + position];
            // In f32, head by head, as the original.
            f64::from((0..heads).map(paid).sum::<f32>() / heads as f32)
        };
        let mut stems: Vec<(String, f64)> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        for word in self.words(text, tokenizer)? {
            let weight = word.positions.iter().map(|&position| attention(position)).sum();
            let stem = self.stemming.stem(&word.text).into_owned();
            match places.get(&stem) {
                Some(&place) if weight > stems[place].1 => stems[place].1 = weight,
                Some(_) => {}
                None => {
                    places.insert(stem.clone(), stems.len());
                    stems.push((stem, if weight > 0.0 { weight } else { 0.0 }));
                }
            }
        }
        // Of stems with one index the last counts, in the place of the first, as in the original.
        let mut terms = Terms::with_capacity(stems.len());
        let mut places: HashMap<u32, usize> = HashMap::with_capacity(stems.len());
        for (stem, weight) in stems {
            let (index, value) = (term_index(&stem), self.value(weight)?);
            match places.get(&index) {
                Some(&place) => terms[place].1 = value,
                None => {
                    places.insert(index, terms.len());
                    terms.push((index, value));
                }
            }
        }
        Ok(terms)
    }

    /// The terms of a query: 1 for each word.
    pub(super) fn query(&self, text: &Tokens, tokenizer: &Tokenizer) -> Result<Terms, Error> {
        let words = self.words(text, tokenizer)?;
        let index = |word: Word| term_index(&self.stemming.stem(&word.text));
        let mut seen = HashSet::with_capacity(words.len());
        let indices = words.into_iter().map(index).filter(|&index| seen.insert(index));
        Ok(indices.map(|index| (index, 1.0)).collect())
    }

    /// The words that count, before stemming.
    fn words(&self, text: &Tokens, tokenizer: &Tokenizer) -> Result<Vec<Word>, Error> {
        let mut words = join(&text.ids, tokenizer, &self.prefix, |id| self.special.contains(&id))?;
        // ASCII punctuation only, unlike in BM25.
        let punctuation = |word: &str| matches!(word.as_bytes(), [c] if c.is_ascii_punctuation());
        words.retain(|word| !self.stopwords.contains(&word.text) && !punctuation(&word.text));
        Ok(words)
    }

    fn value(&self, weight: f64) -> Result<f64, Error> {
        // Not `ln_1p`: the original's last digits are those of the sum.
        let value = (1.0 + weight).ln().powf(self.alpha);
        if value.abs() <= f64::from(f32::MAX) || !weight.is_finite() {
            return Ok(value);
        }
        let expected = "a number of 0 or more where a word gets no attention";
        Err(OptionError::Value { option: "alpha", value: self.alpha.to_string(), expected }.into())
    }
}
