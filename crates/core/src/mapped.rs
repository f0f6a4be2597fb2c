//! Memory-mapped files: only the rows in use of a large table are read.
//!
//! A mapped file must keep its length while it is in use. If another process truncates it in place,
//! reading a lost page ends the process with a bus error (`SIGBUS`), which no program can turn into an
//! error. Replacing a file by a rename, as our downloads do, is harmless: the map keeps the old file.
//! Small files are copied instead ([`MappedFile::COPIED`]).

use std::{fs::File, io::Read, ops::Deref, path::Path, sync::Arc};

use memmap2::Mmap;

use crate::error::{Error, refuse_lfs_pointer};

/// The bytes of a file, mapped if there are many.
#[derive(Debug)]
pub struct MappedFile {
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    Copied(Vec<u8>),
    Mapped(Mmap),
}

impl MappedFile {
    /// Maximum size in bytes of a file that is copied. Copying takes a few milliseconds, less than
    /// loading the tokenizer beside a table, and a smaller memory footprint is not worth the risk of a
    /// bus error.
    pub const COPIED: u64 = 16 << 20;

    /// Opens a non-empty file: copied up to [`COPIED`](Self::COPIED) bytes, mapped above.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::LfsPointer`], and [`Error::InvalidFile`] for an empty file.
    #[expect(unsafe_code, reason = "a memory map")]
    pub fn open(path: &Path) -> Result<Self, Error> {
        let read = |source| Error::Read { path: path.to_owned(), source: Arc::new(source) };
        let mut file = File::open(path).map_err(read)?;
        let len = file.metadata().map_err(read)?.len();
        let mut bytes = Vec::new();
        if len <= Self::COPIED {
            // One byte more shows that the file has grown since; then it is mapped.
            (&mut file).take(Self::COPIED + 1).read_to_end(&mut bytes).map_err(read)?;
            if bytes.is_empty() {
                let reason = "the file is empty".to_owned();
                return Err(Error::InvalidFile { path: path.to_owned(), reason });
            }
        }
        if !bytes.is_empty() && bytes.len() as u64 <= Self::COPIED {
            refuse_lfs_pointer(path, &bytes)?;
            return Ok(Self { bytes: Bytes::Copied(bytes) });
        }
        // SAFETY: the map is only read as bytes. If another process truncates the file, reading it ends
        // the process with a bus error, as for every mapped file.
        let map = unsafe { Mmap::map(&file) }.map_err(read)?;
        Ok(Self { bytes: Bytes::Mapped(map) })
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Copied(bytes) => bytes,
            Bytes::Mapped(map) => map,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_file_survives_being_cut_short() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let content = vec![7; 1 << 20];
        std::fs::write(&file, &content).unwrap();
        let map = MappedFile::open(file.path()).unwrap();
        file.as_file().set_len(0).unwrap();
        assert_eq!(*map, content, "a map would end the process here");
        let error = MappedFile::open(file.path()).unwrap_err();
        assert!(error.to_string().contains("the file is empty"), "{error}");
    }

    #[test]
    fn a_large_file_is_mapped_and_survives_being_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table");
        let file = File::create(&path).unwrap();
        file.set_len(MappedFile::COPIED + 1).unwrap();
        let map = MappedFile::open(&path).unwrap();
        assert!(matches!(map.bytes, Bytes::Mapped(_)));
        let other = folder.path().join("other");
        std::fs::write(&other, [1]).unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert_eq!((map.len() as u64, map[map.len() - 1]), (MappedFile::COPIED + 1, 0));
    }
}
