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
pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Option<ModelPrompts>, DescribeError> {
    let Some(document) = reader.document(FILE)? else { return Ok(None) };
    let Some(texts) = document.inner("prompts")? else { return Ok(None) };
    let query = first(&texts, &QUERY)?;
    let passage = first(&texts, &PASSAGE)?;
    for (field, text) in [("prompts.query", &query), ("prompts.passage", &passage)] {
        if let Some(text) = text {
            reader.note(field, &format!("{text:?}"), FILE);
        }
    }
    if query.is_none() && passage.is_none() {
        return Ok(None);
    }
    let [query, passage] = [query, passage].map(|text| text.map(Into::into));
    Ok(Some(ModelPrompts { query, passage, ..ModelPrompts::default() }))
}

/// The first of the names that has a text; an empty one is none.
fn first(texts: &Document, names: &[&str]) -> Result<Option<String>, DescribeError> {
    for name in names {
        if let Some(text) = texts.text(name)? {
            return Ok(Some(text.to_owned()).filter(|text| !text.is_empty()));
        }
    }
    Ok(None)
}
