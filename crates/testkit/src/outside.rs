//! External needs of tests: the ONNX Runtime library and real models.
//!
//! `cargo xtask assets` fetches both into `.cache/assets/`. A test without the library or without
//! all-MiniLM-L6-v2 fails and says so; with `EMBEDKIT_SKIP=1` it prints one line that starts with
//! `skipped:` and returns, as tests do without any of the other models, which may be out of reach.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
};

const ORT_DYLIB_PATH: &str = "ORT_DYLIB_PATH";
const SKIP: &str = "EMBEDKIT_SKIP";

/// A real model, or data for it: its name here, its folder below `.cache/assets/models`, files that
/// prove it complete, and `true` if tests fail without it.
struct Asset {
    name: &'static str,
    folder: &'static str,
    files: &'static [&'static str],
    required: bool,
}

const ASSETS: [Asset; 6] = [
    Asset {
        name: "minilm",
        folder: "all-MiniLM-L6-v2",
        files: &["model.onnx", "tokenizer.json"],
        required: true,
    },
    Asset {
        name: "minilm-int8",
        folder: "all-MiniLM-L6-v2-int8",
        files: &["model.onnx", "tokenizer.json"],
        required: false,
    },
    Asset {
        name: "splade-tiny",
        folder: "splade-tiny",
        files: &["model.onnx", "tokenizer.json"],
        required: false,
    },
    Asset {
        name: "static-tokenlearn",
        folder: "tokenlearn-static",
        files: &["model.safetensors", "tokenizer.json"],
        required: false,
    },
    Asset {
        name: "efficientnet",
        folder: "efficientnet-lite0",
        files: &["model.onnx", "logits.onnx", "preprocessor_config.json"],
        required: false,
    },
    Asset { name: "pictures", folder: "pictures", files: &["chelsea.png"], required: false },
];

/// The ONNX Runtime library for tests: `ORT_DYLIB_PATH`, else the newest fetched one.
///
/// # Panics
/// If there is none and `EMBEDKIT_SKIP` is not 1, or if `ORT_DYLIB_PATH` names a missing file.
#[must_use]
pub fn runtime_library() -> Option<PathBuf> {
    if let Some(path) = env::var_os(ORT_DYLIB_PATH).filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "{ORT_DYLIB_PATH} names {}, which is no file", path.display());
        return Some(path);
    }
    let found = newest_runtime(&assets_dir().join("onnxruntime"));
    found_or_skipped(found, !may_skip(), "no ONNX Runtime library")
}

/// Folder of a real model: `minilm`, `minilm-int8`, `splade-tiny`, `static-tokenlearn` or
/// `efficientnet`; or of real `pictures`.
///
/// # Panics
/// If the name is unknown, or if `minilm` is missing and `EMBEDKIT_SKIP` is not 1.
#[must_use]
pub fn asset(name: &str) -> Option<PathBuf> {
    let asset = ASSETS.iter().find(|asset| asset.name == name);
    let asset = asset.unwrap_or_else(|| panic!("no asset is called {name}"));
    let folder = assets_dir().join("models").join(asset.folder);
    let complete = asset.files.iter().all(|file| folder.join(file).is_file());
    let what = format!("no asset {}", asset.folder);
    found_or_skipped(complete.then_some(folder), asset.required && !may_skip(), &what)
}

/// `.cache/assets` of the workspace.
fn assets_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/assets")
}

fn may_skip() -> bool {
    env::var_os(SKIP).is_some_and(|value| value == "1")
}

/// Returns the path, or prints a line why the test is skipped, or panics.
fn found_or_skipped(found: Option<PathBuf>, required: bool, what: &str) -> Option<PathBuf> {
    if found.is_none() {
        assert!(
            !required,
            "{what}: `cargo xtask assets` fetches it; {SKIP}=1 skips the tests that need it"
        );
        eprintln!("skipped: {what}; `cargo xtask assets` fetches it");
    }
    found
}

/// The library with the highest version in the folder.
fn newest_runtime(root: &Path) -> Option<PathBuf> {
    let file = format!("{}onnxruntime{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
    let libraries = root.read_dir().ok()?.filter_map(|entry| {
        let folder = entry.ok()?;
        let library = folder.path().join(&file);
        library.is_file().then_some((version(&folder.file_name())?, library))
    });
    libraries.max().map(|(_, library)| library)
}

/// `1.31.1` as numbers; `None` for anything else.
fn version(name: &OsStr) -> Option<Vec<u32>> {
    name.to_str()?.split('.').map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        let version = |name: &str| version(OsStr::new(name));
        assert!(version("1.31.1") > version("1.9.2"));
        assert_eq!(version("1.31"), Some(vec![1, 31]));
        assert_eq!(version("latest"), None);
        assert_eq!(version(""), None);
    }

    #[test]
    fn the_newest_complete_runtime_is_taken() {
        let root = env::temp_dir().join(format!("embedkit-testkit-{}", std::process::id()));
        let file = format!("{}onnxruntime{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
        for name in ["1.9.0", "1.23.2", "1.40.0", "scratch"] {
            fs::create_dir_all(root.join(name)).unwrap();
            if name != "1.40.0" {
                fs::write(root.join(name).join(&file), "").unwrap();
            }
        }
        let newest = newest_runtime(&root);
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(newest, Some(root.join("1.23.2").join(&file)));
        assert_eq!(newest_runtime(&root), None);
    }

    #[test]
    fn a_missing_thing_is_skipped() {
        assert_eq!(found_or_skipped(None, false, "no library"), None);
        assert_eq!(found_or_skipped(Some("x".into()), true, "no library"), Some("x".into()));
    }

    #[test]
    #[should_panic(expected = "no library: `cargo xtask assets` fetches it; EMBEDKIT_SKIP=1 skips")]
    fn a_missing_thing_that_is_required_fails() {
        let _ = found_or_skipped(None, true, "no library");
    }

    #[test]
    #[should_panic(expected = "no asset is called other")]
    fn an_unknown_asset_is_a_mistake() {
        let _ = asset("other");
    }
}
