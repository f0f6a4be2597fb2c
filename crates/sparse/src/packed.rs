//! Weighted terms of many texts in one allocation.

use std::vec::IntoIter;

use embedkit_core::pipeline::{Texts, catching};
use embedkit_types::{Embedded, Error};

/// The terms of texts, one behind the other, as an iterator that makes a `T` of each.
///
/// A thread computes them, and whoever takes them allocates: a thread that frees the memory of another waits for the
/// other's allocator.
pub(crate) struct Packed<W, T> {
    pairs: Vec<(u32, W)>,
    texts: IntoIter<Result<Place, Error>>,
    /// Start of the next text's pairs.
    start: usize,
    unpack: fn(&[(u32, W)]) -> T,
}

/// End of a text's pairs, and the rest of its result.
struct Place {
    end: usize,
    tokens: usize,
    truncated: bool,
}

impl<W, T> Packed<W, T> {
    /// Packs the terms that `embed` adds to a list for each text. It returns the number of tokens, and whether the text
    /// was cut.
    pub(crate) fn new(
        texts: &Texts,
        unpack: fn(&[(u32, W)]) -> T,
        mut embed: impl FnMut(&str, &mut Vec<(u32, W)>) -> Result<(usize, bool), Error>,
    ) -> Self {
        let mut pairs = Vec::new();
        let embed = |text: &str| {
            let start = pairs.len();
            let embedded = catching(|| embed(text, &mut pairs));
            let (tokens, truncated) = embedded.inspect_err(|_| pairs.truncate(start))?;
            Ok(Place { end: pairs.len(), tokens, truncated })
        };
        let texts: Vec<_> = texts.iter().map(embed).collect();
        Self { pairs, texts: texts.into_iter(), start: 0, unpack }
    }
}

impl<W, T> Iterator for Packed<W, T> {
    type Item = Result<Embedded<T>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let embedded = |Place { end, tokens, truncated }| {
            let start = std::mem::replace(&mut self.start, end);
            Embedded { value: (self.unpack)(&self.pairs[start..end]), tokens, truncated }
        };
        Some(self.texts.next()?.map(embedded))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.texts.size_hint()
    }
}

impl<W, T> ExactSizeIterator for Packed<W, T> {}
