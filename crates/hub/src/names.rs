//! Checks of untrusted names that become parts of paths and addresses.

use std::path::PathBuf;

use crate::Error;

/// The longest name that is accepted, in bytes; file systems stop at 255 for one component anyway.
const LONGEST: usize = 1024;

/// Device names that Windows resolves in every folder, with any extension.
const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];

/// A path relative to the root of a repository, such as `onnx/model.onnx`, as a path of this
/// platform. Refused are everything that could leave the folder on any platform, and names that
/// Windows treats specially, so that a cache can be moved between machines.
pub(crate) fn file_path(name: &str) -> Result<PathBuf, Error> {
    check("file name", name)?;
    Ok(name.split('/').collect())
}

/// A repository: `name` or `organisation/name`.
pub(crate) fn repo(name: &str) -> Result<&str, Error> {
    check("repository", name)?;
    let refuse = |reason| Err(Error::Name { kind: "repository", name: name.into(), reason });
    if name.matches('/').count() > 1 {
        return refuse("more than one slash");
    }
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b)) {
        return refuse("only letters, digits, '-', '_' and '.' are allowed");
    }
    if name.contains("--") {
        return refuse("'--' stands for a slash in the cache");
    }
    Ok(name)
}

/// A branch, tag or commit.
pub(crate) fn revision(name: &str) -> Result<&str, Error> {
    check("revision", name)?;
    Ok(name)
}

/// A full commit id: 40 hexadecimal digits.
pub(crate) fn is_commit(name: &str) -> bool {
    is_hex(name, 40)
}

/// True if `text` is `digits` lower or upper case hexadecimal digits.
pub(crate) fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// A path or query part of an address: everything but unreserved characters is escaped, slashes are
/// kept where `slashes` says so.
pub(crate) fn escape(name: &str, slashes: bool) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(byte.into());
            }
            b'/' if slashes => out.push('/'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn check(kind: &'static str, name: &str) -> Result<(), Error> {
    let refuse = |reason| Err(Error::Name { kind, name: name.into(), reason });
    if name.is_empty() {
        return refuse("it is empty");
    }
    if name.len() > LONGEST {
        return refuse("it is too long");
    }
    if name.chars().any(char::is_control) {
        return refuse("it has control characters");
    }
    if name.contains('\\') {
        return refuse("it has a backslash");
    }
    if name.contains(':') {
        return refuse("it has a colon, which names a drive or a stream");
    }
    for part in name.split('/') {
        if part.is_empty() {
            return refuse("it is absolute or has an empty part");
        }
        if part == "." || part == ".." {
            return refuse("it leaves its folder");
        }
        if part.ends_with([' ', '.']) {
            return refuse("a part ends with a space or a dot");
        }
        let stem = part.split('.').next().unwrap_or(part).to_ascii_lowercase();
        let numbered = stem.len() == 4
            && (stem.starts_with("com") || stem.starts_with("lpt"))
            && stem.ends_with(|c: char| c.is_ascii_digit());
        if numbered || DEVICES.contains(&stem.as_str()) {
            return refuse("a part is the name of a device");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_their_folder_are_refused() {
        for name in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "../x",
            "a/../b",
            "a/..",
            "./a",
            "a//b",
            "a/",
            "C:/x",
            "c:x",
            "..\\x",
            "a\\b",
            "\\\\server\\x",
            "a\0b",
            "a\nb",
            "NUL",
            "onnx/con.txt",
            "Com1.onnx",
            "a./b",
            "a /b",
            "file:stream",
        ] {
            assert!(matches!(file_path(name), Err(Error::Name { .. })), "{name:?}");
        }
        assert!(file_path(&"a".repeat(2000)).is_err());
    }

    #[test]
    fn ordinary_paths_are_taken_as_they_are() {
        for name in [
            "model.onnx",
            "onnx/model.onnx_data",
            "1_Pooling/config.json",
            ".gitattributes",
            "a b",
            "common.json",
            "é.txt",
        ] {
            assert_eq!(file_path(name).unwrap(), PathBuf::from(name), "{name:?}");
        }
    }

    #[test]
    fn repositories() {
        assert!(repo("BAAI/bge-small-en-v1.5").is_ok());
        assert!(repo("gpt2").is_ok());
        for name in ["a/b/c", "../b", "a/..", "a b/c", "a--b/c", "a?b/c", ""] {
            assert!(repo(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn escapes() {
        assert_eq!(escape("refs/pr/1", false), "refs%2Fpr%2F1");
        assert_eq!(escape("onnx/a b#?.é", true), "onnx/a%20b%23%3F.%C3%A9");
    }
}
