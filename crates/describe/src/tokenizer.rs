//! Files of the tokenizer: `tokenizer.json`, or a vocabulary where there is none.

use embedkit_types::{Encoder, Task, TextDense, TokenizerFiles};

use crate::{DescribeError, Description, Fact, document::Reader};

/// Models of SentencePiece, by the names that Transformers gives them.
const SENTENCE_PIECE: [&str; 4] =
    ["sentencepiece.bpe.model", "spiece.model", "tokenizer.model", "sentencepiece.model"];

/// Puts the form of the tokenizer into the description.
pub(crate) fn settle(reader: &Reader<'_>, found: &mut Description) -> Result<(), DescribeError> {
    // A table of rows has no use for a vocabulary alone, an image none for any.
    let tokens = match &found.spec.task {
        Task::TextDense(TextDense { encoder, .. }) => *encoder == Encoder::Transformer,
        Task::Image(_) => false,
        _ => true,
    };
    if !tokens {
        return Ok(());
    }
    let spec = &found.spec;
    let has = |name: &str| reader.has(&spec.in_folder(name));
    let complete = |form: &TokenizerFiles| form.names().iter().all(|name| has(name));
    let form = TokenizerFiles::ALL.into_iter().find(complete);
    match form {
        Some(TokenizerFiles::Json) => {}
        Some(form) => {
            let names = form.names();
            let (value, file) = (names.join(" and "), spec.in_folder(names[0]));
            found.facts.push(Fact { field: "tokenizer", value, file });
            found.spec.tokenizer = form;
        }
        None => {
            if let Some(name) = SENTENCE_PIECE.iter().find(|name| has(name)) {
                let (model, file) = (reader.model.to_owned(), spec.in_folder(name));
                return Err(DescribeError::SentencePiece { model, file });
            }
        }
    }
    Ok(())
}
