//! Places where a long text can be cut without a change to its tokens.
//!
//! A model sees the first few hundred tokens of a text of any length, but the tokenizers library
//! normalises and splits the whole text before it makes the first one. Here a text is cut in two parts,
//! so that the tokens of both parts, one list after the other, are those of the whole: then a part that
//! has more tokens than the limit is as good as the text. The argument, for a cut between two ordinary
//! characters ([`plain`]) and a space or line break before another one:
//!
//! 1. No added token spans the cut, since none has anything but white space before white space. White
//!    space that belongs to an added token behind the cut begins there at most; none behind the cut belongs
//!    to an added token before it.
//! 2. A normaliser of the kinds in [`is_local`] gives for both parts what it gives for the whole:
//!    it maps characters one by one, or composes them (nothing composes with a space after it), or maps
//!    clusters of characters (which end before a space, if not behind one of a few signs that are not
//!    plain), or replaces runs of white space, of which none ends at the cut. [`Cuts::holds`] runs it
//!    on the characters around the cut, since the maps of some are data: the cut is still there behind
//!    it, with an ordinary character before and white space after.
//! 3. The pre-tokenizer ends a piece there ([`End`]), and treats the pieces on each side by themselves.
//! 4. The model sees each piece alone.
//!
//! Whatever is not known to be so is tokenised whole.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tokenizers::{
    ModelWrapper, NormalizedString, Normalizer, NormalizerWrapper, PreTokenizerWrapper,
    Tokenizer as Inner, TruncationDirection,
    normalizers::{Replace, replace::ReplacePattern},
    pre_tokenizers::split::SplitPattern,
    tokenizer::SplitDelimiterBehavior,
};

/// How many candidates for a cut are looked at.
const CANDIDATES: usize = 64;

/// Patterns of `Split` of which no match has white space behind anything else, but for line breaks
/// behind punctuation, and which match every character or leave out white space only.
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

/// Patterns of `Replace` that match white space only.
const SPACES: [&str; 4] = [r" {2,}", r" +", r"\s+", r"\s{2,}"];

/// White space before which a pre-tokenizer ends a piece, behind anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Space,
    WhiteSpace,
}

/// Cuts that a tokenizer allows.
#[derive(Debug, Clone)]
pub(super) struct Cuts {
    end: End,
    /// The last characters of added tokens that white space behind them belongs to.
    strip: Vec<char>,
}

impl Cuts {
    /// `None` for a tokenizer of which nothing is known.
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

    /// Up to `most` bytes of the start or the end of a text, as the tokenizer keeps one or the other, cut
    /// off from the rest; `None` where no cut is found.
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

    /// True where normalising leaves the cut as it is.
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
                // Whether it is replaced depends on what is before it.
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
        // Added tokens are looked for in the text as it was and as it is now.
        let before = before.to_string();
        !strips(&before)
            && !strips(&left)
            && (self.end == End::WhiteSpace || right.starts_with(' '))
    }
}

/// True where the text has a single space or line break at a place, between ordinary characters, of
/// which there are two before it.
fn is_candidate(text: &str, at: usize, character: char, after: char) -> bool {
    matches!(character, ' ' | '\n') && plain(after) && {
        let mut before = text[..at].chars().rev();
        before.next().is_some_and(plain) && before.next().is_some_and(plain)
    }
}

/// Characters that are themselves wherever they stand: letters, numerals and punctuation that neither
/// combine with what is before them nor draw what is after them into their cluster.
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

/// True for the normalisers of the argument's second step.
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
        // The end of a text is another one when it is cut, but that is no white space then.
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

/// Pattern of a replacement, which the library shows in JSON only.
fn pattern(replace: &Replace) -> Option<ReplacePattern> {
    let mut json = serde_json::to_value(replace).ok()?;
    serde_json::from_value(json["pattern"].take()).ok()
}

/// Where a pre-tokenizer ends pieces, as the third step of the argument needs it.
fn end(pre_tokenizer: &PreTokenizerWrapper) -> Option<End> {
    match pre_tokenizer {
        PreTokenizerWrapper::BertPreTokenizer(_)
        | PreTokenizerWrapper::Whitespace(_)
        | PreTokenizerWrapper::WhitespaceSplit(_) => Some(End::WhiteSpace),
        // A space that is put before a piece without one would be put before a line break, too.
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
        // After the first that ends a piece there, each sees a piece alone.
        PreTokenizerWrapper::Sequence(list) => {
            let mut list = list.as_ref().iter().skip_while(|one| keeps_cuts(one));
            end(list.next()?)
        }
        _ => None,
    }
}

/// True where a pre-tokenizer goes by each character's class, so that a cut is the end of a piece or within
/// one that has the same characters around it.
fn keeps_cuts(pre_tokenizer: &PreTokenizerWrapper) -> bool {
    match pre_tokenizer {
        PreTokenizerWrapper::Digits(_) => true,
        PreTokenizerWrapper::Punctuation(punctuation) => {
            punctuation.behavior == SplitDelimiterBehavior::Isolated
        }
        _ => false,
    }
}

/// The steps of the normaliser, one after the other.
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

/// `None` where the library fails or panics, which it does for odd maps of characters.
fn normalise(normalizer: &NormalizerWrapper, text: &str) -> Option<String> {
    let run = || {
        let mut text = NormalizedString::from(text);
        normalizer.normalize(&mut text).ok()?;
        Some(text.get().to_owned())
    };
    catch_unwind(AssertUnwindSafe(run)).ok().flatten()
}

/// True where something else is before white space.
fn spans(token: &str) -> bool {
    let mut behind = token.chars().zip(token.chars().skip(1));
    behind.any(|(a, b)| !a.is_whitespace() && b.is_whitespace())
}

#[cfg(test)]
mod tests;
