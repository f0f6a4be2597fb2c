//! `embedkit-scheduler`: the scheduler of a Ballista cluster with the functions of embedkit.

use std::net::SocketAddr;

use clap::Parser;
use embedkit_datafusion::{
    Models,
    cluster::{SchedulerOptions, run_scheduler},
};

#[path = "shared/mod.rs"]
mod shared;

const EXAMPLES: &str = "\
Examples:
  embedkit-scheduler                                                   all on one machine
  embedkit-scheduler --listen 0.0.0.0:50050 --external-host head       others reach it as head:50050";

/// Schedule queries with models on a cluster
///
/// Start it first, then executors (embedkit-executor), then clients (embedkit-sql --ballista URL). It plans
/// queries and runs no model. Everybody who reaches its port may run queries: keep it within a trusted
/// network.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Args {
    /// Address and port to listen at
    #[arg(long, default_value = "127.0.0.1:50050")]
    listen: SocketAddr,
    /// Host name by which executors and clients reach it
    #[arg(long, default_value = "localhost")]
    external_host: String,
    /// Seconds after which an executor that is silent counts as lost
    #[arg(long, default_value_t = 180)]
    executor_timeout: u64,
    /// Seconds that results stay on executors for clients to fetch
    #[arg(long, default_value_t = 300)]
    keep_results: u64,
    #[command(flatten)]
    models: shared::ModelArgs,
}

fn main() -> std::process::ExitCode {
    let args = Args::parse();
    shared::run(async {
        let models = Models::new(args.models.options()?);
        let options = SchedulerOptions {
            listen: args.listen,
            external_host: args.external_host,
            executor_timeout_s: args.executor_timeout,
            keep_results_s: args.keep_results,
        };
        let ready = |address| shared::say(&format!("listening at {address}"));
        run_scheduler(&options, &models, ready).await?;
        Ok(())
    })
}
