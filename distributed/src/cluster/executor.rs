//! An executor: it opens its models, registers, and runs tasks.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
};

use ballista_core::registry::BallistaFunctionRegistry;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use tokio::task::spawn_blocking;

use super::{ClusterError, MESSAGE_BYTES, codec::UnitCodec, scheduler::config_producer};
use crate::{Models, all_functions, storage};

/// Choices of an executor. Plain fields with [`Default`]; use struct update syntax.
#[derive(Debug, Clone, PartialEq)]
pub struct ExecutorOptions {
    /// Host of the scheduler.
    pub scheduler_host: String,
    /// Port of the scheduler.
    pub scheduler_port: u16,
    /// Seconds to wait for the scheduler at the start.
    pub connect_s: u16,
    /// Address to listen at.
    pub bind: IpAddr,
    /// Host name by which others reach it; `bind` without.
    pub external_host: Option<String>,
    /// Port of results; any free one at 0.
    pub port: u16,
    /// Port of commands; any free one at 0.
    pub command_port: u16,
    /// Tasks at once; as many as there are cores at 0. The tasks share the models.
    pub tasks: usize,
    /// Folder of results until clients have fetched them.
    pub work_dir: PathBuf,
    /// Seconds between two signs of life.
    pub heartbeat_s: u64,
}

impl Default for ExecutorOptions {
    fn default() -> Self {
        Self {
            scheduler_host: "localhost".to_owned(),
            scheduler_port: 50050,
            connect_s: 30,
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            external_host: None,
            port: 50051,
            command_port: 50052,
            tasks: 0,
            work_dir: std::env::temp_dir().join("embedkit-executor"),
            heartbeat_s: 60,
        }
    }
}

/// Opens the listed models, then registers at the scheduler and runs tasks until a signal to end.
/// `on_start` is called between the two.
///
/// # Errors
/// The first model that cannot be opened, a port that is taken, and those of Ballista.
pub async fn run_executor(
    options: &ExecutorOptions,
    models: &Models,
    on_start: impl FnOnce(),
) -> Result<(), ClusterError> {
    let opened = models.clone();
    spawn_blocking(move || opened.open_listed())
        .await
        .map_err(|panic| ClusterError::Option(format!("a model could not be opened: {panic}")))??;
    let work_dir = &options.work_dir;
    std::fs::create_dir_all(work_dir).map_err(|source| {
        let what = format!("cannot make the folder {}", work_dir.display());
        ClusterError::System { what, source }
    })?;
    let mut registry = BallistaFunctionRegistry::default();
    for function in all_functions(models) {
        registry.scalar_functions.insert(function.name().to_owned(), function);
    }
    let config = ExecutorProcessConfig {
        bind_host: options.bind.to_string(),
        external_host: options.external_host.clone(),
        port: free_port(options.bind, options.port)?,
        grpc_port: free_port(options.bind, options.command_port)?,
        scheduler_host: options.scheduler_host.clone(),
        scheduler_port: options.scheduler_port,
        scheduler_connect_timeout_seconds: options.connect_s,
        vcores: options.tasks,
        work_dir: Some(work_dir.display().to_string()),
        grpc_max_decoding_message_size: MESSAGE_BYTES,
        grpc_max_encoding_message_size: MESSAGE_BYTES,
        executor_heartbeat_interval_seconds: options.heartbeat_s,
        override_function_registry: Some(Arc::new(registry)),
        override_runtime_producer: Some(Arc::new(|_| storage::runtime())),
        override_config_producer: Some(config_producer()),
        override_logical_codec: Some(Arc::new(UnitCodec::default())),
        ..ExecutorProcessConfig::default()
    };
    on_start();
    Ok(start_executor_process(Arc::new(config)).await?)
}

/// The port, or one that is free now.
fn free_port(bind: IpAddr, port: u16) -> Result<u16, ClusterError> {
    let address = SocketAddr::new(bind, port);
    let at = |source| ClusterError::System { what: format!("cannot listen at {address}"), source };
    // Told before the models' work begins rather than by the first client.
    Ok(TcpListener::bind(address).and_then(|listener| listener.local_addr()).map_err(at)?.port())
}
