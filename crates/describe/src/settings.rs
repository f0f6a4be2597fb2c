//! `sentence_bert_config.json`: how the transformer of a chain takes texts.

use std::num::NonZeroU32;

use serde_json::Value;

use crate::{
    DescribeError, Head,
    document::{Document, Reader, TOKENS},
    modules::Module,
};

/// Names of the file; the older ones are by architecture.
const NAMES: [&str; 7] = [
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
];

/// Settings of a transformer in a chain.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) token_limit: Option<NonZeroU32>,
    pub(crate) lower_case: bool,
    /// The file itself, for settings of one family.
    pub(crate) document: Option<Document>,
}

impl Settings {
    /// Reads the settings of a transformer whose graph needs `head`.
    pub(crate) fn read(
        reader: &mut Reader<'_>,
        module: &Module,
        head: Head,
    ) -> Result<Self, DescribeError> {
        let mut found = None;
        for name in NAMES {
            found = reader.document(&module.file(name))?;
            if found.is_some() {
                break;
            }
        }
        let Some(document) = found else { return Ok(Self::default()) };
        check_task(&document, head)?;
        // Arguments of the tokenizer and of the configuration change what the files beside say.
        for field in [
            "processing_kwargs",
            "processor_kwargs",
            "tokenizer_args",
            "config_kwargs",
            "config_args",
        ] {
            document.refuse(field)?;
        }
        let token_limit = match document.size("max_seq_length", TOKENS)? {
            None => None,
            Some(limit) => {
                reader.note("max_tokens", &limit, &document.file);
                limit_of(limit)
            }
        };
        let lower_case = document.flag("do_lower_case")?.unwrap_or(false);
        if lower_case {
            reader.note("lower_case", &true, &document.file);
        }
        Ok(Self { token_limit, lower_case, document: Some(document) })
    }
}

/// A number of tokens as the limit of a description.
pub(crate) fn limit_of(tokens: usize) -> Option<NonZeroU32> {
    u32::try_from(tokens).ok().and_then(NonZeroU32::new)
}

/// Checks that the transformer gives the output of the head for a text.
fn check_task(document: &Document, head: Head) -> Result<(), DescribeError> {
    let (task, output) = match head {
        Head::Hidden => ("feature-extraction", "last_hidden_state"),
        Head::MaskedLm => ("fill-mask", "logits"),
        Head::Classifier => ("sequence-classification", "logits"),
        Head::NextToken { .. } => ("text-generation", "logits"),
    };
    if let Some(found) = document.text("transformer_task")?
        && found != task
    {
        return Err(document.unsupported("transformer_task", &found, task));
    }
    let Some(modalities) = document.inner("modality_config")? else { return Ok(()) };
    let text = modalities.inner("text")?.ok_or_else(|| modalities.missing("text"))?;
    match text.get("method_output_name") {
        None => Ok(()),
        Some(Value::String(found)) if found == output => Ok(()),
        Some(other) => Err(text.unsupported("method_output_name", other, output)),
    }
}
