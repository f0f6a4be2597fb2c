//! Checksums of files: the hashes that the hub names content by, and the SHA-256 that is recorded.

use std::{fmt::Write as _, fs::File, io::Read, path::Path};

use embedkit_types::FileDigest;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use crate::{Error, error::DiskResult, names::is_hex};

/// An expected hash of a file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Digest {
    /// SHA-256 of the content; the hub's name for large files.
    Sha256(String),
    /// Git's name for the content: SHA-1 over `blob SIZE\0` and the content. The hub's name for
    /// small files.
    GitBlob(String),
}

impl Digest {
    /// Takes 64 hexadecimal digits as SHA-256, 40 as a git blob.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let lower = || text.to_ascii_lowercase();
        if is_hex(text, 64) {
            Some(Self::Sha256(lower()))
        } else if is_hex(text, 40) {
            Some(Self::GitBlob(lower()))
        } else {
            None
        }
    }

    /// The digits, which are also the name of the blob in the cache.
    pub(crate) fn hex(&self) -> &str {
        match self {
            Self::Sha256(hex) | Self::GitBlob(hex) => hex,
        }
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sha256(hex) => write!(f, "sha256 {hex}"),
            Self::GitBlob(hex) => write!(f, "git blob {hex}"),
        }
    }
}

/// Hashes content as it passes by. SHA-256 is always computed, since it is recorded.
pub(crate) struct Hashing {
    sha256: Sha256,
    git: Option<Sha1>,
    size: u64,
}

/// Size and hashes of content that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hashed {
    pub(crate) size: u64,
    pub(crate) sha256: String,
    git: Option<String>,
}

impl Hashing {
    /// `expected` decides whether git's hash is computed, too; that begins with the `size`, which has to
    /// be known beforehand.
    pub(crate) fn new(expected: Option<&Digest>, size: Option<u64>) -> Self {
        let git = match (expected, size) {
            (Some(Digest::GitBlob(_)), Some(size)) => {
                Some(Sha1::new_with_prefix(format!("blob {size}\0")))
            }
            _ => None,
        };
        Self { sha256: Sha256::new(), git, size: 0 }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(git) = &mut self.git {
            git.update(bytes);
        }
        self.size += bytes.len() as u64;
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn finish(self) -> Hashed {
        Hashed {
            size: self.size,
            sha256: hex(&self.sha256.finalize()),
            git: self.git.map(|git| hex(&git.finalize())),
        }
    }
}

impl Hashed {
    /// The same of the file at `path`.
    pub(crate) fn of(self, path: &str) -> FileDigest {
        FileDigest { path: path.to_owned().into(), size: self.size, sha256: self.sha256.into() }
    }

    /// An error that names `file` unless the content is what was expected.
    pub(crate) fn check(
        &self,
        file: &str,
        size: Option<u64>,
        digest: Option<&Digest>,
    ) -> Result<(), Error> {
        let corrupt =
            |expected: String, found: String| Error::Corrupt { file: file.into(), expected, found };
        if let Some(size) = size
            && size != self.size
        {
            return Err(corrupt(format!("{size} bytes"), format!("{} bytes", self.size)));
        }
        let found = match digest {
            None => return Ok(()),
            Some(Digest::Sha256(_)) => Some(&self.sha256),
            Some(Digest::GitBlob(_)) => self.git.as_ref(),
        };
        match (digest, found) {
            (Some(digest), Some(found)) if digest.hex() != found => {
                Err(corrupt(digest.to_string(), found.clone()))
            }
            _ => Ok(()),
        }
    }
}

/// Hashes a file.
pub(crate) fn hash_file(path: &Path, expected: Option<&Digest>) -> Result<Hashed, Error> {
    let mut file = File::open(path).or_disk("open", path)?;
    let size = file.metadata().or_disk("read", path)?.len();
    let mut hashing = Hashing::new(expected, Some(size));
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match file.read(&mut buffer).or_disk("read", path)? {
            0 => return Ok(hashing.finish()),
            n => hashing.update(&buffer[..n]),
        }
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        let _ = write!(out, "{byte:02x}"); // a String takes everything
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_git_and_as_the_hub_do() {
        // `printf hello | git hash-object --stdin` and `printf hello | sha256sum`.
        let git = Digest::parse("b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0").unwrap();
        let sha = Digest::parse("2CF24DBA5FB0A30E26E83B2AC5B9E29E1B161E5C1FA7425E73043362938B9824")
            .unwrap();
        let mut hashing = Hashing::new(Some(&git), Some(5));
        hashing.update(b"hel");
        hashing.update(b"lo");
        let hashed = hashing.finish();
        hashed.check("f", Some(5), Some(&git)).unwrap();
        hashed.check("f", None, Some(&sha)).unwrap();
        assert!(matches!(hashed.check("f", Some(6), None), Err(Error::Corrupt { .. })));
        let other = Digest::Sha256("0".repeat(64));
        assert!(matches!(hashed.check("f", None, Some(&other)), Err(Error::Corrupt { .. })));
        let other = Digest::GitBlob("0".repeat(40));
        assert!(matches!(hashed.check("f", None, Some(&other)), Err(Error::Corrupt { .. })));
        assert_eq!(Digest::parse("../../evil"), None);
        assert_eq!(Digest::parse(&"g".repeat(64)), None);
    }
}
