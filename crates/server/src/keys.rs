//! Keys of clients.

use std::{fmt, fs::File, io::Read as _, path::Path};

use axum::http::{HeaderMap, HeaderValue, header};
use subtle::ConstantTimeEq as _;

use crate::StartError;

/// Far more than any file of keys has.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Secrets that clients send as `Authorization: Bearer KEY` or `api-key: KEY`. Any of them will do.
#[derive(Clone, Default)]
pub struct Keys(Vec<Vec<u8>>);

impl Keys {
    /// Keys from a list, such as one in an environment variable. Empty ones are left out.
    pub fn new(keys: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let keys = keys.into_iter().filter_map(|key| {
            let key = key.as_ref().trim();
            (!key.is_empty()).then(|| key.as_bytes().to_owned())
        });
        Self(keys.collect())
    }

    /// Keys from a file, one on each line. Empty lines and lines that begin with `#` are left out.
    ///
    /// # Errors
    /// [`StartError::Keys`] for a file that cannot be read, is too large, or has no key.
    pub fn read(path: &Path) -> Result<Self, StartError> {
        let failed = |reason: String| StartError::Keys { path: path.to_owned(), reason };
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text))
            .map_err(|error| failed(error.to_string()))?;
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(failed(format!("it is larger than {MAX_FILE_BYTES} bytes")));
        }
        let keys = Self::new(text.lines().filter(|line| !line.trim_start().starts_with('#')));
        // An empty file would let everybody in.
        if keys.0.is_empty() { Err(failed("it has no key".to_owned())) } else { Ok(keys) }
    }

    /// These keys and others.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// True without keys: all requests are answered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True if a request may be answered.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> bool {
        self.is_empty() || given(headers).is_some_and(|key| self.contains(key))
    }

    /// True if the text is one of the keys. The time depends on the lengths only.
    pub(crate) fn contains(&self, key: &[u8]) -> bool {
        let mut found = subtle::Choice::from(0);
        for known in &self.0 {
            found |= known.as_slice().ct_eq(key);
        }
        found.into()
    }
}

/// The key that a request brings.
fn given(headers: &HeaderMap) -> Option<&[u8]> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return headers.get("api-key").map(HeaderValue::as_bytes);
    };
    let value = value.as_bytes();
    let (scheme, key) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| key.trim_ascii())
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(keys: &Keys, name: &'static str, value: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        keys.admit(&headers)
    }

    #[test]
    fn any_key_will_do_and_nothing_else() {
        let keys = Keys::new(["first", " second ", ""]);
        for good in ["Bearer first", "bearer second", "Bearer  first "] {
            assert!(admits(&keys, "authorization", good), "{good}");
        }
        for bad in ["first", "Bearer", "Bearer ", "Bearer firs", "Bearer firstx", "Basic first"] {
            assert!(!admits(&keys, "authorization", bad), "{bad}");
        }
        assert!(admits(&keys, "api-key", "second") && !admits(&keys, "api-key", ""));
        assert!(!keys.admit(&HeaderMap::new()));
        assert!(Keys::default().admit(&HeaderMap::new()));
    }

    #[test]
    fn a_file_has_a_key_on_each_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        std::fs::write(&path, "# for the crawler\none\r\n\n two\n").unwrap();
        let keys = Keys::read(&path).unwrap();
        assert!(keys.contains(b"one") && keys.contains(b"two") && keys.0.len() == 2);
        std::fs::write(&path, "\n# nothing\n").unwrap();
        assert!(Keys::read(&path).unwrap_err().to_string().ends_with("it has no key"));
        assert!(Keys::read(&dir.path().join("none")).is_err());
    }

    #[test]
    fn keys_are_not_printed() {
        assert_eq!(format!("{:?}", Keys::new(["secret"])), "Keys(1)");
    }
}
