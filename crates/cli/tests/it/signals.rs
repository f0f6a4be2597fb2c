//! Signals: the program ends at the end of a record, with a status that says which it was.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command},
    thread,
    time::Duration,
};

use tempfile::TempDir;

use crate::program::{Outcome, Program, arg, names};

const SIGTERM: u32 = 15;

fn send(child: &Child, signal: &str) {
    let status = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..12_000 {
        if holds() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("waited in vain: {what}");
}

/// Waits until the program waits for signals.
fn wait_for_watch(child: &Child) {
    let process = format!("/proc/{}", child.id());
    wait_until("the thread that waits for signals", || {
        let caught = fs::read_to_string(format!("{process}/status")).unwrap_or_default();
        let caught = caught.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0");
        let threads = fs::read_dir(format!("{process}/task")).into_iter().flatten().flatten();
        let asleep = |stat: String| stat.contains("(signals) S ");
        let mut stats = threads.filter_map(|one| fs::read_to_string(one.path().join("stat")).ok());
        stats.any(asleep)
            && u64::from_str_radix(caught.trim(), 16).unwrap() >> (SIGTERM - 1) & 1 == 1
    });
}

/// A run that has written to its unfinished file and waits for more inputs.
struct Running {
    child: Child,
    stdin: ChildStdin,
    dir: TempDir,
    part: PathBuf,
    _program: Program,
}

impl Running {
    fn start(format: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("out");
        fs::write(&output, "earlier").unwrap();
        let args = ["--format", format, "--output", arg(&output)];
        let program = Program::embed(args).open_stdin();
        let mut child = program.start();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all("hello world\n".repeat(20_000).as_bytes()).unwrap();
        let mut part = None;
        wait_until("the unfinished file", || {
            let name = names(dir.path()).into_iter().find(|name| name != "out");
            part = name.map(|name| dir.path().join(name));
            part.as_deref().and_then(|part| part.metadata().ok()).is_some_and(|data| data.len() > 0)
        });
        Self { child, stdin, dir, part: part.unwrap(), _program: program }
    }

    /// Sends a signal, and returns what came of it.
    fn end(self, signal: &str) -> (Outcome, TempDir, PathBuf) {
        send(&self.child, signal);
        let outcome = Outcome::of(self.child);
        drop(self.stdin);
        assert_eq!(fs::read(self.dir.path().join("out")).unwrap(), b"earlier");
        (outcome, self.dir, self.part)
    }
}

fn check_lines(text: &str) -> usize {
    assert!(text.ends_with("}\n"), "{:?}", &text[text.len().saturating_sub(80)..]);
    for (index, line) in text.lines().enumerate() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(record["index"], index);
    }
    text.lines().count()
}

#[test]
fn a_file_is_left_beside_its_place_with_whole_records() {
    for (signal, status) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let (outcome, _dir, part) = Running::start("jsonl").end(signal);
        let kept = format!("the records already written stay in {}", arg(&part));
        outcome.failure(status, &format!("stopped by SIG{signal}"), Some(&kept));
        assert!(check_lines(&fs::read_to_string(part).unwrap()) > 100);
    }
}

#[test]
fn an_unfinished_array_does_not_load() {
    let (outcome, _dir, part) = Running::start("npy").end("TERM");
    outcome.failure(143, "stopped by SIGTERM", Some("does not load"));
    assert_eq!(fs::read(part).unwrap()[..6], *b"\0NUMPY");
}

#[cfg(feature = "parquet")]
#[test]
fn an_unfinished_table_has_no_footer() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out.parquet");
    let program =
        Program::embed(["--format", "parquet", "--output", arg(&output), "--batch-size", "1"]);
    let program = program.open_stdin();
    let mut child = program.start();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all("hello world\n".repeat(20_000).as_bytes()).unwrap();
    wait_until("the unfinished file", || !names(dir.path()).is_empty());
    send(&child, "TERM");
    assert_eq!(Outcome::of(child).status, 143);
    assert!(!output.exists());
    for name in names(dir.path()) {
        assert!(!fs::read(dir.path().join(name)).unwrap().ends_with(b"PAR1"));
    }
}

#[test]
fn a_kill_spoils_nothing() {
    let mut running = Running::start("npy");
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    assert_eq!(fs::read(running.dir.path().join("out")).unwrap(), b"earlier");
    assert_ne!(fs::read(running.part).unwrap()[0], 0x93);
}

