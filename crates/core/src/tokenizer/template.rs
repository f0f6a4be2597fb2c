//! Tokenises pairs of texts within a template, for models that read a pair as one text.

use embedkit_types::{ModelFiles, Str, TemplatePart};

use super::{Padding, Side, Tokenizer, TokenizerOptions, Tokens, guarded};
use crate::error::Error;

/// A template with a tokenizer and a fixed limit; thread-safe.
///
/// A pair above the limit loses the end of its document, then, where no document at all has room, the end
/// of its query. The template is never cut.
#[derive(Debug)]
pub struct TemplateTokenizer {
    pub(super) tokenizer: Tokenizer,
    texts: Vec<Text>,
}

/// A text of the template; tokens never span two of them.
#[derive(Debug)]
enum Text {
    Fixed(Vec<u32>),
    Filled(Vec<Part>),
}

#[derive(Debug, PartialEq)]
enum Part {
    Text(String),
    Query,
    Document,
}

/// A query and a document, of which either may be cut.
#[derive(Clone, Copy)]
struct Pair<'a> {
    query: &'a str,
    document: &'a str,
}

impl TemplateTokenizer {
    /// Loads the files of [`Tokenizer::load`] for pairs within `template`.
    ///
    /// # Errors
    /// See [`Tokenizer::load`]; a malformed template, and one that leaves no room for a pair.
    pub fn load_with(
        files: &ModelFiles,
        options: TokenizerOptions,
        template: &[Str],
    ) -> Result<Self, Error> {
        // The end of a text is cut, whatever the files say.
        let tokenizer = Tokenizer::load_with(files, options.reserving(0))?;
        let parsed = TemplatePart::parse(template)
            .map_err(|error| Error::Template { reason: error.to_string() })?;
        let texts = parsed.into_iter().map(|parts| match parts.as_slice() {
            [TemplatePart::Text(text)] => Ok(Text::Fixed(tokenizer.piece_ids(text)?)),
            parts => Ok(Text::Filled(parts.iter().map(Part::from).collect())),
        });
        let texts = texts.collect::<Result<_, Error>>()?;
        let this = Self { tokenizer, texts };
        let (empty, limit) = (Pair { query: "", document: "" }, this.limit());
        let own: usize = this.whole(empty)?.iter().map(Vec::len).sum();
        if own >= limit {
            return Err(Error::Template {
                reason: format!("it has {own} tokens, and the limit is {limit}"),
            });
        }
        Ok(this)
    }

