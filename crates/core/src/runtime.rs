//! Finds the ONNX Runtime library and holds the process-wide environment.
//!
//! With the feature `load-dynamic` the library is looked for, without network, in this order: the
//! path given by the caller, `ORT_DYLIB_PATH`, the one that `embedkit runtime install` put into the
//! cache, beside the executable, in the active Python environment, where the system's loader looks.
//! The first two are commands: if they fail, nothing else is tried.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Mutex,
};

use ort::environment::Environment;

/// The oldest ONNX Runtime whose interface this build calls (`api-23`).
pub const OLDEST_VERSION: &str = "1.23";

/// Where a library was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Named by the caller (`--onnxruntime`).
    Option,
    /// Named by `ORT_DYLIB_PATH`.
    Variable,
    /// Installed into the cache by `embedkit runtime install`.
    Installed,
    /// Beside the executable.
    Executable,
    /// In the active Python environment.
    Python,
    /// Where the system's loader looks.
    System,
    /// Linked into this program, or set up by the application.
    Linked,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Option => "given option",
            Self::Variable => "ORT_DYLIB_PATH",
            Self::Installed => "embedkit runtime install",
            Self::Executable => "beside the executable",
            Self::Python => "active Python environment",
            Self::System => "system library",
            Self::Linked => "linked into the program",
        })
    }
}

/// A usable library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The library; `None` where it is linked in.
    pub path: Option<PathBuf>,
    /// Its version, such as `1.31.1`.
    pub version: String,
    /// Where it was found.
    pub origin: Origin,
}

/// One place that was looked at in vain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The file or name.
    pub path: PathBuf,
    /// How it came up.
    pub origin: Origin,
    /// Why it does not serve.
    pub reason: String,
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.path.display(), self.origin, self.reason)
    }
}

/// ONNX Runtime is missing or does not fit.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// No library was found, or none that serves.
    #[error("no usable ONNX Runtime library was found; tried {}", list(.tried))]
    NotFound {
        /// The places, in order.
        tried: Vec<Tried>,
    },
    /// The process already runs another library than the one asked for.
    #[error(
        "this process already uses the ONNX Runtime of {loaded}, so {asked} cannot be loaded",
        loaded = loaded.display(), asked = asked.display()
    )]
    AlreadyLoaded {
        /// The library in use.
        loaded: PathBuf,
        /// The library asked for.
        asked: PathBuf,
    },
    /// The environment cannot be created.
    #[error("ONNX Runtime cannot be set up: {reason}")]
    Setup {
        /// What the runtime said.
        reason: String,
    },
}

impl RuntimeError {
    /// What the user can do about it.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(
            match self {
                Self::NotFound { .. } => {
                    "run `embedkit runtime install`, or name the library with `--onnxruntime FILE` \
                     or ORT_DYLIB_PATH"
                }
                Self::AlreadyLoaded { .. } => "name one library for the whole process",
                Self::Setup { .. } => {
                    "an application with an environment of its own has to hand it over with \
                     `runtime::use_environment` first"
                }
            }
            .to_owned(),
        )
    }
}

