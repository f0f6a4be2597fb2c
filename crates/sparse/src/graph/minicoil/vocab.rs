//! The list of words, and the stems that stand for them.

use std::{collections::HashMap, path::Path};

use embedkit_core::{Error, read_bounded};
use serde_json::Value;

use crate::stemmer::Stemming;

/// The published list has less than 1 MB.
const MAX_BYTES: u64 = 256 << 20;

/// Words by number, from 1; 0 stands for a word that is not in the list.
#[derive(Debug)]
pub(super) struct Vocab {
    words: Vec<String>,
    ids: HashMap<String, usize>,
    /// From a stem to the number of the word that it stands for.
    stems: HashMap<String, usize>,
}

impl Vocab {
    /// Reads `{"vocab": [word, …], "stem_mapping": {stem: word, …}}`.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let invalid = |reason: String| Error::InvalidFile { path: path.to_owned(), reason };
        let bytes = read_bounded(path, MAX_BYTES)?;
        let json: Value =
            serde_json::from_slice(&bytes).map_err(|error| invalid(error.to_string()))?;
        let word = |value: &Value| value.as_str().map(str::to_owned);
        let words: Option<Vec<String>> =
            json["vocab"].as_array().and_then(|words| words.iter().map(word).collect());
        let words = words.ok_or_else(|| invalid("`vocab` is not a list of words".to_owned()))?;
        // Of a word that stands twice the later number counts, as in the original.
        let ids: HashMap<String, usize> =
            words.iter().enumerate().map(|(place, word)| (word.clone(), place + 1)).collect();
        let mapping = json["stem_mapping"].as_object();
        let mapping =
            mapping.ok_or_else(|| invalid("`stem_mapping` is not an object".to_owned()))?;
        let stem = |(stem, word): (&String, &Value)| {
            let id = word.as_str().and_then(|word| ids.get(word));
            let id = id.ok_or_else(|| {
                invalid(format!("`stem_mapping` has {word} for {stem:?}, which is not in `vocab`"))
            })?;
            Ok((stem.clone(), *id))
        };
        let stems = mapping.iter().map(stem).collect::<Result<_, Error>>()?;
        Ok(Self { words, ids, stems })
    }

    /// The number of a word: its own, or that of the word for which it, or its stem, stands.
    pub(super) fn find(&self, word: &str, stemming: &Stemming) -> Option<usize> {
        let by_stem = || self.stems.get(stemming.stem(word).as_ref());
        self.ids.get(word).or_else(|| self.stems.get(word)).or_else(by_stem).copied()
    }

    /// The word of a number that [`find`](Self::find) gave.
    pub(super) fn word(&self, id: usize) -> &str {
        id.checked_sub(1).and_then(|place| self.words.get(place)).map_or("", String::as_str)
    }

    /// The number of different words, and one for those that are not in the list.
    pub(super) fn size(&self) -> usize {
        self.ids.len() + 1
    }

    /// The largest number of a word.
    pub(super) fn largest_id(&self) -> usize {
        self.words.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::Language;

    fn read(json: &str) -> Result<Vocab, Error> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, json).unwrap();
        Vocab::read(file.path())
    }

    #[test]
    fn words_are_found_by_themselves_and_by_stem() {
        let vocab = read(
            r#"{"vocab": ["run", "quickly", "boat", "run"],
                "stem_mapping": {"run": "run", "quick": "quickly", "boat": "boat"}}"#,
        );
        let vocab = vocab.unwrap();
        let stemming = Stemming::snowball(Language::find("english").unwrap());
        let find = |word| vocab.find(word, &stemming);
        assert_eq!(find("run"), Some(4), "the later number");
        assert_eq!(find("running"), Some(4));
        assert_eq!(find("quick"), Some(2));
        assert_eq!(find("boats"), Some(3));
        assert_eq!(find("ship"), None);
        assert_eq!((vocab.word(2), vocab.size(), vocab.largest_id()), ("quickly", 4, 4));
    }

    #[test]
    fn damaged_lists_are_refused() {
        for json in [
            "",
            "[]",
            r#"{"vocab": ["a"]}"#,
            r#"{"vocab": [1], "stem_mapping": {}}"#,
            r#"{"vocab": ["a"], "stem_mapping": {"b": "c"}}"#,
            r#"{"vocab": ["a"], "stem_mapping": {"b": 1}}"#,
        ] {
            assert!(matches!(read(json), Err(Error::InvalidFile { .. })), "{json}");
        }
    }
}