    /// Maximum tokens of a pair, including the template's.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.tokenizer.limit()
    }

    /// Padding of rows in a batch: after the pair, since no token of a causal model sees what comes after it.
    #[must_use]
    pub fn padding(&self) -> Padding {
        Padding { side: Side::Right, ..self.tokenizer.padding() }
    }

    /// Token of an id, including special and added tokens.
    #[must_use]
    pub fn token(&self, id: u32) -> Option<String> {
        self.tokenizer.token(id)
    }

    /// Tokenises a query and a document within the template and truncates them, so that all is within the
    /// limit.
    ///
    /// # Errors
    /// [`Error::Tokenize`] if the tokenizer's model has no token for a piece and no unknown token.
    pub fn encode(&self, query: &str, document: &str) -> Result<Tokens, Error> {
        let limit = self.limit();
        let pair = Pair { query, document };
        let (texts, truncated) = match self.fitting(pair)? {
            Some(texts) => (texts, false),
            None => match self.cut(pair, &Part::Document)? {
                Some(texts) => (texts, true),
                None => {
                    let pair = Pair { query, document: "" };
                    let texts = match self.fitting(pair)? {
                        Some(texts) => Some(texts),
                        None => self.cut(pair, &Part::Query)?,
                    };
                    let reason = || format!("the limit of {limit} tokens has no room for a pair");
                    (texts.ok_or_else(|| Error::Template { reason: reason() })?, true)
                }
            },
        };
        Ok(Tokens { ids: texts.concat(), truncated, ..Tokens::default() })
    }

    /// The ids of all texts, if they are within the limit.
    fn fitting(&self, pair: Pair<'_>) -> Result<Option<Vec<Vec<u32>>>, Error> {
        let texts = self.whole(pair)?;
        let total: usize = texts.iter().map(Vec::len).sum();
        Ok((total <= self.limit()).then_some(texts))
    }

    /// The ids of all texts; of a text above the limit more than the limit.
    fn whole(&self, pair: Pair<'_>) -> Result<Vec<Vec<u32>>, Error> {
        let ids = |text: &Text| match text {
            Text::Fixed(ids) => Ok(ids.clone()),
            Text::Filled(parts) => self.ids(parts, pair),
        };
        self.texts.iter().map(ids).collect()
    }

    /// The ids of a text; above the limit one more than that. Only as much of the document is processed as
    /// the limit needs, if the tokenizer allows it.
    fn ids(&self, parts: &[Part], pair: Pair<'_>) -> Result<Vec<u32>, Error> {
        let above = self.limit().saturating_add(1);
        let encode = |document: &str| {
            let encoding =
                self.tokenizer.encoding(&fill(parts, Pair { document, ..pair }), false)?;
            let mut ids = encoding.get_ids().to_vec();
            if !encoding.get_overflowing().is_empty() {
                // The library has cut it at the limit.
                ids.resize(above, 0);
            }
            Ok(ids)
        };
        self.tokenizer.encode_enough(pair.document, encode, |ids| ids.len() >= above)
    }

    /// The ids of all texts with the end of `subject` cut, as many as the limit has room for; `None` if it
    /// has none for what stands before the subject.
    fn cut(&self, pair: Pair<'_>, subject: &Part) -> Result<Option<Vec<Vec<u32>>>, Error> {
        let holds = |text: &Text| matches!(text, Text::Filled(parts) if parts.contains(subject));
        let mut texts = Vec::with_capacity(self.texts.len());
        let mut place = None;
        for text in &self.texts {
            match text {
                Text::Filled(parts) if holds(text) => {
                    place = Some((texts.len(), parts));
                    texts.push(Vec::new());
                }
                Text::Filled(parts) => texts.push(self.ids(parts, pair)?),
                Text::Fixed(ids) => texts.push(ids.clone()),
            }
        }
        let others: usize = texts.iter().map(Vec::len).sum();
        let (Some((place, parts)), Some(room)) = (place, self.limit().checked_sub(others)) else {
            return Ok(None);
        };
        Ok(self.cut_text(parts, pair, subject, room)?.map(|ids| {
            texts[place] = ids;
            texts
        }))
    }

    /// The first tokens of a text, then those of what follows `subject`: `room` in all.
    fn cut_text(
        &self,
        parts: &[Part],
        pair: Pair<'_>,
        subject: &Part,
        room: usize,
    ) -> Result<Option<Vec<u32>>, Error> {
        let place = parts.iter().position(|part| part == subject).unwrap_or(parts.len());
        let (before, rest) = parts.split_at(place);
        let after = rest.get(1..).unwrap_or_default();
        let tail = if after.is_empty() { Vec::new() } else { self.ids(after, pair)? };
        let Some(kept) = room.checked_sub(tail.len()) else { return Ok(None) };
        let before = fill(before, pair);
        let text = match subject {
            Part::Query => pair.query,
            _ => pair.document,
        };
        let encode =
            |text: &str| guarded(|| self.tokenizer.inner.encode(format!("{before}{text}"), false));
        let enough = |encoding: &tokenizers::Encoding| !encoding.get_overflowing().is_empty();
        let encoding = self.tokenizer.encode_enough(text, encode, enough)?;
        // A token may span the begin of the subject; such a one can be cut.
        let head =
            encoding.get_offsets().iter().take_while(|&&(_, end)| end <= before.len()).count();
        if kept < head {
            return Ok(None);
        }
        let mut ids: Vec<u32> = encoding.get_ids().iter().copied().take(kept).collect();
        ids.extend(tail);
        Ok(Some(ids))
    }
}

impl From<&TemplatePart<'_>> for Part {
    fn from(part: &TemplatePart<'_>) -> Self {
        match part {
            TemplatePart::Text(text) => Self::Text((*text).to_owned()),
            TemplatePart::Query => Self::Query,
            TemplatePart::Document => Self::Document,
        }
    }
}

/// A text with a pair in it.
fn fill(parts: &[Part], pair: Pair<'_>) -> String {
    let mut filled = String::new();
    for part in parts {
        filled.push_str(match part {
            Part::Text(text) => text,
            Part::Query => pair.query,
            Part::Document => pair.document,
        });
    }
    filled
}
