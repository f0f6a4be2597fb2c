//! An input as a line of JSON: an object with a text under `text` or a path under `image`.

use embedkit::{Input, InputKind};
use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, Visitor},
};
use serde_json::Value;

use super::{
    accepted::{AcceptedInputs, QueryKey, plain},
    encoding::BYTE_ORDER_MARK,
};

/// The input of one line of JSON.
pub(super) fn input(line: &str, accepted: AcceptedInputs) -> Result<Input, String> {
    if line.trim_ascii().is_empty() {
        return Err("empty, where a JSON object is expected".to_owned());
    }
    // The parser counts lines and columns of what it was given, which is a single line.
    let record: Record = serde_json::from_str(line).map_err(|error| {
        let text = error.to_string();
        let what = text.split(" at line ").next().unwrap_or(&text);
        format!("{what} (column {})", error.column())
    })?;
    let (text, kind, given, taken) = match (record.text, record.image) {
        (Some(text), None) => (text, InputKind::Text, "text", accepted.texts),
        (None, Some(path)) => (path, InputKind::Image, "image", accepted.images),
        (Some(_), Some(_)) => return Err("both \"text\" and \"image\" are given".to_owned()),
        (None, None) => return Err("neither \"text\" nor \"image\" is given".to_owned()),
    };
    match (accepted.query, record.queries.as_slice(), kind) {
        (QueryKey::Needed, [Value::String(query)], InputKind::Text) => {
            return Ok(Input::pair(query.as_str(), text));
        }
        (QueryKey::Needed, [], _) => {
            return Err("\"query\" is not given, and neither is --query".to_owned());
        }
        (QueryKey::Needed, [_], InputKind::Text) => {
            return Err("expected a string as \"query\"".to_owned());
        }
        (QueryKey::Needed, [_, _, ..], _) => return Err("duplicate field `query`".to_owned()),
        (QueryKey::Refused, [_, ..], _) => {
            return Err("\"query\" is given, and so is --query".to_owned());
        }
        _ => {}
    }
    if !taken {
        return Err(format!("\"{given}\" is given, but the model takes no {kind}"));
    }
    Ok(plain(&text, kind))
}

/// True if a line of text is, or begins, a JSON object or array.
pub(super) fn begins(line: &[u8]) -> bool {
    let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line).trim_ascii();
    let open = line.starts_with(b"{") || line.starts_with(b"[");
    open && match serde_json::from_slice::<IgnoredAny>(line) {
        Ok(_) => true,
        // A document of more than one line.
        Err(error) => error.is_eof(),
    }
}

struct Record {
    text: Option<String>,
    image: Option<String>,
    /// Values of any type, which is checked only where the key has a meaning.
    queries: Vec<Value>,
}

