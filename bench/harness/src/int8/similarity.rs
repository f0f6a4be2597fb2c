//! Texts with human similarity judgements.
//!
//! - 50 news documents and the judgements of all 1,225 pairs: Lee, Pincombe and Welsh, "An empirical
//!   evaluation of models of text document similarity", CogSci 2005.
//! - WordSim-353, pairs of words and how related they are: Finkelstein et al., "Placing search in
//!   context", WWW 2001.
//! - SimLex-999, pairs of words and how similar, not merely related, they are: Hill, Reichart and
//!   Korhonen, "SimLex-999", Computational Linguistics 2015.

use std::{collections::HashMap, fs, path::Path};

use anyhow::{Context, Result, bail, ensure};

/// Number of documents of Lee, Pincombe and Welsh.
const DOCUMENTS: usize = 50;
/// Number of pairs of the word sets.
const WORDSIM: usize = 353;
const SIMLEX: usize = 999;

/// A set of pairs.
pub(super) struct Similarity {
    /// Short description.
    pub(super) title: String,
    /// The texts, without duplicates.
    pub(super) texts: Vec<String>,
    /// Pairs of texts, by index.
    pub(super) pairs: Vec<[usize; 2]>,
    /// Human judgement of each pair, on any scale.
    pub(super) judged: Vec<f64>,
}

/// Reads all sets from the assets folder.
pub(super) fn read(folder: &Path) -> Result<Vec<Similarity>> {
    let read = |name: &str| {
        let file = folder.join(name);
        let bytes = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        Ok::<_, anyhow::Error>((file.display().to_string(), bytes))
    };
    let (name, bytes) = read("lee.cor")?;
    let texts = documents(&bytes).context(name)?;
    let (name, bytes) = read("similarities0-1.txt")?;
    let (pairs, judged) = matrix(&String::from_utf8_lossy(&bytes), texts.len()).context(name)?;
    let title = format!("{} pairs of news documents", pairs.len());
    let mut sets = vec![Similarity { title, texts, pairs, judged }];
    for (name, title, count) in
        [("wordsim353.tsv", "WordSim-353", WORDSIM), ("simlex999.txt", "SimLex-999", SIMLEX)]
    {
        let (file, bytes) = read(name)?;
        let set = words(&String::from_utf8_lossy(&bytes), title).context(file)?;
        ensure!(set.pairs.len() == count, "{name} has {} pairs, not {count}", set.pairs.len());
        sets.push(set);
    }
    Ok(sets)
}

/// Documents in Latin-1, one for each line; each byte is a code point.
fn documents(bytes: &[u8]) -> Result<Vec<String>> {
    let text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
    let texts: Vec<String> = text.lines().map(spaced).filter(|text| !text.is_empty()).collect();
    ensure!(texts.len() == DOCUMENTS, "it has {} documents, not {DOCUMENTS}", texts.len());
    Ok(texts)
}

/// Normalises white space to single spaces.
fn spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Pairs and judgements of a square matrix of numbers from 0 to 1, from the part above the diagonal.
fn matrix(text: &str, size: usize) -> Result<(Vec<[usize; 2]>, Vec<f64>)> {
    let mut rows = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let row: Vec<f64> = line
            .split_whitespace()
            .map(|word| {
                let value = word.parse().with_context(|| format!("{word:.20} is no number"))?;
                ensure!((0.0..=1.0).contains(&value), "{value} is not from 0 to 1");
                Ok(value)
            })
            .collect::<Result<_>>()
            .with_context(|| format!("row {}", rows.len() + 1))?;
        ensure!(row.len() == size, "row {} has {} columns, not {size}", rows.len() + 1, row.len());
        rows.push(row);
    }
    ensure!(rows.len() == size, "it has {} rows, not {size}", rows.len());
    let places = (0..size).flat_map(|first| (first + 1..size).map(move |second| [first, second]));
    let pairs: Vec<[usize; 2]> = places.collect();
    let judged = pairs.iter().map(|&[first, second]| rows[first][second]).collect();
    Ok((pairs, judged))
}

