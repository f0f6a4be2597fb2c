//! The table of a text's words, and its cleaning.

use std::collections::{HashMap, HashSet};

use crate::{
    stemmer::Stemming,
    words::{is_punctuation, runs},
};

/// Longest stem of an unknown word, in characters.
const MAX_STEM: usize = 40;
/// Never terms, whatever the tokenizer's special tokens are, as in the original.
const SPECIAL: [&str; 5] = ["[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]"];

/// A word in the table.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Entry {
    /// A word of the list, with the numbers for its meaning.
    Known { id: usize, meaning: Vec<f32>, count: u64 },
    /// Any other word.
    Unknown { count: u64 },
}

impl Entry {
    pub(super) fn count(&self) -> u64 {
        match self {
            Self::Known { count, .. } | Self::Unknown { count } => *count,
        }
    }

    fn add(&mut self, more: u64) {
        match self {
            Self::Known { count, .. } | Self::Unknown { count } => *count += more,
        }
    }
}

/// Words with their entries, in the order in which the words came; an entry that is put in again
/// replaces the one before in its place.
#[derive(Debug, Default)]
pub(super) struct Entries {
    list: Vec<(String, Entry)>,
    places: HashMap<String, usize>,
}

impl Entries {
    pub(super) fn insert(&mut self, word: &str, entry: Entry) {
        match self.places.get(word) {
            Some(&place) => self.list[place].1 = entry,
            None => {
                self.places.insert(word.to_owned(), self.list.len());
                self.list.push((word.to_owned(), entry));
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.list.iter().map(|(word, entry)| (word.as_str(), entry))
    }

    /// The table with its unknown words cut at what is no letter or number, stemmed, and counted
    /// together; without stopwords, punctuation and special tokens.
    pub(super) fn cleaned(self, stemming: &Stemming, stopwords: &HashSet<String>) -> Self {
        let unwanted = |word: &str| {
            is_punctuation(word) || SPECIAL.contains(&word) || stopwords.contains(word)
        };
        let mut cleaned = Self::default();
        for (word, entry) in self.list {
            let count = match entry {
                Entry::Known { .. } => {
                    cleaned.insert(&word, entry);
                    continue;
                }
                Entry::Unknown { .. } if unwanted(&word) => continue,
                Entry::Unknown { count } => count,
            };
            for piece in runs(&word) {
                let stem = stemming.stem(piece);
                if stem.chars().count() > MAX_STEM || unwanted(&stem) {
                    continue;
                }
                match cleaned.places.get(stem.as_ref()) {
                    Some(&place) => cleaned.list[place].1.add(count),
                    None => cleaned.insert(&stem, Entry::Unknown { count }),
                }
            }
        }
        cleaned
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Language;

    #[test]
    fn unknown_words_are_cut_stemmed_and_counted_together() {
        let mut entries = Entries::default();
        entries.insert("bat", Entry::Known { id: 2, meaning: vec![0.5], count: 3 });
        for (word, count) in [
            ("9°", 2),
            ("9", 2),
            ("9°9", 1),
            ("screech", 1),
            ("screeched", 1),
            ("[CLS]", 1),
            ("the", 4),
            ("…", 1),
        ] {
            entries.insert(word, Entry::Unknown { count });
        }
        let stemming = Stemming::snowball(Language::find("english").unwrap());
        let stopwords = HashSet::from(["the".to_owned()]);
        let cleaned = entries.cleaned(&stemming, &stopwords);
        let counts: Vec<_> = cleaned.iter().map(|(word, entry)| (word, entry.count())).collect();
        assert_eq!(counts, [("bat", 3), ("9", 6), ("screech", 2)]);
    }

    #[test]
    fn an_entry_put_in_again_stays_in_its_place() {
        let mut entries = Entries::default();
        entries.insert("a", Entry::Unknown { count: 1 });
        entries.insert("b", Entry::Unknown { count: 2 });
        entries.insert("a", Entry::Unknown { count: 3 });
        let counts: Vec<_> = entries.iter().map(|(word, entry)| (word, entry.count())).collect();
        assert_eq!(counts, [("a", 3), ("b", 2)]);
    }
}
