//! Installation of the ONNX Runtime library: fetched with pip, verified, and put into the cache.
//!
//! The official builds for all platforms are in the Python package, so pip fetches them with its
//! user's own settings. Nothing of the package is run: the libraries are taken out of it.

mod official;

use std::{
    fs::{self, File},
    io::{Read, Write},
    path::{Path, PathBuf},
};

use embedkit_types::cache::{runtime_dir, runtime_library_name, runtime_record_name};
use serde::{Deserialize, Serialize};

use self::official::{known, version_of};
use crate::{
    Error,
    digest::{Hashing, hash_file},
    error::DiskResult,
    pip::{Pip, Target},
    record::{changed_and_inode, modified},
    staging::{self, Staged},
    wheel::{Wheel, name_and_version},
};

/// The version that is installed unless another is asked for.
pub const DEFAULT_VERSION: &str = "1.31.1";

/// Depth to which a folder is searched, such as `onnxruntime/capi` in a `site-packages`.
const DEPTH: usize = 2;
/// The largest library that is taken, in bytes.
const LARGEST: u64 = 4 << 30;

/// Version, build and source of the library to install.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstallOptions {
    /// The version to fetch; not looked at with `from`.
    pub version: String,
    /// The build for NVIDIA GPUs, with its providers.
    pub gpu: bool,
    /// Take the library from here instead of fetching it: the library itself, a wheel, or a folder
    /// that holds the library, such as that of an installed Python package.
    pub from: Option<PathBuf>,
}

impl Default for InstallOptions {
    fn default() -> Self {
        Self { version: DEFAULT_VERSION.into(), gpu: false, from: None }
    }
}

/// Verification of a library's origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Verified {
    /// It has the hash of the official build, which is part of this program.
    Known,
    /// It has the hash that its package states; that shows that nothing was lost, not who made it.
    Package,
    /// There was nothing to compare it with.
    No,
}

/// An installed library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Installed {
    /// The library.
    pub library: PathBuf,
    /// Its version; `None` where the file does not tell.
    pub version: Option<String>,
    /// SHA-256 of its content, in lower-case hexadecimal digits.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
    /// The package or file that it came from.
    pub origin: String,
    /// Verification of its origin.
    pub verified: Verified,
    /// The libraries of execution providers beside it.
    pub providers: Vec<String>,
    /// The library and its providers as they were installed, for the comparison before they are opened.
    #[serde(default)]
    pub files: Vec<InstalledFile>,
}

/// One installed file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InstalledFile {
    /// Its name in the library's folder.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 of its content, in lower-case hexadecimal digits.
    pub sha256: String,
    /// Time of the last write, in nanoseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<u64>,
    /// Time of the last change of it or its entry, in nanoseconds since 1970; on Unix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<u64>,
    /// Its inode; on Unix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inode: Option<u64>,
}

impl InstalledFile {
    /// A file that has its name and its hash.
    fn of(path: &Path, sha256: String) -> Result<Self, Error> {
        let meta = fs::metadata(path).or_disk("read", path)?;
        let (changed, inode) = changed_and_inode(&meta);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, size: meta.len(), sha256, modified: modified(&meta), changed, inode })
    }

    /// True if `dir` still holds the file as it was; it is read where anything but its hash differs.
    fn is_in(&self, dir: &Path) -> bool {
        let path = dir.join(&self.name);
        let hash = || hash_file(&path, None).is_ok_and(|now| now.sha256 == self.sha256);
        let now = Self::of(&path, self.sha256.clone());
        now.is_ok_and(|now| (now == *self && now.modified.is_some()) || hash())
    }
}

/// Puts the ONNX Runtime library into `cache`, in place of the one that is there.
///
/// # Errors
/// [`Error::NoPip`] and [`Error::Pip`] where it cannot be fetched, [`Error::NoLibrary`] where the
/// given place has none, [`Error::Corrupt`] where it is not what it should be, [`Error::Disk`].
pub fn install(options: &InstallOptions, cache: &Path) -> Result<Installed, Error> {
    install_with(options, cache, Pip::find)
}

