//! A contestant: a process that answers JSON requests, one line each (see `bench/contestant`).

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use xtask::run;

/// A running contestant. Dropping it ends the process.
pub(super) struct Contestant {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// Answer for a run over texts.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Embedded {
    /// Seconds of the run, without start, loading and reading the texts.
    pub(super) seconds: f64,
    /// Vectors that came.
    pub(super) count: usize,
    /// Identifies the output, up to rounding.
    pub(super) checksum: f64,
}

/// Answer for single queries.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Queried {
    /// From the first call to the last answer.
    pub(super) wall: f64,
    /// Time of each call.
    pub(super) seconds: Vec<f64>,
}

impl Contestant {
    /// Starts a process.
    pub(super) fn start(name: &str, command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("could not start `{}`", run::line(command)))?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("standard output is not a pipe")?;
        Ok(Self { name: name.to_owned(), child, input, output: BufReader::new(output) })
    }

    /// Name in the report.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Asks and waits for the answer.
    pub(super) fn ask(&mut self, request: &Value) -> Result<Value> {
        let mut line = request.to_string();
        line.push('\n');
        let input = self.input.as_mut().context("standard input is not a pipe")?;
        let sent = input.write_all(line.as_bytes()).and_then(|()| input.flush());
        let mut said = String::new();
        let read = sent.and_then(|()| self.output.read_line(&mut said));
        if !read.is_ok_and(|read| read > 0) {
            let end =
                self.child.wait().map_or_else(|error| error.to_string(), |end| end.to_string());
            bail!("{} ended with {end} at {request}", self.name);
        }
        let answer: Value = serde_json::from_str(&said)
            .with_context(|| format!("{} gave no answer: {said:.200}", self.name))?;
        if let Some(error) = answer["error"].as_str() {
            bail!("{}: {error}", self.name);
        }
        Ok(answer)
    }

    /// Embeds the inputs of a file; without a batch size, at the contestant's own.
    pub(super) fn embed(&mut self, inputs: &Path, batch: Option<usize>) -> Result<Embedded> {
        let request = json!({"op": "embed", "inputs": inputs, "batch": batch});
        Ok(Embedded::deserialize(self.ask(&request)?)?)
    }

    /// Embeds each text of a file in a separate call, from a number of threads.
    pub(super) fn query(&mut self, texts: &Path, callers: usize) -> Result<Queried> {
        self.calls(texts, 1, callers)
    }

    /// Embeds the texts of a file, a number of them in each call, from a number of threads.
    pub(super) fn calls(&mut self, file: &Path, texts: usize, callers: usize) -> Result<Queried> {
        let request = json!({"op": "query", "inputs": file, "callers": callers, "texts": texts});
        Ok(Queried::deserialize(self.ask(&request)?)?)
    }

    /// Peak memory of the process in bytes since its start or the last
    /// [`forget_peak`](Self::forget_peak); `None` if the system does not report it.
    pub(super) fn peak(&self) -> Option<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        memory_of(&status, "VmHWM:")
    }

    /// CPU time of all threads of the process in seconds, to a hundredth; `None` if the system does not
    /// report it.
    pub(super) fn processor_seconds(&self) -> Option<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        processor_seconds_of(&stat)
    }

    /// Resets [`peak`](Self::peak) to the current memory; returns `false` if the system does not allow
    /// it.
    pub(super) fn forget_peak(&self) -> bool {
        fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").is_ok()
    }
}

impl Drop for Contestant {
    fn drop(&mut self) {
        // The end of its input ends the process; a hanging one is not waited for.
        drop(self.input.take());
        for _ in 0..200 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Bytes in a field of a process's status, such as `VmHWM:` for the peak.
pub(super) fn memory_of(status: &str, field: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? * 1024.0)
}

fn processor_seconds_of(stat: &str) -> Option<f64> {
    // The second field is the program's name in parentheses, which may hold some itself; of what
    // follows, numbers 12 and 13 are the times in user mode and in the system.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system) = (fields.next()?, fields.next()?);
    // Linux counts a hundred ticks a second on every machine that it runs on.
    Some((user.parse::<f64>().ok()? + system.parse::<f64>().ok()?) / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_behind_any_name() {
        let stat = "7 (a) (b c) S 1 7 7 0 -1 4194304 901 0 0 0 250 30 0 0 20 0 3 0 100 0 0";
        assert_eq!(processor_seconds_of(stat), Some(2.8));
        assert_eq!(processor_seconds_of("7 (a) S 1 7"), None);
        assert_eq!(processor_seconds_of(""), None);
    }

    #[test]
    fn memory_is_read_by_its_field() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t1 kB\n";
        assert_eq!(memory_of(status, "VmHWM:"), Some(2_097_152.0));
        assert_eq!(memory_of(status, "VmRSS:"), Some(1024.0));
        assert_eq!(memory_of("Name:\tx\n", "VmHWM:"), None);
    }

    #[test]
    #[cfg(unix)]
    fn answers_errors_and_ends_are_told_apart() {
        let start = |script: &str| {
            Contestant::start("one", Command::new("sh").args(["-c", script])).expect("a shell")
        };
        let mut good = start(r#"read x; echo '{"seconds":2.5,"count":1,"checksum":0}'"#);
        let answer = good.embed(Path::new("texts"), None).expect("an answer");
        assert_eq!((answer.seconds, answer.count), (2.5, 1));
        let mut bad = start(r#"read x; echo '{"error":"no model"}'; read x; exit 3"#);
        let error = bad.ask(&json!({"op": "load"})).expect_err("an error").to_string();
        assert_eq!(error, "one: no model");
        let error = bad.ask(&json!({"op": "load"})).expect_err("the end").to_string();
        assert!(error.contains("ended with exit status: 3"), "{error}");
    }
}
