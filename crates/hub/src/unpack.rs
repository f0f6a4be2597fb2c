//! Archives (tar.gz) from outside: nothing of them leaves the folder that they are unpacked into,
//! nothing but files and folders comes out of them, and no small archive fills a disk.

use std::{
    cell::Cell,
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read, Write},
    path::Path,
    rc::Rc,
};

use flate2::read::GzDecoder;
use tar::{Archive, EntryType};

use crate::{
    Error,
    digest::Hashing,
    error::DiskResult,
    names,
    record::{self, RecordedFile},
};

/// The most that comes out of one archive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) entries: usize,
    pub(crate) bytes: u64,
    /// Times the size of the archive; what is below `always` bytes passes in any case.
    pub(crate) ratio: u64,
    pub(crate) always: u64,
}

impl Limits {
    /// Models have some ten files and, in archives, a few gigabytes, which barely shrink.
    pub(crate) const MODEL: Self =
        Self { entries: 10_000, bytes: 32 << 30, ratio: 100, always: 64 << 20 };
}

/// Unpacks the archive into `dir`, an empty folder. Returns the files with `/` between folders. What
/// was unpacked before an error stays in `dir`.
///
/// # Errors
/// [`Error::Archive`] for an archive that is damaged, too large, or has entries that are refused;
/// [`Error::Name`] for names that leave `dir` on any platform; [`Error::Disk`].
pub(crate) fn unpack(
    archive: &Path,
    dir: &Path,
    limits: Limits,
) -> Result<Vec<RecordedFile>, Error> {
    let file = File::open(archive).or_disk("open", archive)?;
    let packed = file.metadata().or_disk("read", archive)?.len();
    unpack_tar(GzDecoder::new(BufReader::new(file)), packed, archive, dir, limits)
}

/// [`unpack`] for what a reader yields; `packed` is the size in bytes that the ratio is taken of.
pub(crate) fn unpack_tar(
    reader: impl Read,
    packed: u64,
    archive: &Path,
    dir: &Path,
    limits: Limits,
) -> Result<Vec<RecordedFile>, Error> {
    let refuse = |reason: String| Error::Archive { path: archive.into(), reason };
    let most = limits.bytes.min(limits.always.max(packed.saturating_mul(limits.ratio)));
    // All that is unpacked passes the limit: headers and skipped content too.
    let over = Rc::new(Cell::new(false));
    let mut tar = Archive::new(Limited { inner: reader, left: most, over: Rc::clone(&over) });
    let broken = |error: io::Error| {
        let too_much = format!("it unpacks to more than {most} bytes");
        refuse(if over.get() { too_much } else { error.to_string() })
    };
    let mut files = Vec::new();
    for (count, entry) in tar.entries().map_err(broken)?.enumerate() {
        let mut entry = entry.map_err(broken)?;
        if count >= limits.entries {
            return Err(refuse(format!("it has more than {} entries", limits.entries)));
        }
        let bytes = entry.path_bytes().into_owned();
        let name = std::str::from_utf8(&bytes).map_err(|_| refuse("a name is not UTF-8".into()))?;
        // Packed from within a folder, all names begin with it.
        let name = name.strip_prefix("./").unwrap_or(name);
        match entry.header().entry_type() {
            EntryType::Directory => {
                let name = name.strip_suffix('/').unwrap_or(name);
                if !name.is_empty() {
                    let path = dir.join(names::file_path(name)?);
                    fs::create_dir_all(&path).or_disk("create", path)?;
                }
            }
            EntryType::Regular | EntryType::Continuous => {
                let path = dir.join(names::file_path(name)?);
                if let Some(parent) = path.parent() {
                    fs::create_dir_all(parent).or_disk("create", parent)?;
                }
                // A name that comes twice, or differs in case only where that is the same, is refused.
                let mut out = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .open(&path)
                    .or_disk("create", &path)?;
                let mut hashing = Hashing::new(None, None);
                let mut buffer = vec![0; 256 * 1024];
                loop {
                    let n = entry.read(&mut buffer).map_err(broken)?;
                    if n == 0 {
                        break;
                    }
                    hashing.update(&buffer[..n]);
                    out.write_all(&buffer[..n]).or_disk("write", &path)?;
                }
                if hashing.size() != entry.size() {
                    return Err(refuse(format!("{name} is cut off")));
                }
                out.sync_all().or_disk("write", &path)?;
                let modified = out.metadata().ok().as_ref().and_then(record::modified);
                files.push(RecordedFile { file: hashing.finish().of(name), modified });
            }
            // Names that are too long for a header, and remarks: the reader has taken them in.
            EntryType::XGlobalHeader => {}
            other => {
                return Err(refuse(format!("{name:?} is neither a file nor a folder ({other:?})")));
            }
        }
    }
    // The checksum of the whole comes last.
    io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(broken)?;
    Ok(files)
}

