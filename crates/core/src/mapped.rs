//! Files that are mapped into memory: of a large table only the rows in use are read.

use std::{fs::File, ops::Deref, path::Path, sync::Arc};

use memmap2::Mmap;

use crate::error::{Error, refuse_lfs_pointer};

/// The bytes of a file, read when they are looked at.
#[derive(Debug)]
pub struct MappedFile {
    map: Mmap,
}

impl MappedFile {
    /// Maps a file that is not empty.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::LfsPointer`], and [`Error::InvalidFile`] for an empty file.
    #[expect(unsafe_code, reason = "a memory map")]
    pub fn open(path: &Path) -> Result<Self, Error> {
        let read = |source| Error::Read { path: path.to_owned(), source: Arc::new(source) };
        let file = File::open(path).map_err(read)?;
        if file.metadata().map_err(read)?.len() == 0 {
            let reason = "the file is empty".to_owned();
            return Err(Error::InvalidFile { path: path.to_owned(), reason });
        }
        // SAFETY: the map is only ever read as bytes. Should another process cut the file short,
        // reading it ends the process with a bus error, as it does for every mapped file.
        let map = unsafe { Mmap::map(&file) }.map_err(read)?;
        refuse_lfs_pointer(path, &map)?;
        Ok(Self { map })
    }
}

impl Deref for MappedFile {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.map
    }
}
