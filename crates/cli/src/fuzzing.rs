//! Entry points of fuzzers; tests call them with the inputs that are kept in `tests/corpus`.
//! Compiled for tests and by cargo-fuzz only.

use embedkit::{Input, InputKind};
use serde_json::Value;

use crate::{
    args::InputFormat,
    input::{AcceptedInputs, QueryKey, fuzzed, image_path},
};

/// A file of inputs, as lines and as JSON lines: each line gives one input, which is what the line says,
/// or one error, and none is lost.
///
/// # Panics
/// If one of these does not hold.
pub fn inputs(data: &[u8]) {
    let texts = AcceptedInputs {
        texts: true,
        images: false,
        query: QueryKey::Ignored,
        plain: InputKind::Text,
    };
    let pairs = AcceptedInputs { query: QueryKey::Needed, plain: InputKind::Pair, ..texts };
    let images = AcceptedInputs { texts: false, images: true, plain: InputKind::Image, ..texts };
    for accepted in [texts, pairs, images] {
        for format in [InputFormat::Lines, InputFormat::Jsonl] {
            check(data, format, accepted);
        }
    }
}

fn check(data: &[u8], format: InputFormat, accepted: AcceptedInputs) {
    let marked = data.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(data);
    let mut lines: Vec<&[u8]> = marked.split(|&byte| byte == b'\n').collect();
    // What follows the last line feed is no line; a carriage return belongs to the line feed after it.
    let last = lines.pop().filter(|last| !last.is_empty());
    let lines = lines.into_iter().map(|line| line.strip_suffix(b"\r").unwrap_or(line)).chain(last);
    let mut inputs = fuzzed(data, format, accepted);
    let mut position = 0;
    for line in lines {
        let Some(Ok(item)) = inputs.next() else {
            // The file as a whole is refused, by its beginning.
            assert_eq!(position, 0, "a line is lost");
            return;
        };
        assert!(position < item.position && item.position <= data.len() as u64);
        position = item.position;
        let Ok(input) = item.input else { continue };
        let line = std::str::from_utf8(line).expect("it was read as a text");
        match format {
            InputFormat::Lines => assert_eq!(said(&input), (None, line)),
            InputFormat::Jsonl => {
                let value: Value = serde_json::from_str(line).expect("it was read as JSON");
                let key = if input.kind() == InputKind::Image { "image" } else { "text" };
                let (query, text) = said(&input);
                assert_eq!(value[key], text);
                assert!(query.is_none_or(|query| value["query"] == query));
            }
        }
    }
    assert!(inputs.next().is_none(), "there are more inputs than lines");
    assert!(position == data.len() as u64 || marked.is_empty());
}

/// The query, and the text or path.
fn said(input: &Input) -> (Option<&str>, &str) {
    match input {
        Input::Text(text) => (None, text),
        Input::Pair { query, document } => (Some(query), document),
        image => {
            let path = image_path(image).expect("there is no other kind of input");
            (None, path.to_str().expect("it was a text"))
        }
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
