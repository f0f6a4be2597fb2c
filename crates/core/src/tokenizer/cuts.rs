//! Cuts: places where a long text can be split without a change to its tokens.
//!
//! A model sees the first few hundred tokens of a text of any length, but the tokenizers library
//! normalises and splits the whole text before it makes the first one. A cut splits a text in two parts
//! whose tokens, concatenated, are those of the whole text. A part with more tokens than the limit is
//! then as good as the text. The following argument holds for a cut between two ordinary characters
//! ([`plain`]) and a space or line break before another one:
//!
//! 1. No added token spans the cut, since none has a character other than white space before white
//!    space. White space that belongs to an added token after the cut starts at the cut or later; no
//!    white space after the cut belongs to an added token before it.
//! 2. A normaliser of the kinds in [`is_local`] gives the same result for both parts as for the whole:
//!    it maps single characters, or composes them (nothing composes with a space after it), or maps
//!    grapheme clusters (which end before a space, except after a few characters that are not plain),
//!    or replaces runs of white space, none of which ends at the cut. Some maps are data, so
//!    [`Cuts::holds`] runs the normaliser on the characters around the cut: the cut is still there
//!    afterwards, with an ordinary character before and white space after.
//! 3. The pre-tokenizer ends a piece at the cut ([`End`]) and treats the pieces on each side
//!    separately.
//! 4. The model sees each piece separately.
//!
//! Texts are tokenised whole unless this argument is known to hold.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokenizers::{
    ModelWrapper, NormalizedString, Normalizer, NormalizerWrapper, PreTokenizerWrapper,
    Tokenizer as Inner, TruncationDirection,
    normalizers::{Replace, replace::ReplacePattern},
    pre_tokenizers::split::SplitPattern,
    tokenizer::SplitDelimiterBehavior,
};

/// Maximum number of candidates for a cut.
const CANDIDATES: usize = 64;

/// Patterns of `Split` that match every character or leave out only white space. No match has white
/// space after anything else, except line breaks after punctuation.
const WORDS: [&str; 5] = [
    // GPT-2 and others.
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    // GPT-4, Llama 3.
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    // Qwen 2 and 3.
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    // CLIP.
    r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+",
];

/// Patterns of `Replace` that match only white space.
const SPACES: [&str; 4] = [r" {2,}", r" +", r"\s+", r"\s{2,}"];

/// White space before which a pre-tokenizer ends a piece, after any other character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Space,
    WhiteSpace,
}

/// Cuts that a tokenizer allows.
#[derive(Debug, Clone)]
pub(super) struct Cuts {
    end: End,
    /// Last characters of added tokens that include white space after them.
    strip: Vec<char>,
}

impl Cuts {
    /// Returns `None` for a tokenizer for which the argument is not known to hold.
    pub(super) fn of(inner: &Inner) -> Option<Self> {
        let random = matches!(inner.get_model(), ModelWrapper::BPE(bpe) if bpe.dropout.is_some());
        let steps = steps(inner);
        let mapped =
            steps.iter().filter(|n| matches!(n, NormalizerWrapper::Precompiled(_))).count();
        if random || mapped > 1 || !steps.into_iter().all(is_local) {
            return None;
        }
        let mut strip = Vec::new();
        for token in inner.get_added_vocabulary().get_added_tokens_decoder().values() {
            let content = &token.content;
            let normalised = match inner.get_normalizer() {
                Some(normalizer) => normalise(normalizer, content),
                None => Some(content.clone()),
            };
            let forms = [content.clone(), normalised?];
            if forms.iter().any(|form| spans(form)) {
                return None;
            }
            if token.rstrip {
                strip.extend(forms.iter().filter_map(|form| form.chars().next_back()));
            }
        }
        Some(Self { end: end(inner.get_pre_tokenizer()?)?, strip })
    }