/// [`install`] with a pip of the caller's choice, asked for only if it is needed.
///
/// # Errors
/// As [`install`].
pub fn install_with(
    options: &InstallOptions,
    cache: &Path,
    pip: impl FnOnce() -> Result<Pip, Error>,
) -> Result<Installed, Error> {
    let dir = runtime_dir(cache);
    staging::own_folder(&dir)?;
    // Its content is executed: nobody else may write there.
    staging::only_mine(&dir)?;
    staging::sweep(&dir);
    match &options.from {
        Some(from) if from.is_file() && from.extension().is_some_and(|e| e == "whl") => {
            from_wheel(from, &dir, false)
        }
        Some(from) => from_path(from, &dir),
        None => {
            let package = if options.gpu { "onnxruntime-gpu" } else { "onnxruntime" };
            let requirement = format!("{package}=={}", options.version);
            let work = staging::work_dir(&dir)?;
            let wheel = fetch(&pip()?, &requirement, work.path())?;
            from_wheel(&wheel, &dir, !options.gpu)
        }
    }
}

/// The library that [`install`] put into `cache`, if it is unchanged: it is hashed where its size, times
/// or inode differ from the record.
#[must_use]
pub fn installed(cache: &Path) -> Option<Installed> {
    let dir = runtime_dir(cache);
    let mut text = Vec::new();
    let record = dir.join(runtime_record_name());
    File::open(record).ok()?.take(1 << 20).read_to_end(&mut text).ok()?;
    let mut installed: Installed = serde_json::from_slice(&text).ok()?;
    // The cache may have been moved since.
    installed.library = dir.join(runtime_library_name());
    let name = runtime_library_name();
    let same = match installed.files.iter().find(|file| file.name == name) {
        Some(file) => file.is_in(&dir),
        // Earlier versions recorded its hash only.
        None => hash_file(&installed.library, None).ok()?.sha256 == installed.sha256,
    };
    same.then_some(installed)
}

/// Asks pip for the wheel that fits its own Python, then, since the library does not depend on
/// Python, for the one of a version that has wheels.
fn fetch(pip: &Pip, requirement: &str, dest: &Path) -> Result<PathBuf, Error> {
    let first = match pip.download(requirement, None, dest) {
        Err(error @ Error::Pip { .. }) => error,
        result => return result,
    };
    let Some(platforms) = platforms() else { return Err(first) };
    let target = Target { python: "3.13".into(), platforms };
    pip.download(requirement, Some(&target), dest).map_err(|_| first)
}

/// The platform tags of official wheels for this platform.
fn platforms() -> Option<Vec<String>> {
    let tags: &[&str] = match (std::env::consts::OS, std::env::consts::ARCH) {
        ("linux", "x86_64") => &["manylinux_2_28_x86_64", "manylinux_2_27_x86_64"],
        ("linux", "aarch64") => &["manylinux_2_28_aarch64", "manylinux_2_27_aarch64"],
        ("macos", "aarch64") => &["macosx_14_0_arm64", "macosx_13_0_arm64"],
        ("windows", "x86_64") => &["win_amd64"],
        ("windows", "aarch64") => &["win_arm64"],
        _ => return None,
    };
    Some(tags.iter().map(|tag| (*tag).to_owned()).collect())
}

/// Kind of a file of the runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Library,
    Provider,
}

/// Recognises the library, with or without a version in its name, and the providers that it opens by
/// name from its own folder.
fn part(name: &str) -> Option<Part> {
    let versioned =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let library = runtime_library_name();
    let (stem, extension) = library.rsplit_once('.').expect("a library's name has an extension");
    if name == library {
        return Some(Part::Library);
    }
    let rest = name.strip_prefix(stem)?;
    if let Some(provider) = rest.strip_prefix("_providers_") {
        let (provider, ending) = provider.split_once('.')?;
        let plain = !provider.is_empty()
            && provider.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        return (plain && ending == extension).then_some(Part::Provider);
    }
    // libonnxruntime.so.1.31.1 and libonnxruntime.1.31.1.dylib
    let rest = rest.strip_prefix('.')?;
    let version = rest
        .strip_prefix(extension)
        .and_then(|rest| rest.strip_prefix('.'))
        .or_else(|| rest.strip_suffix(extension).and_then(|rest| rest.strip_suffix('.')))?;
    versioned(version).then_some(Part::Library)
}

