//! The folder of a job's output: files appear there under their names only when they are complete.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufWriter, Write},
    path::PathBuf,
    sync::Arc,
};

use datafusion::{datasource::listing::ListingTableUrl, prelude::SessionContext};
use futures::TryStreamExt as _;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, path::Path};

use super::JobError;

/// Name of the file that a driver locks while it works on a local folder.
const LOCK: &str = ".embedkit-job.lock";

/// A folder on a disk or in an object store.
#[derive(Debug)]
pub(crate) enum Folder {
    /// On a disk, locked.
    Local {
        /// The folder.
        dir: PathBuf,
        /// Held until the job ends.
        _lock: File,
    },
    /// In an object store, which has conditional writes instead of a lock.
    Store {
        /// The store.
        objects: Arc<dyn ObjectStore>,
        /// Common beginning of the names.
        prefix: Path,
        /// URL for messages.
        url: String,
    },
}

impl Folder {
    /// Opens a folder, or makes it, and locks it where it is local.
    ///
    /// # Errors
    /// A folder that cannot be made, and one that another job works on.
    pub(crate) fn open(session: &SessionContext, name: &str) -> Result<Self, JobError> {
        let wrong = |reason: String| JobError::Output { place: name.to_owned(), reason };
        if !name.contains("://") {
            let dir = PathBuf::from(name);
            fs::create_dir_all(&dir).map_err(|error| wrong(error.to_string()))?;
            let mut options = OpenOptions::new();
            let lock = options.create(true).truncate(false).write(true).open(dir.join(LOCK));
            let lock = lock.map_err(|error| wrong(error.to_string()))?;
            return match lock.try_lock() {
                Ok(()) => Ok(Self::Local { dir, _lock: lock }),
                Err(TryLockError::WouldBlock) => {
                    Err(wrong("another job is at work on it".to_owned()))
                }
                Err(TryLockError::Error(error)) => Err(wrong(error.to_string())),
            };
        }
        let slash = if name.ends_with('/') { "" } else { "/" };
        let url = ListingTableUrl::parse(format!("{name}{slash}"))?;
        let objects = session.runtime_env().object_store(url.object_store())?;
        Ok(Self::Store { objects, prefix: url.prefix().clone(), url: name.to_owned() })
    }

    /// A place for messages.
    pub(crate) fn place(&self, name: &str) -> String {
        match self {
            Self::Local { dir, .. } => dir.join(name).display().to_string(),
            Self::Store { url, .. } => format!("{}/{name}", url.trim_end_matches('/')),
        }
    }

    /// Names of the complete files.
    pub(crate) async fn names(&self) -> Result<Vec<String>, JobError> {
        let wrong = |reason: String| JobError::Output { place: self.place(""), reason };
        match self {
            Self::Local { dir, .. } => {
                let entries = fs::read_dir(dir).map_err(|error| wrong(error.to_string()))?;
                let names =
                    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
                names.collect::<io::Result<_>>().map_err(|error| wrong(error.to_string()))
            }
            Self::Store { objects, prefix, .. } => {
                let objects: Vec<_> = objects
                    .list(Some(prefix))
                    .try_collect()
                    .await
                    .map_err(|error| wrong(error.to_string()))?;
                let name = |object: object_store::ObjectMeta| {
                    object.location.filename().map(ToOwned::to_owned)
                };
                Ok(objects.into_iter().filter_map(name).collect())
            }
        }
    }

    /// A file that is about to be written.
    pub(crate) fn create(&self, name: &str) -> Result<Pending, JobError> {
        let bytes = match self {
            Self::Local { dir, .. } => {
                let path = dir.join(format!(".{name}.tmp"));
                let file = File::create(&path).map_err(|error| JobError::Output {
                    place: path.display().to_string(),
                    reason: error.to_string(),
                })?;
                Bytes::File { path, file: BufWriter::new(file) }
            }
            Self::Store { .. } => Bytes::Memory(Vec::new()),
        };
        Ok(Pending { name: name.to_owned(), bytes })
    }

    /// Gives a complete file its name. In an object store the first writer wins, since all write the same.
    pub(crate) async fn commit(&self, pending: Pending) -> Result<(), JobError> {
        let place = self.place(&pending.name);
        let wrong = |reason: String| JobError::Output { place: place.clone(), reason };
        match (self, pending.bytes) {
            (Self::Local { dir, .. }, Bytes::File { path, file }) => {
                let publish = || {
                    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
                    fs::rename(&path, dir.join(&pending.name))?;
                    sync_folder(dir)
                };
                publish().map_err(|error| {
                    // A file without its end would be in the way of nothing, but of the disk's space.
                    let _ = fs::remove_file(&path);
                    wrong(error.to_string())
                })
            }
            (Self::Store { objects, prefix, .. }, Bytes::Memory(bytes)) => {
                let location = Path::parse(format!("{prefix}/{}", pending.name))
                    .map_err(|error| wrong(error.to_string()))?;
                let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
                match objects.put_opts(&location, bytes.into(), options).await {
                    Ok(_) | Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
                    Err(error) => Err(wrong(error.to_string())),
                }
            }
            _ => Err(wrong("the file belongs to another folder".to_owned())),
        }
    }