    /// Up to `most` bytes of the start or the end of a text, whichever the tokenizer keeps. `None` if
    /// there is no cut.
    pub(super) fn part<'t>(
        &self,
        inner: &Inner,
        text: &'t str,
        most: usize,
        direction: TruncationDirection,
    ) -> Option<&'t str> {
        match direction {
            TruncationDirection::Right => {
                let start = &text[..text.floor_char_boundary(most)];
                let mut chars = start.char_indices().rev();
                let mut after = chars.next()?.1;
                let mut candidates = CANDIDATES;
                while candidates > 0 {
                    let (at, character) = chars.next()?;
                    if is_candidate(text, at, character, after) {
                        if self.holds(inner, text, at, after) {
                            return Some(&text[..at]);
                        }
                        candidates -= 1;
                    }
                    after = character;
                }
                None
            }
            TruncationDirection::Left => {
                let from = text.ceil_char_boundary(text.len().saturating_sub(most));
                let mut chars = text[from..].char_indices().peekable();
                let mut candidates = CANDIDATES;
                while candidates > 0 {
                    let (at, character) = chars.next()?;
                    let (at, after) = (from + at, chars.peek()?.1);
                    if is_candidate(text, at, character, after) {
                        if self.holds(inner, text, at, after) {
                            return Some(&text[at..]);
                        }
                        candidates -= 1;
                    }
                }
                None
            }
        }
    }

    /// Returns `true` if normalising keeps the cut.
    fn holds(&self, inner: &Inner, text: &str, at: usize, after: char) -> bool {
        let Some(before) = text[..at].chars().next_back() else { return false };
        let strips = |left: &str| left.chars().next_back().is_some_and(|c| self.strip.contains(&c));
        let separator = if text[at..].starts_with(' ') { ' ' } else { '\n' };
        let mut left = before.to_string();
        let mut right = format!("{separator}{after}");
        for normalizer in steps(inner) {
            if let NormalizerWrapper::Replace(replace) = normalizer
                && let Some(ReplacePattern::String(pattern)) = pattern(replace)
                && left.chars().next_back() == pattern.chars().next_back()
            {
                // The context before it decides whether it is replaced.
                return false;
            }
            let whole = normalise(normalizer, &format!("{left}{right}"));
            let parts = normalise(normalizer, &left).zip(normalise(normalizer, &right));
            let Some((new_left, new_right)) = parts else { return false };
            let mut first = new_right.chars();
            let cut = new_left.chars().next_back().is_some_and(plain)
                && matches!(first.next(), Some(' ' | '\n'))
                && first.next().is_some_and(|c| c == ' ' || plain(c));
            if !cut || whole.is_none_or(|whole| whole != format!("{new_left}{new_right}")) {
                return false;
            }
            (left, right) = (new_left, new_right);
        }
        // Added tokens are matched in the original and in the normalised text.
        let before = before.to_string();
        !strips(&before)
            && !strips(&left)
            && (self.end == End::WhiteSpace || right.starts_with(' '))
    }
}

/// Returns `true` if the text has a single space or line break at this position, between ordinary
/// characters, two of them before it.
fn is_candidate(text: &str, at: usize, character: char, after: char) -> bool {
    matches!(character, ' ' | '\n') && plain(after) && {
        let mut before = text[..at].chars().rev();
        before.next().is_some_and(plain) && before.next().is_some_and(plain)
    }
}

/// Characters without context: letters, numerals and punctuation that neither combine with the
/// character before them nor extend their cluster to the one after.
fn plain(character: char) -> bool {
    character.is_ascii_graphic()
        || matches!(character,
            '\u{c0}'..='\u{24f}' // Latin
            | '\u{391}'..='\u{3a9}' | '\u{3b1}'..='\u{3c9}' // Greek
            | '\u{400}'..='\u{481}' | '\u{48a}'..='\u{52f}' // Cyrillic
            | '\u{5d0}'..='\u{5ea}' // Hebrew
            | '\u{621}'..='\u{64a}' // Arabic
            | '\u{3001}'..='\u{3003}' | '\u{3008}'..='\u{3011}' // ideographic punctuation
            | '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}' // kana
            | '\u{4e00}'..='\u{9fff}' // ideographs
            | '\u{ac00}'..='\u{d7a3}' // syllables of Hangul
            | '\u{ff01}'..='\u{ff5e}' // ASCII of full width
        )
}

