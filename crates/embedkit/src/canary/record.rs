//! Records of what was compared: a small file in the cache for each model on each device.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash as _, Hasher as _},
    io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use serde::{Deserialize, Serialize};

use super::Subject;

/// Folder of the records in the cache.
const FOLDER: &str = "devices";
/// Most bytes of a record.
const LARGEST: u64 = 1 << 16;

/// Facts that a result depends on: another value of a field is compared again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Key {
    model: String,
    /// The model file: its place, which has the commit of a repository, its size and time of change.
    file: String,
    size: u64,
    modified: u64,
    device: String,
    provider_options: Vec<(String, String)>,
    onnxruntime: String,
    embedkit: String,
}

impl Key {
    pub(super) fn new(subject: Subject<'_>, device: &str) -> Self {
        let Subject { spec, files, options } = subject;
        let path = files.map(|files| files.model.as_path());
        let meta = path.and_then(|path| fs::metadata(path).ok());
        let modified = meta.as_ref().and_then(|meta| meta.modified().ok());
        let modified = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Self {
            model: spec.id.to_string(),
            file: path.map(|path| path.display().to_string()).unwrap_or_default(),
            size: meta.map_or(0, |meta| meta.len()),
            modified: modified.map_or(0, |time| time.as_secs()),
            device: device.to_owned(),
            provider_options: options.provider_options.clone(),
            onnxruntime: runtime_version(subject),
            embedkit: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn path(&self, cache: &Path) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        let plain = |name: &str| -> String {
            let last = name.rsplit('/').next().unwrap_or(name);
            last.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(48).collect()
        };
        let name =
            format!("{}-{}-{:016x}.json", plain(&self.model), plain(&self.device), hasher.finish());
        cache.join(FOLDER).join(name)
    }
}

#[cfg(feature = "onnx")]
fn runtime_version(subject: Subject<'_>) -> String {
    let options = subject.options;
    let found = crate::runtime::find(options.onnxruntime.as_deref(), options.cache_dir.as_deref());
    found.map_or_else(|_| "unknown".to_owned(), |found| found.version)
}

#[cfg(not(feature = "onnx"))]
fn runtime_version(_: Subject<'_>) -> String {
    "none".to_owned()
}

/// True if the cache has a record of this key. A damaged one is none.
pub(super) fn holds(cache: &Path, key: &Key) -> bool {
    let path = key.path(cache);
    let small = fs::metadata(&path).is_ok_and(|meta| meta.len() <= LARGEST);
    let text = if small { fs::read(&path).ok() } else { None };
    // The name has a hash only.
    text.and_then(|text| serde_json::from_slice::<Key>(&text).ok())
        .is_some_and(|known| known == *key)
}

/// Writes a record, whole or not at all.
pub(super) fn write(cache: &Path, key: &Key) -> io::Result<()> {
    let path = key.path(cache);
    fs::create_dir_all(cache.join(FOLDER))?;
    let text = serde_json::to_vec_pretty(key)?;
    let unfinished = path.with_extension(format!("{}.tmp", std::process::id()));
    fs::write(&unfinished, text)?;
    let renamed = fs::rename(&unfinished, &path);
    if renamed.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    renamed
}
