//! Counting stems without stemming a word twice.

use std::collections::{HashMap, HashSet};

use super::{
    Rules,
    seeded::Seed,
    term_index,
    tokens::{Short, Token},
};

/// Stands for a word that is left out.
const LEFT_OUT: u32 = u32::MAX;
/// Words are forgotten, between two texts, when they are more than this, or longer in sum.
const MAX_WORDS: usize = 1 << 16;
const MAX_BYTES: usize = 8 << 20;

/// What has been learned of words, and the counts of one text.
#[derive(Debug, Default)]
pub(super) struct Terms {
    /// From a token to the number of its stem.
    short: HashMap<Short, u32, Seed>,
    long: HashMap<Box<str>, u32, Seed>,
    /// From a stem to its number.
    numbers: HashMap<Box<str>, u32, Seed>,
    /// By the number of a stem: its index, and how often the text has it.
    stems: Vec<(u32, u32)>,
    /// Indices of all stems.
    indices: HashSet<u32, Seed>,
    /// Two stems have one index.
    collide: bool,
    /// Stems of the text, by first occurrence.
    order: Vec<u32>,
    bytes: usize,
}

impl Terms {
    /// Starts a text.
    pub(super) fn begin(&mut self) {
        if self.short.len() + self.long.len() > MAX_WORDS || self.bytes > MAX_BYTES {
            *self = Self::default();
        }
        for stem in self.order.drain(..) {
            self.stems[stem as usize].1 = 0;
        }
    }

    /// Counts a token; `false` where it is left out.
    pub(super) fn count(&mut self, token: &Token<'_>, rules: &Rules) -> bool {
        let known = match token {
            Token::Short(short) => self.short.get(short),
            Token::Long(long) => self.long.get(*long),
        };
        let stem = known.copied().unwrap_or_else(|| self.learn(token, rules));
        if stem == LEFT_OUT {
            return false;
        }
        let (_, count) = &mut self.stems[stem as usize];
        if *count == 0 {
            self.order.push(stem);
        }
        *count += 1;
        true
    }

    #[cold]
    fn learn(&mut self, token: &Token<'_>, rules: &Rules) -> u32 {
        let text = token.as_str();
        let stem = rules.stem(text, |stem| match self.numbers.get(stem) {
            Some(&number) => number,
            None => {
                let number = u32::try_from(self.stems.len())
                    .expect("2^32 different stems are a text of more than 30 GB");
                self.bytes += stem.len();
                self.numbers.insert(stem.into(), number);
                let index = term_index(stem);
                self.collide |= !self.indices.insert(index);
                self.stems.push((index, 0));
                number
            }
        });
        let stem = stem.unwrap_or(LEFT_OUT);
        self.bytes += text.len();
        match token {
            Token::Short(short) => self.short.insert(*short, stem),
            Token::Long(long) => self.long.insert((*long).into(), stem),
        };
        stem
    }

    /// True if stems of a text may have one index; hardly ever.
    pub(super) fn collide(&self) -> bool {
        self.collide
    }

    /// Indices and counts of the text's stems, by first occurrence.
    pub(super) fn counts(&self) -> impl ExactSizeIterator<Item = (u32, u32)> {
        self.order.iter().map(|&stem| self.stems[stem as usize])
    }
}
