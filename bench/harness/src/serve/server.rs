//! A server as a process, ours or another.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::Request;
use crate::{contestant::memory_of, contestants::Setting};
use xtask::{assets, run};

/// The model's name, whose files are given.
const MODEL: &str = "sentence-transformers/all-MiniLM-L6-v2";
/// Limit on the start of a server.
const PATIENCE: Duration = Duration::from_secs(300);

/// A running server. Dropping it ends the process.
pub(super) struct Server {
    child: Child,
    address: SocketAddr,
    api: Api,
}

/// The API by which texts are asked for.
enum Api {
    /// `/embed` of Text Embeddings Inference: vectors alone.
    Tei,
    /// `/embeddings` of OpenAI, with the name of the model.
    OpenAi { model: String },
}

impl Server {
    /// Builds and starts ours.
    pub(super) fn ours(setting: &Setting<'_>, model: &Path) -> Result<Self> {
        println!("building the server");
        let mut cargo = run::cargo(["build", "--release", "--quiet", "--package", "embedkit-cli"]);
        cargo.arg("--target-dir").arg(setting.folder.join("target"));
        let [program] = run::built(&mut cargo, ["embedkit"])?;
        // With its log, which is part of the work, in a file as behind a supervisor.
        let log = setting.folder.join("serve.log");
        let errors =
            File::create(&log).with_context(|| format!("could not make {}", log.display()))?;
        let mut command = Command::new(program);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--model", MODEL, "--model-dir"])
            .arg(model)
            .env("ORT_DYLIB_PATH", assets::newest_runtime())
            .env("EMBEDKIT_OFFLINE", "1");
        let child = start(&mut command, errors.into())?;
        let mut server = Self { child, address: ([127, 0, 0, 1], 0).into(), api: Api::Tei };
        server.address = server.wait(|| greeting(&fs::read_to_string(&log).ok()?))?;
        Ok(server)
    }

    /// Starts infinity, where its packages can be had without CUDA.
    pub(super) fn infinity(setting: &Setting<'_>, model: &Path) -> Result<Self> {
        let program = setting.contestants.infinity()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let name = "model".to_owned();
        let mut command = Command::new(program);
        command
            .args(["-m", "infinity_emb", "v2", "--device", "cpu", "--served-model-name", &name])
            .args(["--host", "127.0.0.1", "--port", &port.port().to_string(), "--model-id"])
            .arg(model)
            .env("HF_HUB_OFFLINE", "1");
        let child = start(&mut command, Stdio::null())?;
        let mut server = Self { child, address: port, api: Api::OpenAi { model: name } };
        server.wait(|| TcpStream::connect(port).ok())?;
        Ok(server)
    }

    /// Waits until the server is there.
    fn wait<T>(&mut self, ready: impl Fn() -> Option<T>) -> Result<T> {
        let start = Instant::now();
        loop {
            if let Some(found) = ready() {
                return Ok(found);
            }
            if let Some(end) = self.child.try_wait()? {
                bail!("{} ended with {end}", self.name());
            }
            if start.elapsed() > PATIENCE {
                bail!("{} did not start within {} s", self.name(), PATIENCE.as_secs());
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Name in the report.
    pub(super) fn name(&self) -> &'static str {
        match self.api {
            Api::Tei => "embedkit serve",
            Api::OpenAi { .. } => "infinity",
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The request for the vectors of texts.
    pub(super) fn request(&self, texts: &[impl AsRef<str>]) -> Request {
        let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        match &self.api {
            Api::Tei => Request::post("/embed", &json!({"inputs": texts}).to_string()),
            Api::OpenAi { model } => {
                let body = json!({"model": model, "input": texts});
                Request::post("/embeddings", &body.to_string())
            }
        }
    }

    /// Appends the vectors of an answer.
    pub(super) fn read(&self, answer: &Value, texts: usize, into: &mut Vec<f32>) -> Result<()> {
        let vectors: Vec<&Value> = match &self.api {
            Api::Tei => answer.as_array().map(|all| all.iter().collect()),
            Api::OpenAi { .. } => answer["data"]
                .as_array()
                .map(|all| all.iter().map(|one| &one["embedding"]).collect()),
        }
        .with_context(|| format!("{} gave no vectors: {answer:.200}", self.name()))?;
        if vectors.len() != texts {
            bail!("{} gave {} vectors for {texts} texts", self.name(), vectors.len());
        }
        for vector in vectors {
            into.extend(Vec::<f32>::deserialize(vector)?);
        }
        Ok(())
    }

    /// Resident memory in bytes; `None` if the system does not report it.
    pub(super) fn memory(&self) -> Option<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        memory_of(&status, "VmRSS:")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(command: &mut Command, errors: Stdio) -> Result<Child> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors)
        .spawn()
        .with_context(|| format!("could not start `{}`", run::line(command)))
}

/// The address that our server prints, once the line is whole.
fn greeting(log: &str) -> Option<SocketAddr> {
    let (_, rest) = log.split_once("serving at http://")?;
    rest.split_once('\n')?.0.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_behind_other_lines() {
        let said = "loading\nserving at http://127.0.0.1:4321\n";
        assert_eq!(greeting(said).expect("an address").port(), 4321);
        assert_eq!(greeting("serving at http://127.0.0.1:4"), None, "the line goes on");
        assert_eq!(greeting("no such model\n"), None);
    }
}
