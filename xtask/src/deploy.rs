//! `cargo xtask deploy`: tests the files of `deploy`.
//!
//! Where a container engine runs, the image is built. Elsewhere its own steps, `deploy/image.sh`, are run
//! into a folder, and the program there has to serve as it does in the container: with nothing but that
//! folder and the variables of the Dockerfile.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    assets::{self, Set},
    repo, run,
    steps::{Outcome, Steps},
};

/// Limit on the start of a server.
const PATIENCE: Duration = Duration::from_secs(120);

/// Options of the command.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Build as for a release, which takes minutes, and build the image where a container engine runs
    #[arg(long)]
    release: bool,
}

/// Tests all files, and ends with a table.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    assets::ensure(Set::Test)?;
    let mut steps = Steps::default();
    steps.run("program and library of the image", || root(arguments.release));
    if arguments.release {
        steps.run("image", image);
    }
    steps.run("service of systemd", service);
    steps.run("objects of Kubernetes", kubernetes);
    steps.finish()
}

/// Runs the steps of the image into a folder and serves from there.
fn root(release: bool) -> Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let image = folder.path().join("image");
    let mut steps = Command::new(repo::root().join("deploy/image.sh"));
    steps.arg(&image).env("ONNXRUNTIME", assets::newest_runtime());
    if !release {
        // The one that the tests run: built alone, its crates would have other features.
        run::status(&mut run::cargo(["test", "--workspace", "--no-run", "--locked", "--quiet"]))?;
        steps.env("PROGRAM", repo::root().join("target/debug/embedkit"));
    }
    run::status(&mut steps)?;

    let home = image.join("opt/embedkit");
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let cache = folder.path().join("cache");
    fs::create_dir(&cache)?;
    let mut command = Command::new(home.join("embedkit"));
    command
        .env_clear()
        .envs([("EMBEDKIT_CACHE", cache.as_os_str()), ("EMBEDKIT_OFFLINE", "1".as_ref())])
        .current_dir(&cache)
        .args(["serve", "--listen", &port.to_string(), "--model", MODEL, "--model-dir"])
        .arg(assets::minilm());
    let mut server = Server(
        command.spawn().with_context(|| format!("could not start `{}`", run::line(&command)))?,
    );
    server.wait(port)?;
    let answer = ask(port, "POST /embed", r#"{"inputs": "a text"}"#)?;
    let vectors: Vec<Vec<f32>> = serde_json::from_str(&answer).context("no vectors")?;
    ensure!(vectors.len() == 1 && vectors[0].len() == DIM, "another number of vectors: {answer}");
    server.end()?;
    Ok(Outcome::Passed("it serves from the image's folder alone, and ends at SIGTERM".to_owned()))
}

/// The model of the test, with its dimension.
const MODEL: &str = "sentence-transformers/all-MiniLM-L6-v2";
const DIM: usize = 384;

/// A running server; dropping it ends the process.
struct Server(Child);

impl Server {
    /// Waits until its models are loaded.
    fn wait(&mut self, address: SocketAddr) -> Result<()> {
        let start = Instant::now();
        while ask(address, "GET /ready", "").is_err() {
            if let Some(end) = self.0.try_wait()? {
                bail!("the server ended with {end}");
            }
            ensure!(start.elapsed() < PATIENCE, "not ready within {} s", PATIENCE.as_secs());
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Ends it as an engine does.
    fn end(mut self) -> Result<()> {
        run::status(Command::new("kill").arg(self.0.id().to_string()))?;
        let end = self.0.wait()?;
        ensure!(end.success(), "the server ended with {end} at SIGTERM");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The body of an answer, whose status has to be 200.
fn ask(address: SocketAddr, request: &str, body: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    write!(
        stream,
        "{request} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer of HTTP")?;
    ensure!(head.split(' ').nth(1) == Some("200"), "{head}: {body}");
    Ok(body.to_owned())
}

/// Builds the image.
fn image() -> Result<Outcome> {
    let runs = |engine: &&str| {
        let mut command = Command::new(engine);
        command.arg("info").stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let Some(engine) = ["docker", "podman"].into_iter().find(runs) else {
        return Ok(Outcome::Skipped("no container engine runs here".to_owned()));
    };
    let mut build = Command::new(engine);
    build.args(["build", "--file", "deploy/Dockerfile", "--tag", "embedkit", "."]);
    run::status(build.current_dir(repo::root()))?;
    let mut help = Command::new(engine);
    let said = run::output(help.args(["run", "--rm", "embedkit", "runtime", "status"]))?;
    ensure!(said.contains("beside"), "the library of the image is not used: {said}");
    Ok(Outcome::Passed(format!("built by {engine}")))
}

/// Lets systemd check its unit, with a program that exists.
fn service() -> Result<Outcome> {
    let mut version = Command::new("systemd-analyze");
    if version.arg("--version").output().is_err() {
        return Ok(Outcome::Skipped("systemd-analyze is not installed".to_owned()));
    }
    let folder = tempfile::tempdir()?;
    let unit = fs::read_to_string(repo::root().join("deploy/embedkit.service"))?;
    let program = "ExecStart=/opt/embedkit/embedkit";
    ensure!(unit.contains(program), "the unit starts another program");
    let path = folder.path().join("embedkit.service");
    fs::write(&path, unit.replace(program, "ExecStart=/bin/true"))?;
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no", "--recursive-errors=no"]).arg(&path);
    let output = verify.stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.trim().is_empty(), "{}", said.trim());
    Ok(Outcome::Passed(String::new()))
}

/// Lets kubectl read the objects.
fn kubernetes() -> Result<Outcome> {
    let mut version = Command::new("kubectl");
    if version.args(["version", "--client"]).output().is_err() {
        return Ok(Outcome::Skipped("kubectl is not installed".to_owned()));
    }
    // A label changes nothing here; it is a command that needs no cluster.
    let mut label = Command::new("kubectl");
    label.args([
        "label",
        "--local",
        "--output=name",
        "--filename=deploy/kubernetes.yaml",
        "of=tests",
    ]);
    let said = run::output(label.current_dir(repo::root()))?;
    Ok(Outcome::Passed(said.split_whitespace().collect::<Vec<_>>().join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files of `deploy` name the same port, user, program and folder of models.
    #[test]
    fn the_files_agree() {
        let read = |name: &str| {
            fs::read_to_string(repo::root().join("deploy").join(name)).expect("a file of deploy")
        };
        let docker = read("Dockerfile");
        let script = read("image.sh");
        assert!(docker.contains(r#"ENTRYPOINT ["/opt/embedkit/embedkit"]"#));
        assert!(script.contains("home=$root/opt/embedkit"));
        assert!(read("embedkit.service").contains("ExecStart=/opt/embedkit/embedkit serve"));
        let kubernetes = read("kubernetes.yaml");
        for (ours, theirs) in
            [("USER 10001", "runAsUser: 10001"), ("VOLUME /cache", "mountPath: /cache")]
        {
            assert!(docker.contains(ours) && kubernetes.contains(theirs), "{ours}, {theirs}");
        }
        for file in [&docker, &kubernetes, &read("compose.yaml")] {
            assert!(file.contains("0.0.0.0:3000"));
        }
    }
}