/// Returns `true` for the normalisers of the argument's second step.
fn is_local(normalizer: &NormalizerWrapper) -> bool {
    match normalizer {
        NormalizerWrapper::BertNormalizer(_)
        | NormalizerWrapper::StripAccents(_)
        | NormalizerWrapper::NFC(_)
        | NormalizerWrapper::NFD(_)
        | NormalizerWrapper::NFKC(_)
        | NormalizerWrapper::NFKD(_)
        | NormalizerWrapper::Lowercase(_)
        | NormalizerWrapper::Nmt(_)
        | NormalizerWrapper::Precompiled(_) => true,
        // A cut moves the end of the text, but it is not white space then.
        NormalizerWrapper::StripNormalizer(strip) => !strip.strip_left,
        NormalizerWrapper::Replace(replace) => match pattern(replace) {
            Some(ReplacePattern::String(pattern)) => {
                let content = &replace.content;
                !pattern.contains(char::is_whitespace)
                    && !content.is_empty()
                    && content.chars().all(plain)
            }
            Some(ReplacePattern::Regex(regex)) => SPACES.contains(&regex.as_str()),
            None => false,
        },
        NormalizerWrapper::Prepend(_)
        | NormalizerWrapper::ByteLevel(_)
        | NormalizerWrapper::Sequence(_) => false,
    }
}

/// Pattern of a replacement, which the library exposes only as JSON.
fn pattern(replace: &Replace) -> Option<ReplacePattern> {
    let mut json = serde_json::to_value(replace).ok()?;
    serde_json::from_value(json["pattern"].take()).ok()
}

/// Ends of pieces by a pre-tokenizer, for the third step of the argument.
fn end(pre_tokenizer: &PreTokenizerWrapper) -> Option<End> {
    match pre_tokenizer {
        PreTokenizerWrapper::BertPreTokenizer(_)
        | PreTokenizerWrapper::Whitespace(_)
        | PreTokenizerWrapper::WhitespaceSplit(_) => Some(End::WhiteSpace),
        // A space before a piece without one would also come before a line break.
        PreTokenizerWrapper::ByteLevel(bytes) if bytes.use_regex && bytes.add_prefix_space => {
            Some(End::Space)
        }
        PreTokenizerWrapper::ByteLevel(bytes) if bytes.use_regex => Some(End::WhiteSpace),
        PreTokenizerWrapper::Metaspace(meta) if meta.get_split() => Some(End::Space),
        PreTokenizerWrapper::Split(split) => {
            let keeps = match split.behavior {
                SplitDelimiterBehavior::Isolated => true,
                SplitDelimiterBehavior::Removed => split.invert,
                _ => false,
            };
            let known = matches!(&split.pattern, SplitPattern::Regex(regex)
                if WORDS.contains(&regex.as_str()));
            (keeps && known).then_some(End::Space)
        }
        // After the first that ends a piece there, each sees a piece separately.
        PreTokenizerWrapper::Sequence(list) => {
            let mut list = list.as_ref().iter().skip_while(|one| keeps_cuts(one));
            end(list.next()?)
        }
        _ => None,
    }
}

/// Returns `true` for a pre-tokenizer that goes by character classes, so that a cut is the end of a
/// piece or within a piece with the same characters around it.
fn keeps_cuts(pre_tokenizer: &PreTokenizerWrapper) -> bool {
    match pre_tokenizer {
        PreTokenizerWrapper::Digits(_) => true,
        PreTokenizerWrapper::Punctuation(punctuation) => {
            punctuation.behavior == SplitDelimiterBehavior::Isolated
        }
        _ => false,
    }
}

/// Steps of the normaliser, in order.
fn steps(inner: &Inner) -> Vec<&NormalizerWrapper> {
    fn add<'t>(normalizer: &'t NormalizerWrapper, steps: &mut Vec<&'t NormalizerWrapper>) {
        match normalizer {
            NormalizerWrapper::Sequence(list) => {
                list.as_ref().iter().for_each(|normalizer| add(normalizer, steps));
            }
            one => steps.push(one),
        }
    }
    let mut steps = Vec::new();
    if let Some(normalizer) = inner.get_normalizer() {
        add(normalizer, &mut steps);
    }
    steps
}

/// `None` if the library fails or panics, which it does for unusual character maps.
pub(super) fn normalise(normalizer: &NormalizerWrapper, text: &str) -> Option<String> {
    let run = || {
        let mut text = NormalizedString::from(text);
        normalizer.normalize(&mut text).ok()?;
        Some(text.get().to_owned())
    };
    catch_unwind(AssertUnwindSafe(run)).ok().flatten()
}

/// Returns `true` if another character is before white space.
fn spans(token: &str) -> bool {
    let mut behind = token.chars().zip(token.chars().skip(1));
    behind.any(|(a, b)| !a.is_whitespace() && b.is_whitespace())
}

#[cfg(test)]
mod tests;
