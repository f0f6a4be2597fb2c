//! The search for the library, and the question for its version.

use std::{
    error::Error as _,
    ffi::CStr,
    path::{Path, PathBuf},
};

use embedkit_types::{Error, cache};

use super::{Found, OLDEST_VERSION, Origin, RuntimeError, Tried, trust};

/// Finds the library that would be used, without setting it up.
///
/// # Errors
/// [`RuntimeError::NotFound`] with every place that was tried, [`RuntimeError::Refused`] for a library
/// that others than its user could have changed; that one is not opened.
pub fn find(explicit: Option<&Path>, cache: Option<&Path>) -> Result<Found, Error> {
    Ok(search(explicit, cache)?)
}

fn search(explicit: Option<&Path>, cache: Option<&Path>) -> Result<Found, RuntimeError> {
    let default = cache::cache_dir(|name| std::env::var_os(name));
    let cache = cache.or(default.as_deref()).map(absolute);
    first_of(candidates(explicit, cache.as_deref()), cache.as_deref())
}

/// Finds the library that `embedkit runtime install` put into `cache`, without looking anywhere else.
///
/// # Errors
/// As [`find`].
pub fn find_installed(cache: &Path) -> Result<Found, Error> {
    let cache = absolute(cache);
    Ok(first_of(vec![(installed(&cache), Origin::Installed)], Some(&cache))?)
}

fn first_of(
    candidates: Vec<(PathBuf, Origin)>,
    cache: Option<&Path>,
) -> Result<Found, RuntimeError> {
    let mut tried = Vec::new();
    for (path, origin) in candidates {
        match usable(&path, origin, cache)? {
            Ok(version) => return Ok(Found { path: Some(path), version, origin }),
            Err(reason) => tried.push(Tried { path, origin, reason }),
        }
    }
    Err(RuntimeError::NotFound { tried })
}

/// The version of a library, or why it does not serve; the error ends the search.
fn usable(
    path: &Path,
    origin: Origin,
    cache: Option<&Path>,
) -> Result<Result<String, String>, RuntimeError> {
    if path.components().count() > 1 && !path.is_file() {
        return Ok(Err("no such file".to_owned()));
    }
    // Before it is opened: that runs its initialisers.
    trust::check(path, origin, cache).map_err(|refusal| RuntimeError::Refused {
        path: path.to_owned(),
        origin,
        refusal,
    })?;
    Ok(version(path))
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn installed(cache: &Path) -> PathBuf {
    cache::runtime_dir(cache).join(cache::runtime_library_name())
}

pub(super) fn open(
    explicit: Option<&Path>,
    cache: Option<&Path>,
) -> Result<(ort::environment::EnvironmentBuilder, Found), RuntimeError> {
    let found = search(explicit, cache)?;
    let path = found.path.clone().unwrap_or_default();
    // The path is handed over explicitly: ort's own search panics when it finds nothing.
    let builder = ort::init_from(&path).map_err(|error| RuntimeError::NotFound {
        tried: vec![Tried { path, origin: found.origin, reason: error.to_string() }],
    })?;
    Ok((builder, found))
}

fn candidates(explicit: Option<&Path>, cache: Option<&Path>) -> Vec<(PathBuf, Origin)> {
    if let Some(path) = explicit {
        return vec![(absolute(path), Origin::Option)];
    }
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
        return vec![(absolute(Path::new(&path)), Origin::Variable)];
    }
    let name = cache::runtime_library_name();
    let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join(name)));
    let mut found: Vec<_> =
        cache.map(|dir| (installed(dir), Origin::Installed)).into_iter().collect();
    found.extend(beside.map(|path| (path, Origin::Executable)));
    found.extend(python().into_iter().map(|path| (path, Origin::Python)));
    found.push((PathBuf::from(name), Origin::System));
    if cfg!(target_os = "linux") {
        // What a runtime package installs without its development files.
        found.push((PathBuf::from("libonnxruntime.so.1"), Origin::System));
    }
    found
}

/// Libraries of the `onnxruntime` package in the active Python environment.
fn python() -> Vec<PathBuf> {
    let roots = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(std::env::var_os);
    let roots = roots.map(PathBuf::from).filter(|root| root.is_absolute());
    let entries = |dir: PathBuf| {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        paths
    };
    let mut found = Vec::new();
    for root in roots {
        let mut sites: Vec<_> = entries(root.join("lib"))
            .into_iter()
            .filter(|path| {
                path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"python"))
            })
            .collect();
        sites.push(root.join("Lib"));
        for site in sites {
            let capi = site.join("site-packages").join("onnxruntime").join("capi");
            found.extend(entries(capi).into_iter().filter(|path| is_library(path)));
        }
    }
    found
}

fn is_library(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    match std::env::consts::OS {
        "windows" => name == "onnxruntime.dll",
        "macos" => name.starts_with("libonnxruntime.") && name.ends_with(".dylib"),
        _ => name == "libonnxruntime.so" || name.starts_with("libonnxruntime.so."),
    }
}

/// The version of a library, or why it does not serve.
#[expect(unsafe_code, reason = "a shared library can only be asked by calling into it")]
fn version(path: &Path) -> Result<String, String> {
    // SAFETY: opening a library runs its initialisers; that is what the caller asks for by
    // naming it, and the same library is loaded for use right after.
    // The error itself only says that it failed; its cause names what the library lacks.
    let library = unsafe { libloading::Library::new(path) }
        .map_err(|error| error.source().map_or_else(|| error.to_string(), ToString::to_string))?;
    // SAFETY: `OrtGetApiBase` has had this signature since ONNX Runtime 1.0.
    let symbol = unsafe {
        library.get::<unsafe extern "C" fn() -> *const ort::sys::OrtApiBase>(b"OrtGetApiBase")
    };
    let base = symbol.map_err(|_| "it is not an ONNX Runtime library".to_owned())?;
    // SAFETY: as above; the returned table is static and its version a static C string.
    let version = unsafe {
        let base = base();
        if base.is_null() {
            return Err("it offers no interface".to_owned());
        }
        CStr::from_ptr(((*base).GetVersionString)()).to_string_lossy().into_owned()
    };
    let number = |text: &str| -> Option<(u32, u32)> {
        let mut parts = text.split('.').map(|part| part.parse().ok());
        Some((parts.next()??, parts.next()??))
    };
    match (number(&version), number(OLDEST_VERSION)) {
        (Some(found), Some(oldest)) if found >= oldest => Ok(version),
        _ => Err(format!("its version is {version}, needed is {OLDEST_VERSION} or newer")),
    }
}
