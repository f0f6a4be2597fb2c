//! Python wheels: zip archives whose files are listed with their SHA-256 in a member `RECORD`.

use std::{
    fs::File,
    io::{self, BufReader, Read, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};
use zip::ZipArchive;

use crate::{
    Error,
    digest::{Hashing, hex},
    error::DiskResult,
    names,
    staging::Staged,
};

/// The largest member that is unpacked. The largest library of a GPU package has some 400 MB.
const LARGEST_MEMBER: u64 = 4 << 30;
/// The largest `RECORD` that is read.
const LARGEST_RECORD: u64 = 16 << 20;

/// A wheel that is open.
pub struct Wheel {
    archive: ZipArchive<BufReader<File>>,
    path: PathBuf,
    /// Members with their checksum as the wheel states it.
    record: Vec<(String, String)>,
}

/// A member that was unpacked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Extracted {
    /// The unpacked file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 of its content, in lower-case hexadecimal digits.
    pub sha256: String,
}

impl Wheel {
    /// Opens a wheel. With `sha256` (64 hexadecimal digits), the whole file has to have that hash.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for another hash, [`Error::Archive`] for what is not a wheel,
    /// [`Error::Disk`].
    pub fn open(path: &Path, sha256: Option<&str>) -> Result<Self, Error> {
        if let Some(expected) = sha256 {
            let found = crate::digest::hash_file(path, None)?;
            let expected = crate::digest::Digest::Sha256(expected.to_ascii_lowercase());
            found.check(&path.display().to_string(), None, Some(&expected))?;
        }
        let file = File::open(path).or_disk("open", path)?;
        let broken = |error: zip::result::ZipError| bad(path, &error);
        let mut archive = ZipArchive::new(BufReader::new(file)).map_err(broken)?;
        let record = read_record(&mut archive, path)?;
        Ok(Self { archive, path: path.into(), record })
    }

    /// The names of all members that are files, as the archive has them.
    pub fn members(&self) -> impl Iterator<Item = &str> {
        self.record.iter().map(|(name, _)| name.as_str())
    }

    /// Unpacks one member to the file `target`, whose folder is created. Its content has to have
    /// the hash that the wheel states, and with `sha256` also that one. The file becomes visible
    /// when it is complete.
    ///
    /// # Errors
    /// [`Error::Archive`] for a member that is not there or cannot be unpacked, [`Error::Corrupt`]
    /// for another hash, [`Error::Disk`].
    pub fn extract(
        &mut self,
        member: &str,
        sha256: Option<&str>,
        target: &Path,
    ) -> Result<Extracted, Error> {
        names::file_path(member)?;
        let stated = self.record.iter().find(|(name, _)| name == member);
        let stated = stated.map(|(_, hash)| hash.clone()).ok_or_else(|| Error::Archive {
            path: self.path.clone(),
            reason: format!("it has no file {member}"),
        })?;
        let file = self.archive.by_name(member).map_err(|error| bad(&self.path, &error))?;
        if !file.is_file() || file.size() > LARGEST_MEMBER {
            let reason = format!("{member} is no file, or too large ({} bytes)", file.size());
            return Err(Error::Archive { path: self.path.clone(), reason });
        }
        let size = file.size();
        let mut content = file.take(size + 1);
        let mut staged = Staged::beside(target)?;
        let mut hashing = Hashing::new(None, None);
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let n = content.read(&mut buffer).map_err(|error| Error::Archive {
                path: self.path.clone(),
                reason: format!("{member}: {error}"),
            })?;
            if n == 0 {
                break;
            }
            hashing.update(&buffer[..n]);
            staged.file().write_all(&buffer[..n]).or_disk("write", target)?;
        }
        let hashed = hashing.finish();
        let shown = format!("{member} of {}", self.path.display());
        let stated = crate::digest::Digest::Sha256(stated);
        hashed.check(&shown, Some(size), Some(&stated))?;
        if let Some(expected) = sha256 {
            let expected = crate::digest::Digest::Sha256(expected.to_ascii_lowercase());
            hashed.check(&shown, None, Some(&expected))?;
        }
        staged.publish(target)?;
        Ok(Extracted { path: target.into(), size: hashed.size, sha256: hashed.sha256 })
    }
}