fn list(tried: &[Tried]) -> String {
    if tried.is_empty() {
        return "no place at all".to_owned();
    }
    tried.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

struct Current {
    environment: Environment,
    found: Found,
}

/// ONNX Runtime allows one environment per process, and this is it.
static CURRENT: Mutex<Option<Current>> = Mutex::new(None);

fn current() -> std::sync::MutexGuard<'static, Option<Current>> {
    CURRENT.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Makes embedkit use the environment of the host application. Call it before anything is loaded.
///
/// Returns `false`, without effect, if embedkit has an environment already.
pub fn use_environment(environment: &Environment) -> bool {
    let mut current = current();
    if current.is_some() {
        return false;
    }
    let found = Found { path: None, version: "unknown".to_owned(), origin: Origin::Linked };
    *current = Some(Current { environment: environment.clone(), found });
    true
}

/// The environment, created at the first call with telemetry off.
///
/// `explicit` is the library that the caller names, `cache` the cache folder with the installed one.
///
/// # Errors
/// See [`RuntimeError`].
pub(crate) fn environment(
    explicit: Option<&Path>,
    cache: Option<&Path>,
) -> Result<(Environment, Found), RuntimeError> {
    let mut current = current();
    if let Some(Current { environment, found }) = &*current {
        if let (Some(asked), Some(loaded)) = (explicit, &found.path)
            && !same_file(asked, loaded)
        {
            let (loaded, asked) = (loaded.clone(), asked.to_owned());
            return Err(RuntimeError::AlreadyLoaded { loaded, asked });
        }
        return Ok((environment.clone(), found.clone()));
    }
    let (builder, found) = open(explicit, cache)?;
    let environment = builder
        .with_name("embedkit")
        .with_telemetry(false)
        .build()
        .map_err(|error| RuntimeError::Setup { reason: error.to_string() })?;
    tracing::debug!(version = %found.version, origin = %found.origin, "ONNX Runtime is set up");
    *current = Some(Current { environment: environment.clone(), found: found.clone() });
    Ok((environment, found))
}

fn same_file(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

#[cfg(feature = "load-dynamic")]
pub use dynamic::find;
#[cfg(feature = "load-dynamic")]
use dynamic::open;

#[cfg(feature = "load-dynamic")]
mod dynamic {
    use std::{error::Error as _, ffi::CStr};

    use embedkit_types::cache;

    use super::{Found, OLDEST_VERSION, Origin, Path, PathBuf, RuntimeError, Tried};

    /// Finds the library that would be used, without setting it up.
    ///
    /// # Errors
    /// [`RuntimeError::NotFound`] with every place that was tried.
    pub fn find(explicit: Option<&Path>, cache: Option<&Path>) -> Result<Found, RuntimeError> {
        let mut tried = Vec::new();
        for (path, origin) in candidates(explicit, cache) {
            match version(&path) {
                Ok(version) => return Ok(Found { path: Some(path), version, origin }),
                Err(reason) => tried.push(Tried { path, origin, reason }),
            }
        }
        Err(RuntimeError::NotFound { tried })
    }

    pub(super) fn open(
        explicit: Option<&Path>,
        cache: Option<&Path>,
    ) -> Result<(ort::environment::EnvironmentBuilder, Found), RuntimeError> {
        let found = find(explicit, cache)?;
        let path = found.path.clone().unwrap_or_default();
        // The path is handed over explicitly: ort's own search panics when it finds nothing.
        let builder = ort::init_from(&path).map_err(|error| RuntimeError::NotFound {
            tried: vec![Tried { path, origin: found.origin, reason: error.to_string() }],
        })?;
        Ok((builder, found))
    }

    fn candidates(explicit: Option<&Path>, cache: Option<&Path>) -> Vec<(PathBuf, Origin)> {
        let absolute = |path: PathBuf| std::path::absolute(&path).unwrap_or(path);
        if let Some(path) = explicit {
            return vec![(absolute(path.to_owned()), Origin::Option)];
        }
        if let Some(path) = std::env::var_os("ORT_DYLIB_PATH").filter(|path| !path.is_empty()) {
            return vec![(absolute(path.into()), Origin::Variable)];
        }
        let name = cache::runtime_library_name();
        let default = cache::cache_dir(|name| std::env::var_os(name));
        let installed = cache.or(default.as_deref()).map(|dir| cache::runtime_dir(dir).join(name));
        let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join(name)));
        let mut found: Vec<_> =
            installed.map(|path| (path, Origin::Installed)).into_iter().collect();
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
        let roots = roots.filter(|root| !root.is_empty()).map(PathBuf::from);
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
        if path.components().count() > 1 && !path.is_file() {
            return Err("no such file".to_owned());
        }
        // SAFETY: opening a library runs its initialisers; that is what the caller asks for by
        // naming it, and the same library is loaded for use right after.
        // The error itself only says that it failed; its cause names what the library lacks.
        let library = unsafe { libloading::Library::new(path) }.map_err(|error| {
            error.source().map_or_else(|| error.to_string(), ToString::to_string)
        })?;
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
}

#[cfg(not(feature = "load-dynamic"))]
fn open(
    explicit: Option<&Path>,
    _cache: Option<&Path>,
) -> Result<(ort::environment::EnvironmentBuilder, Found), RuntimeError> {
    if let Some(path) = explicit {
        let reason = "this build links ONNX Runtime and cannot load another one".to_owned();
        let tried = vec![Tried { path: path.to_owned(), origin: Origin::Option, reason }];
        return Err(RuntimeError::NotFound { tried });
    }
    Ok((ort::init(), linked()))
}

/// The library that is linked into this program.
///
/// # Errors
/// Never; the signature is that of builds that look for the library.
#[cfg(not(feature = "load-dynamic"))]
pub fn find(_explicit: Option<&Path>, _cache: Option<&Path>) -> Result<Found, RuntimeError> {
    Ok(linked())
}

#[cfg(not(feature = "load-dynamic"))]
fn linked() -> Found {
    let version = format!("{OLDEST_VERSION} or newer");
    Found { path: None, version, origin: Origin::Linked }
}
