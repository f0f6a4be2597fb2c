//! An empty working directory for Python.
//!
//! `python -m pip` takes modules from the current folder before its own: a file `pip.py` in a folder
//! that somebody unpacked would be run. So Python gets a fresh folder that nobody else can write, and
//! from 3.11 on, where it knows the setting, does not look into it either. The isolated mode `-I` would
//! do the same, but would also ignore the user's `PYTHONPATH` and a pip in the user's own folder.
//! Programs are searched in the absolute entries of `PATH` only, since an empty or relative one is the
//! current folder. The user's environment is passed on.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{Error, staging};

/// Variables with one file or folder, read by pip and its libraries. A relative path starts from the
/// user's current folder.
const PATHS: [&str; 10] = [
    "CURL_CA_BUNDLE",
    "NETRC",
    "PIP_CACHE_DIR",
    "PIP_CERT",
    "PIP_CLIENT_CERT",
    "PIP_CONFIG_FILE",
    "PIP_CONSTRAINT",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
];
/// Variables with a list of paths or addresses, separated by spaces.
const LISTS: [&str; 1] = ["PIP_FIND_LINKS"];

/// An empty working directory in which programs are started; removed when dropped.
#[derive(Debug)]
pub struct IsolatedDir {
    folder: TempDir,
}

impl IsolatedDir {
    /// Makes a folder that only the user can enter, where the system keeps temporary files.
    ///
    /// # Errors
    /// [`Error::Disk`].
    pub fn create() -> Result<Self, Error> {
        let place = env::temp_dir();
        let place = std::path::absolute(&place).unwrap_or(place);
        Ok(Self { folder: staging::private_dir(&place, "embedkit-", "")? })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A command that runs in the folder, so that all paths among its arguments have to be absolute.
    /// `program` is a name that `PATH` leads to, or a path. `None` where no program of that name lies
    /// in an absolute entry of `PATH`.
    #[must_use]
    pub fn command(&self, program: &OsStr) -> Option<Command> {
        let mut command = Command::new(resolve(program, env::var_os("PATH"))?);
        command.current_dir(self.path()).env("PYTHONSAFEPATH", "1");
        for name in PATHS {
            if let Some(value) = env::var_os(name).and_then(|value| kept(&value)) {
                command.env(name, value);
            }
        }
        for name in LISTS {
            let Some(list) = env::var_os(name).and_then(|value| value.into_string().ok()) else {
                continue;
            };
            let kept = list.split_whitespace().map(|one| {
                kept(OsStr::new(one)).unwrap_or_else(|| one.into()).to_string_lossy().into_owned()
            });
            command.env(name, kept.collect::<Vec<_>>().join(" "));
        }
        Some(command)
    }
}

/// The absolute form of a relative path that exists below the current folder.
fn kept(value: &OsStr) -> Option<OsString> {
    let path = Path::new(value);
    if value.is_empty() || path.is_absolute() || !path.exists() {
        return None;
    }
    Some(std::path::absolute(path).ok()?.into_os_string())
}

/// The program of this name in `PATH`, the current folder left out. A path is taken as it is.
fn resolve(program: &OsStr, search: Option<OsString>) -> Option<PathBuf> {
    let path = Path::new(program);
    if path.components().count() != 1 || path.is_absolute() {
        return std::path::absolute(path).ok();
    }
    // The system's default where it is not set.
    let search = search.unwrap_or_else(|| if cfg!(unix) { "/usr/bin:/bin" } else { "" }.into());
    let names = if cfg!(windows) && path.extension().is_none() {
        // Scripts of the command interpreter are not run: their arguments are not kept apart.
        let mut name = program.to_owned();
        name.push(".exe");
        name
    } else {
        program.to_owned()
    };
    env::split_paths(&search)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(&names))
        .find(|file| is_program(file))
}

#[cfg(unix)]
fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;

    std::fs::metadata(file)
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(file: &Path) -> bool {
    // Not followed: Python from the Store is a link that only the system itself can follow.
    file.symlink_metadata().is_ok_and(|meta| !meta.is_dir())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_fresh_folder_is_the_users_alone_and_goes_away() {
        let dir = IsolatedDir::create().unwrap();
        assert!(dir.path().is_absolute());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(dir.path()).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
        let path = dir.path().to_owned();
        drop(dir);
        assert!(!path.exists());
    }

    #[test]
    #[cfg(unix)]
    fn programs_are_found_by_absolute_entries_only() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("embedkit-test-program");
        fs::write(&program, "").unwrap();
        let name = program.file_name().unwrap();
        let of = |search: &str| resolve(name, Some(search.into()));
        let absolute = dir.path().to_str().unwrap();
        assert_eq!(of(absolute), None, "it may not be run");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(of(&format!("/nowhere:{absolute}")), Some(program.clone()));
        // Relative to wherever the tests are run: above the root there is the root again.
        let relative = format!("{}{absolute}", "../".repeat(64).trim_end_matches('/'));
        assert!(is_program(&Path::new(&relative).join(name)), "it leads there");
        for search in [&relative, &format!(":{relative}"), "", ":", "."] {
            assert_eq!(of(search), None, "{search:?}");
        }
        // A folder is no program.
        assert_eq!(resolve(OsStr::new("tmp"), Some("/".into())), None);
        assert_eq!(resolve(program.as_os_str(), None), Some(program.clone()));
        assert!(resolve(OsStr::new("./x"), None).unwrap().is_absolute(), "as it was named");
    }

    #[test]
    fn relative_settings_keep_their_meaning() {
        let there = kept(OsStr::new("Cargo.toml")).unwrap();
        assert_eq!(Path::new(&there), env::current_dir().unwrap().join("Cargo.toml"));
        for other in ["", "no-such-file", "https://example.org/simple"] {
            assert_eq!(kept(OsStr::new(other)), None, "{other:?}");
        }
    }
}
