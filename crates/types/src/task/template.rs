//! Texts around a query and a document, for models that read a pair as one text.

use crate::Str;

/// Most texts of a template.
const MOST_TEXTS: usize = 32;
/// Most bytes of a template.
const MOST_BYTES: usize = 32 << 10;

/// A part of a text of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemplatePart<'a> {
    /// Text of the template itself.
    Text(&'a str),
    /// The query.
    Query,
    /// The document.
    Document,
}

/// Fault of a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// A placeholder does not stand in the template once.
    #[error("expected `{placeholder}` once in the template, got it {found} times")]
    Placeholder {
        /// The placeholder, `{query}` or `{document}`.
        placeholder: &'static str,
        /// Number of occurrences.
        found: usize,
    },
    /// The template has an empty text, too many texts, or too long ones.
    #[error("expected 1 to {MOST_TEXTS} texts of at most {MOST_BYTES} bytes together, none empty")]
    Size,
}

/// Placeholders, with what they stand for.
const PLACEHOLDERS: [(&str, TemplatePart<'static>); 2] =
    [("{query}", TemplatePart::Query), ("{document}", TemplatePart::Document)];

impl<'a> TemplatePart<'a> {
    /// The parts of each text of a template, in order.
    ///
    /// ```
    /// use embedkit_types::TemplatePart::{Document, Query, Text, self};
    ///
    /// let template = ["<s>".into(), "Q: {query} A: {document}".into()];
    /// let texts = TemplatePart::parse(&template)?;
    /// assert_eq!(texts, [vec![Text("<s>")], vec![Text("Q: "), Query, Text(" A: "), Document]]);
    /// # Ok::<(), embedkit_types::TemplateError>(())
    /// ```
    ///
    /// # Errors
    /// A placeholder that is not there once, and a template that is empty or too large.
    pub fn parse(template: &'a [Str]) -> Result<Vec<Vec<Self>>, TemplateError> {
        let bytes: usize = template.iter().map(|text| text.len()).sum();
        let sized = (1..=MOST_TEXTS).contains(&template.len()) && bytes <= MOST_BYTES;
        if !sized || template.iter().any(|text| text.is_empty()) {
            return Err(TemplateError::Size);
        }
        for (placeholder, _) in PLACEHOLDERS {
            let found = template.iter().map(|text| text.matches(placeholder).count()).sum();
            if found != 1 {
                return Err(TemplateError::Placeholder { placeholder, found });
            }
        }
        Ok(template.iter().map(|text| split(text)).collect())
    }
}

fn split(text: &str) -> Vec<TemplatePart<'_>> {
    let mut parts = Vec::new();
    let mut rest = text;
    let first = |rest: &str| {
        let places =
            PLACEHOLDERS.iter().filter_map(|(name, part)| Some((rest.find(name)?, *name, *part)));
        places.min_by_key(|&(at, ..)| at)
    };
    while let Some((at, name, part)) = first(rest) {
        if at > 0 {
            parts.push(TemplatePart::Text(&rest[..at]));
        }
        parts.push(part);
        rest = &rest[at + name.len()..];
    }
    if !rest.is_empty() {
        parts.push(TemplatePart::Text(rest));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_has_each_placeholder_once() {
        let parse = |texts: &[&str]| {
            let texts: Vec<Str> = texts.iter().map(|text| (*text).to_owned().into()).collect();
            TemplatePart::parse(&texts).map(|texts| texts.len())
        };
        assert_eq!(parse(&["{document}", "{query}"]), Ok(2));
        let placeholder = |placeholder, found| TemplateError::Placeholder { placeholder, found };
        assert_eq!(parse(&["{query}"]), Err(placeholder("{document}", 0)));
        assert_eq!(parse(&["{query}{query}{document}"]), Err(placeholder("{query}", 2)));
        for wrong in [&[][..], &["{query}{document}", ""], &["a"; 33]] {
            assert_eq!(parse(wrong), Err(TemplateError::Size));
        }
        assert_eq!(
            parse(&["{query}{document}", &"a".repeat(MOST_BYTES)]),
            Err(TemplateError::Size)
        );
    }
}
