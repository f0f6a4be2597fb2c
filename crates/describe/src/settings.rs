//! `sentence_bert_config.json`: how the transformer of a chain takes texts.

use std::num::NonZeroU32;

use crate::{
    DescribeError,
    document::{Reader, TOKENS},
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
}

impl Settings {
    pub(crate) fn read(reader: &mut Reader<'_>, module: &Module) -> Result<Self, DescribeError> {
        for name in NAMES {
            let Some(document) = reader.document(&module.file(name))? else { continue };
            let mut settings = Self::default();
            if let Some(limit) = document.size("max_seq_length", TOKENS)? {
                settings.token_limit = u32::try_from(limit).ok().and_then(NonZeroU32::new);
                reader.note("max_tokens", &limit, &document.file);
            }
            if document.flag("do_lower_case")? == Some(true) {
                return Err(document.unsupported("do_lower_case", &true, "false"));
            }
            return Ok(settings);
        }
        Ok(Self::default())
    }
}
