//! One JSON object a line.

use std::path::PathBuf;

use anyhow::{Result, bail};
use embedkit::{HybridEmbedding, MultiVector, Output, SparseEmbedding};
use serde::{Serialize, Serializer};

use super::target::{Buffered, Sink};
use crate::record::Record;

pub(crate) struct Jsonl {
    out: Buffered,
    line: Vec<u8>,
}

#[derive(Serialize)]
struct Line<'a> {
    index: u64,
    #[serde(flatten)]
    value: Option<Fields<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "is_false")]
    truncated: bool,
}

/// The output of a model; f32, so that the shortest digits that read back the same are written.
#[derive(Serialize)]
#[serde(untagged)]
enum Fields<'a> {
    Vector { embedding: &'a [f32] },
    Weights(Weights<'a>),
    Vectors { embedding: Rows<'a> },
    Score { score: f32 },
    Several(Several<'a>),
}

/// Several embeddings, under the names of `--outputs`.
#[derive(Serialize)]
struct Several<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    dense: Option<&'a [f32]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sparse: Option<Weights<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    multi: Option<Rows<'a>>,
}

#[derive(Serialize)]
struct Weights<'a> {
    indices: &'a [u32],
    values: &'a [f32],
}

impl<'a> From<&'a SparseEmbedding> for Weights<'a> {
    fn from(terms: &'a SparseEmbedding) -> Self {
        Self { indices: terms.indices(), values: terms.values() }
    }
}

/// An array of arrays.
struct Rows<'a>(&'a MultiVector);

impl Serialize for Rows<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.rows())
    }
}

impl<'a> Fields<'a> {
    fn of(output: &'a Output) -> Result<Self> {
        Ok(match output {
            Output::Dense(embedding) => Self::Vector { embedding },
            Output::Sparse(terms) => Self::Weights(terms.into()),
            Output::MultiVector(vectors) => Self::Vectors { embedding: Rows(vectors) },
            Output::Score(score) => Self::Score { score: *score },
            Output::Hybrid(HybridEmbedding { dense, sparse, multi_vector }) => {
                Self::Several(Several {
                    dense: dense.as_deref(),
                    sparse: sparse.as_ref().map(Weights::from),
                    multi: multi_vector.as_ref().map(Rows),
                })
            }
            other => bail!("{} has no form in JSON", other.kind()),
        })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Jsonl {
    pub(crate) fn new(sink: Sink) -> Self {
        Self { out: Buffered::new(sink), line: Vec::new() }
    }

    pub(crate) fn write(&mut self, record: &Record) -> Result<()> {
        let output = record.output();
        self.write_line(&Line {
            index: record.index,
            value: output.ok().map(Fields::of).transpose()?,
            error: output.err(),
            truncated: record.truncated(),
        })
    }

    pub(crate) fn write_line(&mut self, line: &impl Serialize) -> Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, line)?;
        self.line.push(b'\n');
        self.out.write(&self.line)?;
        self.out.end_record()
    }

    pub(crate) fn complete(&mut self) -> Result<()> {
        self.out.complete()
    }

    pub(crate) fn is_part(&self) -> bool {
        self.out.is_part()
    }

    /// Leaves whole lines.
    pub(crate) fn leave(self) -> Option<PathBuf> {
        self.out.leave_lines()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{input::Origin, output::Target};

    fn written(records: &[Record]) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.jsonl");
        let mut jsonl =
            Jsonl::new(Target::open(Some(&path), &Origin::Arguments).unwrap().begin().unwrap());
        for record in records {
            jsonl.write(record).unwrap();
        }
        jsonl.complete().unwrap();
        fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn numbers_are_the_shortest_that_read_back_the_same() {
        let values = vec![0.1, -0.0, 1.0, 16_777_216.0, 1e-45, f32::MAX, 0.333_333_34];
        let lines = written(&[Record::good(0, values.clone()).cut(), Record::bad(7, "a\n\"b\"")]);
        assert_eq!(
            lines[0],
            "{\"index\":0,\"embedding\":[0.1,-0.0,1.0,16777216.0,1e-45,3.4028235e+38,0.33333334],\
             \"truncated\":true}"
        );
        assert_eq!(lines[1], r#"{"index":7,"error":"a\n\"b\""}"#);
        let back: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        for (value, back) in values.iter().zip(back["embedding"].as_array().unwrap()) {
            assert_eq!(back.as_f64().unwrap() as f32, *value);
        }
    }

    #[test]
    fn each_kind_of_value_has_its_fields() {
        let weights: SparseEmbedding = [(3, 0.5), (1 << 31, 1.0)].into_iter().collect();
        let vectors = MultiVector::new(vec![0.1, 2.0, 3.0, 4.0], 2).unwrap();
        let none = MultiVector::new(vec![], 2).unwrap();
        for (output, line) in [
            (Output::Dense(vec![]), r#"{"index":0,"embedding":[]}"#),
            (Output::Sparse(weights), r#"{"index":0,"indices":[3,2147483648],"values":[0.5,1.0]}"#),
            (Output::MultiVector(vectors), r#"{"index":0,"embedding":[[0.1,2.0],[3.0,4.0]]}"#),
            (Output::MultiVector(none), r#"{"index":0,"embedding":[]}"#),
            (Output::Score(-0.1), r#"{"index":0,"score":-0.1}"#),
            (
                Output::Hybrid(HybridEmbedding {
                    dense: Some(vec![1.0]),
                    sparse: Some([(3, 0.5)].into_iter().collect()),
                    multi_vector: Some(MultiVector::new(vec![0.1, 2.0], 2).unwrap()),
                }),
                r#"{"index":0,"dense":[1.0],"sparse":{"indices":[3],"values":[0.5]},"multi":[[0.1,2.0]]}"#,
            ),
            (
                Output::Hybrid(HybridEmbedding {
                    dense: Some(vec![]),
                    ..HybridEmbedding::default()
                }),
                r#"{"index":0,"dense":[]}"#,
            ),
        ] {
            assert_eq!(written(&[Record::good(0, output)]), [line]);
        }
    }
}
