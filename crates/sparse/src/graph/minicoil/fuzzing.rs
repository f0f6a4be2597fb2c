//! What a fuzzer calls, and what the tests call with the inputs that are kept in `tests/corpus`.
//! Compiled for tests and by cargo-fuzz only.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process, thread,
};

use super::{vocab::Vocab, weights::Weights};
use crate::{language::Language, stemmer::Stemming};

/// Matrices from a stranger: each turns a vector of the file's width into as many numbers as it says.
///
/// # Panics
/// Where that does not hold.
pub fn minicoil_weights(data: &[u8]) {
    let Some(weights) = with_file("weights", data, |path| Weights::open(path).ok()) else { return };
    let vector = vec![0.5; weights.hidden()];
    for row in [0, weights.rows() - 1] {
        assert_eq!(weights.apply(row, &vector).len(), weights.numbers());
    }
}

/// A list of words from a stranger: a word that is found has a number of the list.
///
/// # Panics
/// Where that does not hold.
pub fn minicoil_vocab(data: &[u8]) {
    let Some(vocab) = with_file("vocab", data, |path| Vocab::read(path).ok()) else { return };
    let stemming = Stemming::snowball(Language::find("english").expect("it is built in"));
    let listed = (1..=vocab.largest_id()).map(|id| vocab.word(id).to_owned());
    for word in listed.chain(["boats", "", "no such word"].map(str::to_owned)) {
        if let Some(id) = vocab.find(&word, &stemming) {
            assert!((1..=vocab.largest_id()).contains(&id), "{word:?} has the number {id}");
        }
    }
    assert!(vocab.size() <= vocab.largest_id() + 1);
}

/// What is read from a file with these bytes, which is gone afterwards.
fn with_file<T>(kind: &str, data: &[u8], read: impl Fn(&Path) -> T) -> T {
    let name = format!("embedkit-fuzzing-{kind}-{}-{:?}", process::id(), thread::current().id());
    let path: PathBuf = env::temp_dir().join(name);
    fs::write(&path, data).expect("the folder for temporary files is writable");
    let result = read(&path);
    fs::remove_file(&path).expect("it was just written");
    result
}

#[cfg(test)]
mod tests {
    fn kept_inputs(target: &str, run: fn(&[u8])) {
        let dir = format!("{}/tests/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
        let files: Vec<_> = std::fs::read_dir(dir).unwrap().collect();
        assert!(files.len() > 3);
        for file in files {
            run(&std::fs::read(file.unwrap().path()).unwrap());
        }
    }

    #[test]
    fn kept_matrices() {
        kept_inputs("minicoil_weights", super::minicoil_weights);
    }

    #[test]
    fn kept_words() {
        kept_inputs("minicoil_vocab", super::minicoil_vocab);
    }
}
