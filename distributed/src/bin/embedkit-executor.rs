//! `embedkit-executor`: an executor of a Ballista cluster with models.

use std::{net::IpAddr, path::PathBuf};

use anyhow::{Context as _, bail};
use clap::Parser;
use embedkit_datafusion::{
    Models,
    cluster::{ExecutorOptions, run_executor},
};

#[path = "shared/mod.rs"]
mod shared;

const EXAMPLES: &str = "\
Examples:
  embedkit-executor --model BAAI/bge-small-en-v1.5
  embedkit-executor --scheduler head:50050 --bind 0.0.0.0 --external-host worker1 --tasks 1 \\
      --work-dir /scratch --cache-dir /shared/models --model BAAI/bge-small-en-v1.5 --only-listed";

/// Run models for the queries of a cluster
///
/// It opens the models that --model lists and then registers at the scheduler, so that no query waits for a
/// download. Ended by SIGTERM, it finishes its tasks and prints how many texts each model has seen.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// The scheduler, HOST:PORT
    #[arg(long, default_value = "localhost:50050")]
    scheduler: String,
    /// Seconds to wait for the scheduler at the start
    #[arg(long, default_value_t = 30)]
    connect_timeout: u16,
    /// Address to listen at
    #[arg(long, default_value = "127.0.0.1")]
    bind: IpAddr,
    /// Host name by which others reach it; the address it listens at by default
    #[arg(long)]
    external_host: Option<String>,
    /// Port of results; any free one at 0
    #[arg(long, default_value_t = 50051)]
    port: u16,
    /// Port of commands; any free one at 0
    #[arg(long, default_value_t = 50052)]
    command_port: u16,
    /// Tasks at once; as many as there are cores at 0. They share the models
    #[arg(long, default_value_t = 0)]
    tasks: usize,
    /// Folder of results until clients have fetched them
    #[arg(long, value_name = "DIR")]
    work_dir: Option<PathBuf>,
    /// Seconds between two signs of life
    #[arg(long, default_value_t = 60)]
    heartbeat: u64,
    #[command(flatten)]
    models: shared::ModelArgs,
}

fn main() -> std::process::ExitCode {
    let args = Args::parse();
    shared::run(async {
        let models = Models::new(args.models.options()?);
        let Some((host, port)) = args.scheduler.rsplit_once(':') else {
            bail!("--scheduler: expected HOST:PORT, got {:?}", args.scheduler);
        };
        let port = port.parse().with_context(|| format!("--scheduler: {port:?} is no port"))?;
        let defaults = ExecutorOptions::default();
        let options = ExecutorOptions {
            scheduler_host: host.to_owned(),
            scheduler_port: port,
            connect_s: args.connect_timeout,
            bind: args.bind,
            external_host: args.external_host,
            port: args.port,
            command_port: args.command_port,
            tasks: args.tasks,
            work_dir: args.work_dir.unwrap_or(defaults.work_dir),
            heartbeat_s: args.heartbeat,
        };
        run_executor(&options, &models, || shared::say("the models are open")).await?;
        for calls in models.calls() {
            shared::say(&format!("{} has seen {} texts", calls.model, calls.texts));
        }
        Ok(())
    })
}