/// A reader that fails beyond a number of bytes.
struct Limited<R> {
    inner: R,
    left: u64,
    over: Rc<Cell<bool>>,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        match self.left.checked_sub(n as u64) {
            Some(left) => {
                self.left = left;
                Ok(n)
            }
            None => {
                self.over.set(true);
                Err(io::ErrorKind::FileTooLarge.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};
    use tar::{Builder, Header};

    use super::*;

    /// Kind, name as it stands in the header, target of a link, content.
    type Entry<'a> = (EntryType, &'a str, &'a str, &'a [u8]);

    fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
        let mut tar = Builder::new(GzEncoder::new(Vec::new(), Compression::best()));
        for (kind, name, target, content) in entries {
            let mut header = Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_size(content.len() as u64);
            header.set_mode(0o4777);
            let old = header.as_old_mut(); // past the checks of the writer
            old.name[..name.len()].copy_from_slice(name.as_bytes());
            old.linkname[..target.len()].copy_from_slice(target.as_bytes());
            header.set_cksum();
            tar.append(&header, *content).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    fn unpacked(bytes: &[u8], limits: Limits) -> (Result<Vec<String>, Error>, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        let (path, inner) = (dir.path().join("a.tar.gz"), dir.path().join("in").join("ner"));
        fs::write(&path, bytes).unwrap();
        fs::create_dir_all(&inner).unwrap();
        let result = unpack(&path, &inner, limits);
        let mut outside = Vec::new();
        for folder in [dir.path(), &dir.path().join("in")] {
            for entry in fs::read_dir(folder).unwrap() {
                outside.push(entry.unwrap().file_name().into_string().unwrap());
            }
        }
        outside.retain(|name| !["a.tar.gz", "in", "ner"].contains(&name.as_str()));
        (
            result.map(|files| {
                files.into_iter().map(|recorded| recorded.file.path.into_owned()).collect()
            }),
            outside,
        )
    }

    const FILE: EntryType = EntryType::Regular;

    #[test]
    fn files_and_folders_come_out() {
        let bytes = archive(&[
            (EntryType::Directory, "./", "", b""),
            (EntryType::Directory, "./m/", "", b""),
            (FILE, "./m/model.onnx", "", &[7; 100_000]),
            (FILE, "m/onnx/deep.json", "", b"{}"),
        ]);
        let (files, outside) = unpacked(&bytes, Limits::MODEL);
        assert_eq!(files.unwrap(), ["m/model.onnx", "m/onnx/deep.json"]);
        assert!(outside.is_empty());
    }

    #[test]
    fn attacks_are_refused() {
        let evil = b"evil".as_slice();
        let collection: &[&[Entry<'_>]] = &[
            &[(FILE, "../evil", "", evil)],
            &[(FILE, "m/../../evil", "", evil)],
            &[(FILE, "/evil", "", evil)],
            &[(FILE, "././/evil", "", evil)],
            &[(FILE, "..\\evil", "", evil)],
            &[(FILE, "C:\\evil", "", evil)],
            &[(FILE, "C:evil", "", evil)],
            &[(FILE, "\\\\server\\evil", "", evil)],
            &[(FILE, "m/nul", "", evil)],
            &[(EntryType::Directory, "../evil/", "", b"")],
            &[(EntryType::Symlink, "m/link", "../..", b""), (FILE, "m/link/evil", "", evil)],
            &[(EntryType::Symlink, "link", "/tmp", b"")],
            &[(EntryType::Link, "m/hard", "/etc/passwd", b"")],
            &[(EntryType::Char, "m/dev", "", b"")],
            &[(EntryType::Block, "m/dev", "", b"")],
            &[(EntryType::Fifo, "m/pipe", "", b"")],
            &[(FILE, "m/twice", "", evil), (FILE, "m/twice", "", b"other")],
            &[(FILE, "m", "", evil), (FILE, "m/below", "", evil)],
        ];
        for entries in collection {
            let (result, outside) = unpacked(&archive(entries), Limits::MODEL);
            assert!(
                matches!(
                    result,
                    Err(Error::Archive { .. } | Error::Name { .. } | Error::Disk { .. })
                ),
                "{entries:?}: {result:?}"
            );
            assert!(outside.is_empty(), "{entries:?}: {outside:?}");
        }
    }

    #[test]
    fn damaged_archives_are_refused() {
        let whole = archive(&[(FILE, "m/a", "", &[9; 5000]), (FILE, "m/b", "", b"b")]);
        assert!(unpacked(&whole, Limits::MODEL).0.is_ok());
        for cut in [0, 1, 10, whole.len() / 2, whole.len() - 9, whole.len() - 1] {
            let (result, _) = unpacked(&whole[..cut], Limits::MODEL);
            assert!(matches!(result, Err(Error::Archive { .. })), "{cut}: {result:?}");
        }
        let mut wrong = whole.clone();
        let checksum = wrong.len() - 8;
        wrong[checksum] ^= 1;
        assert!(matches!(unpacked(&wrong, Limits::MODEL).0, Err(Error::Archive { .. })));
        assert!(matches!(
            unpacked(b"<html>404</html>", Limits::MODEL).0,
            Err(Error::Archive { .. })
        ));
    }

    #[test]
    fn bombs_do_not_go_off() {
        let zeros = vec![0; 4 << 20];
        let bomb = archive(&[(FILE, "m/zeros", "", &zeros)]);
        assert!(bomb.len() < 40_000);
        let small = Limits { always: 1 << 20, ..Limits::MODEL };
        let Err(Error::Archive { reason, .. }) = unpacked(&bomb, small).0 else { panic!() };
        assert!(reason.contains("unpacks to more than"), "{reason}");
        assert!(unpacked(&bomb, Limits::MODEL).0.is_ok(), "what is small passes");
        let bytes = Limits { bytes: 1 << 20, ..Limits::MODEL };
        assert!(matches!(unpacked(&bomb, bytes).0, Err(Error::Archive { .. })));
        // Content after the last entry counts too.
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&vec![0; 8 << 20]).unwrap();
        let trailing = encoder.finish().unwrap();
        assert!(matches!(unpacked(&trailing, small).0, Err(Error::Archive { .. })));
        let many: Vec<_> = (0..50).map(|i| format!("m/{i}")).collect();
        let many: Vec<_> = many.iter().map(|n| (FILE, n.as_str(), "", b"".as_slice())).collect();
        let few = Limits { entries: 49, ..Limits::MODEL };
        assert!(matches!(unpacked(&archive(&many), few).0, Err(Error::Archive { .. })));
    }
}
