//! Labelled collections in the form of BEIR.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// Bytes of the longest line.
const LONGEST_LINE: u64 = 16 << 20;

/// Relevance of judged documents by their position; 0 is not relevant.
pub type Grades = BTreeMap<usize, u32>;

/// Documents, and queries with judgements.
#[derive(Debug, Clone, PartialEq)]
pub struct Collection {
    /// Title and text of the documents.
    pub documents: Vec<String>,
    /// Queries with a relevant document, in the order of their file.
    pub queries: Vec<Query>,
}

/// A query with its judgements.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// The question.
    pub text: String,
    /// The judged documents.
    pub grades: Grades,
}

/// A line of `corpus.jsonl` or `queries.jsonl`.
#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "_id")]
    id: String,
    #[serde(default)]
    title: String,
    text: String,
}

impl Collection {
    /// Reads a folder with `corpus.jsonl` and `queries.jsonl` (objects with `_id`, `text` and perhaps
    /// `title`) and with `qrels/test.tsv` or `qrels.tsv` (a header, then the ids of a query and of a
    /// document and a grade on each line).
    ///
    /// # Errors
    /// A missing or damaged file, an id that is there twice, a judgement of something unknown.
    pub fn read(folder: &Path) -> Result<Self> {
        let (documents, positions) = entries(&folder.join("corpus.jsonl"))?;
        let (queries, numbers) = entries(&folder.join("queries.jsonl"))?;
        let mut queries: Vec<_> =
            queries.into_iter().map(|text| Query { text, grades: Grades::new() }).collect();
        let judgements = folder.join("qrels").join("test.tsv");
        let judgements = if judgements.is_file() { judgements } else { folder.join("qrels.tsv") };
        for (at, line) in lines(&judgements)?.iter().enumerate().skip(1) {
            let place = || format!("{}:{}", judgements.display(), at + 1);
            let fields: Vec<&str> = line.split('\t').collect();
            let [query, document, grade] = fields[..] else {
                bail!("{}: expected three fields, got {}", place(), fields.len());
            };
            let grade: i64 = grade.trim().parse().with_context(place)?;
            let query = numbers.get(query).with_context(|| unknown(&place(), "query", query))?;
            let document =
                positions.get(document).with_context(|| unknown(&place(), "document", document))?;
            // Cranfield has grades below zero.
            let grade = u32::try_from(grade.max(0)).with_context(place)?;
            queries[*query].grades.insert(*document, grade);
        }
        queries.retain(|query| query.grades.values().any(|&grade| grade > 0));
        ensure!(!queries.is_empty(), "{}: no query has a relevant document", folder.display());
        Ok(Self { documents, queries })
    }
}

fn unknown(place: &str, what: &str, id: &str) -> String {
    format!("{place}: there is no {what} {id:?}")
}

/// Texts of a file, and their positions by id.
fn entries(path: &Path) -> Result<(Vec<String>, BTreeMap<String, usize>)> {
    let mut texts = Vec::new();
    let mut positions = BTreeMap::new();
    for (line, number) in lines(path)?.iter().zip(1..) {
        let place = || format!("{}:{number}", path.display());
        let Entry { id, title, text } = serde_json::from_str(line).with_context(place)?;
        ensure!(!positions.contains_key(&id), "{}: the id {id:?} is there twice", place());
        positions.insert(id, texts.len());
        texts.push(if title.is_empty() { text } else { format!("{title} {text}") });
    }
    Ok((texts, positions))
}

/// The lines of a file that are not empty at its end.
fn lines(path: &Path) -> Result<Vec<String>> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut file = BufReader::new(file);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        let read = file.by_ref().take(LONGEST_LINE).read_line(&mut line);
        let read = read.with_context(|| format!("{}:{}", path.display(), lines.len() + 1))?;
        if read == 0 {
            return Ok(lines);
        }
        if read as u64 == LONGEST_LINE && !line.ends_with('\n') {
            bail!("{}:{}: longer than {LONGEST_LINE} bytes", path.display(), lines.len() + 1);
        }
        lines.push(line.trim_end_matches(['\n', '\r']).to_owned());
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const DOCUMENTS: &str = "{\"_id\": \"d1\", \"title\": \"Snails\", \"text\": \"are slow.\"}\n\
                             {\"_id\": \"d2\", \"text\": \"Hares run.\", \"metadata\": {}}\n";
    const QUERIES: &str = "{\"_id\": \"q1\", \"text\": \"who is slow?\"}\n\
                           {\"_id\": \"q2\", \"text\": \"not judged\"}\n";

    fn read(judgements: &str) -> Result<Collection> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("corpus.jsonl"), DOCUMENTS)?;
        fs::write(folder.path().join("queries.jsonl"), QUERIES)?;
        fs::write(folder.path().join("qrels.tsv"), judgements)?;
        Collection::read(folder.path())
    }

    #[test]
    fn judged_queries_are_read() {
        let found = read("query-id\tcorpus-id\tscore\r\nq1\td1\t2\r\nq1\td2\t-1\r\n");
        let query =
            Query { text: "who is slow?".to_owned(), grades: Grades::from([(0, 2), (1, 0)]) };
        let documents = vec!["Snails are slow.".to_owned(), "Hares run.".to_owned()];
        assert_eq!(found.expect("a collection"), Collection { documents, queries: vec![query] });
    }

    #[test]
    fn damage_is_named_by_file_and_line() {
        #[track_caller]
        fn fails(judgements: &str, expected: &str) {
            let error = read(&format!("head\n{judgements}")).expect_err("damaged");
            let error = format!("{error:#}");
            assert!(error.contains(expected), "{error}");
        }
        fails("q1\td1\n", "qrels.tsv:2: expected three fields, got 2");
        fails("q1\td1\t1\nq1\td2\tmany\n", "qrels.tsv:3: invalid digit");
        fails("q1\td3\t1\n", "qrels.tsv:2: there is no document \"d3\"");
        fails("q9\td1\t1\n", "qrels.tsv:2: there is no query \"q9\"");
        fails("q1\td1\t0\n", "no query has a relevant document");
    }

    #[test]
    fn an_id_that_is_there_twice_is_an_error() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("corpus.jsonl");
        fs::write(&file, DOCUMENTS.replace("d2", "d1")).expect("written");
        let error = entries(&file).expect_err("twice").to_string();
        assert!(error.ends_with("corpus.jsonl:2: the id \"d1\" is there twice"), "{error}");
    }
}