/// Pairs of words, one for each line: two words and a number, separated by tabs. Lines that start with
/// `#` are comments.
fn words(text: &str, name: &str) -> Result<Similarity> {
    let mut set = Similarity {
        title: String::new(),
        texts: Vec::new(),
        pairs: Vec::new(),
        judged: Vec::new(),
    };
    let mut places = HashMap::new();
    for (at, line) in text.lines().enumerate() {
        if line.starts_with('#') || line.trim().is_empty() {
            continue;
        }
        let fields: Vec<String> = line.split('\t').map(spaced).collect();
        let [first, second, judged] = fields.as_slice() else {
            bail!("line {} has {} fields, not 3", at + 1, fields.len());
        };
        ensure!(!first.is_empty() && !second.is_empty(), "line {} lacks a word", at + 1);
        let value: f64 = judged
            .parse()
            .ok()
            .filter(|value: &f64| value.is_finite())
            .with_context(|| format!("line {}: {judged:.20} is no judgement", at + 1))?;
        let mut place = |word: &String| {
            *places.entry(word.clone()).or_insert_with(|| {
                set.texts.push(word.clone());
                set.texts.len() - 1
            })
        };
        set.pairs.push([place(first), place(second)]);
        set.judged.push(value);
    }
    set.title = format!("{} pairs of words, {name}", set.pairs.len());
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use xtask::assets;

    #[test]
    fn documents_are_lines_of_latin_1() {
        let line: &[u8] = b"for \xa3 5  million\r\n\n";
        let texts = documents(&line.repeat(DOCUMENTS)).expect("documents");
        assert_eq!(texts[0], "for \u{a3} 5 million");
        assert_eq!(texts.len(), DOCUMENTS);
        let error = documents(&line.repeat(3)).expect_err("too few").to_string();
        assert_eq!(error, "it has 3 documents, not 50");
        assert!(documents(&[]).is_err());
    }

    #[test]
    fn judgements_are_above_the_diagonal() {
        let (pairs, judged) = matrix("1\t0.5 0.25\n0 1 1\n\n0 0 1", 3).expect("a matrix");
        assert_eq!(pairs, [[0, 1], [0, 2], [1, 2]]);
        assert_eq!(judged, [0.5, 0.25, 1.0]);
    }

    #[test]
    fn a_matrix_of_another_form_is_an_error() {
        for (text, error) in [
            ("1 0.5\n0 1\n0 0", "it has 3 rows, not 2"),
            ("1 0.5\n", "it has 1 rows, not 2"),
            ("1 0.5\n0 1 0", "row 2 has 3 columns, not 2"),
            ("1 one\n0 1", "row 1: one is no number: invalid float literal"),
            ("1 1.5\n0 1", "row 1: 1.5 is not from 0 to 1"),
            ("1 NaN\n0 1", "row 1: NaN is not from 0 to 1"),
            ("", "it has 0 rows, not 2"),
        ] {
            let found = matrix(text, 2).expect_err(text);
            assert_eq!(format!("{found:#}"), error);
        }
    }

    #[test]
    fn a_word_in_several_pairs_is_one_text() {
        let text = "# words\ntiger\tcat\t7.35\r\n\ntiger\ttiger\t10.00\ncell  phone\ttiger\t-1e0";
        let set = words(text, "some").expect("a set");
        assert_eq!(set.texts, ["tiger", "cat", "cell phone"]);
        assert_eq!(set.pairs, [[0, 1], [0, 0], [2, 0]]);
        assert_eq!(set.judged, [7.35, 10.0, -1.0]);
        assert_eq!(set.title, "3 pairs of words, some");
    }

    #[test]
    fn a_line_that_is_no_pair_is_an_error() {
        for (text, error) in [
            ("a\tb\t1\na b 1", "line 2 has 1 fields, not 3"),
            ("a\tb\t1\t2", "line 1 has 4 fields, not 3"),
            ("a\t \t1", "line 1 lacks a word"),
            ("a\tb\tmuch", "line 1: much is no judgement"),
            ("a\tb\tinf", "line 1: inf is no judgement"),
            ("a\tb\t", "line 1:  is no judgement"),
        ] {
            let found = words(text, "some").err().expect(text);
            assert_eq!(format!("{found:#}"), error);
        }
    }

    #[test]
    fn the_sets_that_are_fetched_are_read() {
        let folder = assets::model_dir(assets::SIMILARITY);
        if !folder.is_dir() {
            println!("skipped: {} is not fetched", assets::SIMILARITY);
            return;
        }
        let sets = read(&folder).expect("the sets");
        let counts: Vec<_> = sets.iter().map(|set| (set.texts.len(), set.pairs.len())).collect();
        assert_eq!(counts, [(50, 1225), (437, 353), (1028, 999)]);
        assert_eq!(sets[0].judged[0], 0.3);
        assert!(sets[0].texts[0].starts_with("The national executive"), "{}", sets[0].texts[0]);
    }
}
