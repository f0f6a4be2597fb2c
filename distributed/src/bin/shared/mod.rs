//! Parts that the programs have in common: options of models, the runtime, and how they end.

use std::{
    future::Future,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Args;
use datafusion::error::DataFusionError;
use embedkit::LoadOptions;
use embedkit_datafusion::{FunctionOptions, NamedModel};

/// Options of models.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// A model: NAME, NAME@REVISION, NAME=FOLDER or NAME=FILE.toml. An executor opens it at the start
    #[arg(long = "model", value_name = "NAME")]
    models: Vec<NamedModel>,
    /// Refuse models that --model does not list
    #[arg(long)]
    only_listed: bool,
    /// Options of the models, a TOML file with the fields of `LoadOptions`
    #[arg(long, value_name = "FILE")]
    load: Option<PathBuf>,
    /// Device of the models, such as cpu or cuda:0
    #[arg(long)]
    device: Option<String>,
    /// Threads of one copy of a model
    #[arg(long)]
    threads: Option<usize>,
    /// Copies of each model
    #[arg(long)]
    replicas: Option<usize>,
    /// Folder of fetched models, which processes may share
    #[arg(long, value_name = "DIR")]
    cache_dir: Option<PathBuf>,
    /// Never touch the network for a model
    #[arg(long)]
    offline: bool,
    /// Library of ONNX Runtime
    #[arg(long, value_name = "FILE")]
    onnxruntime: Option<PathBuf>,
}

impl ModelArgs {
    /// The options of the functions.
    pub(crate) fn options(&self) -> anyhow::Result<FunctionOptions> {
        self.options_over(LoadOptions::default())
    }

    /// The same where options have other defaults; those of --load take the place of all of them.
    pub(crate) fn options_over(&self, defaults: LoadOptions) -> anyhow::Result<FunctionOptions> {
        let mut load = match &self.load {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("--load: {}", path.display()))?;
                toml::from_str(&text).with_context(|| format!("--load: {}", path.display()))?
            }
            None => defaults,
        };
        if let Some(device) = &self.device {
            load.device = device.parse().context("--device")?;
        }
        load.threads = self.threads.or(load.threads);
        load.replicas = self.replicas.or(load.replicas);
        load.cache_dir = self.cache_dir.clone().or(load.cache_dir);
        load.offline |= self.offline;
        load.onnxruntime = self.onnxruntime.clone().or(load.onnxruntime);
        Ok(FunctionOptions {
            load,
            models: self.models.clone(),
            only_listed: self.only_listed,
            before_batch: None,
        })
    }
}

/// Runs a program; an error is one line on standard error and status 1.
pub(crate) fn run(program: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env();
    tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| "warn".into()))
        .with_writer(io::stderr)
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("threads cannot be started: {error}")),
    };
    let ended = runtime.block_on(program);
    // A thread within a model's run would keep the program alive until the run ends.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => fail(&message(&error)),
    }
}

/// The error and its causes in one line, without causes whose words an error has already.
fn message(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let words = match cause.downcast_ref::<DataFusionError>() {
            Some(error) => error.strip_backtrace(),
            None => cause.to_string(),
        };
        if !text.contains(&words) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&words);
        }
    }
    text
}

/// True where the reader of the output has gone away.
fn is_closed(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(embedkit_datafusion::shell::is_closed)
    })
}

fn fail(message: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "error: {}", message.replace(['\n', '\r'], " "));
    ExitCode::FAILURE
}

/// Prints a line. Nobody has to read it.
pub(crate) fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
