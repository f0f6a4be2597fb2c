//! Programs of this package as child processes.
#![cfg_attr(not(feature = "cluster"), allow(dead_code, reason = "of the tests of clusters"))]

use std::{
    io::{BufRead as _, BufReader, Read as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Time after which a process that does nothing is a failure.
const PATIENCE: Duration = Duration::from_secs(600);

/// `embedkit-sql job`, with options of models.
pub(crate) fn job(description: &Path, options: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_embedkit-sql"));
    command.arg("job").arg(description).arg("--quiet").args(options);
    command
}

/// Runs a program to its end, which has to be good.
#[track_caller]
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", shown(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a program to its end, which has to be an error.
#[track_caller]
pub(crate) fn fail(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(!output.status.success(), "{command:?}: {}", shown(&output));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("error: "), "{error}");
    error
}

fn shown(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{}: {} {}", output.status, text(&output.stdout), text(&output.stderr))
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "waited too long for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Time that processors have spent on a process, from what Linux tells of it.
pub(crate) fn process_time(id: u32) -> Duration {
    const TICKS_PER_SECOND: u64 = 100;
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // The name of the program may have spaces; user and system time are the 12th and 13th field behind it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

/// A process that is killed with the test.
pub(crate) struct Process {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    /// Its next line.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the process ended: {:?}", self.child.try_wait());
        line.trim().to_owned()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to end, and returns the rest of its output.
    pub(crate) fn terminate(mut self) -> String {
        let id = self.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        self.child.wait().unwrap();
        rest
    }

    /// Time that processors have spent on it.
    pub(crate) fn work(&self) -> Duration {
        process_time(self.id())
    }

    /// Resident memory in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A job's files in a temporary folder.
pub(crate) struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes the description of a job with a folder for its parts, and returns both.
    pub(crate) fn job(
        &self,
        name: &str,
        statement: &str,
        source: &str,
        more: &str,
    ) -> (PathBuf, PathBuf) {
        let (description, folder) = (self.path(&format!("{name}.toml")), self.path(name));
        let text = format!(
            "statement = \"{statement}\"\n{more}\n[source]\n{source}\n[sink]\nfolder = '{}'\n",
            folder.display()
        );
        std::fs::write(&description, text).unwrap();
        (description, folder)
    }
}

/// Numbers that look random and are the same in every run.
pub(crate) struct Numbers(pub u64);

impl Numbers {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Runs a job again and again and kills it after it has got on, `kills` times; then lets it end.
#[track_caller]
pub(crate) fn run_with_kills(make: impl Fn() -> Command, folder: &Path, kills: usize) -> String {
    let mut numbers = Numbers(7);
    for kill in 0..kills {
        let before = if folder.is_dir() { super::parts(folder).len() } else { 0 };
        let mut process = Process::start(&mut make());
        wait_for("a part", || {
            assert!(process.is_running(), "the job ended before kill {kill}: make it longer");
            folder.is_dir() && super::parts(folder).len() > before
        });
        thread::sleep(Duration::from_millis(numbers.below(30)));
        process.kill();
    }
    succeed(&mut make())
}
