//! Runs other programs.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, anyhow, bail};

use crate::repo;

/// The cargo that runs this program, at the root of the repository.
pub fn cargo<I: AsRef<OsStr>>(arguments: impl IntoIterator<Item = I>) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(repo::root());
    // Variables that `cargo run` sets for this package would look like a change to other packages'
    // build scripts and rebuild them.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Formats a command for the terminal, the program by its file name.
pub fn line(command: &Command) -> String {
    let program = PathBuf::from(command.get_program());
    let program = program.file_stem().unwrap_or(command.get_program()).to_string_lossy();
    let mut text = program.into_owned();
    for argument in command.get_args() {
        let argument = argument.to_string_lossy();
        text.push(' ');
        if argument.is_empty() || argument.contains(|c: char| " '\"()|&$".contains(c)) {
            text.push_str(&format!("'{argument}'"));
        } else {
            text.push_str(&argument);
        }
    }
    text
}

/// Runs a command that has to succeed, with our standard output.
pub fn status(command: &mut Command) -> Result<()> {
    let status =
        command.status().with_context(|| format!("could not start `{}`", line(command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}", line(command));
    }
    Ok(())
}

/// Runs a command that has to succeed and returns its standard output.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .with_context(|| format!("could not start `{}`", line(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` ended with {}: {}", line(command), output.status, said.trim());
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("`{}` wrote something that is not UTF-8", line(command)))
}

/// Runs a command and passes its output on. Returns the output and `true` on success.
pub fn watched(command: &mut Command) -> Result<(bool, String)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("could not start `{}`", line(command)))?;
    let out = child.stdout.take().context("standard output is not a pipe")?;
    let err = child.stderr.take().context("standard error is not a pipe")?;
    let errors = std::thread::spawn(move || pass_on(err, std::io::stderr()));
    let mut said = pass_on(out, std::io::stdout());
    said.push_str(&errors.join().unwrap_or_default());
    Ok((child.wait()?.success(), said))
}

/// Copies a stream line by line and keeps a copy.
fn pass_on(from: impl std::io::Read, mut to: impl Write) -> String {
    let mut said = String::new();
    let mut from = BufReader::new(from);
    let mut bytes = Vec::new();
    while from.read_until(b'\n', &mut bytes).is_ok_and(|read| read > 0) {
        // A closed terminal does not stop the command.
        let _ = to.write_all(&bytes);
        said.push_str(&String::from_utf8_lossy(&bytes));
        bytes.clear();
    }
    said
}

/// Builds the command line program and returns its path.
pub fn build_embedkit(release: bool) -> Result<PathBuf> {
    let mut arguments = vec!["build", "--package", "embedkit-cli"];
    if release {
        arguments.push("--release");
    }
    let [program] = built(&mut cargo(arguments), ["embedkit"])?;
    Ok(program)
}

/// Builds the command line program with the features that the workspace as a whole has, so that a build of its
/// tests is taken over.
pub fn build_embedkit_of_workspace() -> Result<PathBuf> {
    let [program] = built(&mut cargo(["build", "--workspace"]), ["embedkit"])?;
    Ok(program)
}

/// Runs a `cargo build` and returns the paths of these programs.
pub fn built<const N: usize>(command: &mut Command, programs: [&str; N]) -> Result<[PathBuf; N]> {
    for program in programs {
        command.args(["--bin", program]);
    }
    command.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    let output =
        command.output().with_context(|| format!("could not start `{}`", line(command)))?;
    if !output.status.success() {
        bail!("`{}` ended with {}", line(command), output.status);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let messages: Vec<serde_json::Value> =
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let mut paths = Vec::new();
    for program in programs {
        let mut of_it = messages.iter().filter(|message| message["target"]["name"] == program);
        let path = of_it.find_map(|message| message["executable"].as_str());
        let path = path.with_context(|| format!("cargo built no program called {program}"))?;
        paths.push(PathBuf::from(path));
    }
    <[PathBuf; N]>::try_from(paths).map_err(|_| anyhow!("cargo built another number of programs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_quotes_what_a_shell_would_split() {
        let mut command = Command::new("some/where/pip");
        command.args(["download", "pillow <13", ""]);
        assert_eq!(line(&command), "pip download 'pillow <13' ''");
    }

    #[test]
    fn output_names_the_command_that_failed() {
        let error = output(Command::new("rustc").arg("--no-such-flag")).unwrap_err();
        assert!(error.to_string().starts_with("`rustc --no-such-flag` ended with"), "{error}");
        let error = output(&mut Command::new("no-such-program-here")).unwrap_err();
        assert!(error.to_string().contains("could not start `no-such-program-here`"), "{error}");
    }

    #[test]
    fn what_passes_is_kept_and_copied() {
        let mut copy = Vec::new();
        assert_eq!(pass_on(&b"one\ntwo"[..], &mut copy), "one\ntwo");
        assert_eq!(copy, b"one\ntwo");
    }
}
