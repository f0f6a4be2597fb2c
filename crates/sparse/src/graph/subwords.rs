//! Words put together again from the tokens that they were cut into.

use embedkit_core::{Error, tokenizer::Tokenizer};

/// A word and the positions of its tokens in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) positions: Vec<usize>,
}

/// Joins tokens to words: one that starts with `prefix` continues the word before it, any other
/// starts a new one. Tokens that `skip` holds neither continue nor end a word.
pub(super) fn join(
    ids: &[u32],
    tokenizer: &Tokenizer,
    prefix: &str,
    skip: impl Fn(u32) -> bool,
) -> Result<Vec<Word>, Error> {
    let kept = ids.iter().enumerate().filter(|&(_, &id)| !skip(id));
    let tokens = kept.map(|(position, &id)| {
        let token = tokenizer.token(id).ok_or_else(|| Error::Tokenize {
            reason: format!("it gave the id {id}, which is not in its vocabulary"),
        })?;
        Ok((position, token))
    });
    Ok(join_tokens(tokens.collect::<Result<Vec<_>, Error>>()?, prefix))
}

fn join_tokens(tokens: Vec<(usize, String)>, prefix: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut word = Word { text: String::new(), positions: Vec::new() };
    for (position, token) in tokens {
        if let Some(rest) = token.strip_prefix(prefix) {
            word.text.push_str(rest);
        } else {
            if !word.text.is_empty() {
                let positions = std::mem::take(&mut word.positions);
                words.push(Word { text: std::mem::take(&mut word.text), positions });
            }
            word.text = token;
        }
        word.positions.push(position);
    }
    if !word.text.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(tokens: &[&str]) -> Vec<(String, Vec<usize>)> {
        let tokens = tokens.iter().map(|&token| token.to_owned()).enumerate().collect();
        join_tokens(tokens, "##").into_iter().map(|word| (word.text, word.positions)).collect()
    }

    #[test]
    fn continuing_tokens_join_the_word_before() {
        assert_eq!(
            joined(&["jump", "##ing", "fox", "##e", "##s"]),
            [("jumping".to_owned(), vec![0, 1]), ("foxes".to_owned(), vec![2, 3, 4])]
        );
        assert_eq!(joined(&["##s", "a"]), [("s".to_owned(), vec![0]), ("a".to_owned(), vec![1])]);
        assert_eq!(joined(&[]), []);
    }

    #[test]
    fn a_bare_mark_at_the_start_goes_to_the_next_word() {
        // The original's positions are not cleared where there is no word yet.
        assert_eq!(joined(&["##", "a"]), [("a".to_owned(), vec![0, 1])]);
    }
}
