//! An executor: it opens its models, registers, and runs tasks.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ballista_core::registry::BallistaFunctionRegistry;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use tokio::task::spawn_blocking;

use super::{ClusterError, MESSAGE_BYTES, codec::UnitCodec, scheduler::config_producer};
use crate::{Models, all_functions, storage};

/// Bytes that a disk has to have room for.
const PROBE_BYTES: usize = 1 << 20;

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
/// The first model that cannot be opened, a port that is taken, a folder of results that cannot be written, at
/// the start or later, and those of Ballista.
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
    probe(work_dir)?;
    on_start();
    let period = Duration::from_secs(options.heartbeat_s.max(1));
    tokio::select! {
        ended = start_executor_process(Arc::new(config)) => Ok(ended?),
        error = lose_disk(work_dir, period) => Err(error),
    }
}

/// Waits until the folder of results cannot be written. An executor without it fails its tasks faster than
/// others finish theirs, so that it would be given most of them.
async fn lose_disk(work_dir: &Path, period: Duration) -> ClusterError {
    loop {
        tokio::time::sleep(period).await;
        let dir = work_dir.to_owned();
        match spawn_blocking(move || probe(&dir)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error,
            Err(panic) => {
                return ClusterError::Option(format!("the disk could not be tried: {panic}"));
            }
        }
    }
}

/// Writes a file as large as a small result.
fn probe(work_dir: &Path) -> Result<(), ClusterError> {
    let path = work_dir.join(".probe");
    let written =
        std::fs::write(&path, vec![0; PROBE_BYTES]).and_then(|()| std::fs::remove_file(&path));
    written.map_err(|source| {
        let what = format!("results cannot be written to {}", work_dir.display());
        ClusterError::System { what, source }
    })
}

/// The port, or one that is free now.
fn free_port(bind: IpAddr, port: u16) -> Result<u16, ClusterError> {
    let address = SocketAddr::new(bind, port);
    let at = |source| ClusterError::System { what: format!("cannot listen at {address}"), source };
    // Told before the models' work begins rather than by the first client.
    Ok(TcpListener::bind(address).and_then(|listener| listener.local_addr()).map_err(at)?.port())
}