fn from_wheel(path: &Path, dir: &Path, official: bool) -> Result<Installed, Error> {
    let mut wheel = Wheel::open(path, None)?;
    let file_name = |member: &str| member.rsplit('/').next().unwrap_or(member).to_owned();
    let members: Vec<_> = wheel
        .members()
        .filter(|member| member.starts_with("onnxruntime/capi/"))
        .filter_map(|member| Some((member.to_owned(), part(&file_name(member))?)))
        .collect();
    let no_library = || Error::NoLibrary { path: path.into(), library: runtime_library_name() };
    let version = name_and_version(path).map(|(_, version)| version.to_owned());
    let pinned = version.as_deref().and_then(known).filter(|_| official);
    let work = staging::work_dir(dir)?; // beside its place, so that it can be renamed
    let (mut library, mut providers) = (None, Vec::new());
    for (member, part) in members {
        let target = work.path().join(file_name(&member));
        match part {
            Part::Library => {
                let extracted = wheel.extract(&member, pinned, &target)?;
                library = Some(extracted);
            }
            Part::Provider => {
                let extracted = wheel.extract(&member, None, &target)?;
                providers.push((extracted.path, extracted.sha256));
            }
        }
    }
    let library = library.ok_or_else(no_library)?;
    let is_known = version.as_deref().and_then(known) == Some(library.sha256.as_str());
    let installed = Installed {
        library: library.path,
        version,
        sha256: library.sha256,
        size: library.size,
        origin: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        verified: if is_known { Verified::Known } else { Verified::Package },
        providers: Vec::new(),
        files: Vec::new(),
    };
    place(installed, &providers, dir)
}

/// Takes the library from a file or a folder, with the providers beside it.
fn from_path(from: &Path, dir: &Path) -> Result<Installed, Error> {
    let no_library = || Error::NoLibrary { path: from.into(), library: runtime_library_name() };
    let source = if fs::metadata(from).or_disk("read", from)?.is_dir() {
        let capi = |site: PathBuf| site.join("onnxruntime").join("capi");
        let site_packages = python_folders(from).into_iter().map(capi);
        std::iter::once(from.to_owned())
            .chain(site_packages)
            .find_map(|dir| search(&dir, DEPTH))
            .ok_or_else(no_library)?
    } else {
        from.to_owned()
    };
    // Links such as libonnxruntime.so.1 lead to the file that has the version in its name.
    let source = fs::canonicalize(&source).or_disk("read", &source)?;
    if source.parent() == fs::canonicalize(dir).ok().as_deref() {
        return Err(Error::NoLibrary {
            path: from.into(),
            library: "library that is not installed yet",
        });
    }
    if !is_library(&source)? {
        return Err(no_library());
    }
    let work = staging::work_dir(dir)?;
    let library = work.path().join(runtime_library_name());
    let (size, sha256, symbol) = copy(&source, &library)?;
    let name = source.file_name().unwrap_or_default().to_string_lossy();
    let by_hash = version_of(&sha256).map(str::to_owned);
    let verified = if by_hash.is_some() { Verified::Known } else { Verified::No };
    let mut providers = Vec::new();
    for (name, path) in files(source.parent().unwrap_or(Path::new("."))) {
        if part(&name) == Some(Part::Provider) {
            let target = work.path().join(&name);
            let (_, sha256, _) = copy(&path, &target)?;
            providers.push((target, sha256));
        }
    }
    let installed = Installed {
        library,
        version: by_hash.or_else(|| version_in(&name)).or(symbol),
        sha256,
        size,
        origin: source.display().to_string(),
        verified,
        providers: Vec::new(),
        files: Vec::new(),
    };
    place(installed, &providers, dir)
}

