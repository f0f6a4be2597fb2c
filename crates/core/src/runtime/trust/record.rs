//! The installed library against the record of its installation.
//!
//! ```json
//! { "sha256": "…", "files": [{ "name": "libonnxruntime.so", "size": 1, "sha256": "…",
//!                              "modified": 1, "changed": 1, "inode": 1 }] }
//! ```
//! Times are in nanoseconds since 1970; what a system does not have is left out. Where anything but the
//! hash differs, the file is hashed, and its new times are noted.

use std::{
    fmt::Write as _,
    fs::{self, File, Metadata},
    io::{self, Read, Write as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use embedkit_types::cache::{runtime_library_name, runtime_record_name};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{only_ours, unreadable};
use crate::runtime::Refusal;

/// The largest record that is read.
const LARGEST: u64 = 1 << 20;

/// An error unless nobody else can have written the library and what lies beside it, and its content
/// is the recorded one.
pub(super) fn check(library: &Path, cache: Option<&Path>) -> Result<(), Refusal> {
    only_ours(library, cache)?;
    let path = library.with_file_name(runtime_record_name());
    let no_record = |reason: String| Refusal::Record { path: path.clone(), reason };
    if !path.is_file() {
        return Err(no_record("no such file".to_owned()));
    }
    let mut text = Vec::new();
    let (file, _) = open(&path)?;
    file.take(LARGEST).read_to_end(&mut text).map_err(|error| no_record(error.to_string()))?;
    let mut record: Value =
        serde_json::from_slice(&text).map_err(|error| no_record(error.to_string()))?;
    let mut touched = false;
    for name in names(library)? {
        let file = library.with_file_name(&name);
        match entry(&record, &name) {
            Some(recorded) => {
                if let Some(fresh) = compare(&file, &name, &recorded)? {
                    note(&mut record, fresh);
                    touched = true;
                }
            }
            None if name == runtime_library_name() => {
                return Err(no_record(format!("it has no SHA-256 of {name}")));
            }
            // A provider that its user put there, who alone can have done so.
            None => drop(open(&file)?),
        }
    }
    if touched && let Err(error) = replace(&path, &record) {
        // Then it is hashed again the next time.
        tracing::debug!(record = %path.display(), %error, "the new times cannot be noted");
    }
    Ok(())
}

/// The library, and the providers that ONNX Runtime opens by name from its folder.
fn names(library: &Path) -> Result<Vec<String>, Refusal> {
    let own = runtime_library_name();
    let stem = own.rsplit_once('.').map_or(own, |(stem, _)| stem);
    let start = format!("{stem}_providers_");
    let mut names = vec![own.to_owned()];
    let Some(dir) = library.parent() else { return Ok(names) };
    for entry in fs::read_dir(dir).map_err(|error| unreadable(dir, &error))? {
        let name = entry.map_err(|error| unreadable(dir, &error))?.file_name();
        names.extend(name.into_string().ok().filter(|name| name.starts_with(&start)));
    }
    names.sort_unstable();
    Ok(names)
}

/// One file as it was recorded.
struct Recorded {
    sha256: String,
    /// `None` in records of earlier versions.
    state: Option<State>,
}

/// The metadata that tells without reading that a file is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    size: u64,
    modified: u64,
    changed: Option<u64>,
    inode: Option<u64>,
}

impl State {
    /// `None` where the system does not tell the time.
    fn of(meta: &Metadata) -> Option<Self> {
        let since = meta.modified().ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let (changed, inode) = numbers(meta);
        Some(Self { size: meta.len(), modified: since.as_nanos().try_into().ok()?, changed, inode })
    }

    fn read(entry: &Value) -> Option<Self> {
        let number = |key: &str| entry.get(key).and_then(Value::as_u64);
        Some(Self {
            size: number("size")?,
            modified: number("modified")?,
            changed: number("changed"),
            inode: number("inode"),
        })
    }
}

#[cfg(unix)]
fn numbers(meta: &Metadata) -> (Option<u64>, Option<u64>) {
    use std::os::unix::fs::MetadataExt;

    let seconds = meta.ctime().checked_mul(1_000_000_000);
    let nanos = seconds.and_then(|nanos| nanos.checked_add(meta.ctime_nsec()));
    (nanos.and_then(|nanos| nanos.try_into().ok()), Some(meta.ino()))
}

#[cfg(not(unix))]
fn numbers(_meta: &Metadata) -> (Option<u64>, Option<u64>) {
    (None, None)
}

fn entry(record: &Value, name: &str) -> Option<Recorded> {
    let files = record.get("files").and_then(Value::as_array);
    let of_name = |file: &&Value| file.get("name").and_then(Value::as_str) == Some(name);
    if let Some(entry) = files.and_then(|files| files.iter().find(of_name)) {
        let sha256 = entry.get("sha256")?.as_str()?.to_owned();
        return Some(Recorded { sha256, state: State::read(entry) });
    }
    // Records of earlier versions have the hash of the library only.
    if name != runtime_library_name() {
        return None;
    }
    let sha256 = record.get("sha256")?.as_str()?.to_owned();
    Some(Recorded { sha256, state: None })
}

/// An error unless the file is the recorded one; its new entry where it had to be read.
fn compare(path: &Path, name: &str, recorded: &Recorded) -> Result<Option<Value>, Refusal> {
    let (mut file, meta) = open(path)?;
    let now = State::of(&meta);
    if now.is_some() && now == recorded.state {
        return Ok(None);
    }
    let found = hash(&mut file).map_err(|error| unreadable(path, &error))?;
    if !found.eq_ignore_ascii_case(&recorded.sha256) {
        let expected = recorded.sha256.clone();
        return Err(Refusal::Changed { path: path.to_owned(), expected, found });
    }
    tracing::debug!(file = %path.display(), "hashed again, since its time or place is another");
    let mut fresh = Map::new();
    fresh.insert("name".to_owned(), name.into());
    fresh.insert("size".to_owned(), meta.len().into());
    fresh.insert("sha256".to_owned(), found.into());
    if let Some(now) = now {
        fresh.insert("modified".to_owned(), now.modified.into());
        fresh.extend(now.changed.map(|changed| ("changed".to_owned(), changed.into())));
        fresh.extend(now.inode.map(|inode| ("inode".to_owned(), inode.into())));
    }
    Ok(Some(Value::Object(fresh)))
}

/// Opens a file that nobody else can write.
fn open(path: &Path) -> Result<(File, Metadata), Refusal> {
    let opened = File::open(path).and_then(|file| file.metadata().map(|meta| (file, meta)));
    let (file, meta) = opened.map_err(|error| unreadable(path, &error))?;
    #[cfg(unix)]
    super::owner::check_file(path, &meta)?;
    Ok((file, meta))
}

fn hash(file: &mut File) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => hash.update(&buffer[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(hash.finalize().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}"); // a String takes everything
        hex
    }))
}

/// Puts a new entry in the place of the old one.
fn note(record: &mut Value, fresh: Value) {
    let Some(record) = record.as_object_mut() else { return };
    let files = record.entry("files").or_insert_with(|| Value::Array(Vec::new()));
    if let Some(files) = files.as_array_mut() {
        files.retain(|old| old.get("name") != fresh.get("name"));
        files.push(fresh);
    }
}

/// Writes the record beside its place and renames it.
fn replace(path: &Path, record: &Value) -> io::Result<()> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".embedkit-{}-{}.incomplete", std::process::id(), now.as_nanos()));
    let temporary = PathBuf::from(name);
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o644);
    let mut file = options.open(&temporary)?;
    let written = serde_json::to_vec_pretty(record)
        .map_err(io::Error::from)
        .and_then(|text| file.write_all(&text))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}