    /// Writes a small file at once.
    pub(crate) async fn put(&self, name: &str, bytes: &[u8]) -> Result<(), JobError> {
        let mut pending = self.create(name)?;
        pending.write_all(bytes).map_err(|error| JobError::Output {
            place: self.place(name),
            reason: error.to_string(),
        })?;
        self.commit(pending).await
    }

    /// The content of a file of at most `largest` bytes.
    pub(crate) async fn read(&self, name: &str, largest: u64) -> Result<Vec<u8>, JobError> {
        let place = self.place(name);
        let wrong = |reason: String| JobError::Output { place: place.clone(), reason };
        let too_large = || wrong(format!("it has more than {largest} bytes"));
        match self {
            Self::Local { dir, .. } => {
                let mut bytes = Vec::new();
                let read = File::open(dir.join(name)).and_then(|file| {
                    io::Read::read_to_end(&mut io::Read::take(file, largest + 1), &mut bytes)
                });
                read.map_err(|error| wrong(error.to_string()))?;
                if bytes.len() as u64 > largest { Err(too_large()) } else { Ok(bytes) }
            }
            Self::Store { objects, prefix, .. } => {
                let location = Path::parse(format!("{prefix}/{name}"))
                    .map_err(|error| wrong(error.to_string()))?;
                let found =
                    objects.get(&location).await.map_err(|error| wrong(error.to_string()))?;
                if found.meta.size > largest {
                    return Err(too_large());
                }
                Ok(found.bytes().await.map_err(|error| wrong(error.to_string()))?.to_vec())
            }
        }
    }

    /// Removes a file.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), JobError> {
        let place = self.place(name);
        let wrong = |reason: String| JobError::Output { place, reason };
        match self {
            Self::Local { dir, .. } => {
                fs::remove_file(dir.join(name)).map_err(|error| wrong(error.to_string()))
            }
            Self::Store { objects, prefix, .. } => {
                let location = match Path::parse(format!("{prefix}/{name}")) {
                    Ok(location) => location,
                    Err(error) => return Err(wrong(error.to_string())),
                };
                objects.delete(&location).await.map_err(|error| wrong(error.to_string()))
            }
        }
    }
}

/// Makes a new name survive a loss of power, where folders can be synchronised.
fn sync_folder(dir: &std::path::Path) -> io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

/// A file that is being written.
pub(crate) struct Pending {
    name: String,
    bytes: Bytes,
}

enum Bytes {
    File { path: PathBuf, file: BufWriter<File> },
    Memory(Vec<u8>),
}

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.bytes {
            Bytes::File { file, .. } => file.write(bytes),
            Bytes::Memory(written) => written.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.bytes {
            Bytes::File { file, .. } => file.flush(),
            Bytes::Memory(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    fn in_memory() -> Folder {
        let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        Folder::Store { objects, prefix: Path::from("out"), url: "memory:///out".to_owned() }
    }

    #[tokio::test]
    async fn a_file_has_its_name_only_when_it_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let session = SessionContext::new();
        let local = Folder::open(&session, dir.path().to_str().unwrap()).unwrap();
        for folder in [local, in_memory()] {
            let mut pending = folder.create("a").unwrap();
            pending.write_all(b"12").unwrap();
            assert!(!folder.names().await.unwrap().contains(&"a".to_owned()));
            folder.commit(pending).await.unwrap();
            assert!(folder.names().await.unwrap().contains(&"a".to_owned()));
            assert_eq!(folder.read("a", 2).await.unwrap(), b"12");
            let error = folder.read("a", 1).await.unwrap_err().to_string();
            assert!(error.contains("more than 1 bytes"), "{error}");
            folder.remove("a").await.unwrap();
            assert!(!folder.names().await.unwrap().contains(&"a".to_owned()));
        }
    }

    #[tokio::test]
    async fn the_first_writer_to_a_store_wins() {
        let folder = in_memory();
        folder.put("a", b"1").await.unwrap();
        folder.put("a", b"2").await.unwrap();
        assert_eq!(folder.read("a", 9).await.unwrap(), b"1");
    }

    #[test]
    fn a_local_folder_has_one_job_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let (session, name) = (SessionContext::new(), dir.path().to_str().unwrap());
        let first = Folder::open(&session, name).unwrap();
        let error = Folder::open(&session, name).unwrap_err().to_string();
        assert!(error.contains("another job"), "{error}");
        drop(first);
        Folder::open(&session, name).unwrap();
    }
}
