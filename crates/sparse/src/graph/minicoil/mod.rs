//! MiniCOIL: words of a list become a few numbers for their meaning in the text; all others are BM25
//! terms. Both are weighted as in BM25.

mod entries;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod vocab;
mod weights;

use std::collections::{BTreeMap, HashMap, HashSet};

use embedkit_core::{
    Error as CoreError,
    onnx::Row,
    tokenizer::{Tokenizer, Tokens},
};
use embedkit_types::{Error, MiniCoilConfig, ModelFiles, Role};

use self::{
    entries::{Entries, Entry},
    vocab::Vocab,
    weights::Weights,
};
use super::subwords::join;
use crate::{
    SparseOptions, hash::term_index, language::Language, options::check, stemmer::Stemming,
    stopwords, terms::Terms,
};

/// Indices of unknown words begin at a multiple of this, at least one whole above the list's.
const GAP: u64 = 32_000;
/// Indices are below this: the original's are signed 32-bit numbers.
const END: u64 = (1 << 31) - 1;
/// Tokens that continue a word, whatever the tokenizer says, as in the original.
const PREFIX: &str = "##";

#[derive(Debug)]
pub(super) struct MiniCoil {
    k: f64,
    b: f64,
    avg_len: f64,
    stemming: Stemming,
    stopwords: HashSet<String>,
    vocab: Vocab,
    weights: Weights,
    /// First index of unknown words.
    unknown: u64,
}

impl MiniCoil {
    pub(super) fn open(
        facts: &MiniCoilConfig,
        files: &ModelFiles,
        options: &SparseOptions,
    ) -> Result<Self, Error> {
        let vocab = Vocab::read(&files.path(facts.vocab_file.as_ref()))?;
        let path = files.path(facts.weights_file.as_ref());
        let weights = Weights::open(&path)?;
        let invalid = |reason| CoreError::InvalidFile { path, reason };
        let (rows, numbers) = (weights.rows(), weights.numbers());
        if rows <= vocab.largest_id() {
            let words = vocab.largest_id();
            return Err(invalid(format!("it has {rows} matrices for {words} words and one")).into());
        }
        // No overflow: the file has more bytes than that.
        let unknown = ((vocab.size() * numbers) as u64 / GAP + 2) * GAP;
        if unknown >= END {
            return Err(
                invalid(format!("{numbers} numbers a word leave no room for indices")).into()
            );
        }
        Ok(Self {
            k: check("k", options.k.unwrap_or(facts.k))?,
            b: check("b", options.b.unwrap_or(facts.b))?,
            avg_len: check("avg_len", options.avg_len.unwrap_or(facts.avg_len))?,
            stemming: Stemming::snowball(Language::find(&facts.language)?),
            stopwords: stopwords::read_or_none(&files.path(facts.stopwords_file.as_ref()))?,
            vocab,
            weights,
            unknown,
        })
    }

    /// The terms of a text from its token vectors `[tokens, hidden]`.
    pub(super) fn finish(
        &self,
        role: Role,
        text: &Tokens,
        row: &Row<'_>,
        tokenizer: &Tokenizer,
    ) -> Result<Terms, Error> {
        let hidden = self.weights.hidden();
        if !row.per_token || !matches!(row.shape, &[_, width] if width == hidden) {
            return Err(row.shape_error(&format!("[texts, tokens, {hidden}]")).into());
        }
        let (known, unknown) = self.resolve(text, tokenizer)?;
        let mut entries = Entries::default();
        for (id, word) in known {
            let mean = mean(row.values, hidden, &word.positions);
            let meaning = self.weights.apply(id, &mean);
            entries.insert(self.vocab.word(id), Entry::Known { id, meaning, count: word.count });
        }
        for (word, count) in unknown {
            entries.insert(&word, Entry::Unknown { count });
        }
        let entries = entries.cleaned(&self.stemming, &self.stopwords);
        let length: u64 = entries.iter().map(|(_, entry)| entry.count()).sum();
        let mut pairs = Terms::new();
        for (word, entry) in entries.iter() {
            let factor = match role {
                Role::Query => 1.0,
                Role::Raw | Role::Document => self.frequency(entry.count(), length),
            };
            match entry {
                Entry::Known { id, meaning, .. } => {
                    self.push_known(&mut pairs, *id, meaning, factor);
                }
                Entry::Unknown { .. } => pairs.push((self.unknown_index(word), rounded(factor))),
            }
        }
        Ok(pairs)
    }

    /// Known words by ascending id, and unknown ones by first occurrence.
    #[expect(clippy::type_complexity, reason = "two tables")]
    fn resolve(
        &self,
        text: &Tokens,
        tokenizer: &Tokenizer,
    ) -> Result<(BTreeMap<usize, Occurrences>, Vec<(String, u64)>), Error> {
        let mut known: BTreeMap<usize, Occurrences> = BTreeMap::new();
        let mut unknown: Vec<(String, u64)> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        for word in join(&text.ids, tokenizer, PREFIX, |_| false)? {
            let stopword = self.stopwords.contains(&word.text);
            let id = if stopword { None } else { self.vocab.find(&word.text, &self.stemming) };
            if let Some(id) = id {
                let occurrences = known.entry(id).or_default();
                occurrences.count += 1;
                occurrences.positions.extend(word.positions);
            } else if let Some(&place) = places.get(&word.text) {
                unknown[place].1 += 1;
            } else {
                places.insert(word.text.clone(), unknown.len());
                unknown.push((word.text, 1));
            }
        }
        Ok((known, unknown))
    }

    /// BM25's factor, in the original's order of operations.
    #[expect(clippy::cast_precision_loss, reason = "counts of words")]
    fn frequency(&self, count: u64, length: u64) -> f64 {
        let count = count as f64;
        let length = (1.0 - self.b) + self.b * length as f64 / self.avg_len;
        count * (self.k + 1.0) / (count + self.k * length)
    }

    /// The numbers of a word of the list, scaled to unit length.
    fn push_known(&self, pairs: &mut Terms, id: usize, meaning: &[f32], factor: f64) {
        let norm = meaning.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        // The floor is the original's.
        let norm = if norm < 1e-8 { 1.0 } else { norm };
        for (place, &x) in meaning.iter().enumerate() {
            // Below `self.unknown`, which is below 2^31.
            let index = u32::try_from(id * self.weights.numbers() + place).unwrap_or(u32::MAX);
            pairs.push((index, rounded(f64::from(x) / norm * factor)));
        }
    }

    fn unknown_index(&self, word: &str) -> u32 {
        let index = self.unknown + u64::from(term_index(word)) % (END - self.unknown);
        u32::try_from(index).unwrap_or(u32::MAX) // below 2^31
    }
}

/// Where a word of the list stands in a text.
#[derive(Debug, Default)]
struct Occurrences {
    count: u64,
    /// Of all tokens of all its occurrences.
    positions: Vec<usize>,
}

/// Weights are in single precision in the original.
#[expect(clippy::cast_possible_truncation, reason = "vectors are f32")]
fn rounded(x: f64) -> f64 {
    f64::from(x as f32)
}

/// The mean of the token vectors at some positions, in f32 as in the original.
fn mean(values: &[f32], hidden: usize, positions: &[usize]) -> Vec<f32> {
    let mut sum = vec![0.0; hidden];
    for &position in positions {
        let vector = &values[position * hidden..(position + 1) * hidden];
        for (sum, &x) in sum.iter_mut().zip(vector) {
            *sum += x;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a count of tokens")]
    let count = positions.len() as f32;
    sum.iter_mut().for_each(|x| *x /= count);
    sum
}
