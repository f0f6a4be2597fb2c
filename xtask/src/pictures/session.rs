//! Records a session: the program, a real model and a real terminal.

use std::{
    env,
    fs::{self, File},
    io::{self, Read},
    num::NonZeroU16,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use rustix::{
    fs::{Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{Winsize, tcsetwinsize},
};

use super::screen;
use crate::{
    assets::{self, Set},
    repo, run,
};

/// Size of the terminal; the picture has as many rows as the session.
const COLUMNS: u16 = 100;
const ROWS: u16 = 100;

/// Commands of the session, as typed.
const COMMANDS: &[&str] = &[
    "embedkit search 'Why is there air inside a loaf?' --input passages.jsonl --top-k 3 \\\n  \
     --model sentence-transformers/all-MiniLM-L6-v2 --model-dir ./all-MiniLM-L6-v2",
    "embedkit embed 'rusty boats' --model Qdrant/bm25",
    "embedkit quantize all-MiniLM-L6-v2/model.onnx int8.onnx",
];

/// Runs the commands and draws the screen.
pub(super) fn record(embedkit: &Path) -> Result<String> {
    assets::ensure(Set::Demo)?;
    let folder = folder()?;
    let size = |cells| NonZeroU16::new(cells).context("a terminal has cells");
    let mut terminal = vt100::Parser::new(size(ROWS)?, size(COLUMNS)?, 0);
    for (number, line) in COMMANDS.iter().enumerate() {
        let gap = if number == 0 { "" } else { "\r\n" };
        let typed = line.replace('\n', "\r\n");
        terminal.process(format!("{gap}\x1b[32m$\x1b[0m \x1b[1m{typed}\x1b[0m\r\n").as_bytes());
        let mut command = Command::new("sh");
        command.args(["-c", line]).current_dir(&folder);
        command.env("PATH", path_with(embedkit)?);
        command.env("ORT_DYLIB_PATH", assets::newest_runtime());
        command.env("EMBEDKIT_CACHE", folder.join("cache")).env("TERM", "xterm-256color");
        terminal.process(&output(command)?);
    }
    let rows = terminal.screen().cursor_position().0;
    ensure!(rows + 1 < ROWS, "the session is longer than {ROWS} rows");
    Ok(screen::draw(terminal.screen(), rows))
}

/// A folder with the files that the commands name.
fn folder() -> Result<PathBuf> {
    let folder = repo::root().join(".cache/pictures");
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let links = [
        (repo::root().join("xtask/demo/passages.jsonl"), "passages.jsonl"),
        (assets::minilm(), "all-MiniLM-L6-v2"),
    ];
    for (target, name) in links {
        let link = folder.join(name);
        if fs::symlink_metadata(&link).is_ok() {
            fs::remove_file(&link).with_context(|| format!("removing {}", link.display()))?;
        }
        std::os::unix::fs::symlink(target, &link)
            .with_context(|| format!("linking {}", link.display()))?;
    }
    Ok(folder)
}

/// The search path of programs, the folder of one of them first.
fn path_with(program: &Path) -> Result<std::ffi::OsString> {
    let folder = program.parent().context("a program is in a folder")?.to_owned();
    let others = env::var_os("PATH").unwrap_or_default();
    let folders = [folder].into_iter().chain(env::split_paths(&others));
    env::join_paths(folders).context("PATH")
}

/// Output of a command that has to succeed, both streams in a terminal.
fn output(mut command: Command) -> Result<Vec<u8>> {
    let (ours, theirs) = terminal().context("opening a terminal")?;
    command.stdin(Stdio::null()).stdout(theirs.try_clone()?).stderr(theirs);
    let line = run::line(&command);
    let mut child = command.spawn().with_context(|| format!("could not start `{line}`"))?;
    // The last copy of the other side that is not the program's: reading ends with the program.
    drop(command);
    let bytes = read(File::from(ours))?;
    let status = child.wait()?;
    ensure!(status.success(), "`{line}` ended with {status}: {}", String::from_utf8_lossy(&bytes));
    Ok(bytes)
}

/// Both sides of a new terminal, that of its user last.
fn terminal() -> io::Result<(OwnedFd, OwnedFd)> {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    tcsetwinsize(&ours, Winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 })?;
    let name = ptsname(&ours, Vec::new())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let theirs = rustix::fs::open(name, flags, Mode::empty())?;
    Ok((ours, theirs))
}

/// Everything until the other side is closed, which Linux reports as an error.
fn read(mut terminal: File) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let closed = rustix::io::Errno::IO.raw_os_error();
    match terminal.read_to_end(&mut bytes) {
        Err(error) if error.raw_os_error() != Some(closed) => Err(error).context("reading it"),
        _ => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(line: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", line]);
        command
    }

    #[test]
    fn programs_see_a_terminal_of_the_given_width() {
        let said = output(shell("test -t 1 && test -t 2 && stty size <&1")).expect("a terminal");
        assert_eq!(String::from_utf8_lossy(&said), format!("{ROWS} {COLUMNS}\r\n"));
    }

    #[test]
    fn a_failure_shows_its_output() {
        let error = output(shell("echo so >&2; exit 3")).expect_err("a failure").to_string();
        assert!(error.contains("exit status: 3") && error.contains("so"), "{error}");
    }
}
