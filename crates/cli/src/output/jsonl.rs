//! One JSON object a line.

use anyhow::Result;
use serde::Serialize;

use super::{Buffered, Record, Target};

pub(crate) struct Jsonl {
    out: Buffered,
    line: Vec<u8>,
}

#[derive(Serialize)]
struct Line<'a> {
    index: u64,
    /// f32, so that the shortest digits that read back the same are written.
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding: Option<&'a [f32]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "is_false")]
    truncated: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Jsonl {
    pub(crate) fn new(target: Target) -> Self {
        Self { out: target.buffered(), line: Vec::new() }
    }

    pub(crate) fn write(&mut self, record: &Record<'_>) -> Result<()> {
        let line = Line {
            index: record.index,
            embedding: record.embedding.ok(),
            error: record.embedding.err(),
            truncated: record.truncated,
        };
        self.line.clear();
        serde_json::to_writer(&mut self.line, &line)?;
        self.line.push(b'\n');
        self.out.write(&self.line)?;
        self.out.end_record()
    }

    pub(crate) fn finish(mut self) -> Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn numbers_are_the_shortest_that_read_back_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.jsonl");
        let values = [0.1, -0.0, 1.0, 16_777_216.0, 1e-45, f32::MAX, 0.333_333_34];
        let mut jsonl = Jsonl::new(Target::open(Some(&path), None).unwrap());
        jsonl.write(&Record { index: 0, embedding: Ok(&values), truncated: true }).unwrap();
        jsonl.write(&Record { index: 7, embedding: Err("a\n\"b\""), truncated: false }).unwrap();
        jsonl.finish().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[0],
            "{\"index\":0,\"embedding\":[0.1,-0.0,1.0,16777216.0,1e-45,3.4028235e+38,0.33333334],\
             \"truncated\":true}"
        );
        assert_eq!(lines[1], r#"{"index":7,"error":"a\n\"b\""}"#);
        let back: serde_json::Value = serde_json::from_str(lines[0]).unwrap();
        for (value, back) in values.iter().zip(back["embedding"].as_array().unwrap()) {
            assert_eq!(back.as_f64().unwrap() as f32, *value);
        }
    }
}
