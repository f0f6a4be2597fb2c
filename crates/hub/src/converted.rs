//! Graphs that are made from a model's files once and kept in the cache.
//!
//! The name of a graph's folder has the maker's recipe and a hash of the input files, so that other
//! inputs, or another version of the maker, make another graph. A file in a cache counts by the hash in
//! the name of its blob or in our record; any other by path, size, time of change and the first megabyte, since large weights
//! would take a second to read whenever the model is opened.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use embedkit_types::ModelSpec;

use crate::{
    Error, Event, Hub,
    digest::{Digest, Hashing},
    error::DiskResult,
    inspect::blob_name,
    layout::Repository,
    lock::RepoLock,
    names,
    record::{self, Record, RecordedFile, modified, same_time},
    staging,
};

/// Bytes of an input file that are hashed where nothing is recorded of it.
const HEAD: u64 = 1 << 20;
/// The record of the files in the folder of a graph: its presence makes the folder whole.
const RECORD: &str = "converted.json";

/// A graph to be made from files of a model.
#[derive(Debug, Clone, Copy)]
pub struct Conversion<'a> {
    /// The model that the files belong to.
    pub spec: &'a ModelSpec,
    /// The folder of the files.
    pub root: &'a Path,
    /// The files that the graph is made from, relative to the folder.
    pub inputs: &'a [String],
    /// The maker with its version and settings, such as `hidden-0.1.0`: letters, digits, `-`, `_`
    /// and `.`.
    pub recipe: &'a str,
    /// The file that is made, such as `model.onnx`.
    pub file: &'a str,
}

/// The graph of a conversion: from the cache, else made by `make`, which gets the path of the file to
/// write, may put further files beside it, and tells of the bytes that are written so far and of all.
pub(crate) fn converted<E: From<Error>>(
    hub: &Hub,
    conversion: &Conversion<'_>,
    make: impl FnOnce(&Path, &mut dyn FnMut(u64, u64)) -> Result<(), E>,
) -> Result<PathBuf, E> {
    let place = place(hub, conversion)?;
    let (folder, name) = (place.parent().unwrap_or(&place), last_part(&place));
    let target = place.join(names::file_path(conversion.file)?);
    if is_whole(&place) {
        return Ok(target);
    }
    staging::own_folder(folder)?;
    let id = &conversion.spec.id;
    let _lock = RepoLock::acquire(hub, &name, id, || is_whole(&place));
    if is_whole(&place) {
        return Ok(target);
    }
    hub.emit(Event::Converting { model: id });
    staging::sweep(folder);
    let work = staging::work_dir(folder)?;
    let made = work.path().join("made");
    staging::own_folder(&made)?;
    let mut writing = |bytes, size| hub.emit(Event::Writing { model: id, bytes, size });
    make(&made.join(conversion.file), &mut writing)?;
    seal(&made)?;
    staging::publish_dir(&made, &place, work.path())?;
    hub.emit(Event::Converted { model: id });
    Ok(target)
}

/// The folder of the graph.
fn place(hub: &Hub, conversion: &Conversion<'_>) -> Result<PathBuf, Error> {
    let Conversion { spec, root, inputs, recipe, .. } = conversion;
    let dir = match Repository::of(spec) {
        Ok(repository) => Some(repository.dir(&hub.cache_dir)),
        Err(Error::NoSource { .. }) => None,
        Err(error) => return Err(error),
    };
    let commit = spec.source.revision.as_deref().filter(|name| names::is_commit(name));
    let record = dir.as_ref().zip(commit).and_then(|(dir, commit)| record::read(dir, commit));
    let mut hashing = Hashing::new(None, None);
    if dir.is_none() {
        let path = fs::canonicalize(root).or_disk("open", *root)?;
        hashing.update(path.as_os_str().as_encoded_bytes());
    }
    for name in *inputs {
        let identity = identity(&root.join(names::file_path(name)?), name, record.as_ref())?;
        hashing.update(format!("\n{name}\n{identity}").as_bytes());
    }
    let hash = &hashing.finish().sha256[..16];
    Ok(match dir {
        Some(dir) => dir.converted().join(format!("{recipe}-{hash}")),
        None => {
            let label: String = last_part(root)
                .chars()
                .filter(|c| c.is_ascii_alphanumeric() || "-_.".contains(*c))
                .take(64)
                .collect();
            let name = format!("{label}-{recipe}-{hash}");
            hub.cache_dir.join("converted").join(name.trim_start_matches(['-', '.']))
        }
    })
}

fn last_part(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// A text that is another one for other content.
fn identity(path: &Path, name: &str, record: Option<&Record>) -> Result<String, Error> {
    // The hub's tools name content by its hash.
    if let Some(digest) = blob_name(path).as_deref().and_then(Digest::parse) {
        return Ok(digest.to_string());
    }
    let meta = fs::metadata(path).or_disk("read", path)?;
    let now = modified(&meta);
    if let Some(RecordedFile { file, modified }) = record.and_then(|record| record.file(name))
        && file.size == meta.len()
        && modified.zip(now).is_some_and(|(then, now)| same_time(then, now))
    {
        return Ok(format!("sha256 {}", file.sha256));
    }
    let mut head = Vec::new();
    let file = File::open(path).or_disk("read", path)?;
    file.take(HEAD).read_to_end(&mut head).or_disk("read", path)?;
    let mut hashing = Hashing::new(None, None);
    hashing.update(&head);
    let time = now.map_or_else(|| "-".to_owned(), |time| time.to_string());
    Ok(format!("{} bytes, {time}, {}", meta.len(), hashing.finish().sha256))
}

/// Makes the files of a folder durable and records their sizes.
fn seal(dir: &Path) -> Result<(), Error> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).or_disk("read", dir)? {
        let path = entry.or_disk("read", dir)?.path();
        let file = File::open(&path).or_disk("read", &path)?;
        file.sync_all().or_disk("write", &path)?;
        let size = file.metadata().or_disk("read", &path)?.len();
        files.push(Sized { path: last_part(&path), size });
    }
    let text = serde_json::to_vec_pretty(&files).expect("strings and numbers become JSON");
    staging::write(&dir.join(RECORD), &text)
}

/// A file in the folder of a graph.
#[derive(serde::Serialize, serde::Deserialize)]
struct Sized {
    path: String,
    size: u64,
}

/// True if a folder has all files of its record, each of its size.
fn is_whole(dir: &Path) -> bool {
    let read = || -> Option<Vec<Sized>> {
        let mut text = Vec::new();
        File::open(dir.join(RECORD)).ok()?.take(HEAD).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    };
    let same = |file: &Sized| {
        let path = names::file_path(&file.path).ok()?;
        let meta = fs::metadata(dir.join(path)).ok()?;
        Some(meta.is_file() && meta.len() == file.size)
    };
    read().is_some_and(|files| files.iter().all(|file| same(file) == Some(true)))
}
