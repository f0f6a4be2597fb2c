//! Python packages, fetched by the pip that is on the machine. It knows the mirrors, proxies and
//! certificates that its user has set up, and needs no privileges to download a file. It runs in an
//! [`IsolatedDir`], so that nothing in the current folder is taken for a part of it.

use std::{
    ffi::OsString,
    fmt, fs,
    io::{self, BufRead, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
};

pub use crate::isolated::IsolatedDir;
use crate::{Error, Event, OnEvent, error::DiskResult, names, staging};

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

/// The first version that reports its progress line by line.
const TELLS: (u32, u32) = (24, 1);

/// A pip that answers.
#[derive(Clone)]
pub struct Pip {
    command: Vec<OsString>,
    /// True if it reports its progress line by line.
    tells: bool,
    on_event: Option<OnEvent>,
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
            let pip = Self { command, tells: false, on_event: None };
            let output = pip.command(&dir).and_then(|mut pip| pip.arg("--version").output().ok());
            match output.filter(|output| output.status.success()) {
                Some(output) => {
                    let tells = version(&output.stdout).is_some_and(|version| version >= TELLS);
                    return Ok(Self { tells, ..pip });
                }
                None => tried.push(pip.shown()),
            }
        }
        Err(Error::NoPip { tried })
    }

    /// Tells `on_event` of the bytes of downloads, where this pip reports them: from version 24.1 on.
    #[must_use]
    pub fn with_progress(self, on_event: OnEvent) -> Self {
        Self { on_event: Some(on_event), ..self }
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
            .args(["--no-input", "--dest"])
            .arg(work.path())
            .arg(if self.reports() { "--progress-bar=raw" } else { "--progress-bar=off" });
        if let Some(target) = target {
            command.args(["--implementation", "cp", "--python-version", &target.python]);
            for platform in &target.platforms {
                command.args(["--platform", platform]);
            }
        }
        tracing::info!(requirement, "asking pip");
        let output = self.run(command.arg(requirement), requirement);
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

    fn reports(&self) -> bool {
        self.tells && self.on_event.is_some()
    }

    /// Runs pip to its end. Lines on its progress become events.
    fn run(&self, command: &mut Command, file: &str) -> io::Result<Output> {
        let Some(on_event) = self.on_event.as_ref().filter(|_| self.reports()) else {
            return command.output();
        };
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut errors = child.stderr.take();
        // Both at once: pip waits where nobody reads.
        let errors = thread::Builder::new().spawn(move || {
            let mut text = Vec::new();
            // What cannot be read is not shown.
            let _ = errors.as_mut().map(|errors| errors.read_to_end(&mut text));
            text
        });
        let stdout = child.stdout.take().map(BufReader::new);
        let stdout = stdout.map(|lines| told(lines, file, on_event)).unwrap_or_default();
        let status = child.wait()?;
        let stderr = errors?.join().unwrap_or_default();
        Ok(Output { status, stdout, stderr })
    }

    fn shown(&self) -> String {
        self.command.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Debug for Pip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pip").field("command", &self.command).finish_non_exhaustive()
    }
}

/// Reads pip's output to its end: lines such as `Progress 524288 of 18874368` become events, the others are
/// returned.
fn told(mut output: impl BufRead, file: &str, on_event: &OnEvent) -> Vec<u8> {
    let (mut rest, mut line, mut size) = (Vec::new(), Vec::new(), None);
    while output.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        match progress(&line) {
            Some((bytes, all)) => {
                if size != Some(all) {
                    on_event(Event::Started { file, size: Some(all).filter(|all| *all > 0) });
                    size = Some(all);
                }
                on_event(Event::Received { file, bytes });
            }
            None => rest.extend_from_slice(&line),
        }
        line.clear();
    }
    if let Some(size) = size {
        on_event(Event::Finished { file, size });
    }
    rest
}

/// Bytes that are here, and all.
fn progress(line: &[u8]) -> Option<(u64, u64)> {
    let (bytes, all) =
        str::from_utf8(line).ok()?.trim().strip_prefix("Progress ")?.split_once(" of ")?;
    Some((bytes.parse().ok()?, all.parse().ok()?))
}

/// The first two numbers of `pip 24.1.2 from …`.
fn version(output: &[u8]) -> Option<(u32, u32)> {
    let version = str::from_utf8(output).ok()?.strip_prefix("pip ")?.split_whitespace().next()?;
    let mut numbers = version.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
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
    use std::sync::{Arc, Mutex};

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
    fn progress_becomes_events() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&seen);
        let on_event: OnEvent =
            Arc::new(move |event| all.lock().unwrap().push(format!("{event:?}")));
        let output = b"Collecting x\nProgress 1 of 3\nProgress 3 of 3\nProgress bar\nSaved x";
        assert_eq!(told(&output[..], "x", &on_event), b"Collecting x\nProgress bar\nSaved x");
        let expected = [
            Event::Started { file: "x", size: Some(3) },
            Event::Received { file: "x", bytes: 1 },
            Event::Received { file: "x", bytes: 3 },
            Event::Finished { file: "x", size: 3 },
        ];
        assert_eq!(*seen.lock().unwrap(), expected.map(|event| format!("{event:?}")));
    }

    #[test]
    fn versions_are_compared_by_number() {
        assert!(version(b"pip 24.1.2 from /x (python 3.13)").unwrap() >= TELLS);
        assert!(version(b"pip 100.0 from /x").unwrap() >= TELLS);
        assert!(version(b"pip 23.10 from /x").unwrap() < TELLS);
        assert_eq!(version(b"conda 24.1"), None);
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
