//! Where things are kept on this machine: one rule for the hub, which writes there, and for the
//! runtime finder, which looks there.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

/// The cache folder: `EMBEDKIT_CACHE`, else `FASTEMBED_CACHE_PATH`, else `embedkit` in the user's
/// cache folder (`XDG_CACHE_HOME` or `~/.cache`, `~/Library/Caches` on macOS, `LOCALAPPDATA` on
/// Windows). Empty values count as unset and a leading `~` is the home folder.
///
/// `env` looks a variable up, usually `|name| std::env::var_os(name)`; `None` is returned where not
/// even a home folder is known.
#[must_use]
pub fn cache_dir(env: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let var = |name| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || var(if cfg!(windows) { "USERPROFILE" } else { "HOME" });
    let explicit = var("EMBEDKIT_CACHE").or_else(|| var("FASTEMBED_CACHE_PATH"));
    if let Some(dir) = explicit {
        return match (dir.strip_prefix("~"), home()) {
            (Ok(rest), Some(home)) => Some(home.join(rest)),
            _ => Some(dir),
        };
    }
    let user = if cfg!(windows) {
        var("LOCALAPPDATA").or_else(|| home().map(|home| home.join("AppData").join("Local")))
    } else if cfg!(target_os = "macos") {
        home().map(|home| home.join("Library").join("Caches"))
    } else {
        var("XDG_CACHE_HOME")
            .filter(|dir| dir.is_absolute())
            .or_else(|| Some(home()?.join(".cache")))
    };
    user.map(|dir| dir.join("embedkit"))
}

/// The folder within the cache that holds the ONNX Runtime library which `embedkit runtime install`
/// put there: the library itself lies directly in it, under its platform's usual name
/// ([`runtime_library_name`]).
#[must_use]
pub fn runtime_dir(cache: &Path) -> PathBuf {
    cache.join("onnxruntime")
}

/// The file name of the ONNX Runtime library on this platform.
#[must_use]
pub const fn runtime_library_name() -> &'static str {
    if cfg!(windows) {
        "onnxruntime.dll"
    } else if cfg!(target_os = "macos") {
        "libonnxruntime.dylib"
    } else {
        "libonnxruntime.so"
    }
}

/// The file name of the record beside that library: what was installed, by size, time and SHA-256.
#[must_use]
pub const fn runtime_record_name() -> &'static str {
    "runtime.json"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(vars: &[(&str, &str)]) -> Option<PathBuf> {
        cache_dir(|name| vars.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into()))
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_order_of_places() {
        let all = [("EMBEDKIT_CACHE", "/a"), ("FASTEMBED_CACHE_PATH", "/b"), ("HOME", "/h")];
        assert_eq!(dir(&all), Some("/a".into()));
        assert_eq!(dir(&all[1..]), Some("/b".into()));
        assert_eq!(dir(&all[2..]), Some("/h/.cache/embedkit".into()));
        assert_eq!(dir(&[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")]), Some("/x/embedkit".into()));
        assert_eq!(
            dir(&[("EMBEDKIT_CACHE", ""), ("HOME", "/h")]),
            Some("/h/.cache/embedkit".into())
        );
        assert_eq!(dir(&[("EMBEDKIT_CACHE", "~/c"), ("HOME", "/h")]), Some("/h/c".into()));
        assert_eq!(dir(&[]), None);
    }
}