/// Name and version of the package, from the name of its wheel: `NAME-VERSION-…-PLATFORM.whl`.
#[must_use]
pub fn name_and_version(path: &Path) -> Option<(&str, &str)> {
    let name = path.file_name()?.to_str()?.strip_suffix(".whl")?;
    let mut parts = name.split('-');
    Some((parts.next()?, parts.next()?)).filter(|_| parts.count() >= 3)
}

fn bad(path: &Path, error: &zip::result::ZipError) -> Error {
    Error::Archive { path: path.into(), reason: error.to_string() }
}

/// Reads the list of members: `NAME,sha256=HASH,SIZE` with the hash in base64. Lines without a hash,
/// such as that of the list itself, are left out.
fn read_record(
    archive: &mut ZipArchive<BufReader<File>>,
    path: &Path,
) -> Result<Vec<(String, String)>, Error> {
    let not_a_wheel = || Error::Archive {
        path: path.into(),
        reason: "it is not a wheel: it has no RECORD".into(),
    };
    let is_record =
        |name: &str| name.strip_suffix(".dist-info/RECORD").is_some_and(|rest| !rest.contains('/'));
    let names: Vec<_> = archive.file_names().flatten().map(String::from).collect();
    let name = names.into_iter().find(|name| is_record(name)).ok_or_else(not_a_wheel)?;
    let file = archive.by_name(&name).map_err(|error| bad(path, &error))?;
    let mut text = String::new();
    let read = file.take(LARGEST_RECORD).read_to_string(&mut text);
    read.map_err(|error: io::Error| Error::Archive {
        path: path.into(),
        reason: error.to_string(),
    })?;
    Ok(text.lines().filter_map(record_line).collect())
}

fn record_line(line: &str) -> Option<(String, String)> {
    // A name with a comma is quoted, as in any CSV; none that matters here has one.
    let (rest, _size) = line.rsplit_once(',')?;
    let (name, hash) = rest.rsplit_once(',')?;
    let digest = decode_base64(hash.strip_prefix("sha256=")?)?;
    (digest.len() == Sha256::output_size())
        .then(|| (name.trim_matches('"').replace("\"\"", "\""), hex(&digest)))
}

/// Base64 with `-` and `_`, without padding, as wheels write their hashes.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let (mut bits, mut held, mut out) = (0u32, 0u32, Vec::with_capacity(text.len() * 3 / 4));
    for byte in text.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8); // the upper bits are cut off on purpose
            bits &= (1 << held) - 1;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_record() {
        let line = "pkg/lib.so,sha256=_EQRL74G19aJxX4R04YgMfZHEQB-TuAg-O7VGF_SwdM,29352200";
        let (name, hash) = record_line(line).unwrap();
        assert_eq!(name, "pkg/lib.so");
        assert_eq!(hash, "fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3");
        assert_eq!(record_line("pkg-1.dist-info/RECORD,,"), None);
        assert_eq!(record_line("a,sha256=AAAA,1"), None);
        assert_eq!(record_line("a,md5=AAAA,1"), None);
        assert_eq!(record_line(""), None);
    }

    #[test]
    fn names_of_wheels() {
        let parse = |name: &'static str| name_and_version(Path::new(name));
        assert_eq!(
            parse("d/onnxruntime_gpu-1.31.1-cp313-cp313-win_amd64.whl"),
            Some(("onnxruntime_gpu", "1.31.1"))
        );
        assert_eq!(parse("onnxruntime-1.31.1.tar.gz"), None);
        assert_eq!(parse("a-b.whl"), None);
    }
}
