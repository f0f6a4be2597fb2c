//! `cargo xtask serve`: the clients of other embedding servers, as their authors publish them, against
//! `embedkit serve` with tiny models.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{
    assets, python, repo, run,
    steps::{Outcome, Steps},
    wheel::summary,
};

/// Clients, and what the tests run on.
const PACKAGES: [&str; 15] = [
    "cohere==7.3.1",
    "cryptography==50.0.2",
    "httpx==0.28.1",
    "huggingface_hub==1.33.0",
    "langchain-huggingface==1.2.3",
    "langchain-openai==1.7.4",
    "llama-index-embeddings-text-embeddings-inference==0.6.0",
    "numpy>=2,<3",
    "ollama==0.6.3",
    "openai==3.57.0",
    "pytest==9.2.0",
    "ruff==0.17.6",
    "schemathesis==4.32.5",
    "tiktoken==0.14.0",
    "websockets==16.0",
];

/// Options of the command.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Test this program instead of building one
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Passed on to pytest
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Builds the program, installs the clients and tests; ends with a table.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut steps = Steps::default();
    let cache = repo::root().join(".cache").join("serve");
    let needs = || -> Result<_> {
        let interpreter = python::environment(&cache.join("python"), &PACKAGES);
        Ok((interpreter.context("pip")?, assets::newest_runtime_here()?))
    };
    let (interpreter, runtime) = match needs() {
        Ok(found) => found,
        Err(error) => {
            let reason = format!("what the tests need cannot be had: {error:#}");
            steps.note("clients of the server", Outcome::Skipped(reason));
            return steps.finish();
        }
    };
    let program = match &arguments.program {
        Some(program) => std::path::absolute(program)?,
        None => run::build_embedkit_of_workspace()?,
    };
    let folder = repo::root().join("crates").join("server").join("tests").join("clients");
    let node = node(&folder, &cache.join("node"));
    if let Err(error) = &node {
        let reason = format!("npm cannot install the clients: {error:#}");
        steps.note("clients of JavaScript", Outcome::Skipped(reason));
    }
    steps.run("lints", || lint(&interpreter, &folder));
    steps.run("clients, schema, page and failures", || {
        let mut command = Command::new(&interpreter);
        command.args(["-m", "pytest", "-p", "no:cacheprovider", "-rs", "--rootdir"]);
        command.arg(&folder).arg(&folder).args(&arguments.arguments).current_dir(&cache);
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command.env("EMBEDKIT_PROGRAM", &program).env("ORT_DYLIB_PATH", &runtime);
        command.env("EMBEDKIT_CLIENTS_CACHE", cache.join("models"));
        match &node {
            Ok(node) => command.env("EMBEDKIT_NODE", node),
            Err(error) => command.env("EMBEDKIT_NODE_MISSING", format!("{error:#}")),
        };
        let (success, said) = run::watched(&mut command)?;
        let summary = summary(&said).unwrap_or_else(|| "no test was run".to_owned());
        Ok(if success { Outcome::Passed(summary) } else { Outcome::Failed(summary) })
    });
    steps.finish()
}

fn lint(interpreter: &Path, folder: &Path) -> Result<Outcome> {
    for arguments in [&["check"][..], &["format", "--check"]] {
        let mut command = Command::new(interpreter);
        command.args(["-m", "ruff"]).args(arguments).arg("--no-cache").arg(folder);
        run::status(&mut command)?;
    }
    Ok(Outcome::Passed(String::new()))
}

/// A folder with the clients for JavaScript and their test; installed where they are missing or others.
fn node(folder: &Path, cache: &Path) -> Result<PathBuf> {
    run::output(Command::new("node").arg("--version")).context("there is no Node.js")?;
    let wanted = read(&folder.join("package.json"))?;
    let stamp = cache.join("installed.json");
    if !fs::read_to_string(&stamp).is_ok_and(|there| there == wanted) {
        println!("installing clients for JavaScript in {}", repo::short(cache));
        fs::create_dir_all(cache).with_context(|| cache.display().to_string())?;
        write(&cache.join("package.json"), &wanted)?;
        // Nothing of a package runs before a test imports it.
        let mut npm = Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" });
        npm.args(["install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]);
        npm.args(["--loglevel=error", "--fetch-retries=1", "--fetch-timeout=60000"]);
        run::status(npm.current_dir(cache))?;
        write(&stamp, &wanted)?;
    }
    // Beside the packages, where it finds them.
    let test = "clients.test.js";
    write(&cache.join(test), &read(&folder.join(test))?)?;
    Ok(cache.to_owned())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("could not write {}", path.display()))
}