#[test]
fn a_pipe_gets_whole_records() {
    let program = Program::embed([""; 0]).open_stdin();
    let mut child = program.start();
    let mut stdin = child.stdin.take().unwrap();
    // It takes no more while nobody reads, and none at all once it has ended.
    let writer = thread::spawn(move || {
        let _ = stdin.write_all("hello world\n".repeat(20_000).as_bytes());
        stdin
    });
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    stdout.read_line(&mut text).unwrap();
    send(&child, "INT");
    stdout.read_to_string(&mut text).unwrap();
    Outcome::of(child).failure(130, "stopped by SIGINT", None);
    check_lines(&text);
    drop(writer.join());
}

#[test]
fn nothing_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let output = dir.path().join("out.npy");
    let stop = |program: Program, signal, status| {
        let mut child = program.start();
        let stdin = child.stdin.take();
        wait_for_watch(&child);
        send(&child, signal);
        Outcome::of(child).failure(status, "stopped by SIG", None);
        drop(stdin);
        assert_eq!(names(dir.path()), ["pipe"]);
    };
    let to_file = || Program::embed(["--format", "npy", "--output", arg(&output)]);
    // For standard input, and for somebody who opens a pipe.
    stop(to_file().open_stdin(), "TERM", 143);
    stop(to_file().args(["--input", arg(&pipe)]), "INT", 130);
    stop(Program::embed(["a", "--output", arg(&pipe)]), "TERM", 143);
}

#[test]
fn a_reader_who_does_not_read_holds_nothing_up() {
    let child = Program::embed(["--batch-size", "1"]).stdin("a\n".repeat(100_000)).start();
    wait_for_watch(&child);
    send(&child, "TERM");
    let mut child = child;
    // More than a pipe holds is never read.
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

#[test]
fn a_signal_that_was_ignored_stays_so() {
    let program = Program::embed([""; 0]).open_stdin().script(r#"trap "" HUP; exec "$@""#);
    let mut child = program.start();
    wait_for_watch(&child);
    send(&child, "HUP");
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"a\n").unwrap();
    drop(stdin);
    assert_eq!(Outcome::of(child).silent_success().records().len(), 1);
}

/// A checkpoint of more than four gigabytes, all zeros, which take no place on the disk: the sizes of a
/// small one are made larger.
fn large_checkpoint(dir: &Path) {
    let small = Path::new(env!("CARGO_MANIFEST_DIR")).join("../convert/tests/data/bert-plain");
    let config = fs::read(small.join("config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_slice(&config).unwrap();
    config["hidden_size"] = 64.into();
    config["vocab_size"] = (1 << 24).into();
    fs::write(dir.join("config.json"), config.to_string()).unwrap();

    let weights = fs::read(small.join("model.safetensors")).unwrap();
    let (length, rest) = weights.split_first_chunk().unwrap();
    let header = &rest[..u64::from_le_bytes(*length) as usize];
    let mut header: serde_json::Map<_, _> = serde_json::from_slice(header).unwrap();
    header.remove("__metadata__");
    let mut end = 0;
    for tensor in header.values_mut() {
        let mut size = 4;
        for dim in tensor["shape"].as_array_mut().unwrap() {
            let larger = match dim.as_u64().unwrap() {
                8 => 64,
                29 => 1 << 24,
                other => other,
            };
            size *= larger;
            *dim = larger.into();
        }
        tensor["dtype"] = "F32".into();
        tensor["data_offsets"] = vec![end, end + size].into();
        end += size;
    }
    let header = serde_json::to_vec(&header).unwrap();
    let mut file = fs::File::create(dir.join("model.safetensors")).unwrap();
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(&header).unwrap();
    file.set_len(8 + header.len() as u64 + end).unwrap();
}

#[test]
fn an_interrupted_conversion_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (checkpoint, folder) = (dir.path().join("checkpoint"), dir.path().join("out"));
    fs::create_dir(&checkpoint).unwrap();
    fs::create_dir(&folder).unwrap();
    large_checkpoint(&checkpoint);
    let out = folder.join("model.onnx");
    fs::write(&out, "earlier").unwrap();
    let child = Program::new(["convert", arg(&checkpoint), arg(&out)]).start();
    wait_until("the unfinished file", || names(&folder).len() > 1);
    send(&child, "INT");
    Outcome::of(child).failure(130, "stopped by SIGINT", None);
    assert_eq!(names(&folder), ["model.onnx"]);
    assert_eq!(fs::read(out).unwrap(), b"earlier");
}