/// By hand because a derived implementation accepts arrays, and `null` for a missing key.
impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Record;

            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
                let mut record = Record { text: None, image: None, queries: Vec::new() };
                while let Some(key) = map.next_key::<String>()? {
                    let (name, twice) = match key.as_str() {
                        "text" => {
                            ("text", record.text.replace(string(&mut map, "text")?).is_some())
                        }
                        "image" => {
                            ("image", record.image.replace(string(&mut map, "image")?).is_some())
                        }
                        "query" => {
                            record.queries.push(map.next_value()?);
                            continue;
                        }
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    if twice {
                        return Err(de::Error::duplicate_field(name));
                    }
                }
                Ok(record)
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

/// A value that has to be a string; the error names its key.
fn string<'de, A: MapAccess<'de>>(map: &mut A, key: &str) -> Result<String, A::Error> {
    struct Text<'a>(&'a str);

    impl<'de> de::DeserializeSeed<'de> for Text<'_> {
        type Value = String;

        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
            deserializer.deserialize_string(self)
        }
    }

    impl Visitor<'_> for Text<'_> {
        type Value = String;

        fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(out, "a string as \"{}\"", self.0)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }
    }

    map.next_value_seed(Text(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: AcceptedInputs = AcceptedInputs {
        texts: true,
        images: false,
        query: QueryKey::Ignored,
        plain: InputKind::Text,
    };

    #[test]
    fn json_lines() {
        let text = |line| match input(line, TEXTS) {
            Ok(Input::Text(text)) => text.to_string(),
            other => panic!("{other:?}"),
        };
        assert_eq!(text(r#"{"text":"a\nb","id":[1,{}]}"#), "a\nb");
        assert_eq!(text("{\"id\":1,\"text\":\"\"}\r"), "");
        for (line, why) in [
            ("", "empty, where"),
            (" \t\r\n", "empty, where"),
            ("[\"a\"]", "expected a JSON object"),
            ("\"a\"", "expected a JSON object"),
            ("{}", "neither"),
            (r#"{"text":1}"#, "expected a string as \"text\""),
            (r#"{"text":null}"#, "expected a string as \"text\""),
            (r#"{"image":{}}"#, "expected a string as \"image\""),
            (r#"{"text":"a","image":null}"#, "expected a string as \"image\""),
            (r#"{"text":"a","image":"b"}"#, "both"),
            (r#"{"image":"b.png"}"#, "\"image\" is given, but the model takes no images"),
            (r#"{"text":"a","text":"b"}"#, "duplicate field"),
            (r#"{"text":"\ud800"}"#, "(column "),
            (r#"{"text":"a"} x"#, "trailing characters"),
            (r#"{"text":"a""#, "EOF"),
        ] {
            let error = input(line, TEXTS).unwrap_err();
            assert!(error.contains(why), "{line}: {error}");
        }
    }

    #[test]
    fn json_is_told_from_text() {
        for json in ["{\"a\":1}\n", "[\n", "{", "[{\"a\":1},\n", "[\"a\"]\r\n", "\u{feff} {}"] {
            assert!(begins(json.as_bytes()), "{json}");
        }
        for text in ["", "a", "[1] a note", "{curly} words", "[sic]", "\"a\"", "1", "(a)"] {
            assert!(!begins(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn pairs_where_they_are_accepted() {
        let line = r#"{"query":"q","text":"a"}"#;
        let text = Ok(Input::from("a"));
        assert_eq!(input(line, TEXTS), text);
        assert_eq!(input(r#"{"query":[1],"text":"a","query":2}"#, TEXTS), text);
        let refused = AcceptedInputs { query: QueryKey::Refused, ..TEXTS };
        assert_eq!(input(r#"{"text":"a"}"#, refused), text);
        assert!(input(line, refused).unwrap_err().contains("so is --query"));
        let needed = AcceptedInputs { query: QueryKey::Needed, ..TEXTS };
        assert_eq!(input(line, needed), Ok(Input::pair("q", "a")));
        for (line, why) in [
            (r#"{"text":"a"}"#, "\"query\" is not given"),
            (r#"{"query":"q"}"#, "neither"),
            (r#"{"query":1,"text":"a"}"#, "a string as \"query\""),
            (r#"{"query":"q","text":"a","query":"q"}"#, "duplicate"),
            (r#"{"query":"q","image":"a"}"#, "takes no images"),
        ] {
            let error = input(line, needed).unwrap_err();
            assert!(error.contains(why), "{line}: {error}");
        }
    }

    #[test]
    fn images_where_the_model_takes_them() {
        let both = AcceptedInputs { images: true, ..TEXTS };
        let image = Input::image("a/b.png");
        assert_eq!(input(r#"{"image":"a/b.png"}"#, both), Ok(image));
        assert_eq!(input(r#"{"text":"a"}"#, both), Ok(Input::from("a")));
        let images = AcceptedInputs { texts: false, ..both };
        let error = input(r#"{"text":"a"}"#, images).unwrap_err();
        assert_eq!(error, "\"text\" is given, but the model takes no texts");
    }
}
