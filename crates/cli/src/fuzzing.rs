//! Entry points of fuzzers; tests call them with the inputs that are kept in `tests/corpus`.
//! Compiled for tests and by cargo-fuzz only.

use serde_json::Value;

use crate::{
    args::InputFormat,
    input::{Item, Kind, QueryKey, Wanted, fuzzed},
};

/// A file of inputs, as lines and as JSON lines: each line gives one input, which is what the line says,
/// or one error, and none is lost.
///
/// # Panics
/// Where that does not hold.
pub fn inputs(data: &[u8]) {
    let texts = Wanted { texts: true, images: false, query: QueryKey::Ignored, plain: Kind::Text };
    let pairs = Wanted { query: QueryKey::Needed, plain: Kind::Pair, ..texts };
    let images = Wanted { texts: false, images: true, plain: Kind::Image, ..texts };
    for wanted in [texts, pairs, images] {
        for format in [InputFormat::Lines, InputFormat::Jsonl] {
            check(data, format, wanted);
        }
    }
}

fn check(data: &[u8], format: InputFormat, wanted: Wanted) {
    let marked = data.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(data);
    let mut lines: Vec<&[u8]> = marked.split(|&byte| byte == b'\n').collect();
    // What follows the last line feed is no line; a carriage return belongs to the line feed after it.
    let last = lines.pop().filter(|last| !last.is_empty());
    let lines = lines.into_iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line)).chain(last);
    let mut inputs = fuzzed(data, format, wanted);
    let mut position = 0;
    for line in lines {
        let Some(Ok(input)) = inputs.next() else {
            // The file as a whole is refused, by its beginning.
            assert_eq!(position, 0, "a line is lost");
            return;
        };
        assert!(position < input.position && input.position <= data.len() as u64);
        position = input.position;
        let Ok(item) = input.item else { continue };
        let line = std::str::from_utf8(line).expect("it was read as a text");
        match format {
            InputFormat::Lines => assert_eq!(said(&item), (None, line)),
            InputFormat::Jsonl => {
                let value: Value = serde_json::from_str(line).expect("it was read as JSON");
                let key = if item.kind() == Kind::Image { "image" } else { "text" };
                let (query, text) = said(&item);
                assert_eq!(value[key], text);
                assert!(query.is_none_or(|query| value["query"] == query));
            }
        }
    }
    assert!(inputs.next().is_none(), "there are more inputs than lines");
    assert!(position == data.len() as u64 || marked.is_empty());
}

/// The query, and the text or path.
fn said(item: &Item) -> (Option<&str>, &str) {
    match item {
        Item::Text(text) => (None, text),
        Item::Image(path) => (None, path.to_str().expect("it was a text")),
        Item::Pair(query, text) => (Some(query), text),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    #[test]
    fn kept_inputs() {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/inputs");
        let files: Vec<_> = fs::read_dir(dir).unwrap().collect();
        assert!(files.len() > 3);
        for file in files {
            super::inputs(&fs::read(file.unwrap().path()).unwrap());
        }
    }
}