/// Renames the files of a work folder into place: the library last, since searches look for it, and each
/// in one step, so that there is always one.
fn place(
    mut installed: Installed,
    providers: &[(PathBuf, String)],
    dir: &Path,
) -> Result<Installed, Error> {
    let cache = dir.parent().unwrap_or(dir);
    let before = self::installed(cache).map(|old| old.providers).unwrap_or_default();
    // Looked at where it lies in the end: renaming is a change, too.
    let rename = |from: &Path, to: &Path, sha256: &str| {
        staging::only_mine(from)?;
        fs::rename(from, to).or_disk("write", to)?;
        InstalledFile::of(to, sha256.to_owned())
    };
    for (provider, sha256) in providers {
        let name = provider.file_name().unwrap_or_default();
        installed.files.push(rename(provider, &dir.join(name), sha256)?);
        installed.providers.push(name.to_string_lossy().into_owned());
    }
    installed.providers.sort();
    let library = dir.join(runtime_library_name());
    installed.files.push(rename(&installed.library, &library, &installed.sha256)?);
    installed.library = library;
    let note = serde_json::to_vec_pretty(&installed).map_err(|error| Error::Archive {
        path: installed.library.clone(),
        reason: error.to_string(),
    })?;
    let record = Staged::beside(&dir.join(runtime_record_name()))?;
    staging::only_mine(record.path())?;
    write_and_publish(record, &note, &dir.join(runtime_record_name()))?;
    for old in before.iter().filter(|old| part(old) == Some(Part::Provider)) {
        if !installed.providers.contains(old) {
            let _ = fs::remove_file(dir.join(old)); // harmless where it stays
        }
    }
    Ok(installed)
}

fn write_and_publish(mut staged: Staged, content: &[u8], target: &Path) -> Result<(), Error> {
    staged.file().write_all(content).or_disk("write", target)?;
    staged.publish(target)
}

/// The `site-packages` of a Python environment whose root is `dir`.
fn python_folders(dir: &Path) -> Vec<PathBuf> {
    let versions = fs::read_dir(dir.join("lib")).into_iter().flatten().flatten();
    let mut folders: Vec<_> = versions
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("python"))
        .map(|entry| entry.path().join("site-packages"))
        .collect();
    folders.sort();
    folders.push(dir.join("Lib").join("site-packages")); // Windows
    folders
}

/// The library in `dir` or in a folder below it, the nearest and then the first by name.
fn search(dir: &Path, depth: usize) -> Option<PathBuf> {
    let entries = files(dir);
    if let Some((_, path)) =
        entries.iter().find(|(name, path)| part(name) == Some(Part::Library) && path.is_file())
    {
        return Some(path.clone());
    }
    let below = depth.checked_sub(1)?;
    entries.iter().filter(|(_, path)| path.is_dir()).find_map(|(_, path)| search(path, below))
}

/// The entries of a folder, sorted by name.
fn files(dir: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .collect();
    files.sort();
    files
}

/// True if the file begins as libraries of this platform do.
fn is_library(path: &Path) -> Result<bool, Error> {
    let mut start = [0; 4];
    let mut file = File::open(path).or_disk("open", path)?;
    if file.metadata().or_disk("read", path)?.len() > LARGEST
        || file.read_exact(&mut start).is_err()
    {
        return Ok(false);
    }
    Ok(if cfg!(windows) {
        start.starts_with(b"MZ")
    } else if cfg!(target_os = "macos") {
        // Mach-O for one processor, 64 bits, and for several.
        [[0xcf, 0xfa, 0xed, 0xfe], [0xca, 0xfe, 0xba, 0xbe]].contains(&start)
    } else {
        start == *b"\x7fELF"
    })
}

