//! Finds the ONNX Runtime library and holds the process-wide environment.
//!
//! With the feature `load-dynamic` the library is looked for, without network, in this order: the
//! path given by the caller, `ORT_DYLIB_PATH`, the one that `embedkit runtime install` put into the
//! cache, beside the executable, in the active Python environment, where the system's loader looks.
//! The first two are commands: if they fail, nothing else is tried, and whoever owns the file is the
//! caller's business. A library that is found by searching is opened only if nobody but its user and
//! root can have changed it, the installed one only if it is what was installed: see [`Refusal`].

#[cfg(feature = "load-dynamic")]
mod dynamic;
mod providers;
mod refusal;
#[cfg(feature = "load-dynamic")]
mod trust;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Mutex,
};

use embedkit_types::{ErrorKind, Hint};
use ort::environment::Environment;

#[cfg(feature = "load-dynamic")]
use self::dynamic::open;
#[cfg(feature = "load-dynamic")]
pub use self::dynamic::{find, find_installed};
pub use self::providers::providers;
pub use self::refusal::Refusal;
pub use crate::onnx::{bf16_kernel, int8_kernel};

/// The oldest ONNX Runtime whose interface this build calls (`api-23`).
pub const OLDEST_VERSION: &str = "1.23";

/// Where a library was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Named by the caller, in the load options.
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
    /// A library was found that others could have changed. Nothing else is tried, so that another one
    /// does not take its place unnoticed.
    #[error("{} ({origin}) is not opened: {refusal}", path.display())]
    Refused {
        /// The library.
        path: PathBuf,
        /// Where it was found.
        origin: Origin,
        /// The reason.
        refusal: Refusal,
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
    /// Class of the error.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Refused { .. } | Self::AlreadyLoaded { .. } | Self::Setup { .. } => {
                ErrorKind::Runtime
            }
        }
    }

    /// Advice.
    #[must_use]
    pub fn hint(&self) -> Hint {
        match self {
            Self::Refused { origin, refusal, .. } => refusal.hint(*origin),
            Self::NotFound { .. } => Hint::InstallRuntime,
            Self::AlreadyLoaded { .. } => {
                Hint::Advice("name one library for the whole process".into())
            }
            Self::Setup { .. } => Hint::Advice(
                "an application with an environment of its own has to hand it over with \
                 `runtime::use_environment` first"
                    .into(),
            ),
        }
    }
}

impl From<RuntimeError> for embedkit_types::Error {
    fn from(error: RuntimeError) -> Self {
        crate::Error::from(error).into()
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
pub fn find(
    _explicit: Option<&Path>,
    _cache: Option<&Path>,
) -> Result<Found, embedkit_types::Error> {
    Ok(linked())
}

#[cfg(not(feature = "load-dynamic"))]
fn linked() -> Found {
    let version = format!("{OLDEST_VERSION} or newer");
    Found { path: None, version, origin: Origin::Linked }
}
