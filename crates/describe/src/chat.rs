//! Chat templates: what stands around the query and the document that a causal language model is asked about.
//!
//! A template is a program in Jinja's language. It is run here within bounds of time and memory, with a query
//! and a document that are told from its own text afterwards.

use minijinja::{Environment, Error, ErrorKind, Value, syntax::SyntaxConfig};
use serde_json::Value as Json;

use crate::{
    DescribeError,
    document::{Document, Reader},
};

/// The file with a template, and the older place for it.
const FILE: &str = "chat_template.jinja";
const CONFIG: &str = "tokenizer_config.json";
/// Most bytes of a template.
const MOST_BYTES: usize = 256 << 10;
/// Instructions of a run, and multiples of 64 bytes: a thousand times what templates need.
const FUEL: u64 = 1_000_000;
/// Special tokens that a template may name.
const TOKENS: [&str; 4] = ["bos_token", "eos_token", "pad_token", "unk_token"];
/// Texts that no template has, with white space around them in the second run.
const PAIRS: [[&str; 2]; 2] =
    [["\u{f0000}", "\u{f0001}"], [" \u{f0000}\u{f0000} \n", "\t\u{f0001}\u{f0001} "]];
const PLACEHOLDERS: [&str; 2] = ["{query}", "{document}"];

/// Form of a message's content in the template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// As a text.
    Flat,
    /// As a list of parts with a type.
    Structured,
}

/// A template with what it is run with.
pub(crate) struct Chat {
    pub(crate) file: &'static str,
    template: String,
    tokens: Vec<(&'static str, String)>,
}

impl Chat {
    /// The template of a model.
    pub(crate) fn read(reader: &Reader<'_>) -> Result<Self, DescribeError> {
        let config = reader.document(CONFIG)?;
        let mut tokens = Vec::new();
        for name in TOKENS {
            if let Some(text) = config.as_ref().map(|config| token(config, name)).transpose()? {
                tokens.extend(text.map(|text| (name, text)));
            }
        }
        if let Some(bytes) = reader.bytes(FILE, MOST_BYTES)? {
            let template = String::from_utf8(bytes).map_err(|_| {
                reader.wrong(FILE, "", "a text in UTF-8", &Json::from("other bytes"))
            })?;
            return Ok(Self { file: FILE, template, tokens });
        }
        let config = config.ok_or_else(|| reader.missing_file(FILE, "1_LogitScore"))?;
        let template =
            config.text("chat_template")?.ok_or_else(|| config.missing("chat_template"))?;
        if template.len() > MOST_BYTES {
            let (model, file) = (reader.model.to_owned(), CONFIG.to_owned());
            return Err(DescribeError::TooLarge { model, file, limit: MOST_BYTES });
        }
        Ok(Self { file: CONFIG, template: template.to_owned(), tokens })
    }

    /// The text around a pair, with placeholders for its query and its document. `prompt` is what the
    /// system says before them.
    pub(crate) fn text(
        &self,
        reader: &Reader<'_>,
        prompt: Option<&str>,
        format: Format,
    ) -> Result<String, DescribeError> {
        let wrong = |reason: &str| DescribeError::Template {
            model: reader.model.to_owned(),
            file: self.file.to_owned(),
            reason: reason.to_owned(),
        };
        let mut texts = PAIRS.iter().map(|pair| self.render(*pair, prompt, format));
        let (Some(first), Some(second)) = (texts.next(), texts.next()) else {
            return Err(wrong("there is no pair"));
        };
        let [first, second] = [first, second].map(|text| {
            text.map_err(|error| {
                wrong(&error.detail().map_or_else(|| error.to_string(), str::to_owned))
            })
        });
        let (first, second) = (first?, second?);
        if let Some(placeholder) =
            PLACEHOLDERS.iter().find(|placeholder| first.contains(**placeholder))
        {
            return Err(wrong(&format!("it has the text {placeholder}")));
        }
        for (text, name) in PAIRS[0].iter().zip(["query", "document"]) {
            if first.matches(text).count() != 1 {
                return Err(wrong(&format!(
                    "it does not put the {name} of a pair into its text once"
                )));
            }
        }
        let filled = |pair: [&str; 2]| {
            let text = first.replace(PAIRS[0][0], pair[0]);
            text.replace(PAIRS[0][1], pair[1])
        };
        if filled(PAIRS[1]) != second {
            return Err(wrong("it changes the texts of a pair, or itself by them"));
        }
        Ok(filled(PLACEHOLDERS))
    }

    /// One run, with the settings that Transformers has.
    fn render(
        &self,
        [query, document]: [&str; 2],
        prompt: Option<&str>,
        format: Format,
    ) -> Result<String, Error> {
        let mut environment = Environment::new();
        environment.set_fuel(Some(FUEL));
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?;
        environment.set_syntax(syntax);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        let message = |(role, text): (&str, &str)| {
            let content = match format {
                Format::Flat => Value::from(text),
                Format::Structured => {
                    let part = minijinja::context! { type => "text", text => text };
                    [part].into_iter().collect()
                }
            };
            minijinja::context! { role => role, content => content }
        };
        let system = prompt.map(|prompt| ("system", prompt));
        let pair = [("query", query), ("document", document)];
        let messages: Value = system.into_iter().chain(pair).map(message).collect();
        let tokens: Vec<_> =
            self.tokens.iter().map(|(name, text)| (*name, Value::from(text))).collect();
        let context = minijinja::context! {
            messages => messages,
            add_generation_prompt => false,
            ..tokens.into_iter().collect::<std::collections::BTreeMap<_, _>>()
        };
        environment.render_str(&self.template, context)
    }
}

/// A special token, which is a text or has one as its content.
fn token(config: &Document, name: &str) -> Result<Option<String>, DescribeError> {
    match config.get(name) {
        Some(Json::Object(_)) => {
            let inner = config.inner(name)?;
            let content = inner.as_ref().map(|inner| inner.text("content")).transpose()?;
            Ok(content.flatten().map(str::to_owned))
        }
        _ => Ok(config.text(name)?.map(str::to_owned)),
    }
}
