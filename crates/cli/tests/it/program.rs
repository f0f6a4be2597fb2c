//! Runs the program and looks at what it leaves behind.

use std::{
    ffi::{OsStr, OsString},
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use embedkit_testkit::dense_case;
use serde_json::Value;
use tempfile::TempDir;

/// A command line in the making.
pub(crate) struct Program {
    args: Vec<OsString>,
    stdin: Stdin,
    script: Option<String>,
    vars: Vec<(&'static str, OsString)>,
    home: TempDir,
}

/// The content of standard input.
enum Stdin {
    Nothing,
    Bytes(Vec<u8>),
    /// A pipe that the test writes to and closes.
    Open,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Program {
    /// With these arguments, nothing on standard input, and a home and cache that are empty.
    pub(crate) fn new<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Self {
        Self {
            args: args.into_iter().map(|arg| arg.as_ref().to_owned()).collect(),
            stdin: Stdin::Nothing,
            script: None,
            vars: Vec::new(),
            home: tempfile::tempdir().unwrap(),
        }
    }

    /// `embed` with the tiny lookup-table model, which needs no ONNX Runtime.
    pub(crate) fn embed<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Self {
        Self::new(["embed"]).case("static").args(args)
    }

    /// Adds arguments.
    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Takes one of the tiny models that give one vector.
    pub(crate) fn case(self, name: &str) -> Self {
        self.model_in(&dense_case(name).dir)
    }

    /// Takes the model of a folder, with its description.
    pub(crate) fn model_in(self, dir: &Path) -> Self {
        let spec = dir.join("spec.toml");
        self.args([OsStr::new("--model-dir"), dir.as_ref(), "--model-spec".as_ref(), spec.as_ref()])
    }

    /// Pipes this in.
    pub(crate) fn stdin(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.stdin = Stdin::Bytes(bytes.as_ref().to_vec());
        self
    }

    /// Leaves the pipe of standard input to the caller.
    pub(crate) fn open_stdin(mut self) -> Self {
        self.stdin = Stdin::Open;
        self
    }

    /// Starts it from a shell script, in which `"$@"` is the program with its arguments.
    pub(crate) fn script(mut self, script: &str) -> Self {
        self.script = Some(script.to_owned());
        self
    }

    /// Sets a variable of the environment.
    pub(crate) fn var(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.vars.push((name, value.as_ref().to_owned()));
        self
    }

    /// The cache folder of this run.
    pub(crate) fn cache(&self) -> PathBuf {
        self.home.path().join("cache")
    }

    /// The command, with the settings of this run and of nobody else.
    fn command(&self) -> Command {
        let mut command = match &self.script {
            None => Command::new(env!("CARGO_BIN_EXE_embedkit")),
            Some(script) => {
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", script, "sh", env!("CARGO_BIN_EXE_embedkit")]);
                shell
            }
        };
        command.args(&self.args).env_clear();
        // Windows programs do not start without it.
        if let Some(root) = std::env::var_os("SystemRoot") {
            command.env("SystemRoot", root);
        }
        command
            .env("HOME", self.home.path())
            .env("USERPROFILE", self.home.path())
            .env("EMBEDKIT_CACHE", self.cache())
            .env("EMBEDKIT_OFFLINE", "1")
            .env("ORT_DYLIB_PATH", self.home.path().join("no-such-library"))
            .envs(self.vars.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts it, with pipes on all three streams.
    pub(crate) fn start(&self) -> Child {
        let mut command = self.command();
        command
            .stdin(match self.stdin {
                Stdin::Nothing => Stdio::null(),
                Stdin::Bytes(_) | Stdin::Open => Stdio::piped(),
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        if let Stdin::Bytes(bytes) = &self.stdin {
            let bytes = bytes.clone();
            let mut stdin = child.stdin.take().unwrap();
            // In the background: the program may write before it has read everything, or never read.
            std::thread::spawn(move || {
                let _ = stdin.write_all(&bytes);
            });
        }
        child
    }

    /// Runs it on a terminal of so many columns, and gives its status and all that the terminal was sent.
    #[cfg(target_os = "linux")]
    pub(crate) fn on_terminal(&self, columns: u16) -> (i32, String) {
        use rustix::{
            pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
            termios::{Winsize, tcsetwinsize},
        };

        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&terminal, size).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
        let screen = fs::File::options().read(true).write(true).open(name).unwrap();
        let mut command = self.command();
        command.env("TERM", "xterm").stdin(Stdio::null());
        command.stdout(screen.try_clone().unwrap()).stderr(screen);
        let mut child = command.spawn().unwrap();
        drop(command); // with its ends of the terminal
        let mut sent = Vec::new();
        // The last end that is closed makes reading fail.
        let _ = fs::File::from(terminal).read_to_end(&mut sent);
        let status = child.wait().unwrap().code().unwrap();
        (status, String::from_utf8(sent).unwrap().replace("\r\n", "\n"))
    }

    /// Runs it to its end.
    pub(crate) fn run(&self) -> Outcome {
        Outcome::of(self.start())
    }
}

impl Outcome {
    /// Waits for a program that was started.
    pub(crate) fn of(child: Child) -> Self {
        let output = child.wait_with_output().unwrap();
        Self {
            status: output.status.code().expect("no signal ends it"),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// It went well, and said nothing beside its results.
    #[track_caller]
    pub(crate) fn silent_success(self) -> Self {
        assert_eq!((self.status, &*self.stderr), (0, ""));
        self
    }

    /// It failed with this status, and said so in one line and at most one hint, which contain this.
    #[track_caller]
    pub(crate) fn failure(self, status: i32, error: &str, hint: Option<&str>) -> Self {
        assert_eq!(self.status, status, "{}", self.stderr);
        let lines: Vec<_> = self.stderr.lines().collect();
        assert!(lines[0].starts_with("error: ") && lines[0].contains(error), "{}", self.stderr);
        assert_eq!(lines.len(), 1 + usize::from(hint.is_some()), "{}", self.stderr);
        if let Some(hint) = hint {
            assert!(lines[1].starts_with("hint: ") && lines[1].contains(hint), "{}", self.stderr);
        }
        self
    }

    /// It ended with this status, whatever it said.
    #[track_caller]
    pub(crate) fn status_is(&self, status: i32) {
        assert_eq!(self.status, status, "{}", self.stderr);
    }

    /// Standard output as text.
    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// Standard output as lines of JSON.
    #[track_caller]
    pub(crate) fn records(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The numbers under `embedding`.
#[track_caller]
pub(crate) fn embedding(record: &Value) -> Vec<f32> {
    let values = record["embedding"].as_array().unwrap_or_else(|| panic!("{record}"));
    values.iter().map(|value| value.as_f64().unwrap() as f32).collect()
}

/// What FastEmbed gives for `text` of a tiny model, and how far off is allowed.
pub(crate) fn golden(case: &str, text: &str) -> (Vec<f32>, f32) {
    let case = dense_case(case);
    let at = case.golden.texts.iter().position(|known| known == text).unwrap();
    (case.golden.embed.as_ref().unwrap()[at].clone(), case.tolerance())
}

/// An array file as NumPy reads it: rows, columns (1 for a plain list) and values.
pub(crate) fn read_npy(bytes: &[u8]) -> ((usize, usize), Vec<f32>) {
    assert_eq!(bytes[..8], *b"\x93NUMPY\x01\x00");
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..10 + length]).unwrap();
    assert!(header.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': ("), "{header}");
    assert!(header.ends_with('\n'));
    let shape = header.split(['(', ')']).nth(1).unwrap();
    let (rows, width) = shape.split_once(',').unwrap();
    let width = if width.is_empty() { "1" } else { width.trim_start() };
    let values = bytes[10 + length..]
        .chunks_exact(4)
        .map(|four| f32::from_le_bytes(four.try_into().unwrap()))
        .collect::<Vec<_>>();
    let shape = (rows.parse().unwrap(), width.parse().unwrap());
    assert_eq!(values.len(), shape.0 * shape.1);
    (shape, values)
}

/// Puts files into a cache as the hub's own tools lay them out.
pub(crate) fn fill_cache(cache: &Path, repo: &str, files: &[(&str, Vec<u8>)]) {
    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
    let root = cache.join(format!("models--{}", repo.replace('/', "--")));
    let snapshot = root.join("snapshots").join(COMMIT);
    for (name, content) in files {
        let path = snapshot.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    fs::create_dir_all(root.join("refs")).unwrap();
    fs::write(root.join("refs").join("main"), COMMIT).unwrap();
}

/// A file with this content in a folder of its own.
pub(crate) fn file(name: &str, content: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, content).unwrap();
    (dir, path)
}

/// The names of what is in a folder, sorted.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// A path as an argument.
pub(crate) fn arg(path: &Path) -> &str {
    path.to_str().unwrap()
}
