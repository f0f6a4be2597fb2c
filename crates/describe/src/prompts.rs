//! Prompts of `config_sentence_transformers.json`.

use embedkit_types::ModelPrompts;

use crate::{
    DescribeError,
    document::{Document, Reader},
};

/// The file with the prompts.
pub(crate) const FILE: &str = "config_sentence_transformers.json";
/// Names of the prompt of a query.
const QUERY: [&str; 1] = ["query"];
/// Names of the prompt of a passage, as sentence-transformers looks for them.
const PASSAGE: [&str; 3] = ["document", "passage", "corpus"];

/// Reads the prompts; `None` where there are none.
///
/// The default prompt is that of raw texts alone: for queries and passages sentence-transformers takes the
/// prompt of their name, and none where that is missing.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    config: Option<&Document>,
) -> Result<Option<ModelPrompts>, DescribeError> {
    let Some(config) = config else { return Ok(None) };
    let texts = config.inner("prompts")?;
    let query = first(texts.as_ref(), &QUERY)?;
    let passage = first(texts.as_ref(), &PASSAGE)?;
    let raw = default(config)?;
    for (field, text) in
        [("prompts.query", &query), ("prompts.passage", &passage), ("prompts.raw", &raw)]
    {
        if let Some(text) = text {
            reader.note(field, &format!("{text:?}"), FILE);
        }
    }
    if query.is_none() && passage.is_none() && raw.is_none() {
        return Ok(None);
    }
    let [query, passage, raw] = [query, passage, raw].map(|text| text.map(Into::into));
    Ok(Some(ModelPrompts { query, passage, raw, unknown: false }))
}

/// The default prompt; an empty one is none.
pub(crate) fn default(config: &Document) -> Result<Option<String>, DescribeError> {
    let Some(name) = config.text("default_prompt_name")? else { return Ok(None) };
    let missing = || config.missing(&format!("prompts.{name}"));
    let texts = config.inner("prompts")?.ok_or_else(missing)?;
    let text = texts.text(name)?.ok_or_else(missing)?;
    Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
}

/// Refuses prompts for a model whose family has none.
pub(crate) fn refuse(config: Option<&Document>) -> Result<(), DescribeError> {
    let Some(texts) = config.map(|config| config.inner("prompts")).transpose()?.flatten() else {
        return Ok(());
    };
    for name in texts.fields.keys() {
        if let Some(text) = texts.text(name)?
            && !text.is_empty()
        {
            return Err(texts.unsupported(name, &format!("{text:?}"), "no prompt"));
        }
    }
    Ok(())
}

/// The first of the names that has a text; an empty one is none.
fn first(texts: Option<&Document>, names: &[&str]) -> Result<Option<String>, DescribeError> {
    let Some(texts) = texts else { return Ok(None) };
    for name in names {
        if let Some(text) = texts.text(name)? {
            return Ok(Some(text.to_owned()).filter(|text| !text.is_empty()));
        }
    }
    Ok(None)
}