/// Copies a file; returns its size, its hash, and the version that the library's symbols carry on
/// Linux: `VERS_1.31.1`.
fn copy(from: &Path, to: &Path) -> Result<(u64, String, Option<String>), Error> {
    const MARK: &[u8] = b"VERS_";
    const LONGEST: usize = 32;
    let mut source = File::open(from).or_disk("open", from)?;
    let mut staged = Staged::beside(to)?;
    let mut hashing = Hashing::new(None, None);
    let mut version = None;
    let mut buffer = vec![0; 1 << 20];
    let mut kept = 0; // the end of the last piece, in case the mark lies across two
    loop {
        let n = source.read(&mut buffer[kept..]).or_disk("read", from)?;
        let piece = &buffer[..kept + n];
        if version.is_none() {
            version = piece
                .windows(MARK.len())
                .enumerate()
                .filter(|(_, window)| *window == MARK)
                .find_map(|(at, _)| {
                    let rest = &piece[at + MARK.len()..];
                    let end = rest.iter().take(LONGEST).position(|byte| *byte == 0)?;
                    version_in(std::str::from_utf8(&rest[..end]).ok()?)
                });
        }
        if n == 0 {
            break;
        }
        let new = &piece[kept..];
        hashing.update(new);
        staged.file().write_all(new).or_disk("write", to)?;
        let keep = piece.len().min(MARK.len() + LONGEST);
        let start = piece.len() - keep;
        buffer.copy_within(start..start + keep, 0);
        kept = keep;
    }
    staged.publish(to)?;
    let hashed = hashing.finish();
    Ok((hashed.size, hashed.sha256, version))
}

/// The first `MAJOR.MINOR.PATCH` in a text.
fn version_in(text: &str) -> Option<String> {
    text.split(|c: char| !c.is_ascii_digit() && c != '.')
        .map(|part| part.trim_matches('.'))
        .find_map(|part| {
            let numbers: Vec<_> = part.split('.').collect();
            let plain = numbers.len() == 3 && numbers.iter().all(|n| (1..=4).contains(&n.len()));
            plain.then(|| part.to_owned())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_parts_of_the_runtime() {
        for name in ["libonnxruntime.so", "libonnxruntime.so.1", "libonnxruntime.so.1.31.1"] {
            assert_eq!(part(name), Some(Part::Library), "{name}");
        }
        for name in ["libonnxruntime_providers_shared.so", "libonnxruntime_providers_cuda.so"] {
            assert_eq!(part(name), Some(Part::Provider), "{name}");
        }
        for name in [
            "onnxruntime_pybind11_state.so",
            "libonnxruntime.so.txt",
            "libonnxruntime.so.",
            "libonnxruntime4j_jni.so",
            "libonnxruntime_providers_.so",
            "libonnxruntime_providers_cuda.so/../x",
            "xlibonnxruntime.so",
        ] {
            assert_eq!(part(name), None, "{name}");
        }
    }

    #[test]
    fn versions_in_texts() {
        assert_eq!(version_in("libonnxruntime.so.1.31.1").as_deref(), Some("1.31.1"));
        assert_eq!(version_in("libonnxruntime.1.23.2.dylib").as_deref(), Some("1.23.2"));
        assert_eq!(version_in("1.31.1").as_deref(), Some("1.31.1"));
        assert_eq!(version_in("libonnxruntime.so.1"), None);
        assert_eq!(version_in("99999.1.1 and 1.2"), None);
    }

    #[test]
    fn the_mark_is_found_across_pieces() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("from");
        for at in [0, (1 << 20) - 7, (1 << 20) - 1, 1 << 20, 3_000_000] {
            let mut content = vec![b'x'; at];
            content.extend_from_slice(b"VERS_1.31.1\0and more");
            fs::write(&from, &content).unwrap();
            let to = dir.path().join("to");
            let (size, sha256, version) = copy(&from, &to).unwrap();
            assert_eq!(version.as_deref(), Some("1.31.1"), "at {at}");
            assert_eq!(size, content.len() as u64);
            assert_eq!(fs::read(&to).unwrap(), content);
            assert_eq!(sha256, hash_file(&from, None).unwrap().sha256);
        }
    }
}
