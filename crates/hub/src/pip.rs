//! Python packages, fetched by the pip that is on the machine. It knows the mirrors, proxies and
//! certificates that its user has set up, and needs no privileges to download a file. It runs in an
//! [`IsolatedDir`], so that nothing in the current folder is taken for a part of it.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

pub use crate::isolated::IsolatedDir;
use crate::{Error, error::DiskResult, names, staging};

/// Commands that start pip, in the order in which they are tried.
const COMMANDS: [&[&str]; 5] = [
    &["python3", "-m", "pip"],
    &["python", "-m", "pip"],
    &["py", "-m", "pip"], // the launcher on Windows
    &["pip3"],
    &["pip"],
];
/// Lines of pip's output that an error repeats.
const LAST_LINES: usize = 4;

/// A pip that answers.
#[derive(Debug, Clone)]
pub struct Pip {
    command: Vec<OsString>,
}

/// Python version and platforms of the wheel, where pip's own Python does not decide.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// Version of Python, such as `3.13`.
    pub python: String,
    /// Platforms, any of them, such as `manylinux_2_28_x86_64`.
    pub platforms: Vec<String>,
}

impl Pip {
    /// The first of `python3 -m pip`, `python -m pip`, `py -m pip`, `pip3` and `pip` that runs.
    ///
    /// # Errors
    /// [`Error::NoPip`].
    pub fn find() -> Result<Self, Error> {
        Self::first_of(COMMANDS.iter().map(|command| command.iter().map(OsString::from).collect()))
    }

    /// A program of the caller's choice, with the arguments that come before pip's own. It is started
    /// in a folder of its own: paths among the arguments have to be absolute.
    ///
    /// # Errors
    /// [`Error::NoPip`] if it does not run.
    pub fn at(command: Vec<OsString>) -> Result<Self, Error> {
        Self::first_of([command])
    }

    fn first_of(commands: impl IntoIterator<Item = Vec<OsString>>) -> Result<Self, Error> {
        let dir = IsolatedDir::create()?;
        let mut tried = Vec::new();
        for command in commands {
            let pip = Self { command };
            let output = pip.command(&dir).and_then(|mut pip| pip.arg("--version").output().ok());
            if output.is_some_and(|output| output.status.success()) {
                return Ok(pip);
            }
            tried.push(pip.shown());
        }
        Err(Error::NoPip { tried })
    }

    /// Downloads the wheel of exactly one package, such as `onnxruntime==1.31.1`, into the folder
    /// `dest`, which is created. Neither the package nor anything else of it is run or installed.
    ///
    /// # Errors
    /// [`Error::Pip`] with pip's last lines, [`Error::Disk`].
    pub fn download(
        &self,
        requirement: &str,
        target: Option<&Target>,
        dest: &Path,
    ) -> Result<PathBuf, Error> {
        if !is_pinned(requirement) {
            return Err(Error::Name {
                kind: "package",
                name: requirement.into(),
                reason: "it has to be NAME==VERSION",
            });
        }
        // A folder of its own: whatever wheel lies in it afterwards is the one. Absolute, since pip
        // starts elsewhere.
        let work = staging::work_dir(&std::path::absolute(dest).or_disk("find", dest)?)?;
        let dir = IsolatedDir::create()?;
        let mut command =
            self.command(&dir).ok_or_else(|| Error::NoPip { tried: vec![self.shown()] })?;
        command
            .args(["download", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check"])
            .args(["--no-input", "--progress-bar=off", "--dest"])
            .arg(work.path());
        if let Some(target) = target {
            command.args(["--implementation", "cp", "--python-version", &target.python]);
            for platform in &target.platforms {
                command.args(["--platform", platform]);
            }
        }
        tracing::info!(requirement, "asking pip");
        let output = command.arg(requirement).output();
        let output = output.map_err(|error| failed(requirement, error.to_string()))?;
        if !output.status.success() {
            let text = [output.stdout, output.stderr].concat();
            return Err(failed(requirement, last_lines(&String::from_utf8_lossy(&text))));
        }
        let wheel = the_wheel(work.path())?
            .ok_or_else(|| failed(requirement, "it reported success but left no wheel".into()))?;
        let to = dest.join(wheel.file_name().unwrap_or_default());
        fs::rename(&wheel, &to).or_disk("write", &to)?;
        Ok(to)
    }

    /// `None` where there is no such program.
    fn command(&self, dir: &IsolatedDir) -> Option<Command> {
        let (program, args) = self.command.split_first()?;
        let mut command = dir.command(program)?;
        // The caller's Python settings are kept, since they may lead to its mirror; only what would
        // make pip ask, or speak another language, is overridden.
        command.args(args).stdin(Stdio::null()).env("PIP_ROOT_USER_ACTION", "ignore");
        command.env("PYTHONIOENCODING", "utf-8").env("PIP_NO_COLOR", "1");
        Some(command)
    }

    fn shown(&self) -> String {
        self.command.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }
}

/// Downloads the wheel of one package with the pip that is found; see [`Pip::download`].
///
/// # Errors
/// As [`Pip::find`] and [`Pip::download`].
pub fn download(requirement: &str, dest: &Path) -> Result<PathBuf, Error> {
    Pip::find()?.download(requirement, None, dest)
}

fn failed(requirement: &str, output: String) -> Error {
    Error::Pip { requirement: requirement.into(), output }
}

fn is_pinned(requirement: &str) -> bool {
    let plain = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.+!".contains(&b))
    };
    requirement.split_once("==").is_some_and(|(name, version)| plain(name) && plain(version))
}

fn the_wheel(dir: &Path) -> Result<Option<PathBuf>, Error> {
    let entries = fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let paths = entries.or_disk("read", dir)?.into_iter().map(|entry| entry.path());
    let mut wheels = paths.filter(|path| {
        path.extension().is_some_and(|extension| extension == "whl")
            && path
                .file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| names::file_path(name).is_ok())
    });
    Ok(wheels.next())
}

/// The end of pip's output in one line; errors come last.
fn last_lines(output: &str) -> String {
    let lines: Vec<_> = output.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let errors: Vec<_> = lines.iter().filter(|line| line.starts_with("ERROR")).copied().collect();
    let shown = if errors.is_empty() { lines } else { errors };
    let start = shown.len().saturating_sub(LAST_LINES);
    shown[start..].join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requirements_are_pinned_and_plain() {
        for good in ["onnxruntime==1.31.1", "a-b_c==1.0+cpu", "x==2!1.0"] {
            assert!(is_pinned(good), "{good}");
        }
        for bad in
            ["onnxruntime", "a>=1", "--index-url==x", "a==1 b", "a==", "==1", "a==-1", "a @ file:x"]
        {
            assert!(!is_pinned(bad), "{bad}");
        }
    }

    #[test]
    fn the_errors_of_the_output_are_shown() {
        let text = "Collecting x\n  ERROR: no such version\nWARNING: old\nERROR: No matching\n";
        assert_eq!(last_lines(text), "ERROR: no such version | ERROR: No matching");
        assert_eq!(last_lines("a\nb\nc\nd\ne\n\n"), "b | c | d | e");
    }

    #[test]
    fn an_absent_program_is_named() {
        let Err(Error::NoPip { tried }) = Pip::at(vec!["no-such-program-4711".into(), "-m".into()])
        else {
            panic!("a program that does not exist was accepted");
        };
        assert_eq!(tried, ["no-such-program-4711 -m"]);
        assert!(matches!(Pip::at(Vec::new()), Err(Error::NoPip { .. })), "nothing at all");
    }
}
