//! Lists of stopwords: one word a line, taken as it stands.

use std::{collections::HashSet, path::Path};

use embedkit_core::{Error, read_bounded};

/// The longest list has some 750 words.
const MAX_BYTES: u64 = 16 << 20;

/// The words of a file, `None` where there is no such file.
///
/// # Errors
/// A file that cannot be read, is too large or is not UTF-8.
pub(crate) fn read(path: &Path) -> Result<Option<HashSet<String>>, Error> {
    let bytes = match read_bounded(path, MAX_BYTES) {
        Err(Error::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Ok(None);
        }
        other => other?,
    };
    let text = String::from_utf8(bytes).map_err(|error| Error::InvalidFile {
        path: path.to_owned(),
        reason: format!(
            "a list of stopwords has to be UTF-8; byte {} is not",
            error.utf8_error().valid_up_to()
        ),
    })?;
    Ok(Some(lines(&text).map(str::to_owned).collect()))
}

/// The lines of a text, by the line ends that Python's `splitlines` knows. Words are not trimmed.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    // An empty line, as between the two of CR LF, would be a word that no token equals.
    text.split(|c| {
        matches!(
            c,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'
                ..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    })
    .filter(|line| !line.is_empty())
}

/// The words of a file, for a model that runs without stopwords where there is none.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_or_none(path: &Path) -> Result<HashSet<String>, Error> {
    Ok(read(path)?.unwrap_or_else(|| {
        tracing::warn!(path = %path.display(), "no list of stopwords; none are left out");
        HashSet::new()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_lines_and_are_not_trimmed() {
        let words: Vec<_> = lines("a\n b \r\n\nc\rd\u{2028}e").collect();
        assert_eq!(words, ["a", " b ", "c", "d", "e"]);
    }

    #[test]
    fn a_missing_file_is_no_error_and_a_damaged_one_is() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(&dir.path().join("none.txt")).unwrap().is_none());
        assert!(read_or_none(&dir.path().join("none.txt")).unwrap().is_empty());
        let path = dir.path().join("latin1.txt");
        std::fs::write(&path, b"f\xfcr\n").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("byte 1 is not"));
    }
}
